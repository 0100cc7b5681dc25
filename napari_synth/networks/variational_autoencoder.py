"""A convolutional variational autoencoder: an image becomes a short vector of normal numbers, and such a vector an image.

Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.generative_blocks import ConditionedBlock, GroupNorm, enlarged, initialise

_LEAST_EDGE = 4
# Deviations of the posterior between exp(-5) and exp(2).
_LOG_VARIANCE = (-10.0, 4.0)


class VariationalAutoencoder(nn.Module):
    """Strided encoder, a normal posterior, and a decoder that enlarges step by step; images are about -1 to 1.

    Parameters
    ----------
    channels : int
        Of an image.
    size : int
        Height and width of an image, a multiple of 8.
    latent_size : int
        Length of the vector.
    width : int
        Channels at half resolution; twice as many at a quarter, four times as many below.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 64,
        latent_size: int = 128,
        width: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if size < 16 or size % 8 or min(channels, latent_size) < 1 or width < 2:
            raise ValueError("An autoencoder needs images of at least 16 pixels, a multiple of 8, and channels.")
        self.channels, self.size, self.latent_size, self.width = channels, size, latent_size, width
        halvings = 1
        while size % 2 ** (halvings + 1) == 0 and size >> (halvings + 1) >= _LEAST_EDGE:
            halvings += 1
        self.edge = size >> halvings
        widths = [width * min(2**level, 4) for level in range(halvings)]
        deepest = widths[-1]
        steps = list(pairwise(widths))
        self.head = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.encoders = nn.ModuleList(ConditionedBlock(b) for _, b in steps)
        self.norm = GroupNorm(deepest)
        self.posterior = nn.Linear(deepest * self.edge**2, 2 * latent_size)
        self.stem = nn.Linear(latent_size, deepest * self.edge**2)
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(steps))
        self.decoders = nn.ModuleList(ConditionedBlock(b) for _, b in reversed(steps))
        # The finest level is narrow: it sees most pixels. Zeros around it would show as a frame.
        self.tail_up = nn.Conv2d(width, width // 2, 3, padding=1, padding_mode="replicate")
        self.tail_norm = GroupNorm(width // 2)
        self.tail = nn.Conv2d(width // 2, channels, 3, padding=1, padding_mode="replicate")
        initialise(self, generator, self.tail)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "channels": self.channels,
            "size": self.size,
            "latent_size": self.latent_size,
            "width": self.width,
        }

    @property
    def first_weight(self) -> Tensor:
        """Of the layer that the latents meet first, (features, latent_size)."""
        return self.stem.weight

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the posterior, each (N, latent_size), of images (N, C, size, size)."""
        pixels = functional.pixel_unshuffle(x, 2)
        y = self.head(pixels.contiguous(memory_format=torch.channels_last))
        for down, block in zip(self.downs, self.encoders, strict=True):
            y = block(down(y))
        y = functional.silu(self.norm(y))
        mean, log_variance = self.posterior(y.flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (N, C, size, size) of latents (N, latent_size)."""
        y = self.stem(latents).unflatten(1, (-1, self.edge, self.edge))
        y = y.contiguous(memory_format=torch.channels_last)
        for up, block in zip(self.ups, self.decoders, strict=True):
            y = up(enlarged(block(y)))
        y = self.tail_up(enlarged(y))
        image: Tensor = self.tail(functional.silu(self.tail_norm(y)))
        return image.float()

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images, draw latents with normal numbers (N, latent_size), and decode them.

        Returns
        -------
        (image, mean, log_variance) : tuple of Tensor
            Shapes (N, C, size, size), (N, latent_size) and (N, latent_size).
        """
        mean, log_variance = self.encode(x)
        return self.decode(drawn_latents(mean, log_variance, noise)), mean, log_variance


def drawn_latents(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return latents of a posterior, for standard normal noise of the same shape (N, latent_size).

    Parameters
    ----------
    mean, log_variance : Tensor, (N, latent_size)
        Of the posterior.
    noise : Tensor, (N, latent_size)
        Standard normal numbers.
    """
    return mean + (0.5 * log_variance).exp() * noise
