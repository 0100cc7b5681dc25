"""Wavelet shrinkage that does not depend on where the pixel grid starts.

The transform is not decimated, which is the average over all cyclic shifts of the decimated one (cycle spinning). The
threshold follows the signal of the neighbourhood in each band, so that a block needs no statistics of the whole image.

References
----------
Coifman & Donoho, "Translation-invariant de-noising", 1995; Chang, Yu & Vetterli, "Spatially adaptive wavelet
thresholding with context modeling for image denoising", IEEE TIP 9 (2000).
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional

_CONTEXT = 3
_LEAST_SIGNAL = 1e-12
_ROOT_HALF = sqrt(0.5)


def reach(levels: int) -> int:
    """Return how many pixels away a value can still change a result."""
    coarsest: int = 2 ** (levels - 1)
    return 2 * coarsest - 1 + _CONTEXT * coarsest


def shrink(image: Tensor, strength: float, *, levels: int = 4) -> Tensor:
    """Shrink the Haar coefficients of planes with noise of standard deviation 1.

    Parameters
    ----------
    image : torch.Tensor, (N, C, Z, Y, X)
        Planes along Z are treated one by one.
    strength : float
        Factor on the noise that is assumed, about 1; 0 returns the image.
    levels : int
        Scales that are shrunk; the coarsest detail is 2**levels pixels wide.
    """
    n, c, z, y, x = image.shape
    margin = reach(levels)
    # Cyclic shifts wrap around within the margin only.
    low = functional.pad(image.reshape(n * c * z, 1, y, x), (margin,) * 4, mode="replicate")
    details = []
    for level in range(levels):
        top, bottom = _split(low, -2, 2**level)
        low, *bands = *_split(top, -1, 2**level), *_split(bottom, -1, 2**level)
        details.append([_soften(band, strength**2, 2**level) for band in bands])
    for level in reversed(range(levels)):
        horizontal, vertical, diagonal = details[level]
        top = _join(low, horizontal, -1, 2**level)
        bottom = _join(vertical, diagonal, -1, 2**level)
        low = _join(top, bottom, -2, 2**level)
    return low[..., margin : margin + y, margin : margin + x].reshape(image.shape)


def _split(values: Tensor, axis: int, distance: int) -> tuple[Tensor, Tensor]:
    """Return scaled sums and differences of neighbours, which keep white noise at its standard deviation."""
    neighbours = torch.roll(values, -distance, axis)
    return (values + neighbours) * _ROOT_HALF, (values - neighbours) * _ROOT_HALF


def _join(sums: Tensor, differences: Tensor, axis: int, distance: int) -> Tensor:
    """Undo `_split`, averaging the two ways in which every value can be had."""
    return ((sums + differences) + torch.roll(sums - differences, distance, axis)) * (0.5 * _ROOT_HALF)


def _soften(band: Tensor, variance: float, distance: int) -> Tensor:
    """Soft-threshold by the variance of the noise over the standard deviation of the signal nearby."""
    signal = (_mean_nearby(band.square(), distance) - variance).clamp_(min=_LEAST_SIGNAL)
    threshold = signal.rsqrt_().mul_(variance)
    return band - torch.maximum(torch.minimum(band, threshold), -threshold)


def _mean_nearby(values: Tensor, distance: int) -> Tensor:
    """Return the mean over a square of pixels that are ``distance`` apart."""
    for axis in (-2, -1):
        total = values.clone()
        for step in range(1, _CONTEXT + 1):
            total.add_(torch.roll(values, step * distance, axis)).add_(torch.roll(values, -step * distance, axis))
        values = total.mul_(1.0 / (2 * _CONTEXT + 1))
    return values
