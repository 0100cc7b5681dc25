"""Measures the quality of an image without a truth to compare it with.

Every measure is one number of the whole image, sampled where it is huge, in the image's own counts or a share from 0 to 1, so that
images can be ranked by it. None of them says whether an image is good: that is for the user to decide.

Focus is the power of fine structure (4 to 7 pixels) over that of coarse structure (10 to 33 pixels), in all squares of 32 pixels
together that hold any, after the noise was made equal everywhere and its power, seen at the finest frequencies, taken away: so it
is nearly the same for the same scene at any light. As much fine structure as chance hides is taken to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import check_computable
from napari_synth.imaging.noise import NoiseModel
from napari_synth.imaging.outliers import hot_pixels, stabilised
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.screening import noise_of

Plane = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

SIGNATURE = 64
"""Edge of the signature of an image, by which duplicates and drift are told."""
_MOST_PIXELS = 2**20
_TILE, _STEP = 32, 16
# Cycles a pixel of coarse and of fine structure, and of what is noise alone.
_COARSE, _FINE, _FLOOR = (0.03, 0.1), (0.15, 0.25), (0.35, 0.51)
# Times the power of the noise from which on a tile holds structure.
_STRUCTURE, _NOTHING = 5.0, 0.01
_FEWEST_TILES = 3
# The ratio of fine to coarse structure, as a power of ten, that is a focus of 0; one of 1 is a focus of 1.
_DECADES = 4.0
_PILED_UP, _FEWEST_PILED_UP = 1e-4, 8
_BLOCKS = 16
_ROUNDING = 12**-0.5
# Of a signature: below, what two have in common by chance would count as much as what they show.
_LEAST_RELIABLE = 0.15
# Parts of a row that are compared, and what a step in one is cut off at, in standard deviations of the noise.
_PARTS, _SURE, _FARTHEST = 8, 4.0, 5.0


@dataclass(frozen=True)
class Quality:
    """What was measured of an image, of several channels their mean; a number is NaN where it cannot be told.

    Attributes
    ----------
    shape : tuple of int
        Size along the axes.
    dtype : str
    axes : str
        Their roles, e.g. ``"ZYX"``.
    spacing : str
        Distance of neighbouring pixels with its unit, e.g. ``"Y 0.25 micrometer, X 0.25 micrometer"``; empty where unknown.
    mean, minimum, maximum : float
        Of the finite pixels, in counts.
    nonfinite : float
        Share of pixels that are NaN or infinite.
    noise : float
        Standard deviation of the noise at the median signal, in counts.
    gain : float
        Counts per photo-electron; 0 where the noise does not depend on the signal.
    snr : float
        Variance of the signal over that of the noise, in decibels; infinite without noise.
    correlation : float
        Of the noise of direct neighbours, mean over y and x; 0 where it is not significant.
    focus : float
        How much fine structure there is in relation to coarse structure once the noise is taken away, 0 to 1; to be compared
        between images of the same kind. NaN where there is no structure.
    saturated : float
        Share of pixels at the upper end of the image's range, where they pile up.
    clipped : float
        Share of pixels at the lower end, where they pile up.
    background : float
        Level of the darkest quarter of the field, in counts.
    unevenness : float
        How much the darker parts vary smoothly over the field, over the range of the image, 0 to 1.
    stripes : float
        Standard deviation of what whole rows or columns share, over that of the noise; 0 where it is no more than chance.
    hot_pixels : float
        Share of single pixels that stand out of their neighbours.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: str
    spacing: str
    mean: float
    minimum: float
    maximum: float
    nonfinite: float
    noise: float
    gain: float
    snr: float
    correlation: float
    focus: float
    saturated: float
    clipped: float
    background: float
    unevenness: float
    stripes: float
    hot_pixels: float


MEASURES = tuple(field.name for field in fields(Quality))[4:]
"""The numbers of a `Quality`, in their order."""


def assess(image: Image) -> Quality:
    """Measure the quality of an image, of about a million of its pixels where it is larger.

    Parameters
    ----------
    image : Image
        Of any dtype and range; what is not finite is left out. Channels are measured apart, and their mean is given.

    Raises
    ------
    InvalidImageError
        The image has no finite pixel, or one is beyond 1e100.
    """
    seen = without_alpha(image)
    channels = [seen.select(C=index) for index in range(seen.sizes["C"])] if "C" in seen.axes else [seen]
    found = [_of_channel(channel) for channel in channels]
    means = {name: _mean([one[name] for one in found]) for name in MEASURES}
    spacing = ", ".join(
        f"{axis} {image.spacing[axis]:.6g} {image.units.get(axis, 'pixel')}".strip()
        for axis in image.axes
        if axis in image.spacing
    )
    return Quality(tuple(image.shape), str(image.dtype), image.axes, spacing, **means)


@dataclass(frozen=True)
class Signature:
    """What an image looks like in small: structure between a sixteenth and a sixty-fourth of its field.

    Alike images have signatures that correlate, whatever their brightness and background; their noise multiplies that correlation
    by the square root of the product of their reliabilities.

    Attributes
    ----------
    pixels : numpy.ndarray of int8, (64, 64)
        All 0 where the image has no structure.
    reliability : float
        Which share of its variance is no noise, above 0 to 1.
    """

    pixels: npt.NDArray[np.int8]
    reliability: float


def signature(image: Image) -> Signature:
    """Return what an image looks like in small.

    Parameters
    ----------
    image : Image
        Of several planes the middle one, of several channels the first.
    """
    middle = {axis: size // 2 for axis, size in image.sizes.items() if axis in "TZ"}
    first = {axis: 0 for axis in image.axes if axis in "CS"}
    plane = image.read(**middle, **first).astype(np.float64)
    plane = plane if image.axes.index("Y") < image.axes.index("X") else plane.T
    finite = np.isfinite(plane)
    if not finite.any():
        return Signature(np.zeros((SIGNATURE, SIGNATURE), np.int8), 1.0)
    plane = np.where(finite, plane, np.median(plane[finite]))
    # What is far brighter than the rest, such as hot pixels, must not decide alone.
    plane = np.clip(plane, *np.percentile(plane[::2, ::2], (0.5, 99.5)))
    band = _band(plane)
    spread = band.std()
    if not spread > 1e-9 * max(1.0, float(np.abs(plane).max())):
        return Signature(np.zeros((SIGNATURE, SIGNATURE), np.int8), 1.0)
    report = noise_of(image)
    drawn = _correlated(np.random.default_rng(0).normal(size=plane.shape), report.correlation)
    noise = float(report.model.variance(plane).mean()) * float(_band(drawn).var())
    pixels = np.asarray(np.clip(np.rint(band / spread * 24.0), -127, 127), np.int8)
    return Signature(pixels, float(np.clip(1.0 - noise / spread**2, _LEAST_RELIABLE, 1.0)))


def _band(plane: Doubles) -> Doubles:
    """Return the structure of a plane between a sixteenth and a sixty-fourth of its field, (64, 64)."""
    from scipy.ndimage import gaussian_filter

    small = _resampled(_resampled(plane, 0), 1)
    return np.asarray(gaussian_filter(small, 0.7, mode="nearest") - gaussian_filter(small, 4.0, mode="nearest"))


def _correlated(noise: Doubles, correlation: tuple[float, float]) -> Doubles:
    """Return white noise (Y, X) with a correlation of direct neighbours, of the same variance."""
    for axis, rho in enumerate(correlation):
        if rho > 0.0:
            # Each pixel with a part of those before and behind: their correlation is 2 part / (1 + 2 part^2).
            part = (1.0 - np.sqrt(max(0.0, 1.0 - 2.0 * rho**2))) / (2.0 * rho)
            total = noise + part * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
            noise = total / np.sqrt(1.0 + 2.0 * part**2)
    return noise


def _resampled(plane: Doubles, axis: int) -> Doubles:
    """Return the mean of a plane over `SIGNATURE` equal parts of an axis."""
    size = plane.shape[axis]
    # The integral at the bounds of the parts, by a line between pixels.
    total = np.concatenate([np.zeros_like(plane.take([0], axis)), np.cumsum(plane, axis=axis)], axis=axis)
    bounds = np.linspace(0, size, SIGNATURE + 1)
    below = np.minimum(bounds.astype(int), size - 1)
    share = (bounds - below).reshape([-1 if i == axis else 1 for i in range(2)])
    at = total.take(below, axis) * (1 - share) + total.take(below + 1, axis) * share
    return np.asarray(np.diff(at, axis=axis) * SIGNATURE / size)


def _of_channel(image: Image) -> dict[str, float]:
    planes = sample_planes(image, most_pixels=_MOST_PIXELS)
    values = np.concatenate([plane.ravel() for plane in planes])
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        raise InvalidImageError("The image has no finite pixel: there is nothing to measure.")
    check_computable(finite)
    report = noise_of(image)
    model = report.model
    faintest = _ROUNDING if image.dtype.kind in "iu" else 1e-6 * float(np.ptp(finite)) or 1.0
    if model.gain <= 0.0 and model.read_noise < faintest:
        model = NoiseModel(0.0, 0.0, faintest)
    low, high = (float(level) for level in np.percentile(finite, (0.1, 99.9)))
    saturated, clipped = _piled_up(finite)
    whole = [_without_holes(plane) for plane in planes]
    stable = [stabilised(plane, model) for plane in whole]
    return {
        "mean": float(finite.mean(dtype=np.float64)),
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "nonfinite": 1.0 - finite.size / values.size,
        "noise": report.sigma_typical,
        "gain": report.model.gain,
        "snr": report.snr_db,
        "correlation": float(np.mean(report.correlation)),
        "focus": _focus(stable),
        "saturated": saturated,
        "clipped": clipped,
        "background": _mean([_darkest(plane) for plane in whole]),
        "unevenness": _mean([_unevenness(plane, high - low) for plane in whole]),
        "stripes": _mean([_stripes(plane) for plane in stable]),
        "hot_pixels": sum(int(hot_pixels(plane, model).sum()) for plane in whole) / values.size,
    }


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is known."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _without_holes(plane: Plane) -> Plane:
    """Return a plane with the median in place of what is not finite."""
    if plane.dtype.kind != "f" or np.isfinite(plane).all():
        return plane
    finite = np.isfinite(plane)
    return np.where(finite, plane, np.median(plane[finite]) if finite.any() else 0.0)


def _focus(planes: Sequence[npt.NDArray[np.float32]]) -> float:
    """Return the ratio of fine to coarse structure where there is any, on a scale from 0 to 1."""
    bands = [band for plane in planes if (band := _bands(plane)) is not None]
    if not bands:
        return float("nan")
    coarse, fine, finest = np.concatenate(bands).T
    floor = float(np.median(finest))
    coarse, fine = coarse - floor, fine - floor
    # The noise of a plane that was made equal everywhere is 1: far less is none at all.
    structured = coarse > _STRUCTURE * max(floor, _NOTHING)
    if np.count_nonzero(structured) < _FEWEST_TILES:
        return float("nan")
    # Of all these squares together: the more structure one holds, the less of what is found in it is chance.
    count = np.count_nonzero(structured)
    # Less fine structure than chance hides is not told from none: squares overlap by half, so that four of them are one.
    chance = max(floor, _NOTHING) / np.sqrt(_window_and_bands()[2] * count / 4)
    ratio = (max(float(fine[structured].mean()), 0.0) + chance) / float(coarse[structured].mean())
    return float(np.clip(1.0 + np.log10(max(ratio, 10.0**-_DECADES)) / _DECADES, 0.0, 1.0))


def _bands(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Return the power of coarse, fine and finest structure of each tile (N, 3); None where there is no room for one."""
    if min(plane.shape) < _TILE:
        return None
    window, masks, _ = _window_and_bands()
    tiles = np.lib.stride_tricks.sliding_window_view(plane, (_TILE, _TILE))[::_STEP, ::_STEP]
    tiles = tiles.reshape(-1, _TILE, _TILE)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window
    power = np.abs(np.fft.rfft2(tiles)) ** 2 / _TILE**2
    return np.asarray(power.reshape(len(tiles), -1) @ masks, np.float32)


@cache
def _window_and_bands() -> tuple[npt.NDArray[np.float32], Doubles, int]:
    """Return the window of a tile, of mean square 1, weights that average its power over bands, and the size of the fine one."""
    hann = np.hanning(_TILE)
    window = hann[:, None] * hann
    window /= np.sqrt((window**2).mean())
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)).ravel()
    masks = [(frequency >= low) & (frequency < high) for low, high in (_COARSE, _FINE, _FLOOR)]
    weights = np.stack([mask / mask.sum() for mask in masks], axis=1)
    return window.astype(np.float32), weights, int(masks[1].sum())


def _piled_up(values: Plane) -> tuple[float, float]:
    """Return the shares of pixels at the upper and at the lower end of the range, 0 where they do not pile up there."""
    low, high = values.min(), values.max()
    if low == high:
        return 0.0, 0.0
    enough = max(_PILED_UP * values.size, _FEWEST_PILED_UP)
    inside = values[(values != low) & (values != high)]
    shares = []
    for end, pick in ((high, np.max), (low, np.min)):
        count = int(np.count_nonzero(values == end))
        # As many as at the level beside it would be there by the shape of the histogram alone.
        beside = int(np.count_nonzero(inside == pick(inside))) if inside.size else 0
        shares.append(count / values.size if count >= enough and count > 3 * beside else 0.0)
    return shares[0], shares[1]


def _by_blocks(plane: Plane, measure: Callable[..., Any]) -> Doubles:
    """Return a measure of each of 16 x 16 equal parts of a plane, of fewer where it is small."""
    rows, columns = (min(_BLOCKS, size) for size in plane.shape)
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    parts = plane[: rows * height, : columns * width].reshape(rows, height, columns, width)
    blocks = parts.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    return np.asarray(measure(blocks, axis=-1), np.float64)


def _darkest(plane: Plane) -> float:
    """Return the median level of the darkest quarter of a plane."""
    means = np.sort(_by_blocks(plane, np.mean).ravel())
    return float(np.median(means[: max(1, means.size // 4)]))


def _unevenness(plane: Plane, span: float) -> float:
    """Return the spread of a smooth surface through the darker parts of a plane, over the range of the image."""
    if min(plane.shape) < _BLOCKS or not span > 0:
        return float("nan")
    level = _by_blocks(plane, lambda parts, axis: np.percentile(parts, 20, axis=axis))
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in level.shape), indexing="ij")
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=-1).reshape(-1, 6)
    values = level.ravel()
    kept = np.ones(values.size, bool)
    surface = values
    # What is bright is structure, not ground.
    for _ in range(4):
        surface = terms @ np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        excess = values - surface
        spread = 1.4826 * float(np.median(np.abs(excess[kept]))) or 1e-12
        kept = excess < 2.0 * spread
        if np.count_nonzero(kept) < values.size // 4:
            break
    return float(np.clip(np.ptp(surface) / span, 0.0, 1.0))


def _stripes(plane: npt.NDArray[np.float32]) -> float:
    """Return the standard deviation of what rows or columns share, in that of the noise, which is 1 in the plane."""
    if min(plane.shape) < _TILE:
        return float("nan")
    found = 0.0
    for rows in (plane, plane.T):
        # The difference of neighbours leaves little of the structure, and the median less.
        steps = np.clip(np.diff(rows, axis=0), -_FARTHEST, _FARTHEST)
        parts = [np.median(part, axis=1) for part in np.array_split(steps, _PARTS, axis=1)]
        shared = np.cov(np.stack(parts))
        # Only stripes are the same in distant parts of a row.
        apart = np.abs(np.subtract.outer(np.arange(_PARTS), np.arange(_PARTS))) > 1
        chance = _SURE * float(np.diag(shared).mean()) / np.sqrt(len(steps) * np.count_nonzero(apart) / 2)
        variance = float(shared[apart].mean())
        if variance > chance:
            found = max(found, np.sqrt(variance / 2.0))
    return found
