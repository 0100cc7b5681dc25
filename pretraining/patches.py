"""Clean patches, drawn at random from the store of crops."""

from __future__ import annotations

import torch
from torch import Tensor

from pretraining.crops import CROP, CropStore


def draw_patches(
    store: CropStore, count: int, size: int, generator: torch.Generator, *, generated_share: float = 0.3
) -> Tensor:
    """Return clean patches (count, 1, size, size): random place, one of eight orientations, random contrast.

    Parameters
    ----------
    store : CropStore
    count : int
    size : int
        Edge in pixels.
    generator : torch.Generator
        Source of all randomness.
    generated_share : float
        Share of patches that come from generated images; the others come from photographs.
    """
    patches = []
    limit = CROP - size
    for _ in range(count):
        group, position, top, left, turn, change, scale, level = torch.rand(8, generator=generator).tolist()
        crop = store.pick(group < generated_share, position)
        y, x = round(top * limit), round(left * limit)
        patch = torch.from_numpy(crop[y : y + size, x : x + size].astype("float32"))
        orientation = min(int(turn * 8), 7)
        patch = torch.rot90(patch, orientation % 4)
        patch = patch.flip(0) if orientation >= 4 else patch
        if change < 0.3:
            contrast = 0.15 + 0.85 * scale
            patch = contrast * patch
            if float(patch.min()) >= 0.0:
                patch = patch + (1.0 - contrast) * level
        patches.append(patch)
    return torch.stack(patches)[:, None]
