"""A small, fast U-Net for learning from one image, in two or three dimensions.

It works on pixels that are unshuffled two by two in the plane, where a convolution costs a quarter: steps a second decide what a
network can learn from one image in a minute. There is no path from a pixel to itself around the convolutions (no residual), as
Hoeck et al., "N2V2", ECCV workshops 2022, advise against checkerboards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST_VARIANCE = 1e-6


class BiasedBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, with biases.

    Parameters
    ----------
    convolution : type
        ``nn.Conv2d`` or ``nn.Conv3d``.
    width : int
        Channels.
    """

    def __init__(self, convolution: Any, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width, 3, padding=1)
        self.second = convolution(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, *spatial)."""
        change: Tensor = self.second(functional.relu(self.first(x), inplace=True))
        return x + change


class BlindSpotUNet(nn.Module):
    """U-Net with two levels below the pixels: unshuffled by 2, then strided by 2, in Y and X.

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes; the first of three is convolved along but never subsampled.
    width : int
        Channels at half resolution; twice as many at a quarter.
    out_channels : int
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple = 4
    """Sizes along Y and X must be multiples of this."""
    receptive_field = (10, 33, 33)
    """How far, along Z, Y and X, an input pixel can change an output pixel."""

    def __init__(
        self, dims: int = 2, width: int = 24, out_channels: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.dims, self.width, self.out_channels = dims, width, out_channels
        convolution: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        transposed: Any = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        halving = (1,) * (dims - 2) + (2, 2)
        self.head = convolution(4, width, 3, padding=1)
        self.encoder = BiasedBlock(convolution, width)
        self.down = convolution(width, 2 * width, halving, stride=halving)
        self.bottom = nn.Sequential(BiasedBlock(convolution, 2 * width), BiasedBlock(convolution, 2 * width))
        self.up = transposed(2 * width, width, halving, stride=halving)
        self.decoder = BiasedBlock(convolution, width)
        self.tail = convolution(width, 4 * out_channels, 3, padding=1)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
            else:
                nn.init.zeros_(parameter)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {"dims": self.dims, "width": self.width, "out_channels": self.out_channels}

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, [Z,] Y, X), Y and X multiples of 4, to (N, out_channels, [Z,] Y, X)."""
        layout = torch.channels_last if self.dims == 2 else torch.channels_last_3d
        fine = self.encoder(self.head(unshuffled(x).contiguous(memory_format=layout)))
        coarse = self.bottom(self.down(fine))
        return shuffled(self.tail(self.decoder(self.up(coarse) + fine)))


def prediction(output: Tensor) -> tuple[Tensor, Tensor]:
    """Read mean and variance of the signal, each (N, 1, *spatial), from a network's output (N, 2, *spatial)."""
    output = output.float()
    return output[:, :1], functional.softplus(output[:, 1:] - 3.0).square() + _LEAST_VARIANCE


def unshuffled(x: Tensor) -> Tensor:
    """``pixel_unshuffle`` by 2 in the plane, for volumes too."""
    if x.dim() == 4:
        return functional.pixel_unshuffle(x, 2)
    return functional.pixel_unshuffle(x.transpose(1, 2), 2).transpose(1, 2)


def shuffled(x: Tensor) -> Tensor:
    """``pixel_shuffle`` by 2 in the plane, for volumes too."""
    if x.dim() == 4:
        return functional.pixel_shuffle(x, 2)
    return functional.pixel_shuffle(x.transpose(1, 2), 2).transpose(1, 2)
