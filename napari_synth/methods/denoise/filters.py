"""The median of every pixel's neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import Context, Prepared
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.catalogue import (
    _LARGEST,
    MedianParams,
    NonLocalMeansParams,
    TotalVariationParams,
    WaveletParams,
)
from napari_synth.methods.denoise.classical import Filter, prepare_classical


def median(image: Tensor, radius: int, *, planes: int = 0) -> Tensor:
    """Return the median of a square around every pixel, borders replicated.

    Parameters
    ----------
    image : torch.Tensor, (N, C, Z, Y, X)
    radius : int
        Pixels on each side in the plane; 0 returns the image (or the median along Z).
    planes : int
        Planes above and below that count too.
    """
    _, _, depth, height, width = image.shape
    padded = functional.pad(image, (radius,) * 4 + (planes,) * 2, mode="replicate")
    side = 2 * radius + 1
    shifted = [
        padded[..., z : z + depth, y : y + height, x : x + width]
        for z, y, x in product(range(2 * planes + 1), range(side), range(side))
    ]
    return torch.stack(shifted, dim=-1).median(dim=-1).values


def prepare_median(image: Image, params: MedianParams, context: Context) -> Prepared:
    """Choose the radius.

    For its parameters see `Generator.prepare`.
    """
    radius = params.radius or _LARGEST
    method = Filter(
        smooth=lambda x, r: median(x, int(r), planes=1 if x.shape[-3] > 1 else 0),
        halo=radius,
        planes=1,
        values=tuple(float(r) for r in range(1, _LARGEST + 1)),
        default=1.0,
        between=False,
        setting="radius",
        keeps_means=False,
        bytes_per_pixel=3 * 4 * (2 * radius + 1) ** 2,
    )
    return prepare_classical(image, context, method, params.radius, params.neighbours)


def non_local_means(
    image: Tensor, strength: float, *, patch_radius: int = 2, search_radius: int = 7, planes: int = 0
) -> Tensor:
    """Average every pixel with those whose surroundings look alike.

    Parameters
    ----------
    image : torch.Tensor, (N, 1, Z, Y, X)
        With noise of standard deviation 1.
    strength : float
        Standard deviations by which surroundings may differ.
    patch_radius, search_radius : int
        Of the surroundings that are compared, and of the places they are looked for at, in pixels of the plane.
    planes : int
        How many planes above and below are searched too.
    """
    falloff = -1.0 / strength**2
    patch = (2 * patch_radius + 1) ** 2
    total, weights = image.clone(), torch.ones_like(image)
    for shift in _half_of_displacements(planes, search_radius):
        if any(abs(step) >= size for step, size in zip(shift, image.shape[-3:], strict=True)):
            continue
        here, there = _overlap(shift)
        first, second = image[here], image[there]
        # Two noisy patches of the same content differ by twice the variance.
        distance = _patch_sum((first - second).square_(), patch_radius)
        weight = distance.mul_(falloff / patch).sub_(2.0 * falloff).clamp_(max=0.0).exp_()
        total[here].addcmul_(weight, second)
        total[there].addcmul_(weight, first)
        weights[here].add_(weight)
        weights[there].add_(weight)
    return total / weights


def _half_of_displacements(planes: int, radius: int) -> list[tuple[int, int, int]]:
    """Return one of each pair of opposite displacements in Z, Y and X."""
    reach = range(-radius, radius + 1)
    return [shift for shift in product(range(planes + 1), reach, reach) if shift > (0, 0, 0)]


def _overlap(shift: tuple[int, int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where pixels are that have a partner at this displacement, and where the partners are."""
    here = tuple(slice(max(-step, 0), -step if step > 0 else None) for step in shift)
    there = tuple(slice(max(step, 0), step if step < 0 else None) for step in shift)
    return (slice(None), slice(None), *here), (slice(None), slice(None), *there)


def _patch_sum(values: Tensor, radius: int) -> Tensor:
    """Return the sum over the patch around each pixel, borders replicated."""
    # Shifted sums are five times faster on the CPU than torch's pooling.
    for axis, pad in ((-2, (0, 0, radius, radius)), (-1, (radius, radius))):
        length = values.shape[axis]
        padded = functional.pad(values, (*pad, *(0,) * (6 - len(pad))), mode="replicate")
        values = padded.narrow(axis, 0, length).clone()
        for start in range(1, 2 * radius + 1):
            values.add_(padded.narrow(axis, start, length))
    return values


def prepare_non_local_means(image: Image, params: NonLocalMeansParams, context: Context) -> Prepared:
    """Measure the noise and choose the strength.

    For its parameters see `Generator.prepare`.
    """
    method = Filter(
        smooth=lambda x, strength: non_local_means(
            x, strength, patch_radius=params.patch_radius, search_radius=params.search_radius, planes=1
        ),
        halo=params.patch_radius + params.search_radius,
        planes=1,
        values=(0.4, 0.55, 0.75, 1.0, 1.4),
        shown=1.25,
        default=0.75,
        setting="strength",
    )
    return prepare_classical(image, context, method, params.strength, params.neighbours)


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


def prepare_total_variation(image: Image, params: TotalVariationParams, context: Context) -> Prepared:
    """Measure the noise and choose the weight.

    For its parameters see `Generator.prepare`.
    """
    in_plane, axial = image.spacing.get("X", 1.0), image.spacing.get("Z", 1.0)
    # Distant planes have less to say about each other.
    axial_weight = min(1.0, in_plane / axial) if axial > 0.0 else 1.0
    method = Filter(
        smooth=lambda x, weight: total_variation(x, weight, iterations=params.iterations, axial=axial_weight),
        halo=24,
        planes=16,
        values=(0.2, 0.35, 0.6, 0.9, 1.4, 2.2),
        shown=1.15,
        default=0.65,
        setting="weight",
    )
    return prepare_classical(image, context, method, params.weight, params.neighbours)


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


def prepare_wavelet(image: Image, params: WaveletParams, context: Context) -> Prepared:
    """Measure the noise and choose the strength.

    For its parameters see `Generator.prepare`.
    """
    method = Filter(
        smooth=lambda x, strength: shrink(x, strength, levels=params.levels),
        halo=reach(params.levels),
        values=(0.7, 0.9, 1.1, 1.4, 1.8, 2.4),
        shown=1.1,
        default=1.15,
        setting="strength",
        bytes_per_pixel=64 + 16 * params.levels,
    )
    return prepare_classical(image, context, method, params.strength, "ignore")
