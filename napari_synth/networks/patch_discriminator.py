"""Judges every patch of an image by itself: whether it looks like one of those it was shown.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Strided convolutions without normalisation, so that it sees how bright a patch is.

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes; the first of three is convolved along but never subsampled.
    channels : int
        Of what is judged; of the source too, where it is judged whether a result belongs to it.
    width : int
        Channels at half resolution; twice as many at each further halving, eight times as many at most.
    halvings : int
        Each about doubles the patch: 12, 26, 54 and 110 pixels for 1 to 4.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self,
        dims: int = 2,
        channels: int = 1,
        width: int = 32,
        halvings: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dims not in {2, 3} or min(channels, width, halvings) < 1:
            raise ValueError(
                "A network needs two or three dimensions, and at least one halving and channel everywhere."
            )
        kind: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        along = (3,) * (dims - 2)
        stay = (1,) * (dims - 2)
        layers: list[nn.Module] = []
        inside = channels
        for level in range(halvings):
            outside = width * min(2**level, 8)
            layers += [
                kind(inside, outside, (*along, 4, 4), stride=(*stay, 2, 2), padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inside = outside
        outside = width * min(2**halvings, 8)
        layers += [kind(inside, outside, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, kind(outside, 1, 3, padding=1))
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_uniform_(parameter, a=0.2, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map images about 0 to 1, (N, channels, [Z,] Y, X), to one number for each patch, (N, 1, [Z,] Y', X')."""
        layout = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
        # From 0 to 1, images differ too little for a quick judgement: what tells two kinds apart took ten times the steps.
        spread = (4.0 * x - 2.0).contiguous(memory_format=layout)
        judged: Tensor = self.layers(spread)
        return judged
