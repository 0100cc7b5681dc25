"""From a movie to one with invented frames.

Measured frames are copied, bit by bit. Of what is invented, each position along the axes that a predictor is mapped over, and each
block of a plane where planes are large, is made by itself; nothing but the frames next to a gap is read for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.frames import FrameEnsemble, FramePredictor, PreparedFrames
from napari_synth.contract.generator import BlockSpec
from napari_synth.core.device import resolve_device
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import unit_of
from napari_synth.engine.block_run import (
    BlockItem,
    BlockRun,
    BlockWork,
    in_order,
    notes_of,
    put,
    read_block,
    weights_of,
)
from napari_synth.engine.channels import Channel, prepare_channels
from napari_synth.engine.codec import Codec
from napari_synth.engine.computing import arithmetic, check_finite, computing, said_place
from napari_synth.engine.frame_plan import FramePlan, FrameRequest, Gap, check_time, missing_frames
from napari_synth.engine.prepared import Inputs, Pieces
from napari_synth.engine.queue import completed
from napari_synth.engine.recipe import FramesRecord, Recipe, Source, current_versions
from napari_synth.engine.result_axes import ResultLayout
from napari_synth.engine.tiling import Block
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import torch

# Half the edge of the part of a frame by which the dtype of a result is decided.
_SAMPLED = 128
_Side = npt.NDArray[Any] | None
"""Frames (T, C, Y, X) before or after a gap; None where there are none."""


def open_movie(
    method: FramePredictor[Any], recipe: Recipe, inputs: Inputs, options: RunOptions, report: Reporter
) -> PreparedMovie:
    """Let a predictor look at a movie, and plan which frames are invented; see `napari_synth.engine.door.open`."""
    if inputs.image is None:
        raise InvalidImageError("There is no image: only what makes new images can do without one.")
    request = FrameRequest() if recipe.frames is None else recipe.frames.request
    request.check()
    movie = replace(inputs.image, mask=None)
    check_time(movie)
    if refusal := method.info.refusal(movie.axes):
        raise AxesError(refusal)
    params = method.params_type.parse(recipe.params)
    device = resolve_device(options.device, options.precision)
    missing = missing_frames(movie, request.fill, report)
    channels = prepare_channels(
        method, movie, params, device, options.seed, report, apart=True, yardstick=inputs.yardstick
    )
    specs = [channel.prepared.spec for channel in channels]
    if request.between and not all(spec.divides for spec in specs):
        raise InvalidParameterError(
            f"{method.info.title} makes frames at whole steps of the movie only: choose another method for frames between."
        )
    plan = FramePlan.of(movie.sizes["T"], request, missing, max(spec.history for spec in specs))
    outliers = sum(one.outliers for channel in channels for one in channel.statistics)
    said = [f"{outliers} of the pixels looked at are outliers (hot or dead): no frame is made of them."] * bool(
        outliers
    )
    made = Recipe(
        generator=method.info.id,
        params=params.model_dump(mode="json"),
        axes=movie.axes,
        seed=options.seed,
        device=device.kind,
        precision=device.precision,
        dtype=options.dtype,
        tile=options.tile,
        versions=dict(current_versions()),
        weights=weights_of(channels),
        source=Source.of(movie),
        frames=FramesRecord(**request.model_dump(), invented=plan.invented),
        notes=(_said_of(plan), *dict.fromkeys(notes_of(channels, labelled=False, unit=unit_of(movie.dtype))), *said),
    )
    run = PreparedMovie(movie, method, params, device, options, made, channels, plan=plan)
    return run.with_grid(recipe).with_dtype()


@dataclass(frozen=True)
class PreparedMovie(BlockRun):
    """A predictor that has seen a movie, ready to invent frames.

    Attributes
    ----------
    plan : FramePlan
        Which frames of the result are measured and which are invented.
    """

    plan: FramePlan = field(kw_only=True)

    @property
    def invented(self) -> tuple[int, ...]:
        """Frames of the result that were not measured."""
        return self.plan.invented

    @property
    def layout(self) -> ResultLayout:
        """The axes of the source, with the frames of the result along T."""
        sizes = self.source.sizes | {"T": len(self.plan.origins)}
        return ResultLayout(sizes, {}, self.method.info.joint(self.source.axes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the source, unless another was chosen; float32 for a spread, which is 0 where frames are measured."""
        return np.dtype(np.float32) if self.is_spread else self.chosen_dtype or self.source.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """The shape of a block of the result, along its axes: of one frame."""
        return tuple(1 if axis == "T" else size for axis, size in zip(self.axes, super().chunks, strict=True))

    @cached_property
    def result(self) -> Image:
        """The result as a lazy image, with the spacing of its own frames."""
        spacing = dict(self.source.spacing)
        if self.plan.parts > 1:
            spacing["T"] = spacing.get("T", 1.0) / self.plan.parts
        return replace(self.source, data=self.lazy(), spacing=spacing)

    def block_spec(self, channel: Channel[PreparedFrames]) -> BlockSpec:
        """Return what the blocks of a plane must be like, for the gap with the most frames."""
        return channel.prepared.spec.block(max((sum(gap.kind) for gap in self.plan.gaps), default=1))

    def ensembled(self, prepared: PreparedFrames) -> PreparedFrames:
        """Return what gives the spread of a prepared predictor over flips and rotations."""
        return FrameEnsemble(prepared.upright if isinstance(prepared, FrameEnsemble) else prepared, "std")

    def sample(self) -> npt.NDArray[Any]:
        """Return the middle of the first frames that are invented, at one position, one dimension."""
        if not self.plan.gaps:
            return np.zeros(0, self.dtype)
        gap = self.plan.gaps[0]
        region = {axis: slice(0, 1) for axis in self.source.axes if axis not in self.joint_axes}
        for axis in "YX":
            middle = self.source.sizes[axis] // 2
            region[axis] = slice(max(0, middle - _SAMPLED), middle + _SAMPLED)
        region["T"] = slice(gap.start, gap.start + gap.count)
        return np.ravel(self.compute(region=region))

    def pieces(self) -> dict[str, Pieces]:
        """Return how the result is cut into chunks: each measured frame by itself, the frames of a gap together."""
        parts: list[slice] = [slice(frame, frame + 1) for frame, _ in self.plan.measured]
        parts += [slice(gap.start, gap.start + gap.count) for gap in self.plan.gaps]
        parts.sort(key=lambda part: part.start)
        return super().pieces() | {"T": Pieces(tuple(part.stop - part.start for part in parts), lambda i: parts[i])}

    def fill(self, asked: Mapping[str, slice], out: Any, wanted: Mapping[str, slice], report: Reporter) -> None:
        """Copy the measured frames of a region, and invent the others.

        Parameters
        ----------
        asked : mapping of str to slice
            The region of the result to make, by axis.
        out : array-like
            Of the shape of ``wanted``.
        wanted : mapping of str to slice
            Where in the result the array lies.
        report : Reporter
            Told of each block; its cancel stops the run.
        """
        times = range(asked["T"].start, asked["T"].stop)
        origins = ((frame, self.plan.origins[frame]) for frame in times)
        measured = [(frame, origin) for frame, origin in origins if origin is not None]
        report.start("Copying the measured frames", len(measured))
        for frame, origin in measured:
            part = {**asked, "T": slice(frame, frame + 1)}
            pixels = 0 if self.is_spread else self.source.read(**{**asked, "T": slice(origin, origin + 1)})
            put(out, pixels, part, wanted)
            report.advance()
        gaps = [gap for gap in self.plan.gaps if gap.start < times.stop and gap.start + gap.count > times.start]
        # Gaps of one kind are filled in one batch.
        gaps.sort(key=lambda gap: gap.kind)
        channels = self.channels[slice(0, 1) if "C" in self.layout.joint else asked.get("C", slice(0, 1))]
        blocks = sum(self.grid(channel).count(asked) for channel in channels) * self.n_positions(asked, "TYX")
        report.start("Inventing frames", len(gaps) * blocks)
        work = _FrameWork(self, report)
        for item, counts in completed(work, self._items(channels, gaps, asked), report):
            start, stop = max(times.start, item.gap.start), min(times.stop, item.gap.start + item.gap.count)
            shown = slice(start - item.gap.start, stop - item.gap.start)
            part = {**asked, **self.where(item, "YX"), "T": slice(start, stop)}
            put(out, counts[tuple(shown if axis == "T" else slice(None) for axis in self.axes)], part, wanted)
        for gap in gaps:
            self._add_alpha(gap, asked, out, wanted)

    def _items(
        self, channels: tuple[Channel[Any], ...], gaps: list[Gap], asked: Mapping[str, slice]
    ) -> Iterator[_FrameItem]:
        """Yield the work for gaps."""
        for gap in gaps:
            for channel in channels:
                for core in self.grid(channel).cores(asked):
                    for position in self.positions(asked, "TYX"):
                        yield _FrameItem(channel, position, core, gap)

    def _add_alpha(self, gap: Gap, asked: Mapping[str, slice], out: Any, wanted: Mapping[str, slice]) -> None:
        """Give invented frames the alpha sample of the nearest measured one (zero for a spread)."""
        if self.source.sizes.get("S", self.samples) == self.samples:
            return
        frame = gap.before[-1] if gap.before else gap.after[0]
        alpha = {"S": slice(self.samples, self.source.sizes["S"])}
        pixels = 0 if self.is_spread else self.source.read(**{**asked, **alpha, "T": slice(frame, frame + 1)})
        start, stop = max(asked["T"].start, gap.start), min(asked["T"].stop, gap.start + gap.count)
        put(out, pixels, {**asked, **alpha, "T": slice(start, stop)}, wanted)


@dataclass(frozen=True)
class _FrameItem(BlockItem):
    """A block of a gap at one position along the axes that are mapped over."""

    gap: Gap


class _FrameWork(BlockWork):
    """Reads the frames beside gaps, and returns blocks of those in them."""

    _run: PreparedMovie

    def pixels(self, item: _FrameItem) -> int:  # type: ignore[override]
        """Return the size of a block with halo, over all frames that are read or made."""
        return prod(self.block(item).shape) * sum(item.gap.kind)

    def bytes(self, item: _FrameItem) -> int:  # type: ignore[override]
        """Return the working memory of a block."""
        spec = item.channel.prepared.spec
        return self.pixels(item) * int(spec.bytes_per_pixel)

    def group(self, item: _FrameItem) -> tuple[Any, ...]:
        """Return the channel of an item, the kind of its gap and the layout of its block."""
        return item.channel.index, item.gap.kind, self.block(item).layout

    def read(self, item: _FrameItem) -> tuple[_Side, _Side]:
        """Read the frames on either side of a gap, padded by reflection at the far ends."""
        block, movie, joint = self.block(item), item.channel.image, self._run.layout.joint

        def side_of(frames: tuple[int, ...]) -> _Side:
            at = dict(item.position)
            read = [read_block(movie, block, "YX", joint, {**at, "T": frame}) for frame in frames]
            return np.stack(read) if read else None

        return side_of(item.gap.before), side_of(item.gap.after)

    def apply(self, items: list[_FrameItem], read: list[tuple[_Side, _Side]]) -> list[npt.NDArray[Any]]:
        """Return what a batch makes, in counts, with the axes of the source."""
        run, channel, gap = self._run, items[0].channel, items[0].gap
        dtype = np.result_type(*(clip.dtype for sides in read for clip in sides if clip is not None))
        codec = Codec(channel.intensity, channel.intensity, self.device, dtype, run.dtype, run.is_spread)
        carried = [_carried(sides) for sides in read]
        with computing(run.method, self.device, self.cancel):
            before, after = (_encoded(codec, [sides[which] for sides in carried]) for which in (0, 1))
            with arithmetic(self.device):
                made = _answer(channel.prepared, before, after, gap.count).float()
            check_finite(made, run.method, self.device, lambda number: _place(items[number]))
            n, _, channels, height, width = made.shape
            counts = codec.decode(made.reshape(-1, channels, height, width))
        return [
            self._finished(item, pixels, _lost(sides))
            for item, pixels, sides in zip(
                items, counts.reshape(n, gap.count, channels, height, width), read, strict=True
            )
        ]

    def _finished(
        self, item: _FrameItem, pixels: npt.NDArray[Any], holes: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[Any]:
        """Put back what is measured nowhere, crop the halo, and bring the frames (T, C, Y, X) into the order of the source."""
        run = self._run
        if holes is not None:
            pixels = np.asarray(np.where(holes, self._nearest(item), pixels), run.dtype)
        cropped: tuple[Any, ...] = (..., *_crop(self.block(item)))
        pixels = pixels[cropped]
        joint = run.joint_sizes()
        pixels = pixels.reshape(len(pixels), *joint.values(), *pixels.shape[-2:])
        return in_order(pixels, "T" + "".join(joint) + "YX", run.axes)

    def _nearest(self, item: _FrameItem) -> npt.NDArray[Any]:
        """Return the frame before a gap, or after it where there is none, as it was measured."""
        run = self._run
        if run.is_spread:
            return np.zeros((), run.dtype)
        frame = item.gap.before[-1] if item.gap.before else item.gap.after[0]
        movie, at = item.channel.image.original(), dict(item.position)
        return read_block(movie, self.block(item), "YX", run.layout.joint, {**at, "T": frame})


def _place(item: _FrameItem) -> str:
    channel = () if item.channel.index is None else (("C", item.channel.index),)
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


def _encoded(codec: Codec, clips: list[_Side]) -> torch.Tensor | None:
    """Return clips (T, C, Y, X) in counts as a tensor (N, T, C, Y, X)."""
    known = [clip for clip in clips if clip is not None]
    if not known:
        return None
    stacked = np.stack(known)
    encoded = codec.encode(stacked.reshape(-1, *stacked.shape[2:]))
    return encoded.reshape(stacked.shape)


def _carried(sides: tuple[_Side, _Side]) -> tuple[_Side, _Side]:
    """Give pixels that are not finite the value of the same pixel in the nearest frame in which it is, on each side of a gap."""

    def carried(clip: _Side) -> _Side:
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


def _lost(sides: tuple[_Side, _Side]) -> npt.NDArray[np.bool_] | None:
    """Return which pixels (C, Y, X) are measured in no frame on either side of a gap; None where there is none."""
    known = [side for side in sides if side is not None]
    if known[0].dtype.kind != "f" or all(np.isfinite(side).all() for side in known):
        return None
    holes: npt.NDArray[np.bool_] = np.all([~np.isfinite(side).any(axis=0) for side in known], axis=0)
    return holes if holes.any() else None


def _crop(block: Block) -> tuple[slice, ...]:
    """Return where the core lies in a block."""
    return tuple(slice(span.core.start - span.read.start, span.core.stop - span.read.start) for span in block.spans)
