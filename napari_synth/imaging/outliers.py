"""What stands far out of an image: hot and dead pixels of the camera, and beads far brighter than the rest.

Intensities are first mapped so that noise has a standard deviation of 1 at every brightness. A pixel is hot where it then exceeds
all of its eight neighbours but one (which may be hot itself) by more than noise ever does, and where what is around it does not
explain it: either it exceeds them by more than three times what they differ among themselves, or, at an edge, they do not rise
towards it. The sharpest point that a lens draws spreads over its neighbours, and fails both tests. Dead pixels are the mirror
image.

A network errs by a share of the contrast that it sees. Beside a saturated bead that share is more than the noise of the background,
far beyond the bead. So where an image has such contrast, it is restored twice: as it is, which holds near what is bright, and cut
off at a ceiling, which holds everywhere else.

References
----------
Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", Cambridge University Press (1998), for the generalised Anscombe
transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel
from napari_synth.imaging.sampling import sample_planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SIGMAS = 7.5
"""Standard deviations of noise by which a pixel must stand out of its neighbours."""
MARGIN = 2
"""Pixels around a part of a plane that the answer for the part depends on."""
_STRUCTURE = 3.0
_BEATEN = 7
_AROUND = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
# Of the profiles through a spot of 0.7 pixels, the direct neighbours rise by half of what it exceeds them by.
_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))
_SMOOTH_LINES = 3
_RISE, _RISE_OF_NOISE = 0.05, 1.5
_CERTAIN = 12.0

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def hot_pixels(plane: npt.NDArray[Any], noise: NoiseModel) -> Bools:
    """Return which pixels are hot or dead.

    Parameters
    ----------
    plane : numpy.ndarray, (Y, X)
        In counts; what is not finite is not hot. A part of a larger plane needs a margin of `MARGIN` pixels, whose own answer is
        wrong.
    noise : NoiseModel
        In counts, not without noise: a flat image has no pixel that noise could explain.

    Returns
    -------
    numpy.ndarray of bool, (Y, X)
        All False where the plane has fewer than three pixels along an axis.
    """
    found = np.zeros(plane.shape, bool)
    if min(plane.shape) < 3:
        return found
    stable = stabilised(plane, noise)
    rows, columns = np.nonzero(_standing_out(stable))
    if rows.size == 0:
        return found
    # Reflected without the edge itself, as often as the smallest planes need.
    padded = np.pad(stable, MARGIN, mode="reflect")

    def beside(y: int, x: int) -> Floats:
        return padded[rows + MARGIN + y, columns + MARGIN + x]

    here = stable[rows, columns]
    around = np.stack([beside(y, x) for y, x in _AROUND], axis=-1)
    # No comparison with NaN holds.
    above = (here[:, None] - around > SIGMAS).sum(axis=-1) >= _BEATEN
    below = (around - here[:, None] > SIGMAS).sum(axis=-1) >= _BEATEN
    around.sort(axis=-1)
    low, high = around[:, 1], around[:, -2]
    excess = np.maximum(here - high, low - here)
    lonely = excess > _STRUCTURE * (high - low)
    smooth = np.zeros(rows.size, np.uint8)
    for y, x in _LINES:
        rise = (beside(y, x) + beside(-y, -x) - beside(2 * y, 2 * x) - beside(-2 * y, -2 * x)) / 2
        smooth += np.abs(rise) < _RISE * excess + _RISE_OF_NOISE
    found[rows, columns] = (above | below) & (lonely | ((smooth >= _SMOOTH_LINES) & (excess > _CERTAIN)))
    return found


def _standing_out(stable: Floats) -> Bools:
    """Return which pixels can exceed all of their neighbours but one: few, and quickly found."""
    result = np.zeros(stable.shape, bool)
    for sign in (1.0, -1.0):
        before, after = (np.zeros((2, *stable.shape), bool) for _ in range(2))
        for axis in (0, 1):
            step = np.diff(stable, axis=axis)
            first, last = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(None, -1),)
            before[axis][first] = step > SIGMAS if sign > 0 else step < -SIGMAS
            after[axis][last] = step < -SIGMAS if sign > 0 else step > SIGMAS
            # Beyond the border lies the mirror image.
            edge = (slice(None),) * axis
            before[axis][(*edge, 0)] = after[axis][(*edge, 0)]
            after[axis][(*edge, -1)] = before[axis][(*edge, -1)]
        both, either = before & after, before | after
        result |= (both[0] & either[1]) | (both[1] & either[0])
    return result


def stabilised(values: npt.NDArray[Any], noise: NoiseModel) -> Floats:
    """Map counts so that noise has a standard deviation of about 1: Anscombe above the camera's offset, a line below it.

    What is not finite becomes NaN.
    """
    floor = float(np.sqrt(0.375 * noise.gain**2 + noise.read_noise**2))
    with np.errstate(invalid="ignore", over="ignore"):
        # In units of the floor before single precision, which large offsets and ranges would exceed.
        signal = ((values - np.float64(noise.offset)) / floor).astype(np.float32)
        if values.dtype.kind == "f":
            signal[~np.isfinite(signal)] = np.nan
        if noise.gain <= 0.0:
            return signal
        bright = np.maximum(signal, 0)
        # Written without the difference of two roots.
        return np.asarray(
            np.minimum(signal, 0) + 2 * bright / (np.sqrt(np.float32(noise.gain / floor) * bright + 1) + 1)
        )


_USUAL = (5.0, 95.0)
# Above the usual counts, in their range and in standard deviations of noise: where the ceiling is, and from where on it is needed.
_CEILING = (0.25, 20.0)
_NEEDED = (3.0, 100.0)
_NEAR, _BLEND = 6, 2
_MOST = 4.0


def ceiling(image: Image, noise: NoiseModel, maximum: float) -> float | None:
    """Return the counts above which an image is far brighter than the rest, None where it is nowhere.

    Parameters
    ----------
    image : Image
        Of one channel.
    noise : NoiseModel
        In counts.
    maximum : float
        The largest of its counts.
    """
    pixels = np.concatenate([plane[:: max(1, plane.shape[0] // 256)].ravel() for plane in sample_planes(image)])
    low, high = np.percentile(pixels[np.isfinite(pixels)].astype(np.float64), _USUAL)
    # Where hardly anything was counted, a single electron is not far brighter than the rest.
    sigma = max(float(noise.sigma(high)), noise.gain)
    level, needed = (float(high + max(ranges * (high - low), sigmas * sigma)) for ranges, sigmas in (_CEILING, _NEEDED))
    return level if maximum > needed > level else None


def without_glare(
    apply: Callable[[Tensor], Tensor], block: Tensor, level: float, axes: str, noise: NoiseModel | None
) -> Tensor:
    """Restore blocks so that what is bright changes nothing far from it.

    Parameters
    ----------
    apply : callable
        Restores blocks.
    block : Tensor, (N, C, *spatial)
        Normalised.
    level : float
        The ceiling, normalised.
    axes : str
        The spatial axes.
    noise : NoiseModel or None
        Normalised: near what is bright, a result on the same grid changes pixels by no more than noise can.
    """
    import torch
    import torch.nn.functional as F

    bright = (block > level).any(dim=1, keepdim=True)
    if not bool(bright.any()):
        return apply(block)
    direct, calm = apply(block), apply(block.clamp_max(level))
    if noise is not None and direct.shape == block.shape:
        variance = noise.gain * (block - noise.offset).clamp_min(0.0) + noise.read_noise**2
        most = _MOST * variance.sqrt()
        direct = block - (block - direct).clamp(-most, most)
    near = bright.to(direct.dtype)
    for axis, size in enumerate(block.shape[2:], start=2):
        if axes[axis - 2] == "T":
            continue
        rows = near.movedim(axis, -1)
        flat = rows.reshape(-1, 1, size)
        flat = F.max_pool1d(flat, 2 * _NEAR + 1, stride=1, padding=_NEAR)
        flat = F.avg_pool1d(flat, 2 * _BLEND + 1, stride=1, padding=_BLEND, count_include_pad=False)
        near = flat.reshape(rows.shape).movedim(-1, axis)
    near = F.interpolate(near, size=direct.shape[2:], mode="nearest-exact")
    return torch.lerp(calm, direct, near)
