"""Checks a noise estimate against the quietest parts of the image: no part can be quieter than the noise.

Where an image is textured all over, or has few pixels, texture is easily taken for noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_synth.core.noise import NoiseReport

_SECOND_DIFFERENCE = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
_LOCAL_MEAN = 2.0
_WINDOW = 9
_WIDER = 15
_QUIETEST = 0.02
# What the quietest windows of white noise of known strength show, over that strength.
_OF_WHITE_NOISE = 0.7


def share_of_noise(planes: Sequence[npt.NDArray[np.generic]], report: NoiseReport) -> float:
    """Return the part of the estimated noise that the quietest windows allow.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        In counts.
    report : NoiseReport
        What was estimated from them.

    Returns
    -------
    float
        1 where the image is nowhere quieter than the noise may be, 0 where a window has none: the noise's standard deviation is at
        most this part of the estimate. 1 where nothing can be told.
    """
    seen = [_deviations(np.asarray(plane, np.float64), report) for plane in planes]
    deviations = np.concatenate(seen) if seen else np.empty(0)
    if deviations.size == 0:
        return 1.0
    return float(np.clip(np.quantile(deviations, _QUIETEST) / _OF_WHITE_NOISE, 0.0, 1.0))


def _deviations(plane: npt.NDArray[np.float64], report: NoiseReport) -> npt.NDArray[np.float64]:
    """Return the standard deviation in every window in units of the estimate; clipped and unknown pixels are left out."""
    window = _WIDER if report.correlated else _WINDOW
    finite = np.isfinite(plane)
    if min(plane.shape) < window + 4 or not finite.any():
        return np.empty(0)
    plane = np.where(finite, plane, plane[finite].mean())
    sigma = np.sqrt(np.maximum(report.model.variance(ndimage.gaussian_filter(plane, _LOCAL_MEAN)), 1e-300))
    if report.correlated:
        # Second differences see little of it.
        mean = ndimage.uniform_filter(plane, window)
        power = (ndimage.uniform_filter(plane**2, window) - mean**2) / sigma**2
    else:
        power = ndimage.uniform_filter((ndimage.convolve(plane, _SECOND_DIFFERENCE) / sigma) ** 2, window)
    clipped = (plane <= plane.min()) | (plane >= plane.max()) | ~finite
    reached = ndimage.maximum_filter(clipped, window) if clipped.mean() > 1e-3 else ~finite
    inner = (slice(window // 2 + 1, -(window // 2) - 1),) * 2
    return np.asarray(np.sqrt(np.maximum(power[inner], 0.0))[~reached[inner]])
