"""Looks for the quietest parts of an image: no part can be quieter than the noise.

Where an image is textured all over, or has few pixels, texture is easily taken for noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_synth.imaging.noise import NoiseModel

_SECOND_DIFFERENCE = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
_LOCAL_MEAN = 2.0
_WINDOW = 9
_QUIETEST = 0.02
# What the quietest windows of white noise of known strength show, over that strength.
_OF_WHITE_NOISE = 0.7


def quietest_level(planes: Sequence[npt.NDArray[np.generic]], model: NoiseModel) -> float | None:
    """Return how strong white noise can be at most, judged by the windows that vary least between neighbouring pixels.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        In counts.
    model : NoiseModel
        The unit of the level at every signal.

    Returns
    -------
    float or None
        The standard deviation over that of the model: 0 where a window has no noise at all, None where nothing can be told.
    """
    seen = [_deviations(np.asarray(plane, np.float64), model) for plane in planes]
    deviations = np.concatenate(seen) if seen else np.empty(0)
    if deviations.size == 0:
        return None
    return float(np.quantile(deviations, _QUIETEST) / _OF_WHITE_NOISE)


def _deviations(plane: npt.NDArray[np.float64], model: NoiseModel) -> npt.NDArray[np.float64]:
    """Return the standard deviation of second differences in every window; clipped and unknown pixels are left out."""
    finite = np.isfinite(plane)
    if min(plane.shape) < _WINDOW + 4 or not finite.any():
        return np.empty(0)
    plane = np.where(finite, plane, plane[finite].mean())
    sigma = np.sqrt(np.maximum(model.variance(ndimage.gaussian_filter(plane, _LOCAL_MEAN)), 1e-300))
    power = ndimage.uniform_filter((ndimage.convolve(plane, _SECOND_DIFFERENCE) / sigma) ** 2, _WINDOW)
    clipped = (plane <= plane.min()) | (plane >= plane.max()) | ~finite
    reached = ndimage.maximum_filter(clipped, _WINDOW) if clipped.mean() > 1e-3 else ~finite
    inner = (slice(_WINDOW // 2 + 1, -(_WINDOW // 2) - 1),) * 2
    return np.asarray(np.sqrt(np.maximum(power[inner], 0.0))[~reached[inner]])
