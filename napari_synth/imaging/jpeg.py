"""Finds images that were compressed as JPEG, and measures the noise that they had before.

A JPEG holds the cosine coefficients of 8 x 8 blocks, rounded to multiples of a step for each frequency. High frequencies are
rounded to zero, and with them the noise that is looked for there. On the grid of the blocks, and only there, nearly all of them are
zero. At low frequencies the steps are fine: what share of the coefficients of flat blocks is rounded to zero, and how large the
step is, tells how noisy the image was.

References
----------
Fan & de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer estimation", IEEE TIP 12 (2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.imaging.noise import cosine_basis

_BLOCK = 8
_BASIS = cosine_basis(_BLOCK)
_TRANSFORM = np.ascontiguousarray(np.kron(_BASIS, _BASIS).T, dtype=np.float32)
_Y, _X = (axis.ravel() for axis in np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK), indexing="ij"))
_HEIGHT = _Y + _X
_HIGH = _HEIGHT >= 9
_FLAT, _MEASURED = (_HEIGHT > 0) & (_HEIGHT < 2), (_HEIGHT >= 2) & (_HEIGHT <= 5)
# Coefficients this small are zero, but for the rounding of pixels.
_ZERO = 1.2
_PER_PHASE, _MOST_BLOCKS = 96, 8000
_FEWEST_BLOCKS = 64
_MOSTLY_ZERO, _ONLY_HERE = 0.4, 0.3
_FLATTEST = 0.25
# Shares of zeros that tell how wide the coefficients scatter over their step.
_TELLING = (0.02, 0.97)
_QUANTILE = 0.4
# Textures without noise exceed white noise of their strength 2.8 times or more among the strongest of their flat blocks, or lose a
# quarter of it from low to higher frequencies; noise of 15 counts mostly keeps below 2.5 times, and loses a fifth at most.
_STRONG, _MOST_EVEN, _LEVEL, _MOST_OF = 0.95, 2.5, 0.78, 0.8
_LOW, _FINE, _DRAWN = 3, 2.0, 4000
# Of the brightness of red, green and blue.
BRIGHTNESS = (0.299, 0.587, 0.114)

Plane = npt.NDArray[Any]


def jpeg_grid(planes: Sequence[Plane]) -> tuple[int, int] | None:
    """Return where the first block of a JPEG begins in a plane (y, x), None where the planes are none.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        In counts of 8 bits; the largest is looked at.
    """
    plane = max(planes, key=lambda one: one.size)
    if plane.dtype != np.uint8 or min(plane.shape) < 4 * _BLOCK:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(plane, (_BLOCK, _BLOCK))
    zeros = np.zeros((_BLOCK, _BLOCK))
    for y, x in np.ndindex(zeros.shape):
        blocks = windows[y::_BLOCK, x::_BLOCK]
        every = max(1, int((blocks.shape[0] * blocks.shape[1] / _PER_PHASE) ** 0.5))
        rows = blocks[every // 2 :: every, every // 2 :: every].reshape(-1, _BLOCK**2).astype(np.float32)
        # Where pixels are cut off, coefficients are not what the file holds.
        rows = rows[(rows.min(axis=1) > 0) & (rows.max(axis=1) < 255)]
        zeros[y, x] = (np.abs(rows @ _TRANSFORM[:, _HIGH]) < _ZERO).mean() if len(rows) else 0.0
    best = np.unravel_index(int(zeros.argmax()), zeros.shape)
    if zeros[best] < _MOSTLY_ZERO or zeros[best] - np.median(zeros) < _ONLY_HERE:
        return None
    return int(best[0]), int(best[1])


def sigma_before_jpeg(planes: Sequence[Plane], grid: tuple[int, int]) -> tuple[float, bool] | None:
    """Return the standard deviation of the noise before compression, and whether it is certain to be no texture.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        In counts; of a colour image its brightness, which is what a JPEG holds.
    grid : (int, int)
        See `jpeg_grid`.

    Returns
    -------
    (float, bool) or None
        In counts; None where too little is left.
    """
    from scipy.special import erfinv

    coefficients = np.concatenate([_coefficients(plane, grid) for plane in planes if plane.shape == planes[0].shape])
    if len(coefficients) < _FEWEST_BLOCKS:
        return None
    energy = np.abs(coefficients[:, _FLAT]).sum(axis=1)
    flat = coefficients[np.argsort(energy, kind="stable")[: max(_FEWEST_BLOCKS, int(_FLATTEST * len(energy)))]]
    told, steps, found = [], [], []
    for index in np.flatnonzero(_MEASURED):
        size = np.abs(flat[:, index])
        left = size[size > _ZERO]
        if len(left) < 8:
            continue
        step = float(np.quantile(left, 0.1))
        zero = float((size < step / 2).mean())
        if zero >= _TELLING[1]:
            continue
        # Where few are zero, or the smallest step is no more than the rounding of pixels, they scatter as they did before.
        is_fine = zero <= _TELLING[0] or step < _FINE * _ZERO
        told.append(index)
        steps.append(0.0 if is_fine else step)
        found.append(
            1.4826 * float(np.median(size)) if is_fine else step / (2.0 * np.sqrt(2.0) * float(erfinv(max(zero, 1e-9))))
        )
    if not found:
        return None
    sigma = float(np.quantile(found, _QUANTILE))
    return sigma, _is_noise(flat[:, told], np.array(steps), np.array(found), sigma, _HEIGHT[told])


def _is_noise(
    coefficients: npt.NDArray[np.float32],
    steps: npt.NDArray[np.float64],
    found: npt.NDArray[np.float64],
    sigma: float,
    height: npt.NDArray[np.int_],
) -> bool:
    """Return whether flat blocks are what is left of white noise: as strong at all frequencies, and nearly as even.

    White noise that goes through the same steps is what they are compared with. Texture is stronger at low frequencies, and in some
    blocks far stronger than in others.
    """
    is_low = height <= _LOW
    if len(found) < _MOST_OF * _MEASURED.sum() or is_low.all() or not is_low.any() or sigma <= 0.0:
        return False
    if np.median(found[~is_low]) < _LEVEL * np.median(found[is_low]):
        return False
    noise = np.random.default_rng(0).normal(0.0, sigma, (_DRAWN, len(steps)))
    rounded = np.rint(noise / np.where(steps > 0.0, steps, 1.0)) * steps
    expected = np.square(np.where(steps > 0.0, rounded, noise)).mean(axis=1)
    energies = np.square(coefficients).mean(axis=1)
    return bool(np.quantile(energies, _STRONG) <= _MOST_EVEN * np.quantile(expected, _STRONG))


def _coefficients(plane: Plane, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the cosine coefficients (N, 64) of the blocks of a plane, without those that are cut off."""
    cut = plane[grid[0] :, grid[1] :]
    height, width = (size // _BLOCK * _BLOCK for size in cut.shape)
    rows = cut[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2)
    rows = rows.reshape(-1, _BLOCK**2)[:: -(-height * width // _BLOCK**2 // _MOST_BLOCKS) or 1].astype(np.float32)
    rows = rows[(rows.min(axis=1) > 0) & (rows.max(axis=1) < 255)]
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) @ _TRANSFORM)
