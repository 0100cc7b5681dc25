"""The network of zero-shot Noise2Noise: so small that one image is enough to train it.

Mansour & Heckel, "Zero-shot Noise2Noise: efficient image denoising without any data", CVPR 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ThreeLayerCNN(nn.Module):
    """Two 3x3 convolutions and one 1x1 convolution that predict the noise of one channel.

    Parameters
    ----------
    width : int
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    receptive_field = 2
    """How far an input pixel can change an output pixel."""

    def __init__(self, width: int = 48, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 1, 1)
        for layer in (self.first, self.second, self.last):
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Return the noise of ``image``, both (N, 1, Y, X)."""
        x = functional.leaky_relu(self.first(image.contiguous(memory_format=torch.channels_last)), 0.2)
        noise: Tensor = self.last(functional.leaky_relu(self.second(x), 0.2))
        return noise
