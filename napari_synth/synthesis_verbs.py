"""The verbs that make new images, and paths between them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_synth.core.boundary import guarded

if TYPE_CHECKING:
    from napari_synth.core.device import PrecisionChoice
    from napari_synth.core.generator import Method
    from napari_synth.core.progress import CancelToken, ProgressCallback
    from napari_synth.core.recipe import Recipe

_MOST_ON_A_PATH = 10_000
_LARGEST_SIZE = 2**16


@guarded
def synthesize(
    model: str | Path | Method[Any],
    count: int = 1,
    *,
    source: Any = None,
    size: int | tuple[int, int] | None = None,
    axes: str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Make new images that look like those that a model was trained on.

    Parameters
    ----------
    model : str, Path or Method
        The name or id of a model of your library, a model file, or what `train` or `load_model` returned.
    count : int
        How many images.
    source : array-like or Image, optional
        What some methods need: an image to make others like, or labels to make images for, each plane of them.
    size : int or (int, int), optional
        Height and width in pixels, for models that can make others than they were trained on.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension of the source; guessed where it is left out.
    seed : int
        The same seed gives the same images; the first ones are the same however many are made.
    device, precision, progress, cancel
        As for `napari_synth.denoise`.
    **params
        Settings of the method.

    Returns
    -------
    numpy.ndarray
        The images along the first axis, then the axes of labels besides their planes, then those of one image (``CYX``, ``YXS`` or
        ``YX``), in the counts and of the dtype of the images that were learnt from.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.core.image import Image
    from napari_synth.core.synthesizing import prepare_synthesis

    settings = {"count": count} | _size(size) | params
    prepared = prepare_synthesis(
        identifier_of(model),
        settings,
        source=None if source is None else Image.from_array(source, axes),
        device=device,
        precision=precision,
        seed=seed,
        progress=progress,
        cancel=cancel,
    )
    return prepared.compute(progress=progress, cancel=cancel)


@guarded
def interpolate(
    model: str | Path | Method[Any],
    begin: Any,
    end: Any,
    count: int = 8,
    *,
    size: int | tuple[int, int] | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    **params: Any,
) -> Any:
    """Make the images on the path between two others, both included.

    Parameters
    ----------
    model : str, Path or Method
        As for `synthesize`.
    begin, end : int, array-like or Image
        A seed: the first image that it gives. Or an image, for models that have an encoder: its middle is taken.
    count : int
        How many images, at least 2.
    size, device, precision, **params
        As for `synthesize`.

    Returns
    -------
    numpy.ndarray
        As for `synthesize`.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.core.arguments import checked_seed, whole
    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.core.image import Image
    from napari_synth.core.latents import path
    from napari_synth.core.synthesizing import prepare_synthesis

    count = whole("The count of images on a path", count, 0, _MOST_ON_A_PATH)
    if count < 2:
        raise InvalidParameterError(f"A path of {count} images has no two ends: ask for at least 2.")
    prepared = prepare_synthesis(identifier_of(model), _size(size) | params, device=device, precision=precision)
    first, last = (
        prepared.latents(seed=checked_seed(given))
        if hasattr(given, "__index__") and not getattr(given, "shape", ())
        else prepared.encoded(Image.from_array(given, prepared.axes_for(given)))[0]
        for given in (begin, end)
    )
    return prepared.decoded(path(first, last, count))


def repeat(recipe: Recipe, source: Any = None, **how: Any) -> Any:
    """Make the images of a recipe again; see `napari_synth.run`."""
    from napari_synth.core.image import Image
    from napari_synth.core.synthesizing import prepare_synthesis

    axes = how.pop("axes", None)
    if source is not None:
        fits = (
            recipe.axes is not None and not isinstance(source, Image) and len(recipe.axes) == getattr(source, "ndim", 0)
        )
        source = Image.from_array(source, axes or (recipe.axes if fits else None))
    params = {**recipe.params, **how.pop("params", {})}
    prepared = prepare_synthesis(recipe.generator, params, source=source, **how)
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        warnings.warn(difference, UserWarning, stacklevel=4)
    return prepared.compute(progress=how.get("progress"), cancel=how.get("cancel"))


def identifier_of(model: str | Path | Method[Any]) -> str:
    """Return the id of a model; a file is taken up for this session.

    Raises
    ------
    ModelFileError
        The file cannot be used.
    UnknownGeneratorError
        It is neither a file nor a name.
    """
    from napari_synth.core import registry
    from napari_synth.core.errors import UnknownGeneratorError
    from napari_synth.core.generator import Method, Task
    from napari_synth.core.texts import shown
    from napari_synth.verbs import load_model

    if isinstance(model, Method):
        registry.register(model)
        return model.info.id
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".safetensors")):
        return load_model(model).info.id
    if not isinstance(model, str):
        raise UnknownGeneratorError(f"{shown(model)} is no model: give the name of one, or its file.")
    return model if "/" in model else f"{Task.SYNTHESIZE}/{model}"


def _size(size: int | tuple[int, int] | None) -> dict[str, int]:
    """Return height and width as the settings of synthesizers hold them."""
    from napari_synth.core.arguments import whole
    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.core.texts import shown

    if size is None:
        return {}
    try:
        height, width = size if isinstance(size, (tuple, list)) else (size, size)
    except ValueError as error:
        raise InvalidParameterError(
            f"The size cannot be {shown(size)}: give a number of pixels, or height and width."
        ) from error
    height, width = (whole("The size", edge, 1, _LARGEST_SIZE) for edge in (height, width))
    return {"size": height} | ({"width": width} if width != height else {})
