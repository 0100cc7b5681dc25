"""What the two networks of a game over images have in common: sizes, and weights that are bounded."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Layer = TypeVar("Layer", bound=nn.Module)

_MOST_AT_BASE = 7
_WIDEST = 4
_LEAST_VARIANCE = 1e-8
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


def with_spread(features: Tensor) -> Tensor:
    """Append how much the images of a batch differ as one more channel: a critic that sees it knows images that are all alike.

    Karras et al., "Progressive growing of GANs", ICLR 2018.
    """
    # Where all are alike, the slope of a deviation has no slope.
    spread = (features.float().var(dim=0, unbiased=False) + _LEAST_VARIANCE).sqrt().mean()
    return torch.cat((features, spread.to(features.dtype).expand(len(features), 1, *features.shape[2:])), 1)
