"""Clean patches, drawn at random from the store of crops, and empty ones."""

from __future__ import annotations

import torch
from torch import Tensor

from pretraining.crops import CROP, CropStore
from pretraining.empty import empty_patches

_PALE = 0.3
_LEAST_CONTRAST = 0.15


def draw_patches(
    store: CropStore,
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    generated_share: float = 0.3,
    empty_share: float = 0.0,
) -> Tensor:
    """Return clean patches (count, 1, size, size): random place, one of eight orientations, random contrast.

    Everything is drawn in one batch on the device of the generator, which must be that of the store.

    Parameters
    ----------
    store : CropStore
    count : int
    size : int
        Edge in pixels, 256 at most.
    generator : torch.Generator
        Source of all randomness.
    generated_share : float
        Share of the patches from the store that come from generated images; the others come from photographs.
    empty_share : float
        Share of all patches that show hardly anything, see `empty_patches`.
    """
    group, position, top, left, turn, change, scale, level, empty = torch.rand(
        9, count, generator=generator, device=generator.device
    )
    limit = CROP - size
    at = torch.arange(size, device=generator.device)
    rows = (top * limit).round().long()[:, None] + at
    columns = (left * limit).round().long()[:, None] + at
    orientation = (turn * 8).long().clamp(max=7)
    rows = torch.where((orientation % 2 == 1)[:, None], rows.flip(1), rows)
    columns = torch.where((orientation // 2 % 2 == 1)[:, None], columns.flip(1), columns)
    crops = store.places(group < generated_share, position)
    patches: Tensor = store.crops[crops[:, None, None], rows[:, :, None], columns[:, None, :]].float()
    patches = torch.where((orientation >= 4)[:, None, None], patches.mT, patches)
    contrast = torch.where(change < _PALE, _LEAST_CONTRAST + (1.0 - _LEAST_CONTRAST) * scale, torch.ones_like(scale))
    # Differences of colours have no black to be lifted from.
    lifted = (1.0 - contrast) * level * (patches.amin(dim=(1, 2)) >= 0.0)
    patches = (contrast[:, None, None] * patches + lifted[:, None, None])[:, None]
    chosen = empty < empty_share
    hardly = int(chosen.sum())
    if hardly:
        patches[chosen] = empty_patches(hardly, size, generator)
    return patches
