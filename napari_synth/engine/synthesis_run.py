"""Makes images: opens a synthesizer, draws latents by the seed, decodes them in batches, and keeps the record of the run.

The images of a run lie along an axis of their own, the first one. Its role is T, for which viewers show a slider and files have a
place: there it counts images and is no time. Behind it come the axes of labels that are no plane, and those of one image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError, OutOfMemoryError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import CancelToken, Reporter, cancellable
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.codec import Codec
from napari_synth.engine.computing import MemoryShortError, arithmetic, check_finite, computing, translated_errors
from napari_synth.engine.prepared import Inputs, Pieces, Region, empty, lazy_array, needs_store, one_by_one
from napari_synth.engine.queue import completed
from napari_synth.engine.recipe import Recipe, Source, current_versions
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import dask.array
    import torch

_PIXELS_OF_AN_OBJECT = 4
_MOST_BATCH_PIXELS = {"cpu": 2**17, "cuda": 2**23, "mps": 2**21}


def open_synthesis(
    method: Synthesizer[Any], recipe: Recipe, inputs: Inputs, options: RunOptions, report: Reporter
) -> PreparedSynthesis:
    """Open a synthesizer; of labels with further axes images are made for each plane. See `napari_synth.engine.door.open`."""
    params = method.params_type.parse(recipe.params)
    assert isinstance(params, SynthesisParams)
    source = _checked_source(method, inputs.image)
    device = resolve_device(options.device, options.precision)
    report.start("Preparing")
    sampler = _open(method, source, params, SynthesisContext(device, options.seed, report), {})
    made = Recipe(
        generator=method.info.id,
        params=params.model_dump(mode="json"),
        axes=None if source is None else source.axes,
        seed=options.seed,
        device=device.kind,
        precision=device.precision,
        versions=dict(current_versions()),
        weights=dict(sampler.weights),
        source=None if source is None else Source.of(source),
        notes=sampler.notes,
    )
    return PreparedSynthesis(method, params, source, device, options, made, sampler, sampler.spec.size_for(params))


@dataclass(frozen=True)
class PreparedSynthesis:
    """An opened synthesizer, ready to make images.

    Attributes
    ----------
    method : Synthesizer
    params : SynthesisParams
    source : Image or None
    device : Device
    options : RunOptions
    recipe : Recipe
    sampler : Sampler
        Where labels are needed, that of their first plane.
    size : (int, int)
        Height and width of an image.
    """

    method: Synthesizer[Any]
    params: SynthesisParams
    source: Image | None
    device: Device
    options: RunOptions
    recipe: Recipe
    sampler: Sampler
    size: tuple[int, int]

    @property
    def spec(self) -> SampleSpec:
        """What one image is like."""
        return self.sampler.spec

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this run, a plain sentence each."""
        return self.recipe.notes

    @property
    def noise(self) -> tuple[None, ...]:
        """No noise is measured."""
        return (None,)

    @property
    def axes(self) -> str:
        """Axes of the result: that of the images, those of labels besides their planes, those of one image."""
        return _stack_axis(self._lead + self.spec.axes) + self._lead + self.spec.axes

    @property
    def stack_axis(self) -> str:
        """The axis along which the images lie."""
        return self.axes[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return (self.params.count, *self._lead_sizes, *self._sample_shape(self.size))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the images that were learnt from."""
        return np.dtype(self.spec.dtype)

    @property
    def makes_labels(self) -> bool:
        """Whether each image has labels, which were drawn for it."""
        return self.sampler.makes_labels

    @property
    def labels_dtype(self) -> np.dtype[Any]:
        """The dtype of those labels: it holds an object for every few pixels."""
        return np.min_scalar_type(prod(self.size) // _PIXELS_OF_AN_OBJECT)

    @property
    def dtype_choice(self) -> DtypeChoice:
        """That of the images that were learnt from: it is never another."""
        return "source"

    @property
    def needs_store(self) -> bool:
        """Whether the result is larger than the memory budget, so that it belongs into a file."""
        return needs_store(self.shape, self.dtype, self.options)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of one image, along the axes of the result."""
        return (*(1 for _ in self.axes[: -len(self.spec.axes)]), *self._sample_shape(self.size))

    @cached_property
    def result(self) -> Image:
        """The result as a lazy image, see `image`."""
        made = self.image(self.lazy())
        return made if self.source is None else replace(made, origin=self.source.origin)

    def image(self, data: Any) -> Image:
        """Return a result as an image with the spacing of those that were learnt from."""
        spacing = {axis: size for axis, size in self.spec.spacing.items() if axis in self.spec.axes}
        units = {axis: unit for axis, unit in self.spec.units.items() if axis in self.spec.axes}
        if self.source is not None and self.method.takes_labels:
            kept = set(self._lead) | set("YX")
            spacing |= {axis: size for axis, size in self.source.spacing.items() if axis in kept}
            units |= {axis: unit for axis, unit in self.source.units.items() if axis in kept}
        return Image(data, self.axes, spacing, units, name=self.method.info.name)

    def labels_image(self, data: Any) -> Image:
        """Return labels (count, Y, X) as an image, with the place and spacing that the images have."""
        like = self.image(np.broadcast_to(np.zeros((), np.uint8), self.shape))
        spacing = {axis: size for axis, size in like.spacing.items() if axis in "YX"}
        units = {axis: unit for axis, unit in like.units.items() if axis in "YX"}
        return Image(data, f"{self.stack_axis}YX", spacing, units, name=f"{self.method.info.name} labels")

    def check_path(self) -> None:
        """Raise `InvalidParameterError` where there is nothing between two images: labels are whole numbers."""
        if self.makes_labels:
            raise InvalidParameterError(
                f"{self.method.info.title} draws labels for every image, and there is nothing between two of them: give labels, for"
                " which images are made."
            )

    @undisturbed()
    def pairs(self, report: Reporter | None = None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Make all images, and the labels of each.

        Returns
        -------
        images : numpy.ndarray
            What `compute` returns.
        labels : numpy.ndarray, (count, Y, X)
            Of `labels_dtype`: 0 for the background, objects from 1.

        Raises
        ------
        InvalidParameterError
            The model draws no labels.
        SynthError
            As for `compute`.
        """
        if not self.makes_labels:
            raise InvalidParameterError(
                f"{self.method.info.title} makes images alone: train labels to image on objects that are numbered one by one, and"
                " leave labels out when images are made."
            )
        labels = empty((self.params.count, *self.size), self.labels_dtype)
        return self.compute(labels=labels, report=report), labels

    @undisturbed()
    def compute(
        self, *, region: Region | None = None, out: Any = None, labels: Any = None, report: Reporter | None = None
    ) -> Any:
        """Make all images, or some of them.

        Parameters
        ----------
        region : mapping of str to slice or int, optional
            Which of the images, and of the planes of labels; an int drops its axis. All where left out.
        out : array-like, optional
            Written to image by image and returned: anything with numpy's slice assignment and the shape of the result.
        labels : array-like, optional
            Written to image by image, as ``out`` is: (images, Y, X), where each image has labels.
        report : Reporter, optional
            Told of every batch, in this thread.

        Returns
        -------
        numpy.ndarray
            Of `shape`, in counts, of the dtype of the images that were learnt from; or ``out``.

        Raises
        ------
        AxesError
            The region is none of images.
        Cancelled
            The user stopped the run.
        OutOfMemoryError
            Not even one image fits.
        GeneratorError
            The synthesizer failed.
        """
        report = report or Reporter()
        ranges = self._resolve(region or {})
        if out is None:
            out = empty([*(len(one) for one in ranges), *self._sample_shape(self.size)], self.dtype)
        report.start("Making images", prod(len(one) for one in ranges))
        for at in np.ndindex(*(len(one) for one in ranges[1:])):
            plane = tuple(one[index] for one, index in zip(ranges[1:], at, strict=True))
            with _telling_of_memory(self.device):
                sampler = self.sampler if not any(plane) else self._opened(plane, report)
            work = _SynthesisWork(self, sampler, report, labels={} if labels is not None else None)
            for index, sample in completed(work, iter(ranges[0]), report):
                out[(index - ranges[0].start, *at)] = sample
                if work.labels is not None:
                    labels[index - ranges[0].start] = work.labels.pop(index)
        dropped = tuple(0 if isinstance((region or {}).get(axis), int) else slice(None) for axis in self.axes)
        return out[dropped] if any(index == 0 for index in dropped) else out

    def lazy(self) -> dask.array.Array:
        """Return the result as a dask array; each image is made when it is asked for."""
        pieces = {
            axis: Pieces((size,)) if axis in self.spec.axes else one_by_one(size)
            for axis, size in zip(self.axes, self.shape, strict=True)
        }
        return lazy_array(self, pieces)

    def spread(self) -> PreparedSynthesis:
        """Raise `InvalidParameterError`: an image that was made of random numbers has no orientation to compare with."""
        raise InvalidParameterError(
            f"{self.method.info.title} makes new images, which have no relative confidence: look at their quality instead."
        )

    def _resolve(self, region: Region) -> list[range]:
        """Return which images and planes are meant."""
        lead = self.axes[: -len(self.spec.axes)]
        if unknown := sorted(axis for axis in region if axis not in lead):
            raise AxesError(f"The images cannot be cut along {unknown[0]!r}: each of them is made as a whole.")
        ranges = []
        for axis, size in zip(lead, self.shape, strict=False):
            part = region.get(axis, slice(None))
            chosen = range(size)[slice(part, part + 1) if isinstance(part, int) else part]
            if not chosen or chosen.step != 1:
                raise AxesError(f"The region is empty along {axis}: it must lie inside the {size} images.")
            ranges.append(chosen)
        return ranges

    # What the panel needs besides.

    @undisturbed()
    def latents(self, index: int = 0, seed: int | None = None) -> torch.Tensor:
        """Return the latents (*latent) of an image of this run, or of one with another seed, on the CPU."""
        return drawn(self.sampler, index, self.recipe.seed if seed is None else seed, self.size)

    @undisturbed()
    def decoded(
        self, latents: torch.Tensor, size: tuple[int, int] | None = None, report: Reporter | None = None
    ) -> npt.NDArray[Any]:
        """Return the images (N, *axes of the specification) of latents (N, *latent), of the right dtype.

        Parameters
        ----------
        latents : torch.Tensor
            (N, *latent), float32, from `drawn` or `encoded`.
        size : (int, int), optional
            Height and width in pixels; those of the run where left out.
        report : Reporter, optional
            Told of each image; its cancel stops the run.
        """
        report = report or Reporter()
        work = _Decoding(self, latents, report, size or self.size)
        return np.stack([sample for _, sample in completed(work, iter(range(len(latents))), report)])

    def axes_for(self, image: Any) -> str | None:
        """Return the axes of an array that is to be encoded, where it has as many as one image; None where they are guessed."""
        fits = not isinstance(image, Image) and np.ndim(image) == len(self.spec.axes)
        return self.spec.axes if fits else None

    @undisturbed()
    def encoded(self, image: Image) -> torch.Tensor:
        """Return the latents (1, *latent) of an image, on the CPU.

        Of a larger image its middle is taken, of the size of the images of this run.

        Raises
        ------
        InvalidParameterError
            The sampler cannot encode.
        InvalidImageError
            The image is too small, has other channels, or pixels that are not finite.
        """
        import torch

        counts = torch.from_numpy(_middle(without_alpha(image), self.spec, self.size))[None]
        with (
            _telling_of_memory(self.device),
            computing(self.method, self.device, CancelToken()),
            arithmetic(self.device),
        ):
            return self.sampler.encode(counts.to(self.device.torch_name)).float().cpu()

    @property
    def _lead(self) -> str:
        """Axes of labels besides their planes."""
        labels = self.source is not None and self.method.takes_labels
        return "".join(axis for axis in self.source.axes if axis not in "YX") if labels and self.source else ""

    @property
    def _lead_sizes(self) -> tuple[int, ...]:
        return tuple(self.source.sizes[axis] for axis in self._lead) if self.source is not None else ()

    def _sample_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        sizes = {"Y": size[0], "X": size[1], "C": self.spec.channels, "S": self.spec.channels}
        return tuple(sizes[axis] for axis in self.spec.axes)

    def _opened(self, at: tuple[int, ...], report: Reporter) -> Sampler:
        """Return the sampler of another plane of the labels."""
        context = SynthesisContext(self.device, self.recipe.seed, report)
        return _open(self.method, self.source, self.params, context, dict(zip(self._lead, at, strict=True)))


class _SynthesisWork:
    """Draws the latents of images, whose numbers are the items, and decodes them; see `napari_synth.engine.queue.Work`."""

    def __init__(
        self,
        run: PreparedSynthesis,
        sampler: Sampler,
        report: Reporter,
        size: tuple[int, int] | None = None,
        labels: dict[int, npt.NDArray[Any]] | None = None,
    ) -> None:
        self.device, self.cancel = run.device, report.cancel
        self.budget = min(run.device.free_memory() // 2, run.options.memory_budget or 2**62)
        self.most_batch_pixels = _MOST_BATCH_PIXELS[run.device.kind]
        self._run, self._sampler, self._size = run, sampler, size or run.size
        self.labels = labels
        """Of the images that are made, by their numbers, where they are wanted; whoever takes them removes them."""

    def group(self, _: int) -> str:
        """Say that all images are alike."""
        return ""

    def pixels(self, _: int) -> int:
        """Return the pixels of an image."""
        return prod(self._size)

    def bytes(self, item: int) -> int:
        """Return the working memory of an image."""
        return self.pixels(item) * self._sampler.bytes_per_pixel

    def halves(self, item: int) -> list[int]:
        """Return the image alone: it is made as a whole."""
        return [item]

    def read(self, item: int) -> torch.Tensor:
        """Draw the latents of an image."""
        # Drawing may take long, and asks whether it should.
        with cancellable(self.cancel):
            latents = drawn(self._sampler, item, self._run.recipe.seed, self._size)
        if self.labels is not None:
            self.labels[item] = self._sampler.labels(latents[None])[0].numpy()
        return latents

    def apply(self, items: list[int], read: list[torch.Tensor]) -> npt.NDArray[Any]:
        """Return images (N, *axes of the specification) in counts."""
        import torch

        spec, as_they_are = self._sampler.spec, (IntensityTransform(0.0, 1.0),)
        codec = Codec(as_they_are, as_they_are, self.device, np.dtype(spec.dtype), np.dtype(spec.dtype))
        with computing(self._run.method, self.device, self.cancel), arithmetic(self.device):
            latents = torch.stack(read).to(self.device.torch_name)
            made = self._sampler.decode(latents, self._size)
            check_finite(made, self._run.method, self.device, lambda number: f"in image {items[number] + 1}")
            counts = codec.decode(made)
        return {"": counts[:, 0], "C": counts, "S": np.moveaxis(counts, 1, -1)}[spec.axis]

    def too_large(self, _: int) -> str:
        """Say that an image does not fit."""
        return (
            f"One image of {self._size[0]} x {self._size[1]} pixels does not fit into the memory of {self.device.title}: make"
            " smaller ones, free memory, or run on the cpu."
        )


class _Decoding(_SynthesisWork):
    """Decodes latents that are there already; their numbers are the items."""

    def __init__(self, run: PreparedSynthesis, latents: torch.Tensor, report: Reporter, size: tuple[int, int]) -> None:
        super().__init__(run, run.sampler, report, size)
        self._latents = latents

    def read(self, item: int) -> torch.Tensor:
        """Return the latents of an image."""
        return self._latents[item]


def drawn(sampler: Sampler, index: int, seed: int, size: tuple[int, int]) -> torch.Tensor:
    """Return the latents of one image of a run: the same ones however many are made.

    Parameters
    ----------
    sampler : Sampler
    index : int
        Of the image in the run, counted from 0.
    seed : int
        Of the run.
    size : (int, int)
        Height and width of the image in pixels.
    """
    import torch

    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
    # Half of the numbers, since torch takes signed ones.
    own = torch.Generator().manual_seed(int(state[0]) >> 1)
    return sampler.draw(own, size)


@contextmanager
def _telling_of_memory(device: Device) -> Iterator[None]:
    """Turn short memory where there is nothing smaller into a sentence."""
    try:
        yield
    except MemoryShortError as error:
        raise OutOfMemoryError(
            f"The image does not fit into the memory of {device.title}: free memory, or run on the cpu."
        ) from error


def _open(
    method: Synthesizer[Any],
    source: Image | None,
    params: SynthesisParams,
    context: SynthesisContext,
    position: Mapping[str, int],
) -> Sampler:
    if source is not None and method.takes_labels:
        at = {axis: position.get(axis, 0) for axis in source.axes if axis not in "YX"}
        plane = source.select(**at)
        pixels = plane.read().astype(np.int64)
        source = replace(plane, data=pixels if plane.axes == "YX" else pixels.T, axes="YX")
    cancel = context.report.cancel
    with _telling_of_memory(context.device), cancellable(cancel), translated_errors(method, context.device):
        return method.prepare(source, params, context)


def _checked_source(method: Synthesizer[Any], source: Image | None) -> Image | None:
    """Return what a synthesizer is given, or say what it lacks."""
    title = method.info.title
    if method.needs == "nothing":
        if source is not None:
            raise InvalidImageError(f"{title} makes images of random numbers alone: leave the source out.")
        return None
    if source is None and method.needs == "optional labels":
        return None
    if source is None:
        what = "labels to make images for" if method.needs == "labels" else "an image to make others like"
        raise InvalidImageError(f"{title} needs {what}: give a source.")
    if method.takes_labels:
        if source.dtype.kind not in "iu":
            raise InvalidImageError(f"Labels are whole numbers, not {source.dtype}: give labels of an integer dtype.")
        if set(source.axes) & set("CS"):
            raise AxesError(f"Labels have neither channels nor colours, these have {source.axes}: set the axes.")
    return replace(without_alpha(source), mask=None)


def _stack_axis(taken: str) -> str:
    """Return the role of the axis along which images lie: T where it is free."""
    free = [axis for axis in "TZC" if axis not in taken]
    if not free:
        raise AxesError("The labels have so many axes that there is none for the images: give fewer at once.")
    return free[0]


def _middle(image: Image, spec: SampleSpec, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the middle (C, Y, X) of an image, of a size."""
    wanted = dict(zip("YX", size, strict=True))
    short = [axis for axis, edge in wanted.items() if image.sizes[axis] < edge]
    lead = [axis for axis in image.axes if axis not in spec.axes]
    channels = image.sizes.get(spec.axis, 1) if spec.axis else 1
    if lead and any(image.sizes[axis] > 1 for axis in lead):
        raise InvalidImageError(f"The model looks at one plane of {spec.axes}, the image has {image.axes}: choose one.")
    if short or channels != spec.channels:
        raise InvalidImageError(
            f"The model looks at images of {size[0]} x {size[1]} pixels and {spec.channels} channels: give one at least as large,"
            " with as many channels."
        )
    starts = {axis: (image.sizes[axis] - edge) // 2 for axis, edge in wanted.items()}
    plane = image.select(**dict.fromkeys(lead, 0))
    pixels = plane.read(**{axis: slice(start, start + wanted[axis]) for axis, start in starts.items()})
    order = [plane.axes.index(axis) for axis in (spec.axis + "YX" if spec.axis else "YX") if axis in plane.axes]
    pixels = pixels.transpose(order).reshape(spec.channels, *size).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise InvalidImageError("The image has pixels that are not finite: choose a part without them.")
    return pixels


_PARALLEL = 1e-4


def between(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Return the latents at a share of the way from one to another, along a great circle, lengths changing evenly.

    Normal numbers of many dimensions lie near a sphere, and what lies inside it was never seen in training. Shoemake, "Animating
    rotation with quaternion curves", SIGGRAPH 1985.

    Parameters
    ----------
    first, second : torch.Tensor
        Of one shape; the whole of each is one vector.
    share : float
        0 for the first, 1 for the second.
    """
    import torch

    lengths = [one.norm() for one in (first, second)]
    along = [one / length.clamp_min(1e-12) for one, length in zip((first, second), lengths, strict=True)]
    cosine = (along[0] * along[1]).sum().clamp(-1.0, 1.0)
    angle = torch.arccos(cosine)
    if float(torch.sin(angle)) < _PARALLEL:
        return torch.lerp(first, second, share)
    direction = (torch.sin((1 - share) * angle) * along[0] + torch.sin(share * angle) * along[1]) / torch.sin(angle)
    found: torch.Tensor = direction * torch.lerp(lengths[0], lengths[1], share)
    return found


def path(first: torch.Tensor, second: torch.Tensor, count: int) -> torch.Tensor:
    """Return evenly spread latents (count, *shape) from one to another, both among them.

    Parameters
    ----------
    first, second : torch.Tensor
        Of one shape.
    count : int
        At least 2.
    """
    import torch

    shares = torch.linspace(0.0, 1.0, count).tolist()
    return torch.stack([between(first, second, share) for share in shares])
