"""The classic pair of convolutional networks that makes images and tells them from real ones.

Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks", ICLR 2016. Three
things are of a later time: the discriminator has spectral norms in place of batch norms, and judges parts of an image beside the
whole (Schönfeld et al., "A U-Net based discriminator for generative adversarial networks", CVPR 2020, goes on to every pixel); the
generator interpolates before its convolutions, since transposed ones leave a checkerboard (Odena et al., "Deconvolution and
checkerboard artifacts", Distill 2016), and mirrors what they see at the borders, where zeros would show as a frame.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.adversarial_pair import SLOPE, Grain, bounded, halvings_of, limited, widths_of, with_spread
from napari_synth.networks.generative_blocks import enlarged


class DcganGenerator(nn.Module):
    """Maps vectors of normal numbers to images of one size, by convolutions, the resolution being doubled before each of them.

    Parameters
    ----------
    size : int
        Edge of an image, a multiple of 16.
    channels : int
        Of an image.
    width : int
        Channels at half resolution: half as many at the image's own, twice as many at each further halving, four times at most.
    latent_size : int
    limit : float
        Pixels lie between plus and minus this.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        width: int = 24,
        latent_size: int = 128,
        limit: float = 1.25,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, width, latent_size) < 1:
            raise ValueError("A network needs at least one channel and one latent.")
        self.size, self.channels, self.width, self.latent_size, self.limit = size, channels, width, latent_size, limit
        halvings = halvings_of(size)
        self._base = size // 2**halvings
        widths = [*reversed(widths_of(width, halvings)), max(width // 2, 1)]
        self.first = nn.Linear(latent_size, widths[0] * self._base**2, bias=False)
        self.first_norm = nn.BatchNorm2d(widths[0])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, padding=1, padding_mode="reflect", bias=False)
            for inside, outside in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outside) for outside in widths[1:])
        self.grain = Grain(latent_size, size, widths[1:])
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1, padding_mode="reflect")
        for layer in (self.first, *self.convolutions):
            nn.init.kaiming_normal_(layer.weight, SLOPE, generator=generator)
        nn.init.xavier_normal_(self.last.weight, generator=generator)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "size": self.size,
            "channels": self.channels,
            "width": self.width,
            "latent_size": self.latent_size,
            "limit": self.limit,
        }

    @property
    def first_weight(self) -> Tensor:
        """Weights (features, latent_size) of the first layer."""
        return self.first.weight

    def forward(self, latents: Tensor) -> Tensor:
        """Map (N, latent_size) to (N, channels, size, size), about -1 to 1."""
        x = self.first(latents).view(len(latents), -1, self._base, self._base)
        x = functional.leaky_relu(self.first_norm(x.contiguous(memory_format=torch.channels_last)), SLOPE)
        for convolution, norm, grain in zip(self.convolutions, self.norms, self.grain(latents), strict=True):
            x = functional.leaky_relu(norm(convolution(enlarged(x))) + grain, SLOPE)
        return limited(self.last(x), self.limit)


class DcganDiscriminator(nn.Module):
    """Tells made images from real ones, as a whole and in parts, by strided convolutions with bounded weights.

    Parameters
    ----------
    size, channels, width : int
        As for `DcganGenerator`.
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
