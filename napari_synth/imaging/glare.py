"""Keeps what is far brighter than the rest from ringing into it.

A network errs by a share of the contrast that it sees. Beside a saturated bead that share is more than the noise of the background,
far beyond the bead. So where an image has such contrast, it is restored twice: as it is, which holds near what is bright, and cut
off at a ceiling, which holds everywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel
from napari_synth.imaging.sampling import sample_planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

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
