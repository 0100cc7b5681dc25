"""Hot and dead pixels of a camera: single ones, or two side by side, that noise and what is around them cannot explain.

Intensities are first mapped so that noise has a standard deviation of 1 at every brightness. A pixel is hot where it then exceeds
all of its eight neighbours but one (which may be hot itself) by more than noise ever does, and by more than three times what the
others differ among themselves: the sharpest point that a lens draws spreads over its neighbours, and fails the second test.
Dead pixels are the mirror image.

References
----------
Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", Cambridge University Press (1998), for the generalised Anscombe
transform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.imaging.noise import NoiseModel

SIGMAS = 6.0
"""Standard deviations of noise by which a pixel must stand out of its neighbours."""
_STRUCTURE = 3.0
_BEATEN = 7
_AROUND = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def hot_pixels(plane: npt.NDArray[Any], noise: NoiseModel) -> npt.NDArray[np.bool_]:
    """Return which pixels are hot or dead.

    Parameters
    ----------
    plane : numpy.ndarray, (Y, X)
        In counts; what is not finite is not hot. A part of a larger plane needs a margin of one pixel, whose own answer is wrong.
    noise : NoiseModel
        In counts, not without noise: a flat image has no pixel that noise could explain.

    Returns
    -------
    numpy.ndarray of bool, (Y, X)
        All False where the plane has fewer than three pixels along an axis.
    """
    if min(plane.shape) < 3:
        return np.zeros(plane.shape, bool)
    values = plane.astype(np.float64)
    # No comparison with NaN holds.
    stable = stabilised(np.where(np.isfinite(values), values, np.nan), noise)
    padded = np.pad(stable, 1, mode="reflect")
    above = np.zeros(plane.shape, np.uint8)
    below = np.zeros(plane.shape, np.uint8)
    for y, x in _AROUND:
        difference = stable - padded[1 + y : 1 + y + plane.shape[0], 1 + x : 1 + x + plane.shape[1]]
        above += difference > SIGMAS
        below += difference < -SIGMAS
    found = (above >= _BEATEN) | (below >= _BEATEN)
    rows, columns = np.nonzero(found)
    around = np.sort(np.stack([padded[rows + 1 + y, columns + 1 + x] for y, x in _AROUND], axis=-1), axis=-1)
    low, high = around[:, 1], around[:, -2]
    here = stable[rows, columns]
    found[rows, columns] = np.maximum(here - high, low - here) > _STRUCTURE * (high - low)
    return found


def stabilised(values: npt.NDArray[np.float64], noise: NoiseModel) -> npt.NDArray[np.float64]:
    """Map counts so that noise has a standard deviation of about 1: Anscombe above the camera's offset, a line below it."""
    floor = np.sqrt(0.375 * noise.gain**2 + noise.read_noise**2)
    signal = values - noise.offset
    bright = np.maximum(signal, 0)
    # Written without the difference of two roots: it also holds for a gain of 0.
    return np.asarray(np.minimum(signal, 0) / floor + 2 * bright / (np.sqrt(noise.gain * bright + floor**2) + floor))
