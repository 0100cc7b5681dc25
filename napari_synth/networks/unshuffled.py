"""What the U-Nets on unshuffled pixels share, in two or three dimensions.

They see pixels that are unshuffled two by two in the plane, where a convolution costs a quarter: steps a second decide what a
network can learn in a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layers(NamedTuple):
    """Kinds of layers for two or three spatial axes; the first of three is convolved along but never subsampled.

    Attributes
    ----------
    convolution, transposed : type
        Of a convolution and of a transposed one.
    halving : tuple of int
        Kernel and stride of what halves a level along Y and X.
    memory_format : torch.memory_format
        In which convolutions are fastest.
    """

    convolution: Any
    transposed: Any
    halving: tuple[int, ...]
    memory_format: torch.memory_format

    @classmethod
    def of(cls, dims: int) -> Layers:
        """Return the kinds for so many dimensions.

        Raises
        ------
        ValueError
            There are not two or three.
        """
        if dims == 2:
            return cls(nn.Conv2d, nn.ConvTranspose2d, (2, 2), torch.channels_last)
        if dims == 3:
            return cls(nn.Conv3d, nn.ConvTranspose3d, (1, 2, 2), torch.channels_last_3d)
        raise ValueError("A network needs two or three dimensions.")


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


def initialise(network: nn.Module, generator: torch.Generator | None, slopes: dict[str, float] | None = None) -> None:
    """Draw fresh weights, and set biases to 0.

    Parameters
    ----------
    network : nn.Module
    generator : torch.Generator, optional
        On the CPU.
    slopes : dict of str to float, optional
        By the beginning of a layer's name, the slope of the rectifier behind it; the others have torch's own default.
    """
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            slope = next((value for start, value in (slopes or {}).items() if name.startswith(start)), 5**0.5)
            nn.init.kaiming_uniform_(parameter, a=slope, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def encoded(y: Tensor, encoders: Iterable[nn.Module], downs: Iterable[nn.Module]) -> tuple[Tensor, list[Tensor]]:
    """Go down the levels of a U-Net.

    Parameters
    ----------
    y : Tensor, (N, C, Y, X)
        Features of the finest level.
    encoders, downs : iterable of torch.nn.Module
        What works on each level, and what leads from it to the next coarser one.

    Returns
    -------
    Tensor
        Features of the coarsest level.
    list of Tensor
        Those of the levels above, the finest first.
    """
    skips: list[Tensor] = []
    for encoder, down in zip(encoders, downs, strict=True):
        y = encoder(y)
        skips.append(y)
        y = down(y)
    return y, skips


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
