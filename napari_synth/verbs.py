"""The public verbs: numpy in gives numpy out, dask or zarr in gives a lazy dask array out.

Each fills in its inputs and opens one door: `prepare`, which `run` and all others stand on. What several verbs share is described
at `run`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_synth.core.errors import guarded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_synth.augmentation import Pipeline, Transform
    from napari_synth.batches.manifest import BatchReport, JobRecord
    from napari_synth.contract.frames import FramePredictor
    from napari_synth.contract.generator import Generator, Method
    from napari_synth.core.device import PrecisionChoice
    from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
    from napari_synth.core.result_dtype import DtypeChoice
    from napari_synth.engine.image_run import PreparedImage
    from napari_synth.engine.prepared import PreparedRun
    from napari_synth.engine.recipe import Recipe
    from napari_synth.imaging.assess import Quality
    from napari_synth.imaging.image import Image

_MOST_ON_A_PATH = 10_000
_LARGEST_SIZE = 2**16


@guarded
def denoise(
    image: Any,
    generator: str | Generator[Any] = "blind",
    *,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
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
        ``"blind"`` (a bundled network behind the noise measured in the image), ``"auto"``, ``"adapted"``, ``"noise2void"``,
        ``"zero-shot-noise2noise"``, ``"non-local-means"``, ``"total-variation"``, ``"wavelet"``, ``"median"``, or one of another
        package.
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
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
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


@guarded
def correct(
    image: Any,
    generator: str | Generator[Any] = "background",
    *,
    reference: Any = None,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Even out what the microscope did: background, shading, bleaching, stripes, drift, displaced channels.

    Parameters
    ----------
    image : array-like or Image
        As for `run`.
    generator : str or Generator
        ``"background"`` (rolling ball, opening or a smooth surface), ``"flat-field"`` (uneven light, learnt from many tiles),
        ``"bleaching"``, ``"stripes"``, ``"drift"``, ``"chromatic-shift"``, ``"bias-field"``, or one of another package.
    reference : array-like or Image, optional
        Many tiles or frames of the same microscope, stacked, to learn the light of ``"flat-field"`` from; beads that shine in all
        channels for ``"chromatic-shift"``. The image itself where it is left out.
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
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
        _chosen("correct", generator),
        image,
        reference=reference,
        axes=axes,
        device=device,
        precision=precision,
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


@guarded
def deconvolve(
    image: Any,
    psf: Any = None,
    generator: str | Generator[Any] = "network",
    *,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Take the blur of the instrument away.

    Parameters
    ----------
    image : array-like or Image
        As for `run`; planes, volumes, channels, movies.
    psf : array-like, Image or path, optional
        The point spread function: an image of a point, (Y, X) or (Z, Y, X), of any size and with the point anywhere; or one a
        channel, (C, [Z,] Y, X). An Image or a file that knows its spacing is resampled to that of the image. Where it is left out,
        the settings say what it is: ``psf_model`` with ``numerical_aperture``, ``wavelength`` (nm), ``refractive_index`` and
        ``pixel_size`` (µm), or ``width`` in pixels; else the width of a Gaussian is estimated.
    generator : str or Generator
        ``"network"`` (the bundled denoising network and an inversion), ``"richardson-lucy"``, ``"gradient-consensus"``,
        ``"total-variation"``, ``"wiener"``, or one of another package.
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
        As for `run`. All but ``wiener`` take ``iterations``: held-out photons say when to stop where they are left out.

    Returns
    -------
    array
        As for `denoise`.

    Raises
    ------
    PsfError
        The point spread function is missing, is no image of a point, or does not fit.
    SynthError
        Another of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    return run(
        _chosen("deconvolve", generator),
        image,
        reference=psf,
        axes=axes,
        device=device,
        precision=precision,
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


@guarded
def upscale(
    image: Any,
    factor: float = 2.0,
    generator: str | Generator[Any] = "network",
    *,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
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
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
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
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        factor=factor,
        **params,
    )


@guarded
def make_isotropic(
    volume: Any,
    spacing: Mapping[str, float] | Sequence[float] | None = None,
    *,
    axes: str | None = None,
    generator: str | Generator[Any] = "isotropic",
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
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
    device, precision, dtype, seed, tile, progress, cancel
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
    from napari_synth.imaging.image import Image, as_array

    is_image = isinstance(volume, Image)
    is_named = is_image or hasattr(volume, "dims")
    if not is_named:
        volume = as_array(volume)
    if axes is None and not is_named and len(volume.shape) == 3:
        axes = "ZYX"
    image = Image.from_array(volume, axes)
    if spacing is not None:
        image = replace(image, spacing={**image.spacing, **_spacing_of(image, spacing)})
    result: Image = run(
        _chosen("super-resolution", generator),
        image,
        device=device,
        precision=precision,
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )
    return result if is_image else _as_given(volume, result.data, hides=True)


@guarded
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
    dtype: DtypeChoice = "auto",
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
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
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
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


@guarded
def translate(
    image: Any,
    reference: Any = None,
    generator: str | Generator[Any] = "auto",
    *,
    axes: str | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
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
    axes, device, precision, dtype, seed, tile, progress, cancel, **params
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
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **params,
    )


@guarded
def synthesize(
    model: str | Path | Method[Any],
    count: int = 1,
    *,
    source: Any = None,
    size: int | tuple[int, int] | None = None,
    with_labels: bool = False,
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
    with_labels : bool
        Return the labels of each image as well, where the model draws new ones: one that learnt labels to image, without a source.
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
        ``YX``), in the counts and of the dtype of the images that were learnt from. With labels, a pair: behind it the labels,
        (images, Y, X), whole numbers, 0 for the background and objects from 1.

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
    if with_labels:
        from napari_synth.engine.synthesis_run import PreparedSynthesis

        assert isinstance(prepared, PreparedSynthesis)
        return prepared.pairs(_reporter(progress, cancel))
    return prepared.compute(report=_reporter(progress, cancel))


@guarded
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
    dtype: DtypeChoice = "auto",
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
    device, precision, dtype, seed, tile, progress, cancel, **params
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
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
        **asked,
        **params,
    )


@guarded
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
    from napari_synth.core.arguments import whole
    from napari_synth.imaging.image import Image
    from napari_synth.imaging.surroundings import undisturbed

    seed = whole("The seed", seed, -(2**63), 2**63 - 1)
    with undisturbed(keeps_gradients=True):
        sample = Sample(image, "" if axes is None else axes, labels, "", points, shapes, vectors, tracks)
        pipeline = Pipeline.of(transforms)
        result = pipeline.apply(sample, pipeline.draw(seed, sample))
    changed: Any = result.image
    if isinstance(image, Image):
        changed = replace(image, data=result.image, axes=result.axes, spacing=result.spacing)
    if all(part is None for part in (labels, points, shapes, vectors, tracks)):
        return changed
    return result


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
    from napari_synth import registry
    from napari_synth.contract.synthesis import Synthesizer
    from napari_synth.core.arguments import checked_seed, whole
    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.core.options import RunOptions
    from napari_synth.engine import door
    from napari_synth.engine.prepared import Inputs
    from napari_synth.engine.recipe import Recipe
    from napari_synth.engine.synthesis_run import path
    from napari_synth.imaging.image import Image

    count = whole("The count of images on a path", count, 0, _MOST_ON_A_PATH)
    if count < 2:
        raise InvalidParameterError(f"A path of {count} images has no two ends: ask for at least 2.")
    method: Synthesizer[Any] = registry.chosen(Synthesizer, "synthesize", model)
    recipe = Recipe(generator=method.info.id, params=_size(size) | params)
    prepared = door.open(method, recipe, Inputs(), RunOptions(device, precision))
    prepared.check_path()
    first, last = (
        prepared.latents(seed=checked_seed(given))
        if hasattr(given, "__index__") and not getattr(given, "shape", ())
        else prepared.encoded(Image.from_array(given, prepared.axes_for(given)))[0]
        for given in (begin, end)
    )
    return prepared.decoded(path(first, last, count))


@guarded
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
    series: int | Literal["all"] | None = None,
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
    series : int or "all", optional
        Which image of files that hold several, see `napari_synth.files.read_image`.
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
        series=series,
        name=name,
        resume=resume,
        device=device,
        precision=precision,
        progress=progress,
        cancel=cancel,
    )
    return trained.generator


@guarded
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


@guarded
def run(
    recipe_or_id: Recipe | Method[Any] | str | Sequence[Any],
    image: Any = None,
    *,
    reference: Any = None,
    mask: Any = None,
    mask_from: str | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int | None = None,
    region: Any = None,
    blend: float | None = None,
    axes: str | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    dtype: DtypeChoice | None = None,
    seed: int | None = None,
    tile: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    **params: Any,
) -> Any:
    """Run a method, or repeat a recipe: what all verbs call.

    Parameters
    ----------
    recipe_or_id : Recipe, Method, str or sequence
        A `napari_synth.engine.recipe.Recipe`, the YAML of one, the id of a method such as ``"denoise/blind"``, or what
        `load_model` returns. A list is a chain: each of its steps is one of these, or a pair of one and its settings.
    image : array-like or Image
        Any integer or float dtype and range, 2 to 6 dimensions; numpy, dask, zarr or an `napari_synth.imaging.image.Image`. What
        makes new images is given the image or the labels that it needs, if any.
    reference : array-like or Image, optional
        As for `translate`, or the ``psf`` of `deconvolve`; a recipe need not be given one again where it holds what was learnt
        of it. In a chain it is for the step that takes one; where several do, a mapping of the ids of methods, or of the numbers of
        steps from 1, to images.
    mask, mask_from, mask_ids, grow
        As for `inpaint`; what is left out is taken from the recipe, but a mask that was drawn must be given again.
    region : mapping, array-like or Image, optional
        The part that is restored, for every verb that restores an image: ``{"Y": (10, 80), "X": (5, 60)}`` in pixels, stop
        excluded, or labels that are not 0 there. All other pixels are those of the source; a result of another size is cropped to
        the bounds. The method looks at the whole image, so that the part is as in the result of all of it. What is left out is
        taken from the recipe, ``{}`` is the whole image, and a region that was drawn must be given again.
    blend : float, optional
        The share of what the method made, 0 to 1: the rest is the source. 1 where neither it nor a recipe says so.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out. The axes of a recipe hold for an array of as many
        dimensions: those of another are guessed, and an Image keeps its own.
    device : str
        ``"auto"`` (CUDA, then MPS, then the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Of the network's arithmetic.
    dtype : {"auto", "source", "float32"}
        Of the result: that of the source, or float32, which auto takes where rounding to whole counts would lose signal.
    seed : int
        Same input, seed and kind of device: same result.
    tile : int, optional
        Edge of a block in pixels; it follows from the method and the image where it is left out.
    progress : callable, optional
        Called with a `napari_synth.core.progress.Progress` after every block or step.
    cancel : CancelToken, optional
        Stops the run within one block or step.
    **params
        Settings of the method (in a chain, of the last one), and ``count``, ``fill`` and ``between`` as for `predict_frames`.
        They take the place of what the recipe says, as do all that stand before.

    Returns
    -------
    array
        Numpy for numpy, a lazy dask array for dask and zarr, an Image for an Image, a masked array or an xarray for such a one.

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

    from napari_synth.contract.generator import Task
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
        region=region,
        blend=blend,
        axes=axes,
        device=device,
        precision=precision,
        dtype=dtype,
        seed=seed,
        tile=tile,
        progress=progress,
        cancel=cancel,
    )
    if (difference := _recipe_and_method(recipe_or_id)[0].differing_weights(prepared.recipe)) is not None:
        warnings.warn(difference, UserWarning, stacklevel=3)
    source, hides = prepared.source, prepared.method.info.task not in (Task.INPAINT, Task.PREDICT_FRAMES)
    if source is not None and source.is_lazy:
        return prepared.result if isinstance(image, Image) else _as_given(image, prepared.lazy(), hides=hides)
    result: Any = prepared.compute(report=_reporter(progress, cancel))
    if source is not None and source.origin is not None:
        source.origin.check()
    if isinstance(image, Image):
        return replace(prepared.result, data=result)
    return _as_given(image, np.asarray(result), hides=hides)


@guarded
def batch(
    recipe_or_id: Recipe | Method[Any] | str | Sequence[Any],
    sources: str | Path | Sequence[str | Path],
    target: str | Path,
    params: Mapping[str, Any] | None = None,
    *,
    axes: str | None = None,
    series: int | Literal["all"] | None = None,
    mask: str | Path | None = None,
    mask_from: Literal["nan", "zero", "saturated", "hot"] | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int | None = None,
    region: str | Path | None = None,
    reference: str | Path | None = None,
    measure_on: str | Path | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    dtype: DtypeChoice | None = None,
    seed: int | None = None,
    tile: int | None = None,
    memory_budget: int | None = None,
    overwrite: bool = False,
    write_recipe: bool = True,
    workers: int = 1,
    dask: str | None = None,
    shard: str | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    tell: Callable[[JobRecord], None] | None = None,
) -> BatchReport:
    """Run a recipe on many files; what an earlier call has done stays done, whatever stopped it.

    Beside the results lies ``manifest.jsonl``, a line of JSON for each image, see `napari_synth.batches.manifest.JobRecord`. A bad
    file is named in it and in the report, and does not stop the others.

    Parameters
    ----------
    recipe_or_id, params
        As for `prepare`.
    sources : str, Path, or sequence of them
        A folder, a pattern such as ``"day*/**/*.tif"``, or files.
    target : str or Path
        Folder of the results, which keep the names of their sources.
    axes, series
        As for reading files: roles of the dimensions where the files do not say, and which image of each file.
    mask : str or Path, optional
        A file for all images, or a folder or pattern with one of each name.
    mask_from, mask_ids, grow
        As for `inpaint`.
    region : str or Path, optional
        The part of every image that is worked on: bounds in pixels such as ``"Y=10:80,X=5:60"``, or what is not 0 on it, a file for
        all images or a folder or pattern with one of each name. ``"all"`` is the whole; what is left out is as in the recipe.
    reference : str or Path, optional
        An image that shows how results should look.
    measure_on : str or Path, optional
        An image whose intensities and noise hold for every image, so that a series stays comparable; ``"all"`` measures all images
        together.
    device, precision, dtype, seed, tile
        As for `run`, in place of what the recipe says. All results come back in one dtype.
    memory_budget : int, optional
        Bytes that a run may take; a larger result goes to an OME-Zarr.
    overwrite : bool
        Whether results of other settings, or of others, may be replaced. What was done with these settings stays.
    write_recipe : bool
        Whether the record of each run is written beside its result.
    workers : int
        Processes that work at once, one a GPU where there are several; more than one need the extra ``cluster``. In a script, call
        this behind ``if __name__ == "__main__":`` then.
    dask : str, optional
        Address of a scheduler of dask.distributed, or a YAML file that describes a cluster.
    shard : str, optional
        ``"0/3"`` does the first third of the images; the command ``napari-synth finish`` joins what all shards have done.
    progress, cancel
        As for `run`.
    tell : callable, optional
        Called with the `JobRecord` of each image as it ends.

    Returns
    -------
    BatchReport
        With the records of what was ``done``, ``kept`` from an earlier call, and ``failed``.

    Raises
    ------
    SynthError
        One of its subclasses, for what is wrong with every image, and `Cancelled`.
    """
    from pathlib import Path

    from napari_synth.batches.inputs import Drawn, Masked, Referenced
    from napari_synth.batches.jobs import plan_files
    from napari_synth.batches.planning import Shard
    from napari_synth.batches.run import run_batch
    from napari_synth.batches.settings import Settings
    from napari_synth.batches.yardstick import ALL, joint_yardstick
    from napari_synth.core.arguments import given_path
    from napari_synth.core.errors import ImageFileError

    recipe, _ = _recipe_and_method(recipe_or_id)
    options = recipe.options(
        device=device, precision=precision, dtype=dtype, seed=seed, tile=tile, memory_budget=memory_budget
    )
    own = {name: getattr(options, name) for name in ("device", "precision", "dtype", "seed", "tile")}
    folder = given_path(target, ImageFileError)
    bounds, drawn = Drawn.parse(None if region is None else str(region))
    if region is not None:
        own["region"] = bounds
    settings = Settings(
        recipe.changed(params or {}).model_copy(update=own),
        axes,
        series,
        Masked(None if mask is None else str(mask), mask_from, None if mask_ids is None else tuple(mask_ids), grow),
        Referenced(None if reference is None else Path(reference)),
        None if measure_on in (None, ALL) else Path(str(measure_on)),
        memory_budget,
        overwrite,
        write_recipe,
        drawn,
    )
    jobs, report = plan_files(sources, folder), _reporter(progress, cancel)
    if measure_on == ALL:
        settings = replace(settings, measure_on=joint_yardstick(jobs, settings, folder, report, dry=False))
    return run_batch(
        jobs,
        settings,
        folder,
        shard=None if shard is None else Shard.parse(shard),
        workers=workers,
        dask=dask,
        report=report,
        tell=tell or (lambda _: None),
    )


@guarded
def assess(image: Any, *, axes: str | None = None) -> Quality:
    """Measure the quality of an image without a truth to compare it with: noise, focus, saturation, unevenness, stripes.

    Parameters
    ----------
    image : array-like, Image, str or Path
        As for `run`, or an image file. Of a huge one about a million pixels are looked at.
    axes : str, optional
        A role of ``TCZYXS`` for each dimension; guessed where it is left out.

    Returns
    -------
    napari_synth.imaging.assess.Quality
        Numbers in the image's own counts, or shares from 0 to 1; NaN where something cannot be told.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input; see `napari_synth.core.errors`.
    """
    from pathlib import Path

    from napari_synth.files import read_image
    from napari_synth.imaging.assess import assess as measured
    from napari_synth.imaging.image import Image

    if isinstance(image, (str, Path)):
        return measured(read_image(image, axes))
    return measured(Image.from_array(image, axes))


@guarded
def prepare(
    recipe_or_id: Recipe | Method[Any] | str | Sequence[Any],
    image: Any = None,
    params: Mapping[str, Any] | None = None,
    *,
    reference: Any = None,
    mask: Any = None,
    mask_from: str | None = None,
    mask_ids: Sequence[int] | None = None,
    grow: int | None = None,
    region: Any = None,
    blend: float | None = None,
    axes: str | None = None,
    device: str | None = None,
    precision: PrecisionChoice | None = None,
    dtype: DtypeChoice | None = None,
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
    reference, mask, mask_from, mask_ids, grow, region, blend, axes, device, precision, dtype, seed, tile, progress, cancel
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
    from napari_synth import registry
    from napari_synth.contract.generator import Method
    from napari_synth.engine import door
    from napari_synth.engine.masking import with_mask
    from napari_synth.engine.prepared import Inputs
    from napari_synth.engine.recipe import Recipe

    recipe, method = _recipe_and_method(recipe_or_id)
    if blend is not None:
        recipe = Recipe.from_dict(recipe.model_dump() | {"blend": blend})
    options = recipe.options(
        device=device, precision=precision, dtype=dtype, seed=seed, tile=tile, memory_budget=memory_budget
    )
    source = _source(method, recipe, image, axes)
    likeness, likenesses = None, {}
    if source is not None:
        source = with_mask(source, recipe, mask, rule=mask_from, ids=mask_ids, grow=grow)
        if recipe.before and reference is not None:
            likenesses = {
                number: _likeness(registry.found(Method, recipe.steps[number].generator), one, source)
                for number, one in _references(recipe, reference).items()
            }
        elif reference is not None:
            likeness = _likeness(method, reference, source)
    inputs = Inputs(source, likeness, region=region, references=likenesses)
    return door.open(method, recipe.changed(params or {}), inputs, options, _reporter(progress, cancel), interim)


def _recipe_and_method(given: Recipe | Method[Any] | str | Sequence[Any]) -> tuple[Recipe, Method[Any]]:
    """Return a recipe, and the method that it names; a method of the user's own is taken up for this session."""
    from napari_synth import registry
    from napari_synth.engine.recipe import Recipe

    if isinstance(given, Recipe):
        recipe = given
    elif isinstance(given, (list, tuple)):
        recipe = _chain(given)
    elif not isinstance(given, str):
        method = registry.register(given)
        return Recipe(generator=method.info.id), method
    else:
        recipe = Recipe.from_yaml(given) if "\n" in given else Recipe(generator=_id(given))
    return recipe, registry.of_recipe(recipe)


def _id(given: str) -> str:
    """Return the id of a method that there is."""
    from napari_synth import registry
    from napari_synth.contract.generator import Method

    return registry.found(Method, given).info.id


def _chain(given: Sequence[Any]) -> Recipe:
    """Return the recipe of a chain of ids, methods, recipes, or pairs of one of them and its settings."""
    from napari_synth.core.errors import RecipeError
    from napari_synth.engine.recipe import Recipe

    steps = []
    for number, item in enumerate(given, start=1):
        what, params = item if isinstance(item, tuple) and len(item) == 2 else (item, {})
        if isinstance(what, (list, tuple)) or not isinstance(params, Mapping):
            raise RecipeError(
                f"Step {number} of the chain must be a method, such as 'denoise/blind', or a pair of it and its settings."
            )
        one, _ = _recipe_and_method(what)
        if one.before:
            raise RecipeError(f"Step {number} of the chain is a chain itself: write all steps in one list.")
        step = one.changed(params)
        steps.append({"generator": step.generator, "params": step.params})
    return Recipe.from_dict({"steps": steps})


def _references(recipe: Recipe, given: Any) -> Mapping[int, Any]:
    """Return the references that are given for a chain, by the number of the step from 0."""
    from napari_synth import registry
    from napari_synth.core.errors import ReferenceImageError
    from napari_synth.core.texts import shown
    from napari_synth.engine.references import taken_by

    ids = [step.generator for step in recipe.steps]
    if not isinstance(given, Mapping):
        chain: Any = registry.of_recipe(recipe)
        return {taken_by(chain.steps, recipe): given}
    found = {}
    for key, one in given.items():
        number = ids.index(key) if key in ids else key - 1 if isinstance(key, int) else -1
        if not 0 <= number < len(ids):
            raise ReferenceImageError(
                f"A reference is given for {shown(key)}, which is no step of the chain: name one of {', '.join(ids)}."
            )
        found[number] = one
    return found


def _likeness(method: Method[Any], reference: Any, source: Image) -> Image:
    """Return a reference as the method takes it."""
    from napari_synth.contract.generator import Task
    from napari_synth.engine.references import as_psf, as_reference

    as_given = as_psf if method.info.task == Task.DECONVOLVE else as_reference
    return as_given(reference, source)


def _source(method: Method[Any], recipe: Recipe, image: Any, axes: str | None) -> Image | None:
    """Return what is given as an image: with the axes that are said, those of a recipe that fit, or those that a method guesses."""
    from napari_synth.imaging.image import Image, as_array, known_shape

    if image is None:
        return None
    if isinstance(image, Image) or hasattr(image, "dims"):
        return Image.from_array(image, axes)
    image = as_array(image)
    if axes is None:
        fits = recipe.axes is not None and len(recipe.axes) == len(image.shape)
        axes = recipe.axes if fits else method.guess_axes(known_shape(image))
    return Image.from_array(image, axes)


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


def _spacing_of(image: Image, spacing: Any) -> dict[str, float]:
    """Return the spacing that was given, by axis."""
    import math

    from napari_synth.core.errors import InvalidParameterError
    from napari_synth.core.texts import shown
    from napari_synth.imaging.image import SPATIAL_AXES

    spatial = [axis for axis in image.axes if axis in SPATIAL_AXES]
    if not isinstance(spacing, Mapping):
        try:
            steps = list(spacing)
        except Exception as error:
            raise InvalidParameterError(
                f"The spacing cannot be {shown(spacing)}: give a number for each of the axes {''.join(spatial)}."
            ) from error
        if len(steps) != len(spatial):
            raise InvalidParameterError(
                f"A spacing of {len(steps)} numbers does not fit the axes {''.join(spatial)}: give one for each of them."
            )
        spacing = dict(zip(spatial, steps, strict=True))
    for axis, step in spacing.items():
        if axis not in spatial:
            raise InvalidParameterError(
                f"The spacing names {shown(axis)}, which is none of the axes {''.join(spatial)}: give it for those."
            )
        try:
            is_good = math.isfinite(step) and step > 0
        except Exception:  # noqa: BLE001 - objects of others are compared as they please
            is_good = False
        if not is_good:
            raise InvalidParameterError(f"The spacing along {axis} cannot be {shown(step)}: give a number above 0.")
    return dict(spacing)


def _as_given(image: Any, result: Any, *, hides: bool) -> Any:
    """Return a result as what was given: a masked array or an xarray for such a one; ``hides`` says that masked pixels stay so."""
    import numpy as np

    if hasattr(image, "dims") and hasattr(image, "coords"):
        if tuple(result.shape) == tuple(image.shape):
            return image.copy(data=result)
        return type(image)(result, dims=image.dims, name=image.name, attrs=image.attrs)
    if not (isinstance(image, np.ma.MaskedArray) and hides):
        return result
    hidden = np.ma.getmaskarray(image)
    if result.shape == image.shape:
        return np.ma.array(np.where(hidden, image.data, result), mask=hidden)
    # On another grid a pixel is hidden where the one that it lies on is.
    places = [
        np.minimum((np.arange(size) + 0.5) * before // size, before - 1).astype(int)
        for size, before in zip(result.shape, image.shape, strict=True)
    ]
    return np.ma.array(result, mask=hidden[np.ix_(*places)])
