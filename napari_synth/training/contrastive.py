"""Tells by contrast whether patches of a result show what the source shows at the same places.

Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def draw_places(features: Sequence[Tensor], count: int, generator: torch.Generator) -> list[Tensor]:
    """Draw different places in the features of each depth, (N, C, *spatial): their numbers, at most ``count`` each."""
    return [
        torch.randperm(x[0, 0].numel(), generator=generator, device=generator.device)[:count].to(x.device)
        for x in features
    ]


def features_at(features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
    """Return features of each depth, (N, C, *spatial), at places: (N, places, C)."""
    return [x.flatten(2)[:, :, at].transpose(1, 2) for x, at in zip(features, places, strict=True)]


def patch_contrast(asked: Sequence[Tensor], keys: Sequence[Tensor], temperature: float = 0.07) -> Tensor:
    """Return how hard it is to find, for each patch of a result, that of the source at the same place among all of its image.

    Parameters
    ----------
    asked, keys : sequence of Tensor
        For each depth, the patches of result and source, (N, patches, size), vectors of length 1. No gradient goes to the keys.
    temperature : float

    Returns
    -------
    Tensor
        The cross-entropy, the mean over all patches and depths; log(patches) where they cannot be told apart.
    """
    losses = []
    for query, key in zip(asked, keys, strict=True):
        alike = query @ key.detach().transpose(1, 2) / temperature
        wanted = torch.arange(alike.shape[1], device=alike.device).expand(alike.shape[:2])
        losses.append(functional.cross_entropy(alike.flatten(0, 1), wanted.flatten()))
    return torch.stack(losses).mean()
