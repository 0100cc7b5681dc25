"""Fields that change slowly over an image, as polynomials along its axes: few numbers, for a field of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def polynomials(size: int, part: slice, order: int) -> Tensor:
    """Return Legendre polynomials of unit variance at a part of an axis, (pixels, order), the constant first.

    Parameters
    ----------
    size : int
        Of the whole axis in pixels.
    part : slice
        The pixels that are wanted.
    order : int
        How many polynomials.
    """
    at = 2.0 * (np.arange(part.start, part.stop) + 0.5) / size - 1.0
    scale = np.sqrt(2.0 * np.arange(order) + 1.0)
    return torch.from_numpy(np.polynomial.legendre.legvander(at, order - 1) * scale)


def field(coefficients: Tensor, sizes: Sequence[int], part: Sequence[slice]) -> Tensor:
    """Return a part of a field of any size.

    Parameters
    ----------
    coefficients : torch.Tensor, (K, ...)
        Of the polynomials along each axis.
    sizes : sequence of int
        Of the whole field along each axis.
    part : sequence of slice
        The pixels that are wanted.
    """
    result = coefficients
    for size, wanted in zip(sizes, part, strict=True):
        # The axis in front goes behind the others: after all of them, they are in order again.
        result = torch.tensordot(result, polynomials(size, wanted, len(coefficients)), dims=([0], [1]))
    return result
