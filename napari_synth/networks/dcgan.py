"""The classic pair of convolutional networks that makes images and tells them from real ones.

Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks", ICLR 2016. Of a
later time are the spectral norms of the discriminator, in place of batch norms; that it judges parts of an image beside the whole
(Schönfeld et al., "A U-Net based discriminator for generative adversarial networks", CVPR 2020, goes on to every pixel); that the
generator interpolates; and its noise, see `LatentNoise`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.adversarial_pair import SLOPE, bounded, halvings_of, widths_of, with_spread
from napari_synth.networks.latent_generator import LatentGenerator


class DcganGenerator(LatentGenerator):
    """Makes images by convolutions and leaky rectifiers; see `LatentGenerator`."""

    gated = False


class DcganDiscriminator(nn.Module):
    """Tells made images from real ones, as a whole and in parts, by strided convolutions with bounded weights.

    Parameters
    ----------
    size, channels, width : int
        As for `LatentGenerator`.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: int = 24, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        halvings = halvings_of(size)
        base = size // 2**halvings
        steps = [channels, *widths_of(width, halvings)]
        layers: list[Any] = [nn.Conv2d(inside, outside, 4, stride=2, padding=1) for inside, outside in pairwise(steps)]
        whole, part = nn.Conv2d(steps[-1] + 1, 1, base), nn.Conv2d(steps[-2], 1, 3)
        for layer in (*layers, whole, part):
            nn.init.orthogonal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        self.downs = nn.ModuleList(bounded(layer) for layer in layers)
        self.whole, self.part = bounded(whole), bounded(part)

    def forward(self, images: Tensor) -> Tensor:
        """Return how real images (N, channels, size, size) look, (N, 2, Y, X), the larger the more: the whole, and each part."""
        x = images.contiguous(memory_format=torch.channels_last)
        for down in self.downs:
            fine, x = x, functional.leaky_relu(down(x), SLOPE)
        parts = self.part(fine)
        return torch.cat((self.whole(with_spread(x)).expand_as(parts), parts), 1)
