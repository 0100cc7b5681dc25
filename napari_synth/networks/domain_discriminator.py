"""Judges every patch of an image by itself, for each of several domains, and shows what it looks at.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017; Miyato et al., "Spectral normalization
for generative adversarial networks", ICLR 2018.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


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
