"""What the two networks of a game over images are made of: sizes, normalised weights, gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from napari_synth.networks.generative_blocks import LatentNoise, enlarged

Layer = TypeVar("Layer", bound=nn.Module)

_MOST_AT_BASE = 7
_GRAIN = 0.1
_WIDEST = 4
SLOPE = 0.2
"""Of leaky rectifiers, where they are closed."""


def halvings_of(size: int) -> int:
    """Return how often the edge of an image is halved until few pixels are left.

    Raises
    ------
    ValueError
        The edge is no multiple of 16.
    """
    if size < 16 or size % 16:
        raise ValueError("The edge of an image must be a multiple of 16 pixels.")
    count = 0
    while size > _MOST_AT_BASE and size % 2 == 0:
        size, count = size // 2, count + 1
    return count


def widths_of(width: int, halvings: int) -> list[int]:
    """Return the channels at half of the resolution, a quarter, and so on: twice as many each time, four times at most."""
    return [width * min(2**level, _WIDEST) for level in range(halvings)]


def bounded(layer: Layer) -> Layer:
    """Keep the largest singular value of a layer's weight at 1: a critic with such layers cannot be arbitrarily steep.

    Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
    """
    parametrizations.spectral_norm(layer)
    return layer


def limited(x: Tensor, limit: float) -> Tensor:
    """Return what lies between plus and minus the limit, and hardly differs where it is small."""
    return limit * torch.tanh(x / limit)


def with_spread(features: Tensor) -> Tensor:
    """Append how much the images of a batch differ as one more channel: a critic that sees it knows images that are all alike.

    Karras et al., "Progressive growing of GANs", ICLR 2018.
    """
    spread = features.float().std(dim=0, unbiased=False).mean()
    return torch.cat((features, spread.to(features.dtype).expand(len(features), 1, *features.shape[2:])), 1)


class Grain(nn.Module):
    """What is added to the levels of a generator: `LatentNoise`, of a strength that each channel learns.

    Parameters
    ----------
    latent_size : int
    size : int
        Edge of an image.
    widths : sequence of int
        Channels of the levels, the finest last, each of twice the resolution of that before.
    """

    def __init__(self, latent_size: int, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.noise = LatentNoise(latent_size, size)
        self.strengths = nn.ParameterList(torch.full((1, width, 1, 1), _GRAIN) for width in widths)

    def forward(self, latents: Tensor) -> list[Tensor]:
        """Map latents (N, latent_size) to what is added to each level, (N, channels, Y, X)."""
        noise = self.noise(latents)
        steps = [2**level for level in reversed(range(len(self.strengths)))]
        return [strength * noise[..., ::step, ::step] for strength, step in zip(self.strengths, steps, strict=True)]


class GatedUp(nn.Module):
    """Doubles the resolution, convolves, and lets one half of the channels gate the other.

    Parameters
    ----------
    inside, outside : int
        Channels.
    """

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, 2 * outside, 3, padding=1, padding_mode="reflect", bias=False)
        self.norm = nn.BatchNorm2d(2 * outside)

    def forward(self, x: Tensor, grain: Tensor | float = 0.0) -> Tensor:
        """Map (N, inside, Y, X) to (N, outside, 2 Y, 2 X); grain (N, 2 outside, 2 Y, 2 X) is added before the gates."""
        return functional.glu(self.norm(self.convolution(enlarged(x))) + grain, dim=1)
