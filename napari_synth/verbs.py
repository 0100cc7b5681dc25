"""The public verbs: numpy in gives numpy out, dask or zarr in gives a lazy dask array out.

Each fills in its inputs and opens one door: `prepare`, which `run` and all others stand on. What several verbs share is described
at `run`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_synth.augmentation import Pipeline, Transform
    from napari_synth.contract.frames import FramePredictor
    from napari_synth.contract.generator import Generator, Method
    from napari_synth.core.device import PrecisionChoice
    from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
    from napari_synth.engine.image_run import PreparedImage
    from napari_synth.engine.prepared import PreparedRun
    from napari_synth.engine.recipe import Recipe
    from napari_synth.imaging.image import Image


def denoise(
    image: Any,
    generator: str | Generator[Any] = "blind",
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
        `napari_synth.imaging.image.Image`.
    generator : str or Generator
        ``"blind"`` (a bundled network behind the noise measured in the image), ``"auto"``, ``"adapt"``, ``"noise2void"``,
        ``"zero-shot-noise2noise"``, ``"non-local-means"``, ``"total-variation"``, ``"wavelet"``, ``"median"``, or one of another
        package.
    axes, device, precision, seed, tile, progress, cancel, **params
        As for `run`.

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
        _chosen("denoise", generator),
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


def upscale(
    image: Any,
    factor: float = 2.0,
    generator: str | Generator[Any] = "network",
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
    """Make an image finer along Y and X.

    Parameters
    ----------
    image : array-like or Image
        As for `run`.
    factor : float
        How many times finer, 1 to 16; it need not be a whole number.
    generator : str or Generator
        ``"network"`` (a bundled network, held to the measured pixels), ``"adapted"`` (the same, fine-tuned on the image itself),
        ``"lanczos"``, ``"bicubic"``, or one of another package.
    axes, device, precision, seed, tile, progress, cancel, **params
        As for `run`.

    Returns
    -------
    array
        Of the dtype of the source, Y and X being ``round(size * factor)``: numpy for numpy, a lazy dask array for dask and zarr, an
        Image (with its spacing) for an Image. The outer edges of the first and last pixels stay where they are.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    return run(
        _chosen("super-resolution", generator),
        image,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        factor=factor,
        **params,
    )


def make_isotropic(
    volume: Any,
    spacing: Mapping[str, float] | Sequence[float] | None = None,
    *,
    axes: str | None = None,
    generator: str | Generator[Any] = "isotropic",
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Make a volume with thick or distant slices finer along Z, so that its voxels become cubic.

    Parameters
    ----------
    volume : array-like or Image
        As for `run`, with a Z axis.
    spacing : mapping of str to float, or sequence of float, optional
        Distance of neighbouring pixels along Z, Y and X: by axis, or in the order of the volume's axes. An Image has its own, and
        none is needed where ``factor`` is given.
    axes : str, optional
        As for `run`; an array of three dimensions is taken for ZYX.
    generator : str or Generator
        ``"isotropic"`` (trained on the volume itself), or one of another package.
    device, precision, seed, tile, progress, cancel
        As for `run`.
    **params
        Settings of the generator: ``slices`` ("thick" or "thin"), ``minutes``, ``steps``, ``factor``.

    Returns
    -------
    array
        Of the dtype of the source with ``round(Z * factor)`` planes: numpy for numpy, a lazy dask array for dask and zarr, an Image
        (with its spacing) for an Image. The outer edges of the first and last planes stay where they are.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    import numpy as np

    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.imaging.image import SPATIAL_AXES, Image

    is_image = isinstance(volume, Image)
    image = Image.from_array(volume, axes or ("ZYX" if not is_image and np.ndim(volume) == 3 else None))
    if spacing is not None:
        spatial = [axis for axis in image.axes if axis in SPATIAL_AXES]
        if not isinstance(spacing, Mapping):
            if len(spacing) != len(spatial):
                raise InvalidParameterError(
                    f"A spacing of {len(spacing)} numbers does not fit the axes {''.join(spatial)}: give one for each of them."
                )
            spacing = dict(zip(spatial, spacing, strict=True))
        if unknown := sorted(set(spacing) - set(spatial)):
            raise InvalidParameterError(
                f"The spacing names {unknown[0]!r}, which is none of the axes {''.join(spatial)}: give it for those."
            )
        image = replace(image, spacing={**image.spacing, **spacing})
    result: Image = run(
        _chosen("super-resolution", generator),
        image,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )
    return result if is_image else result.data


def inpaint(
    image: Any,
    mask: Any = None,
    generator: str | Generator[Any] = "auto",
    *,
    mask_from: str | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int = 0,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Fill what is scratched, dusty, dead, burnt or missing; every pixel outside the mask stays as it is, bit by bit.

    Parameters
    ----------
    image : array-like or Image
        As for `run`.
    mask : array-like or Image, optional
        Of bool or integers, not zero where a pixel is to be filled, with Y and X and any other axes of the image: what is marked
        once is filled along those that it lacks. Axes are found by their sizes. The mask of an Image where it is left out.
    generator : str or Generator
        ``"auto"`` (chooses by the width of each hole), ``"biharmonic"``, ``"patches"``, or one of another package.
    mask_from : {"nan", "zero", "saturated", "hot"}, optional
        A rule that makes the mask of the image instead: what is not finite, zero, at the top of the range, or a single hot or dead
        pixel.
    mask_ids : sequence of int, optional
        The labels of the mask that mark what is to be filled; all but 0 where they are left out.
    grow : int
        Pixels in Y and X by which the mask is grown.
    axes, device, precision, seed, tile, progress, cancel, **params
        As for `run`.

    Returns
    -------
    array
        As for `denoise`.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    return run(
        _chosen("inpaint", generator),
        image,
        mask=mask,
        mask_from=mask_from,
        mask_ids=mask_ids,
        grow=grow,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


def translate(
    image: Any,
    reference: Any = None,
    generator: str | Generator[Any] = "auto",
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
    """Make an image look like another, or change its tone.

    Parameters
    ----------
    image : array-like or Image
        As for `run`.
    reference : array-like or Image, optional
        How the result should look: of any size, with as many channels and colours as the image, or one channel for all. What it
        lacks has a standard where the generator knows one.
    generator : str or Generator
        ``"auto"`` (what fits the image and the reference); for slides ``"macenko"``, ``"vahadane"``, ``"reinhard"``; with any
        reference ``"quantile-matching"``, ``"colour-transfer"``, ``"patch-style"``; for the tone ``"contrast"``, ``"gamma"``,
        ``"clahe"``, ``"unsharp"``, ``"colour-balance"``; or one of another package.
    axes, device, precision, seed, tile, progress, cancel, **params
        As for `run`.

    Returns
    -------
    array
        As for `denoise`.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    return run(
        _chosen("translate", generator),
        image,
        reference=reference,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


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
        As for `run`.
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
    from napari_synth.contract.synthesis import Synthesizer

    prepared = prepare(
        _chosen("synthesize", model, Synthesizer),
        source,
        {"count": count} | _size(size) | params,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        progress=progress,
        cancel=cancel,
    )
    return prepared.compute(report=_reporter(progress, cancel))


def predict_frames(
    movie: Any,
    count: int = 0,
    generator: str | FramePredictor[Any] = "optical-flow",
    *,
    fill: Sequence[int] | Literal["auto"] | None = None,
    between: int = 0,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Invent frames of a time-lapse: the next ones, missing ones, or some between any two; measured frames stay as they are.

    Parameters
    ----------
    movie : array-like or Image
        As for `run`, with a T axis.
    count : int
        How many frames behind the last one.
    generator : str or FramePredictor
        ``"optical-flow"`` (moves everything on), ``"linear"``, ``"copy-last"``, what `load_model` returns of a model that was
        trained, or one of another package.
    fill : sequence of int, or "auto", optional
        Frames of the movie that are missing, counted from 0, and are made from those on either side. ``"auto"`` finds those that
        are all zero or all NaN, or repeat the one before bit by bit.
    between : int
        How many frames between any two neighbours; stands alone.
    axes : str, optional
        As for `run`; an array of three dimensions is taken for TYX, one of four for TZYX or TCYX.
    device, precision, seed, tile, progress, cancel, **params
        As for `denoise`.

    Returns
    -------
    array
        Of the dtype of the source, with more frames along T: numpy for numpy, a lazy dask array for dask and zarr, an Image (with
        its spacing) for an Image.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.contract.frames import FramePredictor

    asked: dict[str, Any] = {"count": count, "fill": fill, "between": between}
    return run(
        _chosen("predict-frames", generator, FramePredictor),
        movie,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **asked,
        **params,
    )


def augment(
    image: Any,
    *,
    labels: Any = None,
    points: ArrayLike | None = None,
    shapes: Sequence[ArrayLike] | None = None,
    vectors: ArrayLike | None = None,
    tracks: ArrayLike | None = None,
    transforms: Pipeline | Iterable[Transform] | str = "light-microscopy",
    axes: str | None = None,
    seed: int = 0,
) -> Any:
    """Change an image at random, and all that lies in it with it.

    Parameters
    ----------
    image : array-like, Tensor or Image
        Any integer or float dtype and range, 2 to 6 dimensions. A tensor is worked on where it is, and keeps its gradient.
    labels : array-like or Tensor, optional
        Ids of any integer dtype, with the axes of the image, without ``S``, without ``C`` too, or its spatial ones.
    points, shapes, vectors, tracks : optional
        As napari's layers hold them; see `napari_synth.augmentation.Sample`.
    transforms : Pipeline, sequence of Transform, or str
        What is done: ``"light-microscopy"``, ``"electron-microscopy"``, ``"histology"``, ``"mri"``, ``"ct"``, YAML, or transforms
        of `napari_synth.augmentation`.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out.
    seed : int
        Same input and seed: same result.

    Returns
    -------
    array, Image or Sample
        The image, of the kind and dtype it was given as; where anything else was given, a `napari_synth.augmentation.Sample` that
        holds it all. Lazy arrays are read where the result shows them, and give numpy.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.augmentation import Pipeline, Sample
    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.imaging.image import Image

    if not isinstance(seed, int):
        raise InvalidParameterError(f"The seed cannot be {seed!r}: give a whole number.")
    sample = Sample(image, axes or "", labels, "", points, shapes, vectors, tracks)
    pipeline = Pipeline.of(transforms)
    result = pipeline.apply(sample, pipeline.draw(seed, sample))
    changed: Any = result.image
    if isinstance(image, Image):
        changed = replace(image, data=result.image, axes=result.axes, spacing=result.spacing)
    if all(part is None for part in (labels, points, shapes, vectors, tracks)):
        return changed
    return result


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
    from napari_synth import registry
    from napari_synth.contract.synthesis import Synthesizer
    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.core.options import RunOptions
    from napari_synth.engine import door
    from napari_synth.engine.latents import path
    from napari_synth.engine.prepared import Inputs
    from napari_synth.engine.recipe import Recipe
    from napari_synth.imaging.image import Image

    if count < 2:
        raise InvalidParameterError(f"A path of {count} images has no two ends: ask for at least 2.")
    method: Synthesizer[Any] = registry.chosen(Synthesizer, "synthesize", model)
    recipe = Recipe(generator=method.info.id, params=_size(size) | params)
    prepared = door.open(method, recipe, Inputs(), RunOptions(device, precision))
    first, last = (
        prepared.latents(seed=given)
        if isinstance(given, int)
        else prepared.encoded(Image.from_array(given, prepared.axes_for(given)))[0]
        for given in (begin, end)
    )
    return prepared.decoded(path(first, last, count))


def train(
    generator: str,
    source: Any,
    target: Any = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    out: Path | str | None = None,
    axes: str | None = None,
    region: Any = None,
    name: str | None = None,
    resume: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Method[Any]:
    """Train a model on images; it becomes a generator of your library.

    Parameters
    ----------
    generator : str
        What to train: ``"denoise/supervised"``, ``"denoise/noise2noise"``, ``"denoise/noise2void"``, or one of another package.
    source : array-like, Image, path, or sequence of them
        What is learnt from; a path may be a file, a folder or a pattern.
    target : array-like, Image, path, or sequence of them, optional
        Where pairs are learnt from, the image that belongs to each source.
    minutes : float, optional
        About how long to train, 10 where it is left out; 0 for until ``cancel`` stops it.
    steps : int, optional
        Train so many steps rather than by the clock.
    out : Path or str, optional
        Folder for the model and the checkpoint; one in that of your library where it is left out.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out.
    region : array-like, Image or path, optional
        Labels, not zero where the source may be learnt from.
    name : str, optional
        What the model will be called; made from the source's name where it is left out.
    resume : bool
        Go on exactly from the checkpoint in ``out``; a training that was at its end gets its time once more.
    seed, device, precision
        As for `run`.
    progress : callable, optional
        Called with a `napari_synth.core.progress.Progress` after every step.
    cancel : CancelToken, optional
        A `napari_synth.training.control.TrainingControl` can pause and stop the training, which keeps its best weights.
    **params
        Settings of the training.

    Returns
    -------
    Generator
        Can be given to the verb of its task; its ``path`` is the model file.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.studio.train import train_model

    given = {"minutes": minutes, "steps": steps, "seed": seed}
    trained = train_model(
        generator,
        source,
        target,
        {name: value for name, value in given.items() if value is not None} | params,
        out=out,
        axes=axes,
        region=region,
        name=name,
        resume=resume,
        device=device,
        precision=precision,
        progress=progress,
        cancel=cancel,
    )
    return trained.generator


def load_model(
    path: Path | str, *, task: str | None = None, name: str | None = None, trusted: bool = False
) -> Method[Any]:
    """Make a method of a model file, for this session; `napari_synth.registry.add_model` keeps one.

    Its network is run on a small probe image to measure its scale and how far it looks, which takes a minute for the largest.

    Parameters
    ----------
    path : Path or str
        Our own ``.safetensors``; a ``.safetensors``, ``.pth`` or ``.ckpt`` that spandrel knows; a TorchScript; a
        bioimage.io package (zip or folder).
    task : {"denoise", "super-resolution"}, optional
        What it is for, where the file does not say.
    name : str, optional
        What its id is made of; the file's name where it is left out.
    trusted : bool
        Whether TorchScript and Python inside a package may be executed: only for files from people you trust.

    Returns
    -------
    Generator
        Can be given to `run` and to the verb of its task, as it is or by its id.

    Raises
    ------
    SynthError
        The file is damaged, of an unknown architecture or for another task, is not trusted, or needs an extra.
    """
    from napari_synth import registry

    return registry.load(path, task=task, name=name, trusted=trusted)


def run(
    recipe_or_id: Recipe | Method[Any] | str,
    image: Any = None,
    *,
    reference: Any = None,
    mask: Any = None,
    mask_from: str | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int | None = None,
    axes: str | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    seed: int | None = None,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Run a method, or repeat a recipe: what all verbs call.

    Parameters
    ----------
    recipe_or_id : Recipe, Method or str
        A `napari_synth.engine.recipe.Recipe`, the YAML of one, the id of a method such as ``"denoise/blind"``, or what
        `load_model` returns.
    image : array-like or Image
        Any integer or float dtype and range, 2 to 6 dimensions; numpy, dask, zarr or an `napari_synth.imaging.image.Image`. What
        makes new images is given the image or the labels that it needs, if any.
    reference : array-like or Image, optional
        As for `translate`; a recipe need not be given one again where it holds what was learnt of it.
    mask, mask_from, mask_ids, grow
        As for `inpaint`; what is left out is taken from the recipe, but a mask that was drawn must be given again.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out. The axes of a recipe hold for an array of as many
        dimensions: those of another are guessed, and an Image keeps its own.
    device : str
        ``"auto"`` (CUDA, then MPS, then the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Of the network's arithmetic.
    seed : int
        Same input, seed and kind of device: same result.
    tile : int, optional
        Edge of a block in pixels; it follows from the method and the image where it is left out.
    progress : callable, optional
        Called with a `napari_synth.core.progress.Progress` after every block or step.
    cancel : CancelToken, optional
        Stops the run within one block or step.
    **params
        Settings of the method, and ``count``, ``fill`` and ``between`` as for `predict_frames`. They take the place of what the
        recipe says, as do all that stand before.

    Returns
    -------
    array
        Of the dtype of the source: numpy for numpy, a lazy dask array for dask and zarr, an Image for an Image.

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

    from napari_synth.imaging.image import Image

    prepared = prepare(
        recipe_or_id,
        image,
        params,
        reference=reference,
        mask=mask,
        mask_from=mask_from,
        mask_ids=mask_ids,
        grow=grow,
        axes=axes,
        device=device,
        precision=precision,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
    )
    if (difference := _recipe_and_method(recipe_or_id)[0].differing_weights(prepared.recipe)) is not None:
        warnings.warn(difference, UserWarning, stacklevel=2)
    if prepared.source is not None and prepared.source.is_lazy:
        return prepared.result if isinstance(image, Image) else prepared.lazy()
    result: Any = prepared.compute(report=_reporter(progress, cancel))
    if isinstance(image, Image):
        return replace(prepared.result, data=result)
    return np.asarray(result)


def prepare(
    recipe_or_id: Recipe | Method[Any] | str,
    image: Any = None,
    params: Mapping[str, Any] | None = None,
    *,
    reference: Any = None,
    mask: Any = None,
    mask_from: str | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int | None = None,
    axes: str | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    seed: int | None = None,
    tile: int | None = None,
    memory_budget: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    interim: Callable[[PreparedImage], None] | None = None,
) -> PreparedRun:
    """Let a method look at an image, and make nothing yet: parts of the result can then be asked for, one after the other.

    Parameters
    ----------
    recipe_or_id, image
        As for `run`.
    params : mapping, optional
        Settings, as the ``**params`` of `run`.
    reference, mask, mask_from, mask_ids, grow, axes, device, precision, seed, tile, progress, cancel
        As for `run`.
    memory_budget : int, optional
        Bytes that the run may take; half of what is free where it is left out.
    interim : callable, optional
        Called, while a method trains on the image, with what it has come to so far; training goes on once it returns.

    Returns
    -------
    PreparedRun
        With the recipe, the notes, the result as a lazy image, and `compute` for the whole of it or a region.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from napari_synth.engine import door
    from napari_synth.engine.masking import with_mask
    from napari_synth.engine.prepared import Inputs
    from napari_synth.engine.references import as_reference

    recipe, method = _recipe_and_method(recipe_or_id)
    options = recipe.options(device=device, precision=precision, seed=seed, tile=tile, memory_budget=memory_budget)
    source = _source(method, recipe, image, axes)
    likeness = None
    if source is not None:
        source = with_mask(source, recipe, mask, rule=mask_from, ids=mask_ids, grow=grow)
        likeness = None if reference is None else as_reference(reference, source)
    inputs = Inputs(source, likeness)
    return door.open(method, recipe.changed(params or {}), inputs, options, _reporter(progress, cancel), interim)


def _recipe_and_method(recipe_or_id: Recipe | Method[Any] | str) -> tuple[Recipe, Method[Any]]:
    """Return a recipe, and the method that it names; a method of the user's own is taken up for this session."""
    from napari_synth import registry
    from napari_synth.contract.generator import Method
    from napari_synth.engine.recipe import Recipe

    if isinstance(recipe_or_id, Recipe):
        recipe = recipe_or_id
    elif not isinstance(recipe_or_id, str):
        method = registry.register(recipe_or_id)
        return Recipe(generator=method.info.id), method
    else:
        recipe = Recipe.from_yaml(recipe_or_id) if "\n" in recipe_or_id else Recipe(generator=recipe_or_id)
    return recipe, registry.found(Method, recipe.generator)


def _source(method: Method[Any], recipe: Recipe, image: Any, axes: str | None) -> Image | None:
    """Return what is given as an image: with the axes that are said, those of a recipe that fit, or those that a method guesses."""
    import numpy as np

    from napari_synth.imaging.image import Image

    if image is None or isinstance(image, Image):
        return image if image is None or axes is None else replace(image, axes=axes.upper())
    fits = recipe.axes is not None and len(recipe.axes) == np.ndim(image)
    return Image.from_array(image, axes or (recipe.axes if fits else method.guess_axes(np.shape(image))))


def _chosen(task: str, given: Any, kind: type[Any] | None = None) -> Method[Any]:
    """Return the method that a user of the verb of a task means."""
    from napari_synth import registry
    from napari_synth.contract.generator import Method

    return registry.chosen(kind or Method, task, given)


def _reporter(progress: ProgressCallback | None, cancel: CancelToken | None) -> Reporter:
    from napari_synth.core.progress import Reporter

    return Reporter(progress, cancel)


def _size(size: int | tuple[int, int] | None) -> dict[str, int]:
    """Return height and width as the settings of synthesizers hold them."""
    if size is None:
        return {}
    height, width = (size, size) if isinstance(size, int) else size
    return {"size": height} | ({"width": width} if width != height else {})
