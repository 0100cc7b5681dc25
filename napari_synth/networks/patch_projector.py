"""Brings the features of patches to where they are compared: onto a sphere, by two small layers for each depth of a network.

Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchProjector(nn.Module):
    """Two linear layers for each depth.

    Parameters
    ----------
    widths : sequence of int
        Features of each depth.
    size : int
        Numbers that a patch is described by.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(self, widths: Sequence[int], size: int = 128, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Linear(size, size)) for width in widths
        )
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features of each depth (N, patches, width) to vectors of length 1, (N, patches, size)."""
        return [functional.normalize(layer(x), dim=-1) for layer, x in zip(self.layers, features, strict=True)]
