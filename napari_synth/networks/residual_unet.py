"""A U-Net that turns images into better ones, in two or three dimensions: it adds what is missing to its input.

Weigert et al., "Content-aware image restoration: pushing the limits of fluorescence microscopy", Nature Methods 2018. It works on
pixels that are unshuffled two by two in the plane, where a convolution costs a quarter.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_synth.networks.unshuffled import BiasedBlock, Layers, encoded, initialise, shuffled, unshuffled


class ResidualUNet(nn.Module):
    """U-Net with three levels below the pixels: unshuffled by 2, then strided by 2 twice, in Y and X.

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes; the first of three is convolved along but never subsampled.
    in_channels, out_channels : int
        Where they are the same, the input is added to the output.
    width : int
        Channels at half resolution; twice and four times as many below.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = 8
    """Sizes along Y and X must be multiples of this."""

    def __init__(
        self,
        dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dims not in {2, 3} or min(in_channels, out_channels, width) < 1:
            raise ValueError("A network needs two or three dimensions, and at least one channel everywhere.")
        self.dims, self.in_channels, self.out_channels, self.width = dims, in_channels, out_channels, width
        convolution, transposed, halving, self._memory_format = Layers.of(dims)
        widths = (width, 2 * width, 4 * width)
        self.head = convolution(4 * in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(BiasedBlock(convolution, w) for w in widths[:-1])
        self.downs = nn.ModuleList(convolution(w, 2 * w, halving, stride=halving) for w in widths[:-1])
        self.bottom = nn.Sequential(BiasedBlock(convolution, widths[-1]), BiasedBlock(convolution, widths[-1]))
        self.ups = nn.ModuleList(transposed(2 * w, w, halving, stride=halving) for w in widths[:-1])
        self.decoders = nn.ModuleList(BiasedBlock(convolution, w) for w in widths[:-1])
        self.tail = convolution(width, 4 * out_channels, 3, padding=1)
        initialise(self, generator)
        if in_channels == out_channels:
            # What is added is little at first, so that training starts from the image as it is.
            with torch.no_grad():
                self.tail.weight.mul_(0.1)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "dims": self.dims,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "width": self.width,
        }

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """How far, along Z, Y and X, an input pixel can change an output pixel."""
        # 3 x 3 convolutions of each level in units of its pixels; a pixel may lie anywhere in its cell.
        plane = 2 * (2 * (2 * 4 + 1 + 4) + 1 + 4 + 2) + 1
        return (4 + 4 + 4 + 2, plane, plane)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, [Z,] Y, X), Y and X multiples of 8, to (N, out_channels, [Z,] Y, X)."""
        y = self.head(unshuffled(x).contiguous(memory_format=self._memory_format))
        y, skips = encoded(y, self.encoders, self.downs)
        y = self.bottom(y)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            y = decoder(up(y) + skips.pop())
        y = shuffled(self.tail(y))
        return x + y if self.in_channels == self.out_channels else y
