"""From a movie to one with invented frames: the road of `napari_synth.engine.runner`, for predictors of frames.

Measured frames are copied, bit by bit. Of what is invented, each position along the axes that a predictor is mapped over, and each
block of a plane where planes are large, is made by itself; nothing but the frames next to a gap is read for it.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_synth import registry
from napari_synth.contract.frames import FrameEnsemble, FramePredictor, PreparedFrames
from napari_synth.contract.generator import Context
from napari_synth.contract.params import Params
from napari_synth.core.arguments import checked_seed, checked_tile
from napari_synth.core.device import Device, PrecisionChoice, resolve_device
from napari_synth.core.errors import AxesError, InvalidParameterError, OutOfMemoryError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter, cancellable
from napari_synth.core.result_dtype import FLOAT, DtypeChoice, choose_dtype
from napari_synth.core.sanity import check_finite, said_place
from napari_synth.engine.blockwise import (
    MOST_BATCH_PIXELS,
    MOST_PIXELS,
    ONE_AT_A_TIME,
    SMALLEST_CORE,
    MemoryShortError,
    arithmetic,
    translated_errors,
)
from napari_synth.engine.codec import Codec
from napari_synth.engine.frame_plan import FramePlan, FrameRequest, Gap, check_time, missing_frames
from napari_synth.engine.recipe import FramesRecord, Recipe, Source, current_versions
from napari_synth.engine.tiling import Block, full_region, make_block, plan_cores, split_core
from napari_synth.imaging.image import Image, colour_samples, without_alpha
from napari_synth.imaging.intensity import IntensityTransform, Statistics, measure_statistics
from napari_synth.imaging.screening import ScreenedImage, noise_of, screened
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import dask.array
    import torch

    from napari_synth.imaging.noise import NoiseReport

# Half the edge of the part of a frame by which the dtype of a result is decided.
_SAMPLED = 128


@dataclass(frozen=True)
class Part:
    """The channels of a movie that are seen together (one, where they are mapped over), with their prepared predictor.

    Attributes
    ----------
    movie : ScreenedImage
        Without alpha; without a C axis unless its channels are seen together.
    index : int or None
        Position along C; None for all of it.
    statistics : tuple of Statistics
        Of each channel of a block.
    intensity : tuple of IntensityTransform
        Of each channel of a block.
    prepared : PreparedFrames
    """

    movie: ScreenedImage
    index: int | None
    statistics: tuple[Statistics, ...]
    intensity: tuple[IntensityTransform, ...]
    prepared: PreparedFrames


@dataclass(frozen=True)
class Item:
    """A block of a gap at one position along the axes that are mapped over."""

    part: Part
    gap: Gap
    position: tuple[tuple[str, int], ...]
    core: tuple[slice, ...]


@undisturbed()
def prepare_movie(
    predictor: str,
    movie: Image,
    request: FrameRequest,
    params: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
    precision: PrecisionChoice = "auto",
    dtype: DtypeChoice = "auto",
    seed: int = 0,
    tile: int | None = None,
    memory_budget: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> PreparedMovie:
    """Let a predictor look at a movie, and plan which frames are invented.

    Parameters
    ----------
    predictor : str
        Id, e.g. ``"predict-frames/optical-flow"``.
    movie : Image
        With a T axis.
    request : FrameRequest
    params, device, precision, dtype, seed, tile, memory_budget, progress, cancel
        As for `napari_synth.engine.runner.prepare`.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the input.
    """
    tile, seed = checked_tile(tile), checked_seed(seed)
    request.check()
    chosen = registry.found(FramePredictor, predictor)
    check_time(movie)
    if refusal := chosen.info.refusal(movie.axes):
        raise AxesError(refusal)
    settings = chosen.params_type.parse(params or {})
    place = resolve_device(device, precision)
    reporter = Reporter(progress, cancel)
    movie = replace(movie, mask=None)
    missing = missing_frames(movie, request.fill, reporter)
    parts = _prepared_parts(chosen, settings, movie, place, seed, reporter)
    specs = [part.prepared.spec for part in parts]
    if request.between and not all(spec.divides for spec in specs):
        raise InvalidParameterError(
            f"{chosen.info.title} makes frames at whole steps of the movie only: choose another method for frames between."
        )
    plan = FramePlan.of(movie.sizes["T"], request, missing, max(spec.history for spec in specs))
    notes = [note for part in parts for note in part.prepared.notes]
    notes += [warning for part in parts for found in part.statistics for warning in found.warnings()]
    outliers = sum(found.outliers for part in parts for found in part.statistics)
    if outliers:
        notes.append(f"{outliers} of the pixels looked at are outliers (hot or dead): no frame is made of them.")
    recipe = Recipe(
        generator=predictor,
        params=settings.model_dump(mode="json"),
        axes=movie.axes,
        seed=seed,
        device=place.kind,
        precision=place.precision,
        dtype=dtype,
        tile=tile,
        versions=dict(current_versions()),
        weights={name: value for part in parts for name, value in part.prepared.weights.items()},
        source=Source.of(movie),
        frames=FramesRecord(**request.model_dump(), invented=plan.invented),
        notes=(_said_of(plan), *dict.fromkeys(notes)),
    )
    run = PreparedMovie(movie, chosen, settings, place, recipe, request, plan, tuple(parts), tile, memory_budget)
    return run.with_dtype(dtype)


def prepare_again(recipe: Recipe, movie: Image, changes: Mapping[str, Any], **how: Any) -> PreparedMovie:
    """Prepare a movie as a recipe says.

    Parameters
    ----------
    recipe : Recipe
    movie : Image
    changes : mapping
        What takes the place of what the recipe says: the fields of `FrameRequest`, and settings of the predictor.
    **how
        See `prepare_movie`.

    Raises
    ------
    SynthError
        As `prepare_movie`.
    """
    asked = set(FrameRequest.model_fields)
    known = recipe.frames.options() if recipe.frames is not None else {}
    request = FrameRequest.parse({**known, **{name: value for name, value in changes.items() if name in asked}})
    params = {**recipe.params, **{name: value for name, value in changes.items() if name not in asked}}
    return prepare_movie(recipe.generator, movie, request, params, **how)


@dataclass(frozen=True)
class PreparedMovie:
    """A predictor that has seen a movie, ready to invent frames.

    Attributes
    ----------
    source : Image
    generator : FramePredictor
    params : Params
    device : Device
    recipe : Recipe
    request : FrameRequest
    plan : FramePlan
    parts : tuple of Part
    tile : int or None
        Edge of a block, where the user set one.
    memory_budget : int or None
        In bytes, where the user set one.
    is_spread : bool
        Whether results are the spread over rotations rather than frames: 0 in those that are measured.
    dtype : numpy.dtype or None
        Of results; that of the source where None.
    """

    source: Image
    generator: FramePredictor[Params]
    params: Params
    device: Device
    recipe: Recipe
    request: FrameRequest
    plan: FramePlan
    parts: tuple[Part, ...]
    tile: int | None = None
    memory_budget: int | None = None
    is_spread: bool = False
    dtype: np.dtype[Any] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this run, a plain sentence each."""
        return self.recipe.notes

    @property
    def invented(self) -> tuple[int, ...]:
        """Frames of the result that were not measured."""
        return self.plan.invented

    @property
    def noise(self) -> tuple[NoiseReport | None, ...]:
        """No noise is measured."""
        return (None,)

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """The intensities of each channel, in counts."""
        return tuple(found for part in self.parts for found in part.statistics)

    @cached_property
    def result(self) -> Image:
        """The result as a lazy image, with the spacing of its own frames."""
        spacing = dict(self.source.spacing)
        if self.plan.parts > 1:
            spacing["T"] = spacing.get("T", 1.0) / self.plan.parts
        return replace(self.source, data=self.lazy(), spacing=spacing)

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Size of the result along the axes of the source."""
        return tuple(len(self.plan.origins) if axis == "T" else size for axis, size in self.source.sizes.items())

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """The dtype of the source, unless another was chosen; float32 for a spread."""
        return np.dtype(np.float32) if self.is_spread else self.dtype or self.source.dtype

    @property
    def dtype_choice(self) -> DtypeChoice:
        """What was decided of the dtype, for other movies of the same batch."""
        return "source" if self.result_dtype == self.source.dtype else "float32"

    @property
    def needs_store(self) -> bool:
        """Whether the result is larger than the memory budget, so that it belongs into a file."""
        budget = self.memory_budget or psutil.virtual_memory().available // 2
        return prod(self.result_shape) * self.result_dtype.itemsize > budget

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a block of the result, along the axes of the source."""
        core = self._cores(self.parts[0], 1)[0]
        edge = {axis: part.stop - part.start for axis, part in zip("YX", core, strict=True)}
        return tuple(edge.get(axis, size if axis == "S" else 1) for axis, size in self.source.sizes.items())

    def with_dtype(self, choice: DtypeChoice) -> PreparedMovie:
        """Return the run with the dtype of its results decided."""
        levels = []
        if choice == "auto" and self.source.dtype.kind in "iu":
            levels = [(found.mean, noise_of(one.movie).sigma_typical) for one in self.parts for found in one.statistics]
        dtype, sentence = choose_dtype(
            choice, self.source.dtype, self.source.axes, levels, replace(self, dtype=FLOAT).sample
        )
        if dtype == self.source.dtype:
            return self
        recipe = self.recipe.model_copy(
            update={"dtype": "float32", "notes": (*self.recipe.notes, *((sentence,) if sentence else ()))}
        )
        return replace(self, dtype=dtype, recipe=recipe)

    def sample(self) -> npt.NDArray[Any]:
        """Return the middle of the first frames that are invented, one dimension."""
        if not self.plan.gaps:
            return np.zeros(0, self.result_dtype)
        item = self._items(self.plan.gaps[0])[0]
        middles = [(part.start + part.stop) // 2 for part in item.core]
        core = (
            slice(max(part.start, middle - _SAMPLED), min(part.stop, middle + _SAMPLED))
            for part, middle in zip(item.core, middles, strict=True)
        )
        made = self._invented([replace(item, core=tuple(core))], Reporter())
        return np.concatenate([np.ravel(counts) for _, counts in made])

    def spread(self) -> PreparedMovie:
        """Return the run whose result is the relative confidence: the spread over flips and rotations, in counts."""
        parts = []
        for part in self.parts:
            prepared = part.prepared
            single = prepared.upright if isinstance(prepared, FrameEnsemble) else prepared
            parts.append(replace(part, prepared=FrameEnsemble(single, "std")))
        return replace(self, parts=tuple(parts), is_spread=True)

    @undisturbed()
    def compute(
        self, *, out: Any = None, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
    ) -> Any:
        """Make the whole result.

        Parameters
        ----------
        out : array-like, optional
            Written frame by frame and block by block, and returned: anything with numpy's slice assignment and the shape of the
            result.
        progress : callable, optional
            Called with `Progress` in this thread after every frame that is copied and every block that is invented.
        cancel : CancelToken, optional
            Takes effect within one of those.

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
            The predictor failed.
        """
        if out is None:
            out = self._empty()
        reporter = Reporter(progress, cancel)
        reporter.start("Copying the measured frames", len(self.plan.origins) - len(self.invented))
        for frame, origin in self.plan.measured:
            target = tuple(slice(frame, frame + 1) if axis == "T" else slice(None) for axis in self.source.axes)
            out[target] = 0 if self.is_spread else self.source.read(T=slice(origin, origin + 1))
            reporter.advance()
        items = [item for gap in self.plan.gaps for item in self._items(gap)]
        reporter.start("Inventing frames", len(items))
        for item, counts in self._invented(items, reporter):
            where = self._where(item)
            out[tuple(where[axis] for axis in self.source.axes)] = counts
        for gap in self.plan.gaps:
            self._add_alpha(gap, out, gap.start)
        return out

    def lazy(self) -> dask.array.Array:
        """Return the result as a dask array: measured frames are those of the source, others are made when they are asked for."""
        import dask.array as da

        source = self.source.data
        if not hasattr(source, "dask"):
            # The token of a large array in memory would have to be computed.
            source = da.from_array(source, name=f"synth-movie-{uuid.uuid4().hex}")
        axis = self.source.axes.index("T")
        pieces, frame = [], 0
        gaps = {gap.start: gap for gap in self.plan.gaps}
        while frame < len(self.plan.origins):
            gap = gaps.get(frame)
            if gap is not None:
                pieces.append(self._lazy_gap(gap))
                frame += gap.count
                continue
            stop = frame
            while stop < len(self.plan.origins) and self.plan.origins[stop] is not None:
                stop += 1
            first, last = self.plan.origins[frame], self.plan.origins[stop - 1]
            assert first is not None
            assert last is not None
            index = tuple(slice(first, last + 1) if a == "T" else slice(None) for a in self.source.axes)
            kept = source[index].astype(self.result_dtype)
            pieces.append(da.zeros_like(kept) if self.is_spread else kept)
            frame = stop
        result: dask.array.Array = da.concatenate(pieces, axis=axis)
        return result

    # Where things are

    @property
    def _joint(self) -> str:
        return self.generator.info.joint(self.source.axes)

    @property
    def _samples(self) -> int:
        """RGB samples of the result that are invented: alpha is not."""
        return colour_samples(self.source.sizes.get("S", 1))

    def _cores(self, part: Part, frames: int) -> list[tuple[slice, ...]]:
        """Cut a plane into cores; blocks of so many frames fit into the memory."""
        spec = part.prepared.spec.block(frames)
        budget = min(self.device.free_memory() // 2, self.memory_budget or 2**62)
        most = min(MOST_PIXELS[self.device.kind], budget // spec.bytes_per_pixel)
        return plan_cores(full_region("YX", self.source.sizes), spec, most, self.tile)

    def _items(self, gap: Gap) -> list[Item]:
        """Return the work for a gap."""
        items = []
        for part in self.parts:
            mapped = [axis for axis in part.movie.axes if axis not in "TYX" + self._joint]
            ranges = [range(part.movie.sizes[axis]) for axis in mapped]
            for core in self._cores(part, gap.count + len(gap.before) + len(gap.after)):
                items += [Item(part, gap, tuple(zip(mapped, at, strict=True)), core) for at in product(*ranges)]
        return items

    def _where(self, item: Item) -> dict[str, slice]:
        """Return the pixels of the result that an item makes."""
        sizes = self.source.sizes | {"S": self._samples}
        where = {axis: slice(0, size) for axis, size in sizes.items()}
        where |= {axis: slice(at, at + 1) for axis, at in item.position}
        where |= dict(zip("YX", item.core, strict=True)) | {"T": slice(item.gap.start, item.gap.start + item.gap.count)}
        if item.part.index is not None:
            where["C"] = slice(item.part.index, item.part.index + 1)
        return where

    def _block(self, item: Item) -> Block:
        return make_block(item.core, self.source.sizes, item.part.prepared.spec.block(1))

    # The work

    def _invented(self, items: list[Item], reporter: Reporter) -> Iterator[tuple[Item, npt.NDArray[Any]]]:
        """Make items in batches; where memory is short, halve the blocks and go on."""
        queue = deque(sorted(items, key=lambda item: item.gap.kind))
        most = MOST_BATCH_PIXELS[self.device.kind]
        while queue:
            batch = self._next_batch(queue, most)
            results: list[npt.NDArray[Any]] | None = None
            with suppress(MemoryShortError, MemoryError), cancellable(reporter.cancel):
                results = self._made(batch)
            if results is None:
                self.device.release_memory()
                most = self._pixels(batch[0]) * len(batch) // 2
                pieces = self._smaller(batch)
                reporter.extend(len(pieces) - len(batch))
                reporter.message("The device's memory is short: going on with smaller blocks.")
                queue.extendleft(reversed(pieces))
            else:
                yield from zip(batch, results, strict=True)
                reporter.advance(len(batch))

    def _pixels(self, item: Item) -> int:
        return prod(self._block(item).shape) * sum(item.gap.kind)

    def _next_batch(self, queue: deque[Item], most: int) -> list[Item]:
        """Take items of one part, one kind of gap and one layout that together fit."""
        batch = [queue.popleft()]
        first = batch[0]
        layout, pixels = self._block(first).layout, self._pixels(first)
        while (
            queue
            and queue[0].part is first.part
            and queue[0].gap.kind == first.gap.kind
            and self._block(queue[0]).layout == layout
            and pixels * (len(batch) + 1) <= most
        ):
            batch.append(queue.popleft())
        return batch

    def _smaller(self, batch: list[Item]) -> list[Item]:
        """Return the same work in pieces of half the size."""
        if len(batch) > 1:
            return batch
        item = batch[0]
        pieces = [item.core] if self.tile else split_core(item.core, item.part.prepared.spec.block(1), SMALLEST_CORE)
        if len(pieces) == 1:
            what = f"A tile of {self.tile} pixels" if self.tile else "The smallest block"
            advice = "set a smaller tile" if self.tile else "free memory"
            raise OutOfMemoryError(
                f"{what} does not fit into the memory of {self.device.title}: {advice}, or run on the cpu."
            )
        return [replace(item, core=core) for core in pieces]

    def _made(self, batch: list[Item]) -> list[npt.NDArray[Any]]:
        """Return what a batch makes, in counts, with the axes of the source."""
        import torch

        part, gap = batch[0].part, batch[0].gap
        sides = [self._read(item) for item in batch]
        read = np.result_type(*(clip.dtype for pair in sides for clip in pair if clip is not None))
        codec = Codec(part.intensity, part.intensity, self.device, read, self.result_dtype, self.is_spread)
        lost = [_lost(side) for side in sides]
        crops = [_crop(self._block(item)) for item in batch]
        with ONE_AT_A_TIME, translated_errors(self.generator, self.device), torch.inference_mode():
            before, after = (_encoded(codec, [carried[which] for carried in map(_carried, sides)]) for which in (0, 1))
            with arithmetic(self.device):
                made = _answer(part.prepared, before, after, gap.count).float()
            check_finite(made, self.generator, self.device, lambda number: _place(batch[number]))
            n, _, channels, height, width = made.shape
            counts = codec.decode(made.reshape(-1, channels, height, width))
        results = []
        for item, made_of_one, holes, crop in zip(
            batch, counts.reshape(n, gap.count, channels, height, width), lost, crops, strict=True
        ):
            result = made_of_one
            if holes is not None:
                result = np.asarray(np.where(holes, self._nearest(item), result), self.result_dtype)
            results.append(self._as_source_axes(result[(..., *crop)]))
        return results

    def _read(self, item: Item) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
        """Read the frames on either side of a gap, each (T, C, Y, X), padded by reflection at the far ends; None for no frame."""

        def side_of(frames: tuple[int, ...]) -> npt.NDArray[Any] | None:
            return np.stack([self._frame(item, item.part.movie, frame) for frame in frames]) if frames else None

        return side_of(item.gap.before), side_of(item.gap.after)

    def _frame(self, item: Item, movie: Image, frame: int) -> npt.NDArray[Any]:
        """Read a frame, (C, Y, X)."""
        spans = self._block(item).spans
        selection: dict[str, slice | int] = {**dict(item.position), "T": frame}
        selection |= {axis: span.read for axis, span in zip("YX", spans, strict=True)}
        kept = [axis for axis in movie.axes if not isinstance(selection.get(axis), int)]
        pixels = movie.read(**selection)
        pixels = pixels.transpose([kept.index(axis) for axis in self._joint + "YX"])
        pixels = pixels.reshape(-1, *pixels.shape[-2:])
        pads = [(0, 0), *((0, span.pad) for span in spans)]
        return np.pad(pixels, pads, mode="reflect") if any(pad for _, pad in pads) else pixels

    def _nearest(self, item: Item) -> npt.NDArray[Any]:
        """Return the frame before a gap, or after it where there is none, as it was measured."""
        if self.is_spread:
            return np.zeros((), self.result_dtype)
        frame = item.gap.before[-1] if item.gap.before else item.gap.after[0]
        return self._frame(item, item.part.movie.original(), frame)

    def _as_source_axes(self, frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bring (T, C, Y, X) into the order of the source, with length 1 along the axes that were mapped over."""
        sizes = self.source.sizes | {"S": self._samples}
        present = "T" + self._joint + "YX"
        pixels = frames.reshape(len(frames), *(sizes[axis] for axis in self._joint), *frames.shape[-2:])
        kept = [axis for axis in self.source.axes if axis in present]
        pixels = pixels.transpose([present.index(axis) for axis in kept])
        return np.expand_dims(pixels, [i for i, axis in enumerate(self.source.axes) if axis not in present])

    def _add_alpha(self, gap: Gap, out: Any, start: int) -> None:
        """Give invented frames the alpha sample of the nearest measured one (zero for a spread)."""
        if self.source.sizes.get("S", self._samples) == self._samples:
            return
        frame = gap.before[-1] if gap.before else gap.after[0]
        alpha = self.source.read(T=slice(frame, frame + 1), S=slice(self._samples, None))
        places = {"T": slice(start, start + gap.count), "S": slice(self._samples, None)}
        out[tuple(places.get(axis, slice(None)) for axis in self.source.axes)] = 0 if self.is_spread else alpha

    def _empty(self) -> npt.NDArray[Any]:
        try:
            return np.empty(self.result_shape, self.result_dtype)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"A result of {prod(self.result_shape) * self.result_dtype.itemsize / 2**30:.1f} GiB does not fit into memory:"
                " write it to an OME-Zarr, or restore a part."
            ) from error

    def _lazy_gap(self, gap: Gap) -> dask.array.Array:
        import dask.array as da
        from dask.delayed import delayed

        @undisturbed()
        def make() -> npt.NDArray[Any]:
            shape = [gap.count if axis == "T" else size for axis, size in self.source.sizes.items()]
            made = np.empty(shape, self.result_dtype)
            reporter = Reporter()
            for item, counts in self._invented(self._items(gap), reporter):
                where = self._where(item) | {"T": slice(None)}
                made[tuple(where[axis] for axis in self.source.axes)] = counts
            self._add_alpha(gap, made, 0)
            return made

        shape = tuple(gap.count if axis == "T" else size for axis, size in self.source.sizes.items())
        task = delayed(make, pure=False)(dask_key_name=f"synth-frames-{uuid.uuid4().hex}")
        lazy: dask.array.Array = da.from_delayed(task, shape, self.result_dtype)
        return lazy


def _prepared_parts(
    chosen: FramePredictor[Params], settings: Params, movie: Image, place: Device, seed: int, reporter: Reporter
) -> list[Part]:
    joint = chosen.info.joint(movie.axes)
    plain = without_alpha(movie)
    count = 0 if "C" in joint else movie.sizes.get("C", 0)
    parts = []
    for index in range(count) if count else [None]:
        part = plain if index is None else plain.select(C=index)
        suffix = "" if index is None else f" (channel {index + 1} of {count})"
        reporter.start(f"Preparing{suffix}")
        try:
            with translated_errors(chosen, place):
                apart = range(part.sizes["C"]) if "C" in joint else [None]
                part = screened(part)
                statistics = tuple(measure_statistics(part if i is None else part.select(C=i)) for i in apart)
                intensity = tuple(IntensityTransform.from_statistics(found) for found in statistics)
                context = Context(place, intensity[0], statistics[0], seed, reporter, None, index)
                prepared = chosen.prepare(part, settings, context)
        except MemoryShortError as error:
            raise OutOfMemoryError(
                f"{chosen.info.title} does not fit into the memory of {place.title}: choose smaller settings, or the cpu."
            ) from error
        # The samples of a channel are as bright as the channel.
        repeats = part.sizes["S"] if "S" in joint and len(intensity) > 1 else 1
        every = tuple(one for one in intensity for _ in range(repeats))
        parts.append(Part(part, index, statistics, every, prepared))
    return parts


def _place(item: Item) -> str:
    channel = () if item.part.index is None else (("C", item.part.index),)
    return said_place((("T", item.gap.start), *channel, *item.position), "YX", item.core)


def _said_of(plan: FramePlan) -> str:
    """Say which frames are invented, from 0 on."""
    if not plan.gaps:
        return "No frame is missing: every frame of the result is measured."
    ranges = [f"{gap.start}" if gap.count == 1 else f"{gap.start} to {gap.start + gap.count - 1}" for gap in plan.gaps]
    named = ", ".join(ranges[:6]) + (f" and more ({len(plan.invented)} in all)" if len(ranges) > 6 else "")
    return f"Invented, not measured: frame{'s' * (len(plan.invented) > 1)} {named}, counted from 0."


def _answer(
    prepared: PreparedFrames, before: torch.Tensor | None, after: torch.Tensor | None, count: int
) -> torch.Tensor:
    """Return the frames of gaps, of which at least one side is known."""
    if before is None:
        assert after is not None
        return prepared.predict(after.flip(1), count).flip(1)
    return prepared.predict(before, count) if after is None else prepared.fill(before, after, count)


def _encoded(codec: Codec, clips: list[npt.NDArray[Any] | None]) -> torch.Tensor | None:
    """Return clips (T, C, Y, X) in counts as a tensor (N, T, C, Y, X)."""
    known = [clip for clip in clips if clip is not None]
    if not known:
        return None
    stacked = np.stack(known)
    encoded = codec.encode(stacked.reshape(-1, *stacked.shape[2:]))
    return encoded.reshape(stacked.shape)


def _carried(
    sides: tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None],
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Give pixels that are not finite the value of the same pixel in the nearest frame in which it is, on each side of a gap."""

    def carried(clip: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        if clip is None or clip.dtype.kind != "f" or np.isfinite(clip).all():
            return clip
        clip = clip.copy()
        for order in (range(1, len(clip)), range(len(clip) - 2, -1, -1)):
            step = 1 if order.step > 0 else -1
            for frame in order:
                bad = ~np.isfinite(clip[frame])
                clip[frame][bad] = clip[frame - step][bad]
        return clip

    return carried(sides[0]), carried(sides[1])


def _lost(sides: tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]) -> npt.NDArray[np.bool_] | None:
    """Return which pixels (C, Y, X) are measured in no frame on either side of a gap; None where there is none."""
    known = [side for side in sides if side is not None]
    if known[0].dtype.kind != "f" or all(np.isfinite(side).all() for side in known):
        return None
    holes: npt.NDArray[np.bool_] = np.all([~np.isfinite(side).any(axis=0) for side in known], axis=0)
    return holes if holes.any() else None


def _crop(block: Block) -> tuple[slice, ...]:
    """Return where the core lies in a block."""
    return tuple(slice(span.core.start - span.read.start, span.core.stop - span.read.start) for span in block.spans)
