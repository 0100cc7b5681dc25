"""The median of every pixel's neighbourhood."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional


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
