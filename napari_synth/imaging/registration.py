"""Tells by how much images are shifted against each other, and brings them, and what was drawn on them, into register.

A movie whose stage drifts or shakes shows the same scene a little displaced in every frame. `estimate_drift` measures by how much,
to a fraction of a pixel, in planes and in volumes; what it returns is a table, and moves other channels, labels and points as well.

References
----------
Guizar-Sicairos et al., "Efficient subpixel image registration algorithms", Optics Letters 33 (2008).
Lucas & Kanade, "An iterative image registration technique", IJCAI 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError

Doubles = npt.NDArray[np.float64]

_STEPS = 6
_DONE = 0.01
# Beyond so many pixels, steps lead to another place than where they began.
_FARTHEST_STEP = 1.5
_SMALLEST = 8
_COARSE = 16
# Of the size of an image: what is shifted further has too little in common with it.
_FARTHEST = 0.5


@dataclass(frozen=True)
class Shift:
    """By how much one image is shifted against another.

    Attributes
    ----------
    displacement : tuple of float
        What is at ``x`` in the reference is at ``x + displacement`` in the moving image, in pixels along each axis.
    correlation : float
        How well the two agree after that: the correlation coefficient of their details where they overlap, -1 to 1.
    certainty : tuple of tuple of float
        How sure that is along the axes: the inverse of its covariance, but for a factor that is the same for images of one kind.
    """

    displacement: tuple[float, ...]
    correlation: float
    certainty: tuple[tuple[float, ...], ...]


def estimate_shift(reference: npt.NDArray[Any], moving: npt.NDArray[Any]) -> Shift:
    """Measure by how much one image is shifted against another, to a fraction of a pixel.

    The peak of the phase correlation tells whole pixels; Gauss-Newton steps on the difference of the images tell the rest.

    Parameters
    ----------
    reference, moving : numpy.ndarray, ([Z,] Y, X)
        Two images of one size without NaN, in any intensities. Denoise them before where noise is strong.

    Returns
    -------
    Shift

    Raises
    ------
    InvalidImageError
        The images differ in size.
    """
    if reference.shape != moving.shape:
        raise InvalidImageError(
            f"Images of {reference.shape} and {moving.shape} pixels cannot be compared: give two of one size."
        )
    first, second = (_details(image) for image in (reference, moving))
    candidates = {_whole_pixels(first, second, kind) for kind in ("phase", None)} | {(0.0,) * first.ndim}
    start = max(sorted(candidates), key=lambda shift: _agreement(first, second, shift))
    return _refined(first, second, start)


def _details(image: npt.NDArray[Any]) -> Doubles:
    """Return an image without its slow changes, of which drift tells nothing."""
    from scipy.ndimage import gaussian_filter

    pixels = np.asarray(image, np.float64)
    slow = [max(2.0, size / _COARSE) if size >= _SMALLEST else 0.0 for size in pixels.shape]
    return np.asarray(gaussian_filter(pixels, 0.7) - gaussian_filter(pixels, slow))


def _taper(shape: Sequence[int]) -> Doubles:
    """Return a window that falls to 0 at the borders, so that they do not correlate with each other."""
    window = np.ones(tuple(shape))
    for axis, size in enumerate(shape):
        if size >= _SMALLEST:
            profile = np.minimum(1.0, 4.0 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2)
            window *= profile.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return window


def _whole_pixels(first: Doubles, second: Doubles, normalization: Literal["phase"] | None) -> tuple[float, ...]:
    from skimage.registration import phase_cross_correlation

    window = _taper(first.shape)
    shift, _, _ = phase_cross_correlation(first * window, second * window, normalization=normalization)
    return tuple(-float(s) if abs(s) <= _FARTHEST * size else 0.0 for s, size in zip(shift, first.shape, strict=True))


def _overlap(shape: Sequence[int], shift: Sequence[float]) -> tuple[slice, ...]:
    """Return the pixels of the reference that the moving image shows as well."""
    return tuple(
        slice(int(np.ceil(max(0.0, -s))), size - int(np.ceil(max(0.0, s))))
        for size, s in zip(shape, shift, strict=True)
    )


def _correlation(a: Doubles, b: Doubles) -> float:
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def _agreement(first: Doubles, second: Doubles, shift: Sequence[float]) -> float:
    """Return how well two images agree after a shift by whole pixels."""
    part = _overlap(first.shape, shift)
    return _correlation(first[part], second[_overlap(first.shape, [-s for s in shift])])


def _refined(first: Doubles, second: Doubles, start: Sequence[float]) -> Shift:
    """Return a shift after Gauss-Newton steps on the squared difference; the start where they lead away."""
    from scipy.ndimage import shift as moved
    from scipy.ndimage import spline_filter

    smooth = spline_filter(second)
    axes = [axis for axis, size in enumerate(first.shape) if size > 1]
    slopes = [np.gradient(first, axis=axis) for axis in axes]

    def seen(at: Doubles) -> tuple[tuple[slice, ...], Doubles]:
        part = _overlap(first.shape, list(at))
        return part, np.asarray(moved(smooth, -at, order=3, mode="nearest", prefilter=False))[part]

    at = np.asarray(start, np.float64)
    normal = np.zeros((len(axes), len(axes)))
    for _ in range(_STEPS):
        part, there = seen(at)
        inner = [slope[part] for slope in slopes]
        normal = np.array([[float((a * b).sum()) for a in inner] for b in inner])
        right = np.array([float((a * (first[part] - there)).sum()) for a in inner])
        ridge = 1e-9 * max(float(np.trace(normal)), 1e-30) * np.eye(len(normal))
        step = np.zeros(first.ndim)
        step[axes] = np.clip(np.linalg.solve(normal + ridge, right), -1.0, 1.0)
        if np.abs(at + step - start).max() > _FARTHEST_STEP:
            at = np.asarray(start, np.float64)
            break
        at = at + step
        if np.abs(step).max() < _DONE:
            break
    part, there = seen(at)
    certainty = np.zeros((first.ndim, first.ndim))
    certainty[np.ix_(axes, axes)] = normal
    return Shift(
        tuple(float(one) for one in at),
        _correlation(first[part], there),
        tuple(tuple(float(one) for one in row) for row in certainty),
    )


def mean_shift(shifts: Sequence[Shift], steps: Sequence[float] | None = None) -> tuple[float, ...]:
    """Return the mean of displacements, each counted as far as it is certain.

    Parameters
    ----------
    shifts : sequence of Shift
    steps : sequence of float, optional
        How many times the mean each of them is, such as 2 for what moved for two frames at the speed that is asked for.
    """
    factors = [1.0] * len(shifts) if steps is None else list(steps)
    matrices = [np.asarray(one.certainty) for one in shifts]
    total = sum((f * f * m for f, m in zip(factors, matrices, strict=True)), np.zeros_like(matrices[0]))
    right = sum(
        (f * m @ np.asarray(one.displacement) for f, m, one in zip(factors, matrices, shifts, strict=True)),
        np.zeros(len(total)),
    )
    found = np.linalg.pinv(total, rcond=1e-6, hermitian=True) @ right
    return tuple(float(one) for one in found)
