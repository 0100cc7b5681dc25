"""Applies a draw to a sample: reads what it shows of the image, and moves labels, points, shapes, vectors and tracks with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.augmentation.batch import background, in_box, in_units, measured_ranges, shaded, warped, warped_labels
from napari_synth.augmentation.displacement import SamplingMap, pixels
from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.layout import (
    Layout,
    array_like,
    counted,
    exact,
    floating,
    from_bits,
    tensor_dtype,
    tensor_of,
)
from napari_synth.augmentation.plan import Plan
from napari_synth.augmentation.sample import Floats, Sample
from napari_synth.augmentation.sampling import Windows, folded, steps
from napari_synth.augmentation.shading import MIXING, box_mask, shades
from napari_synth.augmentation.warping import moves
from napari_synth.core.errors import AxesError, InvalidImageError, RecipeError

if TYPE_CHECKING:
    from napari_synth.augmentation.pipeline import Pipeline
    from napari_synth.augmentation.transform import Sampling

# Of a range: what two measurements of one image may differ by, such as of one that is changed a little to find gradients.
_SAME = 0.01
_MARGIN = 4
"""Pixels around the places that a map reads, which interpolation and smoothing may need."""


def apply(
    pipeline: Pipeline,
    sample: Sample,
    draw: Draw,
    partner: Sample | None,
    given: Sequence[tuple[float, float]] | None = None,
) -> Sample:
    """Return the sample as the draw changes it; see `Pipeline.apply`."""
    plan = _plan(draw)
    if sample.sizes:
        draw.check_fits(_sizes(sample, draw.axes))
    ranges = draw.ranges if given is None else tuple(given)
    if sample.image is not None and (
        len(ranges) != sample.frame(draw.axes).channels or (given is None and _is_of_another(sample, ranges))
    ):
        ranges = sample.ranges
    moved = _moved(sample, plan.map(), draw, pipeline.sampling, ranges)
    mixing = [step for step in plan.intensities if step.kind in MIXING]
    if mixing and partner is None:
        partner = _own_partner(pipeline, sample, mixing[0].seeds[0])
    if partner is not None and sample.image is not None and _sizes(partner, draw.axes) != draw.result:
        raise InvalidImageError(
            f"The image to be mixed in has {_sizes(partner, draw.axes)} pixels and not {draw.result}: augment it first."
        )
    if sample.image is not None and plan.intensities:
        moved = replace(moved, image=_shaded(moved, plan, ranges, partner if mixing else None))
    for step in mixing:
        if step.kind == MIXING[1] and partner is not None:
            moved = _pasted(moved, partner, step.values["box"][0], draw)
    spacing = dict(sample.spacing)
    for entry in draw.steps:
        if entry.kind == "resize":
            sizes = entry.values["sizes"]
            assert isinstance(sizes, tuple)
            for axis, old, new in zip(draw.axes, entry.sizes, sizes, strict=True):
                spacing[axis] = spacing.get(axis, 1.0) * old / new
    return moved.with_spacing(spacing)


def _is_of_another(sample: Sample, ranges: Sequence[tuple[float, float]]) -> bool:
    """Return whether a draw was made for an image of other intensities; lazy images are not read to find out."""
    if not isinstance(sample.image, np.ndarray | Tensor):
        return False
    for (low, high), (own_low, own_high) in zip(ranges, sample.ranges, strict=True):
        least = _SAME * min(high - low, own_high - own_low)
        if abs(own_low - low) > least or abs(own_high - high) > least:
            return True
    return False


def invert(pipeline: Pipeline, sample: Sample, draw: Draw) -> Sample:
    """Return an augmented sample in the frame it came from; see `Pipeline.invert`."""
    if sample.sizes and _sizes(sample, draw.axes) != draw.result:
        raise InvalidImageError(
            f"This draw gave images of {draw.result} pixels, and this one has {_sizes(sample, draw.axes)}: it is of another draw."
        )
    ranges = draw.ranges
    if sample.image is not None and len(ranges) != sample.frame(draw.axes).channels:
        ranges = measured_ranges(sample)
    moved = _moved(sample, _plan(draw).map().inverse(), draw, pipeline.sampling, ranges)
    spacing = dict(sample.spacing) | dict(zip(draw.axes, draw.spacing, strict=True))
    return moved.with_spacing(spacing)


def displacement(draw: Draw) -> npt.NDArray[np.float32]:
    """Return the displacement field of a draw; see `Pipeline.displacement`."""
    like = torch.empty(0)
    field = _plan(draw).map().coordinates(like) - pixels(draw.result, like)
    return np.ascontiguousarray(field[0].flip(-1).movedim(-1, 0).numpy())


def _plan(draw: Draw) -> Plan:
    for step in draw.steps:
        if not (moves(step.kind) or shades(step.kind)):
            raise RecipeError(
                f"The draw has a transform {step.kind!r}, which this version does not know: update napari-synth."
            )
    return Plan.of([draw])


def _sizes(sample: Sample, axes: str) -> tuple[int, ...]:
    sizes = sample.sizes
    missing = [axis for axis in axes if axis not in sizes]
    if missing:
        raise AxesError(f"The draw moves along {', '.join(missing)}, which the sample lacks: draw anew for it.")
    return tuple(sizes[axis] for axis in axes)


def _own_partner(pipeline: Pipeline, sample: Sample, seed: int) -> Sample:
    """Return another draw of the same sample, without mixing."""
    plain = pipeline.model_copy(
        update={"transforms": tuple(entry for entry in pipeline.transforms if entry.group != "mixing")}
    )
    return plain.apply(sample, plain.draw(seed, sample))


def _moved(
    sample: Sample, warp: SamplingMap, draw: Draw, sampling: Sampling, ranges: tuple[tuple[float, float], ...]
) -> Sample:
    """Move everything by a map."""
    changes: dict[str, Any] = {}
    view: _View | None = None
    if sample.image is not None:
        device = sample.image.device if isinstance(sample.image, Tensor) else torch.device("cpu")
        view = _View.of(warp, _sizes(sample, draw.axes), sampling, device)
        layout, windows = view.window(sample.image, sample.axes, draw.axes)
        level = _levels(ranges, sampling, layout, sample.sizes, draw.axes).to(device)
        moved = warped(windows, warp, view.places, sampling, level)
        changes["image"] = _finished(moved, layout, draw.axes, sample.image)
    if sample.labels is not None:
        device = sample.labels.device if isinstance(sample.labels, Tensor) else torch.device("cpu")
        if view is None or view.places.device != device:
            view = _View.of(warp, _sizes(sample, draw.axes), sampling, device)
        layout, windows = view.window(sample.labels, sample.labels_axes, draw.axes)
        changes["labels"] = _finished(warped_labels(windows, view.places), layout, draw.axes, sample.labels)
    result = replace(sample, **changes)
    for name, rows in sample.coordinates():
        result = _with_rows(result, name, *_pushed(rows, sample.columns(name, rows), warp, draw.axes, name), sampling)
    return result


@dataclass(frozen=True)
class _View:
    """What a map shows: the places of its pixels, and the part of the source around them."""

    places: Tensor
    sizes: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]

    @classmethod
    def of(cls, warp: SamplingMap, sizes: tuple[int, ...], sampling: Sampling, device: torch.device) -> _View:
        whole = torch.tensor([sizes[::-1]], dtype=torch.float32, device=device)
        places = folded(warp.coordinates(torch.empty(0, device=device)), whole, sampling.outside)
        if prod(warp.result) >= prod(sizes):
            return cls(places, sizes, (0,) * len(sizes), sizes)
        with torch.no_grad():
            flat = places.flatten(0, -2)
            margin = _MARGIN + (2 * steps(warp).amax(0).to(flat) if sampling.antialias else 0)
            low, high = (flat.amin(0) - margin).floor(), (flat.amax(0) + margin).ceil()
            top = whole[0] - 1
            first = torch.minimum(low.clamp(min=0), top).flip(0).long().tolist()
            last = torch.minimum(high.clamp(min=0), top).flip(0).long().tolist()
        return cls(places, sizes, tuple(first), tuple(int(end) + 1 for end in last))

    def window(self, array: Any, own: str, axes: str) -> tuple[Layout, Windows]:
        """Read the part of an array, as (1, C, *axes)."""
        parts = {axis: slice(a, b) for axis, a, b in zip(axes, self.first, self.last, strict=True)}
        part = tensor_of(array[tuple(parts.get(axis, slice(None)) for axis in own)])
        layout = Layout(own, dict(zip(own, (int(size) for size in array.shape), strict=True)))
        stacked = layout.forth(part)
        stacked = stacked.reshape(1, -1, *stacked.shape[5 - len(axes) :])
        starts, sizes = (
            torch.tensor([values[::-1]], dtype=torch.float32, device=part.device) for values in (self.first, self.sizes)
        )
        return layout, Windows(stacked, starts, sizes)


def _levels(
    ranges: tuple[tuple[float, float], ...], sampling: Sampling, layout: Layout, sizes: dict[str, int], axes: str
) -> Tensor:
    """Return the background of everything that is stacked as a channel, (1, C)."""
    level = background(sampling, torch.tensor([[low for low, _ in ranges]], dtype=torch.float64))
    channels = layout.channels
    # What is transparent has no colour: alpha is 0 where there is no image.
    level = torch.cat([level, level.new_zeros(1, channels - level.shape[1])], 1)
    times = layout.times
    planes = sizes.get("Z", 1) if axes == "YX" else 1
    return level[:, None, :, None].expand(1, times, channels, planes).reshape(1, -1)


def _finished(moved: Tensor, layout: Layout, axes: str, source: Any) -> Any:
    """Return (1, C, *axes) as an array like its source."""
    planes = moved.shape[2] if axes == "ZYX" else layout.sizes.get("Z", 1)
    volume = moved.reshape(layout.times, layout.channels, planes, *moved.shape[-2:])
    arranged = layout.back(volume)
    return array_like(counted(arranged, tensor_dtype(source)), source)


def _shaded(moved: Sample, plan: Plan, ranges: tuple[tuple[float, float], ...], partner: Sample | None) -> Any:
    """Return the image of a sample with its intensities changed."""
    layout = Layout(moved.axes, moved.sizes)
    image = tensor_of(moved.image)
    volume = layout.forth(image)[None]
    like = floating(volume[:0])
    low, high = (torch.tensor([ends], dtype=torch.float64).to(like) for ends in zip(*ranges, strict=True))
    other = None
    if partner is not None:
        if Layout(partner.axes, partner.sizes).shape != layout.shape:
            raise InvalidImageError(
                f"The image to be mixed in has the shape {tuple(partner.image.shape)}, not {tuple(image.shape)}: give one like it."
            )
        other = in_units(Layout(partner.axes, partner.sizes).forth(tensor_of(partner.image))[None], low, high)
    changed = shaded(volume, plan, low, high, rgb=moved.rgb, partner=other)
    return array_like(counted(layout.back(changed[0]), tensor_dtype(moved.image)), moved.image)


def _pushed(
    rows: Floats, columns: str, warp: SamplingMap, axes: str, name: str
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return where coordinates go, and along which axes (N, D) each lies above the lower and below the upper end of the view."""
    if any(axis not in columns for axis in axes):
        raise AxesError(f"The {name} have no column for {axes[0]}, along which the draw moves: give them one.")
    order = [columns.index(axis) for axis in axes]
    places = torch.from_numpy(rows[:, order]).double()
    pushed = warp.push(places.flip(-1)[None])[0].flip(-1).detach()
    moved = rows.copy()
    moved[:, order] = pushed.numpy()
    view = pushed.new_tensor(warp.result) - 0.5
    return moved, torch.stack([pushed >= -0.5, pushed <= view], -1).numpy()


def _with_rows(sample: Sample, name: str, moved: Floats, within: npt.NDArray[np.bool_], sampling: Sampling) -> Sample:
    """Return the sample with moved coordinates; what left is dropped or marked."""
    parts: Any
    seen: npt.NDArray[np.bool_] = np.asarray(within.all((1, 2)))
    if name == "shapes":
        assert sample.shapes is not None
        ends = np.cumsum([len(np.asarray(shape)) for shape in sample.shapes])[:-1]
        parts = np.split(moved, ends)
        # A shape is in view where its bounding box is: it may surround the view.
        inside = np.array([bool(part.any(0).all()) for part in np.split(within, ends)], dtype=bool)
    elif name == "vectors":
        starts, tips = np.split(moved, 2)
        parts = np.stack([starts, tips - starts], 1)
        inside = seen[: len(starts)] & np.isfinite(tips).all(1)
    elif name == "tracks":
        parts = np.concatenate([np.asarray(sample.tracks, dtype=np.float64)[:, :1], moved], 1)
        inside = seen
    else:
        parts, inside = moved, seen
    kept = np.flatnonzero(inside) if sampling.leaving == "drop" else np.arange(len(inside))
    origin = sample.origin.get(name, np.arange(len(inside)))[kept]
    chosen = tuple(parts[i] for i in kept) if name == "shapes" else parts[kept]
    return replace(
        sample,
        **cast(Any, {name: chosen}),
        inside={**sample.inside, name: inside[kept]},
        origin={**sample.origin, name: origin},
    )


def _pasted(sample: Sample, partner: Sample, box: Tensor, draw: Draw) -> Sample:
    """Return the sample with the labels and coordinates of a partner inside a box."""
    changes: dict[str, Any] = {}
    if sample.labels is not None and partner.labels is not None:
        ours, theirs = tensor_of(sample.labels), tensor_of(partner.labels)
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise InvalidImageError(
                "The labels to be mixed in have another shape or dtype: give labels like those of the image."
            )
        layout = Layout(sample.labels_axes, dict(zip(sample.labels_axes, ours.shape, strict=True)))
        a, b = layout.forth(exact(ours)), layout.forth(exact(theirs))
        mask = box_mask(box, (a.shape[-2], a.shape[-1]), a.device)
        changes["labels"] = array_like(from_bits(layout.back(torch.where(mask, b, a)), ours.dtype), sample.labels)
    result = replace(sample, **changes)
    others = dict(partner.coordinates())
    for name, rows in sample.coordinates():
        if name in ("points", "vectors", "tracks"):
            columns = sample.columns(name, rows)
            result = _with_pasted(result, partner, name, rows, others.get(name), columns, box, draw)
    return result


def _with_pasted(
    sample: Sample,
    partner: Sample,
    name: str,
    rows: Floats,
    others: Floats | None,
    columns: str,
    box: Tensor,
    draw: Draw,
) -> Sample:
    order = [columns.index(axis) for axis in draw.axes]

    def covered(places: Floats) -> npt.NDArray[np.bool_]:
        return in_box(torch.from_numpy(places[:, order]), box, draw.result).numpy()

    own: npt.NDArray[Any] = np.asarray(getattr(sample, name), dtype=np.float64)
    keep = ~covered(rows[: len(own)])
    origin = sample.origin[name][keep]
    inside = sample.inside[name][keep]
    merged = own[keep]
    if others is not None:
        theirs = np.asarray(getattr(partner, name), dtype=np.float64)
        inner = covered(others[: len(theirs)])
        merged = np.concatenate([merged, theirs[inner]])
        foreign = partner.origin.get(name, np.arange(len(theirs)))[inner]
        origin = np.concatenate([origin, -1 - foreign])
        inside = np.concatenate([inside, np.ones(int(inner.sum()), dtype=bool)])
    return replace(
        sample,
        **cast(Any, {name: merged}),
        inside={**sample.inside, name: inside},
        origin={**sample.origin, name: origin},
    )
