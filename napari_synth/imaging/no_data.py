"""Finds regions that hold no data: borders of a registration, masks, black frames, what lies outside a scanner's field of view.

Such a region is exactly constant and at least `EDGE` x `EDGE` pixels large, and so many equal pixels are improbable under the noise
that is measured elsewhere at its level. Where pixels of the same value are scattered among others, or where what is beside a region
slopes towards it, the value is a measurement: few photons, a clipped background, saturation.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.imaging.noise import NoiseReport, estimate_noise

EDGE = 8
"""Pixels along which a region is constant at least."""
MARGIN = EDGE - 1
"""Pixels around a part of a plane that the answer for the part depends on."""
_MOST_VALUES = 8
_IMPROBABLE = 1e-3
# Pixels elsewhere that tell of the noise.
_ENOUGH = 1024
# Of the pixels along a region's border, how many of its value lie scattered where noise made the border.
_SCATTERED = 0.1
_CORE = 3
_DISTANCES = (1, 2, 3, 4)
_SLOPE = (0.75, 0.9)
_ALIKE = 0.5
# An image with more flat levels than this was compressed or smoothed.
_MOST_LEVELS = 3

Bools = npt.NDArray[np.bool_]
Plane = npt.NDArray[Any]


def constant_regions(plane: Plane, edge: int = EDGE) -> Bools:
    """Return which pixels of a plane (Y, X) lie in a square of ``edge`` pixels that are all equal and finite."""
    found = np.zeros(plane.shape, bool)
    if min(plane.shape) < edge:
        return found
    rows = _every(plane[:, 1:] == plane[:, :-1], edge - 1, 1)
    if not rows.any():
        return found
    # The left ends of equal runs, of which enough lie below each other, are equal to each other too.
    columns = _every(plane[1:, : rows.shape[1]] == plane[:-1, : rows.shape[1]], edge - 1, 0)
    corners = columns & _every(rows, edge, 0)
    found[: corners.shape[0], : corners.shape[1]] = corners
    for axis in (0, 1):
        found = _spread(found, edge, axis)
    return found


def no_data_values(planes: Sequence[Plane]) -> tuple[tuple[float, ...], NoiseReport | None]:
    """Return the values whose constant regions hold no data.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        That stand for the image, in counts.

    Returns
    -------
    (values, noise) : pair of tuple of float and NoiseReport or None
        The noise is that of the planes without those regions; None where no region is constant, so that it was not looked at.
    """
    regions = [constant_regions(plane) for plane in planes]
    if not any(region.any() for region in regions):
        return (), None
    inside = np.concatenate([plane[region] for plane, region in zip(planes, regions, strict=True)])
    values, counts = np.unique(inside[np.isfinite(inside)], return_counts=True)
    candidates = [values[i] for i in np.argsort(-counts, kind="stable")[:_MOST_VALUES]]
    kept = [_without(plane, region) for plane, region in zip(planes, regions, strict=True)]
    noise = estimate_noise(kept)
    elsewhere = sum(plane.size - int(region.sum()) for plane, region in zip(planes, regions, strict=True))
    if elsewhere < _ENOUGH or (noise.sigma_typical <= 0.0 and noise.model.read_noise <= 0.0):
        return (), None
    if len(values) > _MOST_LEVELS:
        finite = [plane[np.isfinite(plane)] for plane in planes]
        ends = min(part.min() for part in finite if part.size), max(part.max() for part in finite if part.size)
        candidates = [value for value in candidates if value in ends]
    found = tuple(float(value) for value in candidates if _is_no_data(value, planes, regions, noise))
    return found, noise if len(found) == len(values) else None


def no_data(plane: Plane, values: Sequence[float]) -> Bools:
    """Return which pixels of a plane (Y, X) hold no data; a part of a plane needs a margin of `MARGIN` pixels."""
    candidates = np.isin(plane, values)
    if not candidates.any():
        return candidates
    return np.asarray(constant_regions(plane) & candidates)


def _is_no_data(value: Any, planes: Sequence[Plane], regions: Sequence[Bools], noise: NoiseReport) -> bool:
    scattered = equal_beside = neighbours = border = pixels = 0
    away: list[list[npt.NDArray[np.float64]]] = [[] for _ in _DISTANCES]
    for plane, region in zip(planes, regions, strict=True):
        equal = plane == value
        pixels += plane.size
        # What lies at a round border of the region is no lonely pixel.
        alone = equal & ~constant_regions(np.where(equal, 1, np.arange(2, 2 + plane.size).reshape(plane.shape)), _CORE)
        scattered += int(alone.sum())
        outside = equal & ~region
        for axis in (0, 1):
            ahead, behind = slice(1, None), slice(None, -1)
            for here, there in ((ahead, behind), (behind, ahead)):
                neighbours += int(_part(outside, axis, here).sum())
                equal_beside += int((_part(outside, axis, here) & _part(equal, axis, there)).sum())
        grown = equal & _grown(region & equal, EDGE)
        for distance in range(1, max(_DISTANCES) + 1):
            larger = _grown(grown, 1)
            if distance in _DISTANCES:
                ring = larger & ~grown & ~region & np.isfinite(plane)
                away[_DISTANCES.index(distance)].append(plane[ring].astype(np.float64) - float(value))
                border += int(ring.sum()) if distance == 1 else 0
            grown = larger
    first, second, third, fourth = (float(np.median(np.abs(np.concatenate(ring)))) if border else 0.0 for ring in away)
    chance = (equal_beside + 0.5) / (neighbours + 1.0) if scattered > _SCATTERED * border else 0.0
    sigma = float(noise.model.sigma(float(value)))
    if planes[0].dtype.kind in "iu":
        chance = max(chance, erf(0.5 / (sqrt(2.0) * sigma)) if sigma > 0.0 else 1.0)
    if chance**EDGE**2 * pixels > _IMPROBABLE:
        return False
    step = 1.0 if planes[0].dtype.kind in "iu" else 0.0
    if first <= max(step, _ALIKE * sigma):
        return False
    # A measurement that is cut off is approached as steeply as the optics allow, a border that was filled is a step.
    return not (first < _SLOPE[0] * third and second < _SLOPE[1] * fourth)


def _without(plane: Plane, region: Bools) -> npt.NDArray[np.floating[Any]]:
    """Return a plane of floats with NaN in a region, in the precision that holds its counts."""
    return np.where(region, np.nan, plane.astype(np.result_type(plane.dtype, np.float32)))


def _every(marked: Bools, count: int, axis: int) -> Bools:
    """Return where ``count`` pixels from here on are all marked; shorter by ``count - 1``."""
    done = 1
    while done < count:
        step = min(done, count - done)
        size = marked.shape[axis] - step
        marked = _part(marked, axis, slice(0, size)) & _part(marked, axis, slice(step, size + step))
        done += step
    return marked


def _part(marked: Bools, axis: int, part: slice) -> Bools:
    return marked[part] if axis == 0 else marked[:, part]


def _spread(marked: Bools, edge: int, axis: int) -> Bools:
    """Mark the ``edge - 1`` pixels behind every marked one too."""
    done = 1
    result = marked.copy()
    while done < edge:
        step = min(done, edge - done)
        shifted = np.zeros_like(result)
        _part(shifted, axis, slice(step, None))[:] = _part(result, axis, slice(None, -step))
        result |= shifted
        done += step
    return result


def _grown(region: Bools, pixels: int) -> Bools:
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(region, 2 * pixels + 1)) if region.any() else region
