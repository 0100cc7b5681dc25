"""The one road from an image to its result: prepare once, then restore any blocks that are asked for.

Eager numpy, lazy dask, the preview of the visible field and a file on the command line differ only in who asks for which blocks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, Generator, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.core.arguments import checked_seed, checked_tile
from napari_synth.core.device import Device, PrecisionChoice, resolve_device
from napari_synth.core.errors import AxesError, OutOfMemoryError, ReferenceImageError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.result_dtype import FLOAT, DtypeChoice, choose_dtype
from napari_synth.engine.blockwise import Channel, Execution, MemoryShortError, translated_errors
from napari_synth.engine.recipe import MaskRecord, Recipe, Source, current_versions
from napari_synth.engine.references import has_content
from napari_synth.engine.result_axes import ResultLayout
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.engine.tiling import nearest
from napari_synth.imaging.glare import ceiling
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform, Statistics, measure_statistics
from napari_synth.imaging.masks import check_mask
from napari_synth.imaging.sampling import sample_windows
from napari_synth.imaging.screening import ScreenedImage, noise_of, screened
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import dask.array

    from napari_synth.imaging.noise import NoiseReport

_RESTORING = {Task.DENOISE, Task.SUPER_RESOLUTION}
# Pixels of the source by which the dtype of a result is decided.
_SAMPLED, _WINDOW = 2**16, 128


@undisturbed()
def prepare(
    generator: str,
    image: Image,
    params: Mapping[str, Any] | None = None,
    *,
    reference: Image | None = None,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    memory_budget: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    interim: Callable[[PreparedRun], None] | None = None,
) -> PreparedRun:
    """Let a generator look at an image: load weights, measure the noise, or train.

    Parameters
    ----------
    generator : str
        Id of the generator, e.g. ``"denoise/blind"``.
    image : Image
        With a mask where the task is to inpaint; one of another task is left aside.
    params : mapping, optional
        Settings of the generator; what is left out has its default.
    reference : Image, optional
        How the result should look, for a generator that takes such an image: with as many channels as the image, or none.
    device, precision : str
        See `napari_synth.core.device.resolve_device`.
    dtype : {"auto", "source", "float32"}
        Of the result, see `napari_synth.core.result_dtype`.
    seed : int
        Same input, seed and kind of device: same result.
    tile : int, optional
        Edge of a block in pixels. Chosen from the memory where it is left out; never changed where it is given.
    memory_budget : int, optional
        Bytes that the run may take; half of what is free where it is left out.
    progress : callable, optional
        Called with `Progress` in this thread.
    cancel : CancelToken, optional
    interim : callable, optional
        Called in this thread, while a generator trains, with what it has come to so far: training goes on once it returns.

    Returns
    -------
    PreparedRun

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input.
    """
    tile, seed = checked_tile(tile), checked_seed(seed)
    chosen = registry.generator(generator)
    if refusal := chosen.info.refusal(image.axes):
        raise AxesError(refusal)
    settings = chosen.params_type.parse(params or {})
    place = resolve_device(device, precision)
    reporter = Reporter(progress, cancel)
    if chosen.info.task == Task.INPAINT:
        check_mask(image)
    else:
        image = replace(image, mask=None)
    _check_reference(chosen, image, reference)
    channels: list[Channel] = []
    joint = chosen.info.joint(image.axes)
    count = 0 if "C" in joint else image.sizes.get("C", 0)

    def watched(channel: Callable[[Prepared], Channel], index: int | None) -> Callable[[Prepared], None] | None:
        # Only with the last channel there is something of each.
        if interim is None or index not in (None, count - 1):
            return None
        recipe = Recipe(generator=generator)
        return lambda prepared: interim(
            PreparedRun(image, chosen, settings, place, recipe, (*channels, channel(prepared)), tile, memory_budget)
        )

    for index in range(count) if count else [None]:
        suffix = "" if index is None else f" (channel {index + 1} of {count})"
        reporter.start(f"Preparing{suffix}")
        try:
            with translated_errors(chosen, place):
                part = screened(without_alpha(image if index is None else image.select(C=index)))
                if chosen.info.task in _RESTORING:
                    part = replace(part, report=noise_of(part))
                statistics = measure_statistics(part)
                glaring = _ceiling(chosen, part, statistics)
                calm = statistics if glaring is None else replace(statistics, high=min(statistics.high, glaring))
                intensity = IntensityTransform.from_statistics(calm)
                channel = partial(Channel, part, index, statistics, intensity)
                context = Context(
                    place,
                    intensity,
                    statistics,
                    seed,
                    reporter,
                    _reference_of(reference, index, joint),
                    index,
                    watched(channel, index),
                )
                prepared = chosen.prepare(part, settings, context)
        except MemoryShortError as error:
            raise OutOfMemoryError(
                f"{chosen.info.title} does not fit into the memory of {place.title}: choose smaller settings, or the cpu."
            ) from error
        _check_axes(chosen, prepared.spec, image)
        pointwise = prepared.intensity is not None or not any(prepared.spec.halo)
        channels.append(replace(channel(prepared), ceiling=None if pointwise else glaring))
    # Last, since a method can say better what it misses.
    if reference is not None and not has_content(without_alpha(reference)):
        raise ReferenceImageError(
            "All pixels of the reference image are equal: say which image the result should look like."
        )
    masked = None if image.mask is None else MaskRecord.of(image.mask)
    recipe = Recipe(
        generator=generator,
        params=settings.model_dump(mode="json") | _resolved(channels),
        axes=image.axes,
        seed=seed,
        device=place.kind,
        precision=place.precision,
        dtype=dtype,
        tile=tile,
        versions=dict(current_versions()),
        weights={name: value for channel in channels for name, value in channel.prepared.weights.items()},
        source=Source.of(image),
        mask=masked,
        reference=Source.of(reference) if reference is not None else None,
        notes=(
            *_said_of_reference(image, reference),
            *(masked.sentences() if masked else ()),
            *_notes(channels, chosen, settings),
        ),
    )
    run = PreparedRun(image, chosen, settings, place, recipe, tuple(channels), tile, memory_budget)
    return run.with_dtype(dtype)


@dataclass(frozen=True)
class PreparedRun:
    """A generator that has seen an image, ready to restore any part of it.

    Attributes
    ----------
    source : Image
    generator : Generator
    params : Params
    device : Device
    recipe : Recipe
    channels : tuple
        The prepared generator of each channel, or of all of them together.
    tile : int or None
        Edge of a block, where the user set one.
    memory_budget : int or None
        In bytes, where the user set one.
    is_spread : bool
        Whether results are the spread over rotations rather than the restored image.
    dtype : numpy.dtype or None
        Of results in the counts of the source; that of the source where None.
    """

    source: Image
    generator: Generator[Params]
    params: Params
    device: Device
    recipe: Recipe
    channels: tuple[Channel, ...]
    tile: int | None = None
    memory_budget: int | None = None
    is_spread: bool = False
    dtype: np.dtype[Any] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this run, a plain sentence each."""
        return self.recipe.notes

    @property
    def noise(self) -> tuple[NoiseReport | None, ...]:
        """The measured noise of each channel, or of all of them together, in counts."""
        return tuple(channel.prepared.noise for channel in self.channels)

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """The intensities of each channel, or of all of them together, in counts."""
        return tuple(channel.statistics for channel in self.channels)

    @cached_property
    def result(self) -> Image:
        """The result as a lazy image, with the spacing of its own grid."""
        spacing = dict(self.source.spacing)
        for axis, ratio in self._layout.ratios.items():
            spacing[axis] = spacing.get(axis, 1.0) / float(ratio)
        return replace(self.source, data=self.lazy(), axes=self.result_axes, spacing=spacing, mask=None)

    @property
    def result_axes(self) -> str:
        """Axes of the result: those of the source, unless the generator makes other channels of its channels."""
        return self._layout.axes

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Size of the result along its axes."""
        return self._layout.shape

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """The dtype of the source, unless another was chosen; that of the generator's own results; float32 for a spread."""
        if self.is_spread:
            return np.dtype(np.float32)
        made = self._layout.spec
        return (self.dtype or self.source.dtype) if made is None else np.dtype(made.dtype)

    @property
    def dtype_choice(self) -> DtypeChoice:
        """What was decided of the dtype, for other images of the same batch."""
        return "source" if self.result_dtype == self.source.dtype else "float32"

    @property
    def result_range(self) -> tuple[float, float] | None:
        """The counts between which results are to be expected; None where they are those of the source."""
        made = self._layout.spec
        if made is None:
            return None
        return min(one.offset for one in made.intensity), max(one.offset + one.scale for one in made.intensity)

    @property
    def joint_axes(self) -> str:
        """Axes of the source of which no part can be restored without the rest."""
        return "".join(axis for axis in self.source.axes if axis in self._layout.joint + "S")

    @property
    def needs_store(self) -> bool:
        """Whether the result is larger than the memory budget, so that it belongs into a file."""
        budget = self.memory_budget or psutil.virtual_memory().available // 2
        return prod(self.result_shape) * self.result_dtype.itemsize > budget

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a block of the result, along its axes."""
        bounds = self._execution.bounds(self.channels[0].spec)
        first = {axis: slice(*cuts[:2]) for axis, cuts in bounds.items()}
        first |= {axis: slice(0, 1) for axis in self._layout.common if axis not in first and axis != "S"}
        return tuple(part.stop for part in self._layout.within(first).values())

    def with_dtype(self, choice: DtypeChoice) -> PreparedRun:
        """Return the run with the dtype of its results decided."""
        if self._layout.spec is not None:
            return self
        levels = []
        if choice == "auto" and self.source.dtype.kind in "iu":
            levels = [(one.statistics.mean, noise_of(one.image).sigma_typical) for one in self.channels]
        dtype, sentence = choose_dtype(choice, self.source.dtype, self.source.axes, levels, self._sample)
        if dtype == self.source.dtype:
            return self
        recipe = self.recipe.model_copy(
            update={"dtype": "float32", "notes": (*self.recipe.notes, *((sentence,) if sentence else ()))}
        )
        return replace(self, dtype=dtype, recipe=recipe)

    def _sample(self) -> npt.NDArray[Any]:
        """Return a few evenly spread parts of the result, as floats."""
        lead = "".join(axis for axis in self.source.axes if axis not in "YX" + self.joint_axes)
        whole = self.channels[0].spec.whole
        found = []
        for at in sample_windows(self.source.select(**dict.fromkeys(self.joint_axes, 0)), _SAMPLED, _WINDOW):
            region = {axis: at[axis] for axis in lead + ("" if whole else "YX")}
            found.append(np.ravel(replace(self, dtype=FLOAT).compute(region=region)))
            if whole or sum(part.size for part in found) >= _SAMPLED:
                break
        return np.concatenate(found)

    def spread(self) -> PreparedRun:
        """Return the run whose result is the relative confidence: the spread over flips and rotations, in counts."""
        channels = []
        for channel in self.channels:
            prepared = channel.prepared
            single = prepared.upright if isinstance(prepared, RotationEnsemble) else prepared
            channels.append(replace(channel, prepared=RotationEnsemble(single, "std")))
        return replace(self, channels=tuple(channels), is_spread=True)

    @undisturbed()
    def compute(
        self,
        *,
        region: Mapping[str, slice | int] | None = None,
        out: Any = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> Any:
        """Restore the image, or a region of it.

        Parameters
        ----------
        region : mapping of str to slice or int, optional
            What to restore along each axis role, in pixels of the source; an int drops its axis. Whole axes where left out, as
            those of `joint_axes` must be.
        out : array-like, optional
            Written block by block and returned: anything with numpy's slice assignment and the shape of the result.
        progress : callable, optional
            Called with `Progress` in this thread after every block.
        cancel : CancelToken, optional
            Takes effect within one block.

        Returns
        -------
        array
            numpy, or ``out``.

        Raises
        ------
        Cancelled
            The token was set.
        OutOfMemoryError
            The smallest block does not fit.
        GeneratorError
            The generator failed.
        """
        asked = self._resolve(region or {})
        layout = self._layout
        wanted = layout.within(asked)
        if out is None:
            shape = [part.stop - part.start for part in wanted.values()]
            try:
                out = np.empty(shape, self.result_dtype)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"A result of {prod(shape) * self.result_dtype.itemsize / 2**30:.1f} GiB does not fit into memory:"
                    " write it to an OME-Zarr, or restore a part."
                ) from error
        reporter = Reporter(progress, cancel)
        items = self._execution.items(self.channels, asked)
        reporter.start("Restoring", len(items))
        for item, counts in self._execution.restored(items, reporter):
            part = layout.within(asked | self._execution.where(item))
            target = tuple(
                slice(part[axis].start - span.start, part[axis].stop - span.start) for axis, span in wanted.items()
            )
            out[target] = counts
        self._copy_alpha(asked, out)
        dropped = tuple(0 if isinstance((region or {}).get(axis), int) else slice(None) for axis in layout.axes)
        return out[dropped] if any(index == 0 for index in dropped) else out

    def lazy(self) -> dask.array.Array:
        """Return the result as a dask array whose chunks are restored when they are asked for."""
        import dask.array as da

        layout = self._layout
        bounds = {axis: list(range(self.source.sizes[axis] + 1)) for axis in layout.common if axis != "S"}
        bounds |= self._execution.bounds(self.channels[0].spec)
        # The first pixel of the result in each block, and where that block begins in the source.
        origins = {
            axis: {layout.within({axis: slice(0, c)})[axis].stop: c for c in cuts} for axis, cuts in bounds.items()
        }

        def restore(block_info: Any = None) -> Any:
            place = zip(layout.axes, block_info[None]["array-location"], strict=True)
            region = {a: slice(origins[a][start], origins[a][stop]) for a, (start, stop) in place if a in origins}
            return self.compute(region=region)

        chunks = tuple(
            tuple(b - a for a, b in pairwise(origins[axis])) if axis in origins else (size,)
            for axis, size in layout.sizes.items()
        )
        meta = np.empty((0,) * len(self.result_shape), self.result_dtype)
        result: dask.array.Array = da.map_blocks(
            restore, chunks=chunks, dtype=self.result_dtype, meta=meta, name=f"synth-{uuid.uuid4().hex}"
        )
        return result

    @property
    def _layout(self) -> ResultLayout:
        sizes, prepared = self.source.sizes, self.channels[0].prepared
        return ResultLayout(
            sizes, prepared.spec.ratios(sizes), self.generator.info.joint(self.source.axes), prepared.result
        )

    @property
    def _execution(self) -> Execution:
        return Execution(
            self.source,
            self._layout,
            self.generator,
            self.device,
            self.result_dtype,
            self.tile,
            self.memory_budget,
            self.is_spread,
            getattr(self.params, "outliers", "keep") == "keep",
        )

    def _resolve(self, region: Mapping[str, slice | int]) -> dict[str, slice]:
        """Return the region as a slice with bounds for every axis."""
        unknown = set(region) - set(self.source.axes)
        if unknown:
            raise AxesError(f"The image has no axis {sorted(unknown)[0]!r}: its axes are {self.source.axes}.")
        resolved = {}
        for axis, size in self.source.sizes.items():
            part = region.get(axis, slice(None))
            start, stop, _ = (slice(part, part + 1) if isinstance(part, int) else part).indices(size)
            if stop <= start:
                raise AxesError(f"The region is empty along {axis}: it must lie inside the image's {size} pixels.")
            if axis in self.joint_axes and (stop - start < size or isinstance(part, int)):
                what = "samples of an RGB pixel" if axis == "S" else "channels"
                raise AxesError(f"The {what} are restored together: ask for all of them.")
            resolved[axis] = slice(start, stop)
        return resolved

    def _copy_alpha(self, asked: Mapping[str, slice], out: Any) -> None:
        """Hand the alpha sample on as it is (zero for a spread)."""
        samples, ratios = self._execution.samples, self._layout.ratios
        if self.source.sizes.get("S", samples) == samples or self._layout.spec is not None:
            return
        alpha = self.source.read(**{**asked, "S": slice(samples, None)})
        for i, (axis, ratio) in enumerate((axis, ratios.get(axis)) for axis in self.source.axes):
            if ratio is not None:
                alpha = np.take(alpha, nearest(asked[axis], ratio), i)
        index = tuple(slice(samples, None) if axis == "S" else slice(None) for axis in self.source.axes)
        out[index] = 0 if self.is_spread else alpha


def _check_reference(generator: Generator[Params], image: Image, reference: Image | None) -> None:
    info = generator.info
    if reference is None:
        if info.reference_image == "needed":
            raise ReferenceImageError(
                f"{info.title} needs a reference image: say which image the result should look like."
            )
        return
    if info.reference_image == "none":
        raise ReferenceImageError(f"{info.title} takes no reference image: leave it out, or choose another generator.")
    for axis, what in (("C", "channels"), ("S", "colours")):
        wanted, found = (without_alpha(one).sizes.get(axis, 1) for one in (image, reference))
        if wanted != found and not (axis == "C" and found == 1):
            raise ReferenceImageError(
                f"The reference image has {found} {what}, the image {wanted}: give a reference image with as many."
            )


def _reference_of(reference: Image | None, channel: int | None, joint: str) -> Image | None:
    """Return the part of a reference image that belongs to a channel; one without channels belongs to all."""
    if reference is None:
        return None
    if "C" in reference.axes and "C" not in joint:
        reference = reference.select(C=(channel or 0) if reference.sizes["C"] > 1 else 0)
    return without_alpha(reference)


def _ceiling(generator: Generator[Params], image: ScreenedImage, statistics: Statistics) -> float | None:
    """Return above which counts the image is restored apart; None where it need not be, or counts are not all of one kind."""
    if generator.info.task not in _RESTORING or "C" in image.axes:
        return None
    return ceiling(image, noise_of(image).model, statistics.maximum)


def _check_axes(generator: Generator[Params], spec: BlockSpec, image: Image) -> None:
    missing = [axis for axis in spec.axes if axis not in image.axes]
    if missing:
        raise AxesError(
            f"{generator.info.title} needs the axis {missing[0]}, the image has {image.axes}: set the axes."
        )


def _resolved(channels: list[Channel]) -> dict[str, Any]:
    """Return the settings that the generator decided on: lists joined in the order of channels, else the largest."""
    resolved: dict[str, Any] = {}
    for channel in channels:
        for name, value in channel.prepared.resolved.items():
            if isinstance(value, list):
                resolved[name] = resolved.get(name, []) + value
            else:
                resolved[name] = max(value, resolved.get(name, value))
    return resolved


def _notes(channels: list[Channel], generator: Generator[Params], settings: Params) -> tuple[str, ...]:
    """Collect what the channels' generators and statistics say, naming the channel where there are several."""
    notes = []
    for channel in channels:
        label = f"Channel {channel.index + 1}: " if channel.index is not None and len(channels) > 1 else ""
        noise = channel.prepared.noise
        said = [*(noise.sentences() if noise else ()), *channel.prepared.notes, *channel.statistics.warnings()]
        if channel.statistics.outliers:
            said.append(_said_of_outliers(channel, generator.info.task, settings))
        notes += [label + sentence for sentence in said]
    return tuple(notes)


def _said_of_reference(image: Image, reference: Image | None) -> tuple[str, ...]:
    if (
        reference is None
        or reference.shape != image.shape
        or Source.of(reference).fingerprint != Source.of(image).fingerprint
    ):
        return ()
    return ("The reference image is the image itself: there is nothing to take over from it.",)


def _said_of_outliers(channel: Channel, task: Task, settings: Params) -> str:
    count, pixels = channel.statistics.outliers, channel.statistics.pixels
    fate = "they stay as they are"
    if task == Task.TRANSLATE:
        fate = "they stand out of the result as far as out of the image"
    elif getattr(settings, "outliers", "keep") == "replace":
        fate = "they are replaced"
    verb = "is an outlier" if count == 1 else "are outliers"
    return f"{count} of {pixels} pixels looked at {verb} (hot or dead): nothing else depends on them, and {fate}."
