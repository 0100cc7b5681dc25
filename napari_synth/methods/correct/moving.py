"""Moves pixels by parts of a pixel, wherever a block of the image lies."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

import numpy as np
import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Prepared

TAPS = 3
"""Lobes of Lanczos' kernel: pixels on each side that a moved one is made of."""
SEEN = 0.05
"""Pixels beyond the border of an image up to which it still shows what lies there."""
# A shift so near to whole pixels is taken for those, which keeps them as sharp as they are.
_SHARP = 0.02


class MovedAtPlace(Prepared):
    """Moves the blocks at one place of an image.

    Parameters
    ----------
    spec : BlockSpec
    moved : callable
        Takes blocks and returns them moved.
    """

    def __init__(self, spec: BlockSpec, moved: Callable[[Tensor], Tensor]) -> None:
        self.spec, self._moved = spec, moved

    def apply(self, block: Tensor) -> Tensor:
        """Move the blocks; see `Prepared.apply`."""
        return self._moved(block)


class AsItIs(Prepared):
    """An image of which there is nothing to be moved.

    Parameters
    ----------
    why : str
        What the user is told.
    """

    def __init__(self, why: str) -> None:
        self.spec = BlockSpec.plane(0)
        self.notes = (why,)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block


def shifted(block: Tensor, axis: int, shift: float) -> Tensor:
    """Return a tensor as it is at ``x + shift`` along an axis, by Lanczos' kernel of three lobes; outside, the edge is repeated.

    Parameters
    ----------
    block : Tensor
    axis : int
    shift : float
        In pixels.
    """
    whole = floor(shift)
    part = shift - whole
    size = block.shape[axis]
    places = torch.arange(size, device=block.device)
    if part < _SHARP or part > 1 - _SHARP:
        return block.index_select(axis, (places + round(shift)).clamp(0, size - 1))
    offsets = np.arange(1 - TAPS, TAPS + 1)
    weights = np.sinc(offsets - part) * np.sinc((offsets - part) / TAPS)
    weights /= weights.sum()
    total = torch.zeros_like(block)
    for offset, weight in zip(offsets, weights, strict=True):
        total += float(weight) * block.index_select(axis, (places + whole + int(offset)).clamp(0, size - 1))
    return total


def displaced(block: Tensor, axis: int, displacement: Tensor) -> Tensor:
    """Return a tensor as it is at ``x + displacement`` along Y or X, by Lanczos' kernel of three lobes.

    Parameters
    ----------
    block : Tensor, (..., Y, X)
    axis : {-2, -1}
    displacement : Tensor, (Y, X)
        In pixels, one for each of the result. Outside, the edge is repeated.
    """
    if float(displacement.max() - displacement.min()) == 0.0:
        return shifted(block, axis % block.ndim, float(displacement[0, 0]))
    size = block.shape[axis]
    places = torch.arange(size, device=block.device, dtype=displacement.dtype)
    at = displacement + (places[:, None] if axis == -2 else places[None, :])
    whole = at.floor()
    part = at - whole
    offsets = torch.arange(1 - TAPS, TAPS + 1, device=block.device, dtype=displacement.dtype)
    away = offsets[:, None, None] - part
    weights = torch.sinc(away) * torch.sinc(away / TAPS)
    weights = (weights / weights.sum(0)).to(block.dtype)
    total = torch.zeros_like(block)
    for offset, weight in zip(offsets, weights, strict=True):
        index = (whole + offset).clamp(0, size - 1).long().expand(block.shape)
        total += weight * block.gather(axis, index)
    return total
