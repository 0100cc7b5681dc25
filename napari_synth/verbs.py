"""The public verbs: numpy in gives numpy out, dask or zarr in gives a lazy dask array out."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_synth.core.device import PrecisionChoice
    from napari_synth.core.progress import CancelToken, ProgressCallback
    from napari_synth.core.recipe import Recipe


def denoise(
    image: Any,
    generator: str = "blind",
    *,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Remove noise.

    Parameters
    ----------
    image : array-like or Image
        Any integer or float dtype and range, 2 to 6 dimensions; numpy, dask, zarr or an
        `napari_synth.core.image.Image`.
    generator : str
        ``"blind"`` (a bundled network behind the noise measured in the image), ``"auto"``, ``"adapt"``, ``"noise2void"``,
        ``"zero-shot-noise2noise"``, ``"non-local-means"``, ``"total-variation"``, ``"wavelet"``, ``"median"``, or one of another
        package.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out.
    device : str
        ``"auto"`` (CUDA, then MPS, then the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Of the network's arithmetic.
    seed : int
        Same input, seed and kind of device: same result.
    tile : int, optional
        Edge of a block in pixels; chosen from the free memory where it is left out.
    progress : callable, optional
        Called with a `napari_synth.core.progress.Progress` after every block or step.
    cancel : CancelToken, optional
        Stops the run within one block or step.
    **params
        Settings of the generator.

    Returns
    -------
    array
        Of the shape and dtype of the source: numpy for numpy, a lazy dask array for dask and zarr, an Image for an Image.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    return run(
        generator if "/" in generator else f"denoise/{generator}",
        image,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


def run(
    recipe_or_id: Recipe | str,
    image: Any,
    *,
    axes: str | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    seed: int | None = None,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Run a generator, or repeat a recipe.

    Parameters
    ----------
    recipe_or_id : Recipe or str
        A `napari_synth.core.recipe.Recipe`, the YAML of one, or the id of a generator such as ``"denoise/blind"``.
    image : array-like or Image
    axes, device, precision, seed, tile, **params
        As for `denoise`; what is given takes the place of what the recipe says. The axes of a recipe hold for an array of as many
        dimensions: those of another are guessed, and an Image keeps its own.
    progress, cancel
        As for `denoise`.

    Returns
    -------
    array
        As for `denoise`.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.

    Warns
    -----
    UserWarning
        The weights are not those that the recipe was made with.
    """
    import numpy as np

    from napari_synth.core.image import Image
    from napari_synth.core.recipe import Recipe
    from napari_synth.core.runner import prepare

    if isinstance(recipe_or_id, Recipe):
        recipe = recipe_or_id
    elif "\n" in recipe_or_id:
        recipe = Recipe.from_yaml(recipe_or_id)
    else:
        recipe = Recipe(generator=recipe_or_id)
    fits = recipe.axes is not None and not isinstance(image, Image) and len(recipe.axes) == np.ndim(image)
    source = Image.from_array(image, axes or (recipe.axes if fits else None))
    prepared = prepare(
        recipe.generator,
        source,
        {**recipe.params, **params},
        device=device or recipe.device,
        precision=precision or recipe.precision,
        seed=recipe.seed if seed is None else seed,
        tile=recipe.tile if tile is None else tile,
        progress=progress,
        cancel=cancel,
    )
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        warnings.warn(difference, UserWarning, stacklevel=2)
    if source.is_lazy:
        return prepared.result if isinstance(image, Image) else prepared.lazy()
    result: Any = prepared.compute(progress=progress, cancel=cancel)
    if isinstance(image, Image):
        return replace(prepared.result, data=result)
    return np.asarray(result)
