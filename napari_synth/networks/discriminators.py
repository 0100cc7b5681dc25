"""Networks that judge images patch by patch: whether they look like those that they were shown.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


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


class DomainDiscriminator(nn.Module):
    """Strided convolutions whose largest singular value is one; the judgements of all domains share the features.

    Parameters
    ----------
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at each further halving, four times as many at most.
    halvings : int
    domains : int
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        halvings: int = 3,
        domains: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, width, halvings, domains) < 1:
            raise ValueError("A discriminator needs at least one channel, halving and domain.")
        widths = [channels, *(width * min(2**level, 4) for level in range(halvings))]
        layers = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths)]
        layers.append(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
        judging = nn.Conv2d(widths[-1], domains, 3, padding=1)
        for layer in (*layers, judging):
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in layers)
        self.judging = spectral_norm(judging)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge images.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, Y, X), about -1 to 1.

        Returns
        -------
        (judgement, features) : Tensor and list of Tensor
            Shape (N, domains, Y', X'), and what each layer sees, all float32.
        """
        y = x.contiguous(memory_format=torch.channels_last)
        features: list[Tensor] = []
        for layer in self.layers:
            y = functional.leaky_relu(layer(y), 0.2)
            features.append(y.float())
        return self.judging(y).float(), features
