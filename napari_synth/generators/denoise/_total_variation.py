"""Total-variation denoising of planes and volumes.

References
----------
Rudin, Osher & Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60 (1992);
Beck & Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising", IEEE TIP 18 (2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor


def total_variation(image: Tensor, weight: float, *, iterations: int = 50, axial: float = 1.0) -> Tensor:
    """Return the image of least ``|u - image|² / 2 + weight * TV(u)``, by the fast projected gradient of the dual.

    Parameters
    ----------
    image : torch.Tensor, (N, C, Z, Y, X)
        A single plane (Z of 1) is smoothed in the plane only.
    weight : float
        How much a change of intensity costs, in the units of the image; 0 returns the image.
    iterations : int
        Steps; a pixel has no influence beyond as many pixels.
    axial : float
        Weight of a change along Z over one in the plane, 0 to 1.
    """
    if weight <= 0.0:
        return image
    axes = [(-1, 1.0), (-2, 1.0)]
    if image.shape[-3] > 1 and axial > 0.0:
        axes.append((-3, axial))
    step = 1.0 / (4.0 * weight * sum(factor**2 for _, factor in axes))
    dual = [torch.zeros_like(image) for _ in axes]
    ahead = [torch.zeros_like(image) for _ in axes]
    momentum = 1.0
    for _ in range(iterations):
        primal = _primal(image, ahead, axes, weight)
        for direction, (axis, factor) in zip(ahead, axes, strict=True):
            length = image.shape[axis] - 1
            difference = primal.narrow(axis, 1, length) - primal.narrow(axis, 0, length)
            direction.narrow(axis, 0, length).add_(difference, alpha=step * factor)
        norm = ahead[0].square()
        for direction in ahead[1:]:
            norm.addcmul_(direction, direction)
        norm.clamp_(min=1.0).rsqrt_()
        following = (1.0 + sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        inertia = (momentum - 1.0) / following
        for direction, old in zip(ahead, dual, strict=True):
            direction.mul_(norm)
            # The new dual replaces the old one, and the point ahead of it lies beyond both.
            old.mul_(-inertia).add_(direction, alpha=1.0 + inertia)
        dual, ahead = ahead, dual
        momentum = following
    return _primal(image, dual, axes, weight)


def _primal(image: Tensor, dual: Sequence[Tensor], axes: Sequence[tuple[int, float]], weight: float) -> Tensor:
    """Return the image plus ``weight`` times the divergence of the dual."""
    primal = image.clone()
    for direction, (axis, factor) in zip(dual, axes, strict=True):
        length = image.shape[axis] - 1
        inner = direction.narrow(axis, 0, length)
        primal.narrow(axis, 0, length).add_(inner, alpha=weight * factor)
        primal.narrow(axis, 1, length).sub_(inner, alpha=weight * factor)
    return primal
