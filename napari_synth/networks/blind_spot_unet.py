"""A small, fast U-Net for learning from one image, in two or three dimensions.

There is no path from a pixel to itself around the convolutions (no residual), as Hoeck et al., "N2V2", ECCV workshops 2022, advise
against checkerboards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.unshuffled import BiasedBlock, Layers, initialise, shuffled, unshuffled

_LEAST_VARIANCE = 1e-6


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
        convolution, transposed, halving, self._memory_format = Layers.of(dims)
        self.head = convolution(4, width, 3, padding=1)
        self.encoder = BiasedBlock(convolution, width)
        self.down = convolution(width, 2 * width, halving, stride=halving)
        self.bottom = nn.Sequential(BiasedBlock(convolution, 2 * width), BiasedBlock(convolution, 2 * width))
        self.up = transposed(2 * width, width, halving, stride=halving)
        self.decoder = BiasedBlock(convolution, width)
        self.tail = convolution(width, 4 * out_channels, 3, padding=1)
        initialise(self, generator)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {"dims": self.dims, "width": self.width, "out_channels": self.out_channels}

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, [Z,] Y, X), Y and X multiples of 4, to (N, out_channels, [Z,] Y, X)."""
        fine = self.encoder(self.head(unshuffled(x).contiguous(memory_format=self._memory_format)))
        coarse = self.bottom(self.down(fine))
        return shuffled(self.tail(self.decoder(self.up(coarse) + fine)))


def prediction(output: Tensor) -> tuple[Tensor, Tensor]:
    """Read mean and variance of the signal, each (N, 1, *spatial), from a network's output (N, 2, *spatial)."""
    output = output.float()
    return output[:, :1], functional.softplus(output[:, 1:] - 3.0).square() + _LEAST_VARIANCE
