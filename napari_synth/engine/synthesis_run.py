"""Makes images: opens a synthesizer, draws latents by the seed, decodes them in batches, and keeps the record of the run.

The images of a run lie along an axis of their own, the first one. Its role is T, for which viewers show a slider and files have a
place: there it counts images and is no time. Behind it come the axes of labels that are no plane, and those of one image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth import registry
from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.core.arguments import checked_seed
from napari_synth.core.device import Device, PrecisionChoice, resolve_device
from napari_synth.core.errors import AxesError, InvalidImageError, OutOfMemoryError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter, cancellable
from napari_synth.core.sanity import check_finite
from napari_synth.engine.blockwise import ONE_AT_A_TIME, MemoryShortError, arithmetic, translated_errors
from napari_synth.engine.codec import Codec
from napari_synth.engine.recipe import Recipe, Source, current_versions
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import torch

_MOST_BATCH_PIXELS = {"cpu": 2**17, "cuda": 2**23, "mps": 2**21}


@undisturbed()
def prepare_synthesis(
    synthesizer: str,
    params: Mapping[str, Any] | None = None,
    *,
    source: Image | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> PreparedSynthesis:
    """Open a synthesizer.

    Parameters
    ----------
    synthesizer : str
        Its id, e.g. ``"synthesize/my-cells"``.
    params : mapping, optional
        Settings; what is left out has its default.
    source : Image, optional
        The image or the labels that it needs. Of labels with further axes, images are made for each plane.
    device, precision : str
        See `napari_synth.core.device.resolve_device`.
    seed : int
        The same seed gives the same images; the first ones are the same however many are made.
    progress : callable, optional
        Called with a `napari_synth.core.progress.Progress` in this thread.
    cancel : CancelToken, optional

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input.
    """
    seed = checked_seed(seed)
    chosen: Synthesizer[Any] = registry.found(Synthesizer, synthesizer)
    settings = chosen.params_type.parse(params or {})
    assert isinstance(settings, SynthesisParams)
    given = _checked_source(chosen, source)
    place = resolve_device(device, precision)
    reporter = Reporter(progress, cancel)
    reporter.start("Preparing")
    opened = _open(chosen, given, settings, SynthesisContext(place, seed, reporter), {})
    recipe = Recipe(
        generator=synthesizer,
        params=settings.model_dump(mode="json"),
        axes=None if given is None else given.axes,
        seed=seed,
        device=place.kind,
        precision=place.precision,
        versions=dict(current_versions()),
        weights=dict(opened.weights),
        source=None if given is None else Source.of(given),
        notes=opened.notes,
    )
    return PreparedSynthesis(chosen, settings, given, place, recipe, opened, opened.spec.size_for(settings))


@dataclass(frozen=True)
class PreparedSynthesis:
    """An opened synthesizer, ready to make images.

    Attributes
    ----------
    synthesizer : Synthesizer
    params : SynthesisParams
    source : Image or None
    device : Device
    recipe : Recipe
    sampler : Sampler
        Where labels are needed, that of their first plane.
    size : (int, int)
        Height and width of an image.
    """

    synthesizer: Synthesizer[Any]
    params: SynthesisParams
    source: Image | None
    device: Device
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
    def axes(self) -> str:
        """Axes of the result: that of the images, those of labels besides their planes, those of one image."""
        return _stack_axis(self._lead + self.spec.axes) + self._lead + self.spec.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return (self.params.count, *self._lead_sizes, *self._sample_shape(self.size))

    def image(self, data: Any) -> Image:
        """Return a result as an image with the spacing of those that were learnt from."""
        spacing = {axis: size for axis, size in self.spec.spacing.items() if axis in self.spec.axes}
        units = {axis: unit for axis, unit in self.spec.units.items() if axis in self.spec.axes}
        if self.source is not None and self.synthesizer.needs == "labels":
            kept = set(self._lead) | set("YX")
            spacing |= {axis: size for axis, size in self.source.spacing.items() if axis in kept}
            units |= {axis: unit for axis, unit in self.source.units.items() if axis in kept}
        return Image(data, self.axes, spacing, units, name=self.synthesizer.info.name)

    @undisturbed()
    def compute(
        self, *, out: Any = None, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
    ) -> Any:
        """Make all images.

        Parameters
        ----------
        out : array-like, optional
            Written to image by image, anything with ``__setitem__``; it is returned then.
        progress : callable, optional
            Told of every batch.
        cancel : CancelToken, optional
            Checked before every batch.

        Returns
        -------
        numpy.ndarray
            Of `shape`, in counts, of the dtype of the images that were learnt from.

        Raises
        ------
        Cancelled
            The user stopped the run.
        OutOfMemoryError
            Not even one image fits.
        GeneratorError
            The synthesizer failed.
        """
        reporter = Reporter(progress, cancel)
        result = np.empty(self.shape, self.spec.dtype) if out is None else out
        planes = prod(self._lead_sizes)
        reporter.start("Making images", self.params.count * planes)
        for number, at in enumerate(np.ndindex(*self._lead_sizes)):
            sampler = self.sampler if number == 0 else self._open(at, reporter)
            for first, latents in self._latents(sampler, reporter):
                made = self._as_samples(sampler, latents, self.size)
                for index, sample in enumerate(made, first):
                    result[(index, *at)] = sample
                reporter.advance(len(made))
        return result

    # What the panel needs besides.

    @undisturbed()
    def latents(self, index: int = 0, seed: int | None = None) -> torch.Tensor:
        """Return the latents (*latent) of an image of this run, or of one with another seed, on the CPU."""
        return self._drawn(self.sampler, index, self.recipe.seed if seed is None else seed)

    @undisturbed()
    def decoded(self, latents: torch.Tensor, size: tuple[int, int] | None = None) -> npt.NDArray[Any]:
        """Return the images (N, *axes of the specification) of latents (N, *latent), of the right dtype."""
        return self._as_samples(self.sampler, latents, size or self.size)

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
        with _telling_of_memory(self.device), _computing(self.synthesizer, self.device):
            return self.sampler.encode(counts.to(self.device.torch_name)).float().cpu()

    @property
    def _lead(self) -> str:
        """Axes of labels besides their planes."""
        labels = self.source is not None and self.synthesizer.needs == "labels"
        return "".join(axis for axis in self.source.axes if axis not in "YX") if labels and self.source else ""

    @property
    def _lead_sizes(self) -> tuple[int, ...]:
        return tuple(self.source.sizes[axis] for axis in self._lead) if self.source is not None else ()

    def _sample_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        sizes = {"Y": size[0], "X": size[1], "C": self.spec.channels, "S": self.spec.channels}
        return tuple(sizes[axis] for axis in self.spec.axes)

    def _open(self, at: tuple[int, ...], reporter: Reporter) -> Sampler:
        """Return the sampler of another plane of the labels."""
        context = SynthesisContext(self.device, self.recipe.seed, reporter)
        position = dict(zip(self._lead, at, strict=True))
        return _open(self.synthesizer, self.source, self.params, context, position)

    def _latents(self, sampler: Sampler, reporter: Reporter) -> Iterator[tuple[int, torch.Tensor]]:
        """Draw latents in batches that fit; where the memory turns out to be short, the same again in smaller ones."""
        import torch

        most = _MOST_BATCH_PIXELS[self.device.kind]
        most = min(most, self.device.free_memory() // 2 // sampler.bytes_per_pixel)
        batch = max(1, most // prod(self.size))
        for first in range(0, self.params.count, batch):
            reporter.cancel.check()
            numbers = range(first, min(first + batch, self.params.count))
            with cancellable(reporter.cancel):
                yield first, torch.stack([self._drawn(sampler, index, self.recipe.seed) for index in numbers])

    def _drawn(self, sampler: Sampler, index: int, seed: int) -> torch.Tensor:
        import torch

        state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
        # Half of the numbers, since torch takes signed ones.
        own = torch.Generator().manual_seed(int(state[0]) >> 1)
        return sampler.draw(own, self.size)

    def _as_samples(self, sampler: Sampler, latents: torch.Tensor, size: tuple[int, int]) -> npt.NDArray[Any]:
        counts = self._decoded(sampler, latents, size)
        return {"": counts[:, 0], "C": counts, "S": np.moveaxis(counts, 1, -1)}[self.spec.axis]

    def _decoded(self, sampler: Sampler, latents: torch.Tensor, size: tuple[int, int]) -> npt.NDArray[Any]:
        """Return images (N, C, Y, X) in counts; where the memory is short, by halves."""
        dtype, as_they_are = np.dtype(self.spec.dtype), (IntensityTransform(0.0, 1.0),)
        codec = Codec(as_they_are, as_they_are, self.device, dtype, dtype)
        with suppress(MemoryShortError, MemoryError), _computing(self.synthesizer, self.device):
            made = sampler.decode(latents.to(self.device.torch_name), size)
            check_finite(made, self.synthesizer, self.device, lambda number: f"for image {number} of a batch")
            return codec.decode(made)
        self.device.release_memory()
        if len(latents) == 1:
            raise OutOfMemoryError(
                f"One image of {size[0]} x {size[1]} pixels does not fit into the memory of {self.device.title}: make smaller"
                " ones, free memory, or run on the cpu."
            )
        half = len(latents) // 2
        return np.concatenate([self._decoded(sampler, part, size) for part in (latents[:half], latents[half:])])


@contextmanager
def _computing(synthesizer: Synthesizer[Any], device: Device) -> Iterator[None]:
    """Compute on the device, one run at a time, without gradients, in the precision that was asked for."""
    import torch

    with ONE_AT_A_TIME, translated_errors(synthesizer, device), torch.inference_mode(), arithmetic(device):
        yield


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
    synthesizer: Synthesizer[Any],
    source: Image | None,
    params: SynthesisParams,
    context: SynthesisContext,
    position: Mapping[str, int],
) -> Sampler:
    if source is not None and synthesizer.needs == "labels":
        at = {axis: position.get(axis, 0) for axis in source.axes if axis not in "YX"}
        plane = source.select(**at)
        pixels = plane.read().astype(np.int64)
        source = replace(plane, data=pixels if plane.axes == "YX" else pixels.T, axes="YX")
    with _telling_of_memory(context.device), translated_errors(synthesizer, context.device):
        return synthesizer.prepare(source, params, context)


def _checked_source(synthesizer: Synthesizer[Any], source: Image | None) -> Image | None:
    """Return what a synthesizer is given, or say what it lacks."""
    title = synthesizer.info.title
    if synthesizer.needs == "nothing":
        if source is not None:
            raise InvalidImageError(f"{title} makes images of random numbers alone: leave the source out.")
        return None
    if source is None:
        what = "labels to make images for" if synthesizer.needs == "labels" else "an image to make others like"
        raise InvalidImageError(f"{title} needs {what}: give a source.")
    if synthesizer.needs == "labels":
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
