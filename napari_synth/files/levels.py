"""The smaller levels of a pyramid, which viewers show of a large image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def n_levels(plane: tuple[int, int], smallest: int) -> int:
    """Return how many levels a plane (Y, X) has, itself included, each half as large, until one fits into ``smallest`` pixels."""
    count, longest = 1, max(plane)
    while longest > smallest:
        count, longest = count + 1, -(-longest // 2)
    return count


def halved(values: npt.NDArray[Any], axes: list[int]) -> npt.NDArray[Any]:
    """Average pixels two by two along some axes; an odd last one is averaged with itself."""
    dtype = values.dtype
    odd = [(0, values.shape[axis] % 2 if axis in axes else 0) for axis in range(values.ndim)]
    padded = np.pad(values, odd, mode="edge").astype(np.float64 if dtype.itemsize > 2 else np.float32)
    for axis in axes:
        even, uneven = (np.take(padded, range(start, padded.shape[axis], 2), axis) for start in (0, 1))
        padded = (even + uneven) / 2
    return (np.rint(padded) if dtype.kind in "iu" else padded).astype(dtype)
