"""Stripes along columns or rows, parts of stripes, and rings."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot, pi, tau
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_planes
from napari_synth.methods.correct.catalogue import Direction, Extent, StripeParams

Law = Literal["gain", "offset"]

_BYTES_PER_PIXEL = 320
# Weights of a change along a stripe, and of the stripe itself where 8 pixels are the broadest, beside a change across it.
_ALONG, _SPARSE = 12.0, 4.0
_STEPS, _PENALTY = 60, 1.0
# Parts of the rows whose stripes must agree, and how far: beyond the first ratio they are believed a little, beyond the second
# wholly.
_BANDS, _AGREE = 8, (3.0, 4.5)
# How much stronger they must be than what is found in the same way across them.
_STRONGER = (1.0, 2.0)
# How much more there must be of parts of stripes along the direction than across it, where there are none.
_MORE = (4.0, 6.0)
# Changes that are left where stripes were, over those elsewhere: a stripe leaves none, the edge of a structure does.
_LEFT, _SMALLEST_JUMP = (1.12, 1.4), 0.25
# Changes that are left where stripes were, over those before: below the first share they were stripes, whatever is elsewhere.
# Broad ones must be clearer.
_CLEARED, _CLEARED_BROAD = (0.1, 0.2), (0.06, 0.1)
# Correlation of neighbouring columns of parts of stripes.
_NEIGHBOURS = (0.0, 0.08)
_SMALLEST = 8
# Of the mean signal, added before the logarithm so that darkness has one.
_DIM = 0.04
_FOUND = 0.05
_LOOKED_AT, _SAMPLED = 3, 2**20


def whole_stripes(plane: Tensor, width: int) -> Tensor:
    """Return what each column adds from edge to edge, (1, X).

    Of the changes from one column to the next the median over all rows is taken: edges of structures are in few rows, that of a
    stripe in all.

    Parameters
    ----------
    plane : torch.Tensor, (Y, X)
        NaN where there is nothing.
    width : int
        Pixels across a stripe beyond which it is none.
    """
    steps = plane.diff(dim=1).nanmedian(0).values.nan_to_num(0.0)
    along = torch.cat([steps.new_zeros(1), steps.cumsum(0)])[None]
    return along - _slow(along, width)


def agreement(plane: Tensor, stripes: Tensor, width: int) -> float:
    """Return by how much stripes are stronger than what bands of rows disagree in.

    What is the same in every band is a stripe from edge to edge; structures are not.

    Parameters
    ----------
    plane : torch.Tensor, (Y, X)
    stripes : torch.Tensor, (1, X)
        Of the whole plane.
    width : int
        As for `whole_stripes`.
    """
    bands = torch.cat([whole_stripes(band, width) for band in plane.chunk(_BANDS, 0)])
    error = (bands - stripes).square().mean() / max(1, len(bands) - 1)
    return float(stripes.square().mean() / error.clamp_min(1e-20))


def parts_of_stripes(plane: Tensor, width: int) -> Tensor:
    """Return what stripes add that may begin and end anywhere, (Y, X).

    The stripes s of an image l are those with the least ``|d/dx (l - s)| + a |d/dy s| + b |s|``, found by the alternating direction
    method of multipliers. The last term, which Bouali and Ladjal (2011) do not have, keeps the edges of structures out: what
    is bright on one side only would have to be paid for along the whole row.

    Parameters
    ----------
    plane : torch.Tensor, (Y, X)
    width : int
        As for `whole_stripes`.
    """
    # The penalty is set for changes of about one.
    unit = plane.diff(dim=1).abs().mean().clamp_min(1e-12)
    across = (plane / unit).diff(dim=1)
    sparse = _SPARSE / max(width, 2)
    curvature_y, curvature_x = (
        2.0 - 2.0 * torch.cos(pi * torch.arange(size, device=plane.device, dtype=plane.dtype) / size)
        for size in plane.shape
    )
    divisor = curvature_y[:, None] + curvature_x[None] + 1.0
    kept, along, stripes = across.clone(), torch.zeros_like(plane[1:]), torch.zeros_like(plane)
    dual_kept, dual_along, dual_stripes = torch.zeros_like(kept), torch.zeros_like(along), torch.zeros_like(plane)
    for _ in range(_STEPS):
        check_cancelled()
        right = _undiffed(across - kept + dual_kept, 1) + _undiffed(along - dual_along, 0) + stripes - dual_stripes
        found = _cosines_back(_cosines(right) / divisor)
        over, down = across - found.diff(dim=1), found.diff(dim=0)
        kept = functional.softshrink(over + dual_kept, 1.0 / _PENALTY)
        along = functional.softshrink(down + dual_along, _ALONG / _PENALTY)
        stripes = functional.softshrink(found + dual_stripes, sparse / _PENALTY)
        dual_kept, dual_along = dual_kept + over - kept, dual_along + down - along
        dual_stripes = dual_stripes + found - stripes
    return stripes * unit


@dataclass(frozen=True)
class Found:
    """What was found in a plane.

    Attributes
    ----------
    stripes : torch.Tensor, (Y, X)
        What they add; 0 where there are none.
    whole, parts : float
        How far (0 to 1) stripes from edge to edge, and parts of stripes, were believed.
    """

    stripes: Tensor
    whole: float
    parts: float


def find_stripes(plane: Tensor, width: int, extent: Extent) -> Found:
    """Return the stripes along the columns of a plane (Y, X); NaN where there is nothing.

    With ``extent="auto"``, stripes from edge to edge are believed as far as bands of rows agree in them and they are stronger than
    what is found across them, and parts of stripes as far as more of them are found than in the same plane turned on its side: so
    an image without stripes is left alone.

    Parameters
    ----------
    plane : torch.Tensor, (Y, X)
    width : int
        As for `whole_stripes`.
    extent : {"auto", "whole", "parts"}
    """
    if min(plane.shape) < _SMALLEST:
        return Found(torch.zeros_like(plane), 0.0, 0.0)
    stripes, whole, parts = torch.zeros_like(plane), 0.0, 0.0
    if extent != "parts":
        found = whole_stripes(plane, width)
        whole = 1.0
        if extent == "auto":
            across = whole_stripes(plane.T, width).square().mean().clamp_min(1e-20)
            whole = _between(float(found.square().mean() / across), _STRONGER)
            whole *= _between(agreement(plane, found, width), _AGREE) * _as_stripes(plane, found.expand_as(plane))
            # Joints are broad. Fine stripes change everywhere and would hide the edges that joints leave.
            broad = _slow(found, 1)
            fine = found - broad
            believed = max(
                _as_stripes(plane - fine, broad.expand_as(plane)),
                _cleared(plane, found.expand_as(plane), _CLEARED_BROAD),
            )
            found = fine + believed * broad
        stripes = stripes + whole * found
    if extent != "whole":
        rest = plane - stripes
        missing = ~torch.isfinite(rest)
        if missing.any():
            rest = torch.where(missing, rest.nanmedian(0).values.nan_to_num(0.0)[None], rest)
        found = parts_of_stripes(rest, width)
        if extent == "parts":
            parts = 1.0
        else:
            turned = parts_of_stripes(rest.T.contiguous(), width)
            parts = _between(float(found.abs().mean() / turned.abs().mean().clamp_min(1e-12)), _MORE)
            parts = parts * _as_stripes(rest, found) * _as_parts(found) if found.abs().mean() > 0 else 0.0
        stripes = stripes + parts * found
    return Found(stripes, whole, parts)


def _as_stripes(plane: Tensor, stripes: Tensor) -> float:
    """Return how far (0 to 1) what was found has the same strength all along it, as stripes have, and joints of bricks have not."""
    jumps = stripes.diff(dim=1).abs()
    there = jumps > _SMALLEST_JUMP * jumps.max()
    left = (plane - stripes).diff(dim=1).abs()
    known = torch.isfinite(left)
    at, elsewhere = left[there & known], left[~there & known]
    if at.numel() == 0 or elsewhere.numel() == 0:
        return 1.0
    ratio = float(at.mean() / elsewhere.mean().clamp_min(1e-12))
    return max(1.0 - _between(ratio, _LEFT), _cleared(plane, stripes, _CLEARED))


def _cleared(plane: Tensor, stripes: Tensor, bounds: tuple[float, float]) -> float:
    """Return how far (0 to 1) next to nothing is left of the changes at stripes, which are then all that there was."""
    jumps = stripes.diff(dim=1).abs()
    before, after = plane.diff(dim=1).abs(), (plane - stripes).diff(dim=1).abs()
    there = (jumps > _SMALLEST_JUMP * jumps.max()) & torch.isfinite(before)
    share = float(after[there].sum() / before[there].sum().clamp_min(1e-12)) if there.any() else 1.0
    return 1.0 - _between(share, bounds)


def _as_parts(stripes: Tensor) -> float:
    """Return how far (0 to 1) columns of parts of stripes know nothing of their neighbours.

    What is taken from an edge or a joint is a few pixels broad. Stripes that broad are not found in parts at all, so that nothing
    is lost.
    """
    correlation = (stripes[:, 1:] * stripes[:, :-1]).sum() / stripes.square().sum().clamp_min(1e-20)
    return 1.0 - _between(float(correlation), _NEIGHBOURS)


class Destriped(Prepared):
    """An image without stripes, plane by plane.

    Parameters
    ----------
    params : StripeParams
    law : {"gain", "offset"}
    dark, dim : float
        The level without light, and what is added above it before the logarithm, normalised.
    """

    def __init__(self, params: StripeParams, law: Law, dark: float, dim: float) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL)
        self.resolved = {"law": law}
        self._params, self._law, self._dark, self._dim = params, law, dark, dim

    def apply(self, block: Tensor) -> Tensor:
        """Take the stripes away; see `Prepared.apply`."""
        planes = [self._without(plane, self.find(plane)) for plane in block.flatten(0, 1)]
        return torch.stack(planes).reshape(block.shape)

    def gains(self, block: Tensor) -> Tensor:
        """Return how much brighter the stripes were made, where they multiply; see `Prepared.gains`."""
        planes = [torch.exp(-self.find(plane).stripes) for plane in block.flatten(0, 1)]
        return torch.stack(planes).reshape(block.shape)

    def find(self, plane: Tensor) -> Found:
        """Return the stripes of a plane (Y, X), in logarithms where they multiply."""
        values = plane
        if self._law == "gain":
            values = torch.log((plane - self._dark).clamp_min(0.0) + self._dim)
        return _along(self._params, values)

    def _without(self, plane: Tensor, found: Found) -> Tensor:
        if not (found.whole or found.parts):
            return plane
        if self._law == "offset":
            return plane - found.stripes
        lift = self._dim - self._dark
        return (plane + lift) * torch.exp(-found.stripes) - lift

    def change(self, plane: Tensor, found: Found) -> tuple[float, float]:
        """Return the mean change from pixel to pixel across the stripes, before and after."""
        axis = 0 if self._params.direction == "rows" else 1
        return tuple(float(one.diff(dim=axis).abs().mean()) for one in (plane, self._without(plane, found)))  # type: ignore[return-value]


def prepare_stripes(image: Image, params: StripeParams, context: Context) -> Prepared:
    """Look at a few planes: whether there are stripes, and whether they multiply the signal or add to it.

    Parameters
    ----------
    image : Image
    params : StripeParams
    context : Context
    """
    context.report.start("Looking for stripes")
    scale, offset = context.intensity.scale, context.intensity.offset
    dark = (params.dark - offset) / scale
    signal = (context.statistics.mean - params.dark) / scale
    # What lies below the dark level has no logarithm.
    can_multiply = signal > 0 and context.statistics.low >= params.dark
    laws: tuple[Law, ...] = ("gain", "offset") if can_multiply else ("offset",)
    if params.law != "auto":
        laws = (params.law,)
    dim = max(_DIM * signal, 1e-6)
    ways = [Destriped(params, law, dark, dim) for law in laws]
    planes = [_as_tensor(plane, context) for plane in _few_planes(image)]
    found = [[way.find(plane) for plane in planes] for way in ways]
    rest = [
        sum(way.change(plane, one)[1] for plane, one in zip(planes, each, strict=True))
        for way, each in zip(ways, found, strict=True)
    ]
    best = int(np.argmin(rest))
    chosen = ways[best]
    chosen.notes = _notes(params, chosen, found[best], planes)
    # The level at which the logarithm is taken is the one that stays.
    chosen.multiplies = laws[best] != "offset"
    chosen.noise_level = (dark - dim) * scale + offset if chosen.multiplies else 0.0
    return chosen


def _notes(params: StripeParams, way: Destriped, found: list[Found], planes: list[Tensor]) -> tuple[str, ...]:
    """Say what was found."""
    whole, parts = (max((getattr(one, name) for one in found), default=0.0) for name in ("whole", "parts"))
    what = "rings" if params.direction == "rings" else f"stripes along the {params.direction}"
    if max(whole, parts) < _FOUND:
        others: dict[str, Direction] = {"columns": "rows", "rows": "columns"}
        other = others.get(params.direction)
        hint = ""
        if other and any(find_stripes(_turned(plane, other), params.width, "auto").whole for plane in planes):
            hint = f" The {other} look striped: set the direction to them if they are."
        return (f"No {what} were found, and planes without any stay as they are.{hint}",)
    kind = "from edge to edge" if whole >= _FOUND else "in parts"
    if whole >= _FOUND and parts >= _FOUND:
        kind = "from edge to edge and in parts"
    law = {"gain": "multiply the signal", "offset": "add to the signal"}[way.resolved["law"]]
    return (f"There are {what}, {kind}, which {law}.",)


def _few_planes(image: Image) -> list[np.ndarray]:
    planes = sample_planes(image, max(_SAMPLED, 1), 1024)
    planes = [planes[i] for i in sorted({int(i) for i in np.linspace(0, len(planes) - 1, _LOOKED_AT)})]
    return planes


def _as_tensor(plane: np.ndarray, context: Context) -> Tensor:
    values = context.intensity.forward(plane)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, np.median(values[finite]) if finite.any() else 0.0)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(context.device.torch_name)


def _along(params: StripeParams, values: Tensor) -> Found:
    """Return the stripes along the direction that is set."""
    if params.direction == "rings":
        return _rings(values, params)
    found = find_stripes(_turned(values, params.direction), params.width, params.extent)
    return Found(_turned(found.stripes, params.direction), found.whole, found.parts)


def _turned(plane: Tensor, direction: Direction) -> Tensor:
    """Return a plane with its stripes along the columns."""
    return plane.T.contiguous() if direction == "rows" else plane


def _rings(plane: Tensor, params: StripeParams) -> Found:
    """Return the rings around the centre: stripes of the plane as it is seen along the angle and the radius."""
    height, length = plane.shape
    y0 = (height - 1) / 2 if params.centre_y is None else params.centre_y
    x0 = (length - 1) / 2 if params.centre_x is None else params.centre_x
    farthest = max(hypot(y - y0, x - x0) for y in (0, height - 1) for x in (0, length - 1))
    radii = torch.arange(ceil(farthest) + 2, device=plane.device, dtype=plane.dtype)
    turns = max(_SMALLEST, ceil(pi * min(farthest, max(height, length) / 2)))
    angles = torch.arange(turns, device=plane.device, dtype=plane.dtype) * (tau / turns)
    y, x = (start + torch.outer(of(angles), radii) for start, of in ((y0, torch.sin), (x0, torch.cos)))
    outside = (y < 0) | (y > height - 1) | (x < 0) | (x > length - 1)
    polar = _at(plane, y, x).masked_fill(outside, torch.nan)
    found = find_stripes(polar, params.width, params.extent)
    down, right = torch.meshgrid(
        torch.arange(height, device=plane.device, dtype=plane.dtype) - y0,
        torch.arange(length, device=plane.device, dtype=plane.dtype) - x0,
        indexing="ij",
    )
    angle = torch.remainder(torch.atan2(down, right), tau) * (turns / tau)
    round_ = torch.cat([found.stripes, found.stripes[:1]]).nan_to_num(0.0)
    return Found(_at(round_, angle, torch.hypot(down, right)), found.whole, found.parts)


def _at(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return a plane at places between its pixels, bilinearly."""
    height, length = plane.shape
    places = torch.stack([2.0 * x / max(length - 1, 1) - 1.0, 2.0 * y / max(height - 1, 1) - 1.0], -1)
    return functional.grid_sample(plane[None, None], places[None], padding_mode="border", align_corners=True)[0, 0]


def _between(value: float, bounds: tuple[float, float]) -> float:
    """Return how far a value lies between two bounds, 0 to 1."""
    return min(1.0, max(0.0, (value - bounds[0]) / (bounds[1] - bounds[0])))


def _slow(rows: Tensor, width: int) -> Tensor:
    """Return a Gaussian mean along rows (N, X), mirrored at the ends."""
    length = rows.shape[1]
    reach = 3 * width
    at = torch.arange(-reach, reach + 1, device=rows.device, dtype=rows.dtype)
    kernel = torch.exp(-0.5 * (at / width) ** 2)
    index = torch.remainder(torch.arange(-reach, length + reach, device=rows.device), 2 * length)
    mirrored = rows[:, torch.where(index >= length, 2 * length - 1 - index, index)]
    return functional.conv1d(mirrored[:, None], (kernel / kernel.sum())[None, None])[:, 0]


def _undiffed(changes: Tensor, axis: int) -> Tensor:
    """Return the transpose of the difference along an axis."""
    none = torch.zeros_like(changes.narrow(axis, 0, 1))
    return torch.cat([none, changes], axis) - torch.cat([changes, none], axis)


def _cosines(plane: Tensor) -> Tensor:
    """Return the discrete cosine transform (type II) of a plane, by Makhoul's order of its pixels."""
    for axis in (1, 0):
        rows = plane.transpose(axis, 1)
        folded = torch.fft.fft(torch.cat([rows[:, ::2], rows[:, 1::2].flip(1)], 1))
        plane = (folded * _phase(rows.shape[1], plane, -1.0)).real.transpose(axis, 1)
    return plane


def _cosines_back(plane: Tensor) -> Tensor:
    """Return the plane that has this discrete cosine transform."""
    for axis in (1, 0):
        rows = plane.transpose(axis, 1)
        mirrored = torch.cat([torch.zeros_like(rows[:, :1]), rows[:, 1:].flip(1)], 1)
        folded = torch.fft.ifft((rows - 1j * mirrored) * _phase(rows.shape[1], plane, 1.0)).real
        half = (rows.shape[1] + 1) // 2
        found = torch.empty_like(folded)
        found[:, ::2], found[:, 1::2] = folded[:, :half], folded[:, half:].flip(1)
        plane = found.transpose(axis, 1)
    return plane


def _phase(size: int, like: Tensor, sign: float) -> Tensor:
    at = torch.arange(size, device=like.device, dtype=like.dtype) * (pi / (2 * size))
    return torch.polar(torch.ones_like(at), sign * at)
