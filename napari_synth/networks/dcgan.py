"""The classic pair of convolutional networks that makes images and tells them from real ones.

Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks", ICLR 2016. Two
things are of a later time: the discriminator has spectral norms in place of batch norms, and the generator interpolates between its
convolutions, since transposed ones leave a checkerboard (Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.adversarial_pair import bounded, halvings_of, limited, widths_of, with_spread


class DcganGenerator(nn.Module):
    """Maps vectors of normal numbers to images of one size, by convolutions, the resolution being doubled behind each of them.

    Parameters
    ----------
    size : int
        Edge of an image, a multiple of 16.
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at each further halving, eight times as many at most.
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
        width: int = 32,
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
        # From the coarsest to the image's own resolution, which has as many channels as the next.
        widths = [*reversed(widths_of(width, halvings)), width]
        self.first = nn.Linear(latent_size, widths[0] * self._base**2, bias=False)
        self.first_norm = nn.BatchNorm2d(widths[0])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, padding=1, bias=False) for inside, outside in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(outside) for outside in widths[1:])
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        for layer in (self.first, *self.convolutions, self.last):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
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
        x = functional.relu(self.first_norm(x.contiguous(memory_format=torch.channels_last)))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # Rectified at the finer resolution, where that makes edges sharp again.
            x = functional.interpolate(norm(convolution(x)), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = functional.relu(x)
        return limited(self.last(x), self.limit)


class DcganDiscriminator(nn.Module):
    """Tells made images from real ones, by strided convolutions with bounded weights.

    Parameters
    ----------
    size, channels, width : int
        As for `DcganGenerator`.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: int = 32, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        halvings = halvings_of(size)
        base = size // 2**halvings
        steps = [channels, *widths_of(width, halvings)]
        layers: list[Any] = [nn.Conv2d(inside, outside, 4, stride=2, padding=1) for inside, outside in pairwise(steps)]
        last = nn.Conv2d(steps[-1] + 1, 1, base)
        for layer in (*layers, last):
            nn.init.orthogonal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        self.downs = nn.ModuleList(bounded(layer) for layer in layers)
        self.last = bounded(last)

    def forward(self, images: Tensor) -> Tensor:
        """Return how real images (N, channels, size, size) look, (N, 1, 1, 1): the larger the more."""
        x = images.contiguous(memory_format=torch.channels_last)
        for down in self.downs:
            x = functional.leaky_relu(down(x), 0.2)
        judged: Tensor = self.last(with_spread(x))
        return judged
