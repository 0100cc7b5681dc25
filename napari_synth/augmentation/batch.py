"""Augments batches on their device in one pass, with a draw for each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.augmentation.displacement import SamplingMap
from napari_synth.augmentation.layout import counted, exact, floating, from_bits
from napari_synth.augmentation.plan import Plan
from napari_synth.augmentation.sampling import Windows, folded, pick, read, smoothed, steps
from napari_synth.augmentation.shading import MIXING, box_mask, partners, shade
from napari_synth.core.errors import AxesError, InvalidParameterError
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_planes

if TYPE_CHECKING:
    from napari_synth.augmentation.draws import Draw
    from napari_synth.augmentation.pipeline import Pipeline
    from napari_synth.augmentation.sample import Sample
    from napari_synth.augmentation.transform import Sampling

Range = tuple[float, float]

_PERCENTILES = (0.1, 99.9)
_MOST_PIXELS = 2**18
_FEW_PIXELS = 2**12


@dataclass(frozen=True)
class Batch:
    """An augmented batch.

    Attributes
    ----------
    images : Tensor (B, C, [Z,] Y, X)
    labels : Tensor (B, [K,] [Z,] Y, X) or None
    points : tuple of Tensor (N, D) or None
        Of each item, those that left dropped or marked as the pipeline says.
    inside : tuple of Tensor (N,), bool, or None
        Which of them lie in the field of view.
    draws : tuple of Draw
    """

    images: Tensor
    labels: Tensor | None
    points: tuple[Tensor, ...] | None
    inside: tuple[Tensor, ...] | None
    draws: tuple[Draw, ...]


def apply_batch(
    pipeline: Pipeline,
    images: Tensor,
    draws: Sequence[Draw],
    *,
    labels: Tensor | None = None,
    points: Sequence[npt.ArrayLike] | None = None,
    rgb: bool = False,
) -> Batch:
    """Augment a batch in one pass on its device.

    Parameters
    ----------
    pipeline : Pipeline
    images : Tensor (B, C, [Z,] Y, X)
        Any integer or float dtype.
    draws : sequence of Draw
        One an item, of this pipeline and for this size; see `Pipeline.draw_for`.
    labels : Tensor (B, [K,] [Z,] Y, X), optional
        Any integer dtype.
    points : sequence of array-like (N, D), optional
        For each item its points, along the spatial axes of the images.
    rgb : bool
        Whether the channels are red, green and blue.

    Returns
    -------
    Batch

    Raises
    ------
    InvalidParameterError
        There is not a draw for each item, or the draws do not go together.
    AxesError
        Images, labels or points have the wrong number of dimensions.
    """
    if images.ndim not in (4, 5):
        raise AxesError(
            f"Images of shape {tuple(images.shape)} are no batch: it must be (B, C, Y, X) or (B, C, Z, Y, X)."
        )
    if len(draws) != len(images):
        raise InvalidParameterError(f"There are {len(draws)} draws for {len(images)} images: give one for each.")
    plan = Plan.of(draws)
    spatial = "ZYX" if images.ndim == 5 else "YX"
    sizes = tuple(images.shape[2:])[-len(plan.axes) :]
    for draw in draws:
        draw.check_fits(sizes)
    warp = plan.map()
    low, high = stacked_ranges(images, draws)
    moved = _planar(images, plan.axes)
    repeats = moved.shape[1] // images.shape[1]
    level = background(pipeline.sampling, low).repeat_interleave(repeats, 1)
    windows = Windows.whole(moved)
    like = torch.empty(0, device=images.device)
    places = folded(warp.coordinates(like), windows.sizes, pipeline.sampling.outside)
    changed = warped(windows, warp, places, pipeline.sampling, level)
    changed = changed.view(*images.shape[:2], *images.shape[2 : images.ndim - len(plan.axes)], *plan.result)
    changed = shaded_batch(changed, plan, low, high, rgb=rgb)

    moved_labels = None
    if labels is not None:
        if labels.ndim not in (images.ndim - 1, images.ndim):
            raise AxesError(
                f"Labels of shape {tuple(labels.shape)} do not lie on images of shape {tuple(images.shape)}."
            )
        stacked = labels if labels.ndim == images.ndim else labels[:, None]
        moved_labels = warped_labels(Windows.whole(_planar(stacked, plan.axes)), places)
        moved_labels = moved_labels.view(*stacked.shape[: stacked.ndim - len(plan.axes)], *plan.result)
        moved_labels = pasted(moved_labels, plan)
        moved_labels = moved_labels if labels.ndim == images.ndim else moved_labels[:, 0]
    rows, inside = None, None
    if points is not None:
        rows, inside = moved_points(points, plan, warp, spatial, pipeline.sampling)
    return Batch(counted(changed, images.dtype), moved_labels, rows, inside, tuple(draws))


def warped(windows: Windows, warp: SamplingMap, places: Tensor, sampling: Sampling, level: Tensor) -> Tensor:
    """Read images at the places of a map.

    Parameters
    ----------
    windows : Windows
        Of any dtype.
    warp : SamplingMap
    places : Tensor (B, *result, D)
        Its coordinates, folded into the sources as ``sampling`` says.
    sampling : Sampling
    level : Tensor (B, C)
        Background in counts.

    Returns
    -------
    Tensor (B, C, *result)
        Floating point; where pixels fall on pixels, of the dtype of the images and with exactly their values.
    """
    images = windows.images
    if warp.whole:
        taken = pick(exact(images), places, windows.starts, exact(counted(level, images.dtype).to(images.device)))
        return from_bits(taken, images.dtype)
    values = floating(images)
    shape = (*level.shape, *(1 for _ in images.shape[2:]))
    lost = ~torch.isfinite(values) if images.is_floating_point() else None
    holes = lost is not None and bool(lost.any())
    if holes:
        assert lost is not None
        values = torch.where(lost, level.to(values).view(shape), values)
    if sampling.antialias:
        values = smoothed(values, steps(warp).to(values))
    beyond = level if sampling.outside == "background" else None
    read_from = replace(windows, images=values)
    result = read(read_from, places, interpolation=sampling.interpolation, background=beyond)
    if holes:
        nearest = pick(images, places, windows.starts, level)
        result = torch.where(torch.isfinite(nearest), result, nearest.to(result))
    return result


def warped_labels(windows: Windows, places: Tensor) -> Tensor:
    """Take the nearest label at the places of a map, 0 outside; see `warped`."""
    return from_bits(pick(exact(windows.images), places, windows.starts), windows.images.dtype)


def shaded(
    images: Tensor, plan: Plan, low: Tensor, high: Tensor, *, rgb: bool, partner: Tensor | None = None
) -> Tensor:
    """Apply the intensity transforms of a plan to images (B, T, C, Z, Y, X) in counts.

    Parameters
    ----------
    images : Tensor
    plan : Plan
    low, high : Tensor (B, C)
        The range in counts; channels beyond C are left as they are.
    rgb : bool
    partner : Tensor, optional
        What is mixed in, in units of the range.
    """
    if not plan.intensities:
        return images
    values = floating(images)
    colours, rest = values[:, :, : low.shape[1]], values[:, :, low.shape[1] :]
    shape = (len(values), 1, -1, 1, 1, 1)
    offset, spread = low.to(values).view(shape), (high - low).to(values).view(shape)
    lost = ~torch.isfinite(colours) if images.is_floating_point() else None
    holes = lost is not None and bool(lost.any())
    unit = (colours - offset) / spread
    if holes:
        assert lost is not None
        unit = torch.where(lost, torch.zeros_like(unit), unit)
    changed = shade(unit, plan.intensities, low, high, rgb=rgb, partner=partner) * spread + offset
    if holes:
        assert lost is not None
        changed = torch.where(lost, colours, changed)
    return torch.cat([changed, rest], 2) if rest.shape[2] else changed


def shaded_batch(images: Tensor, plan: Plan, low: Tensor, high: Tensor, *, rgb: bool) -> Tensor:
    """Apply the intensity transforms of a plan to images (B, C, [Z,] Y, X); see `shaded`."""
    if images.ndim == 5:
        return shaded(images[:, None], plan, low, high, rgb=rgb)[:, 0]
    return shaded(images[:, None, :, None], plan, low, high, rgb=rgb)[:, 0, :, 0]


def in_units(images: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return images (B, T, C, Z, Y, X) in counts in units of their range, what is not finite as the low end.

    Parameters
    ----------
    images : Tensor, (B, T, C, Z, Y, X)
        In counts.
    low, high : Tensor
        The ends of the range in counts, broadcastable to the images.
    """
    shape = (len(images), 1, -1, 1, 1, 1)
    unit = (floating(images)[:, :, : low.shape[1]] - low.view(shape)) / (high - low).view(shape)
    return torch.where(torch.isfinite(unit), unit, torch.zeros_like(unit))


def background(sampling: Sampling, low: Tensor) -> Tensor:
    """Return what lies beyond images whose low ends are ``low``, (B, C), in counts."""
    return low if sampling.background is None else torch.full_like(low, sampling.background)


def stacked_ranges(images: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
    """Return the low and high ends (B, C) that draws have recorded, or those of the images."""
    channels = images.shape[1]
    recorded = [draw.ranges if len(draw.ranges) == channels else None for draw in draws]
    if all(ranges is not None for ranges in recorded):
        both = torch.tensor(recorded, dtype=torch.float64).to(floating(images[:0]))
        return both[..., 0], both[..., 1]
    flat = floating(images.detach().flatten(2))
    flat = flat[:, :, :: max(1, flat.shape[2] // _FEW_PIXELS)]
    flat = torch.where(torch.isfinite(flat), flat, flat.nan_to_num(0.0, 0.0, 0.0).amin(2, keepdim=True))
    ranked = flat.sort(2).values
    low, high = (ranked[..., round(p / 100 * (ranked.shape[2] - 1))] for p in _PERCENTILES)
    return low, torch.where(high > low, high, low + 1)


def measured_ranges(sample: Sample) -> tuple[Range, ...]:
    """Return the low and high ends of each channel of a sample's image, in counts; of RGB from black to white."""
    array = sample.image
    if isinstance(array, Tensor):
        stride = max(1, round((array.numel() / (4 * _MOST_PIXELS)) ** 0.5))
        thinned = [slice(None, None, stride) if axis in "YX" else slice(None) for axis in sample.axes]
        array = array.detach()[tuple(thinned)].float().cpu().numpy()
    image = Image(array, sample.axes)
    if sample.rgb:
        return (_colour_range(image, sample),) * 3
    role = "S" if "S" in image.axes else "C"
    channels = (
        [image.select(**{role: slice(i, i + 1)}) for i in range(image.sizes[role])] if role in image.axes else [image]
    )
    return tuple(_range(channel) for channel in channels)


def _range(image: Image) -> Range:
    pixels = np.concatenate([plane.ravel() for plane in sample_planes(image, _MOST_PIXELS)]).astype(np.float64)
    pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return 0.0, 1.0
    low, high = np.percentile(pixels, _PERCENTILES)
    if not high > low:
        low, high = pixels.min(), pixels.max()
    return float(low), float(high if high > low else low + 1)


def _colour_range(image: Image, sample: Sample) -> Range:
    """Return black and white: 0, and the largest value where that is known, else the high end."""
    if str(sample.image.dtype).endswith("uint8"):
        return 0.0, 255.0
    _, high = _range(image.select(S=slice(0, 3)))
    return 0.0, 1.0 if "float" in str(sample.image.dtype) and high <= 1.0 else high


def _planar(images: Tensor, axes: str) -> Tensor:
    """Return a batch whose planes are channels where only planes are moved."""
    return images.flatten(1, 2) if images.ndim == 5 and axes == "YX" else images


def pasted(labels: Tensor, plan: Plan) -> Tensor:
    """Return labels (B, K, [Z,] Y, X) with what CutMix pastes."""
    for step in plan.intensities:
        if step.kind != MIXING[1]:
            continue
        mask = box_mask(step.values["box"], (labels.shape[-2], labels.shape[-1]), labels.device)
        mask = mask & step.active.to(labels.device)[:, None, None]
        mask = mask.view(len(labels), *(1 for _ in labels.shape[1:-2]), *mask.shape[1:])
        bits = exact(labels)
        labels = from_bits(torch.where(mask, bits[partners(step)], bits), labels.dtype)
    return labels


def moved_points(
    points: Sequence[npt.ArrayLike], plan: Plan, warp: SamplingMap, spatial: str, sampling: Sampling
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Move the points of all items at once.

    Parameters
    ----------
    points : sequence of array-like
        The points (N, D) of each item.
    plan : Plan
        What was drawn for the batch.
    warp : SamplingMap
        Where every pixel of the result comes from.
    spatial : str
        The spatial axes of the items.
    sampling : Sampling
        How the result is sampled.
    """
    rows = [torch.as_tensor(np.asarray(item, dtype=np.float64)).reshape(-1, len(spatial)) for item in points]
    if len(rows) != plan.batch:
        raise InvalidParameterError(
            f"There are {len(rows)} lists of points for {plan.batch} images: give one for each."
        )
    first = len(spatial) - len(plan.axes)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    pushed = warp.push(padded[..., first:].flip(-1)).flip(-1)
    padded = torch.cat([padded[..., :first], pushed], -1)
    items = [item[: len(row)] for item, row in zip(padded, rows, strict=True)]
    inside = [in_view(item[:, first:], plan.result) for item in items]
    for step in plan.intensities:
        if step.kind == MIXING[1]:
            items, inside = _pasted_points(items, inside, step.values["box"], partners(step), step.active, plan.result)
    if sampling.leaving == "drop":
        items = [item[keep] for item, keep in zip(items, inside, strict=True)]
        inside = [keep[keep] for keep in inside]
    return tuple(items), tuple(inside)


def _pasted_points(
    items: list[Tensor], inside: list[Tensor], boxes: Tensor, others: Tensor, active: Tensor, result: tuple[int, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    merged, kept = list(items), list(inside)
    for i in range(len(items)):
        if active[i]:
            j = int(others[i])
            own, other = in_box(items[i], boxes[i], result), in_box(items[j], boxes[i], result) & inside[j]
            merged[i] = torch.cat([items[i], items[j][other]])
            kept[i] = torch.cat([inside[i] & ~own, inside[j][other]])
    return merged, kept


def in_view(places: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return which places (N, D), in the order of ``sizes``, lie in a field of view; NaN does not."""
    return ((places >= -0.5) & (places <= places.new_tensor(sizes) - 0.5)).all(-1)


def in_box(places: Tensor, box: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return which places (N, D), whose last columns are Y and X, lie in a box; see `box_mask`."""
    extent = places.new_tensor(sizes[-2:])
    part = (places[:, -2:] + 0.5) / extent
    first = box[:2].to(places)
    return ((part >= first) & (part < first + box[2:].to(places))).all(-1)
