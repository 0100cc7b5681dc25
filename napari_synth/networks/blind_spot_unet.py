"""A small, fast U-Net for learning from one image, and the hidden pixels that it is asked for, in two or three dimensions.

There is no path from a pixel to itself around the convolutions (no residual), as Hoeck et al., "N2V2", ECCV workshops 2022, advise
against checkerboards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
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


_NEGLIGIBLE = 0.1
_FARTHEST = 4


@dataclass(frozen=True)
class BlindSpotMask:
    """Which pixels are hidden with each centre, and how far apart centres are.

    Attributes
    ----------
    reach : tuple of int
        How far, along each spatial axis, pixels are hidden around a centre; zeros hide the centre only.
    gap : int
        From what is hidden to what is hidden next, in the plane; at least 3, so that a ring of pixels around it is shown.
    """

    reach: tuple[int, ...]
    gap: int = 3

    @classmethod
    def for_correlation(cls, correlation: tuple[float, float], dims: int, gap: int = 3) -> BlindSpotMask:
        """Return the mask that hides what is correlated with the centre.

        Parameters
        ----------
        correlation : (float, float)
            Of the noise of direct neighbours along y and x, 0 to 1.
        dims : {2, 3}
            Spatial axes; the first of three is not hidden along.
        gap : int
            See `BlindSpotMask`.
        """
        return cls((0,) * (dims - 2) + tuple(reach_of(rho) for rho in correlation), gap)

    @cached_property
    def period(self) -> tuple[int, ...]:
        """Distance of centres along each axis."""
        planar = tuple(2 * reach + self.gap for reach in self.reach[-2:])
        return (2,) * (len(self.reach) - 2) + planar

    @property
    def isotropic(self) -> bool:
        """Whether it is the same with Y and X swapped."""
        return self.reach[-1] == self.reach[-2]

    @property
    def ring(self) -> int:
        """How far from a centre pixels matter for what is put in its place."""
        return max(self.reach) + 1

    def phases(self) -> Iterator[tuple[slice, ...]]:
        """Iterate over the grids of centres that together are all pixels."""
        for start in product(*(range(step) for step in self.period)):
            yield tuple(slice(at, None, step) for at, step in zip(start, self.period, strict=True))

    def centres(self, phase: tuple[slice, ...], pixels: Tensor) -> Tensor:
        """Return the grid of ``phase`` as a bool tensor (1, 1, *spatial) for ``pixels`` (N, 1, *spatial)."""
        chosen = torch.zeros((1, 1, *pixels.shape[2:]), dtype=torch.bool, device=pixels.device)
        grid: Any = (..., *phase)
        chosen[grid] = True
        return chosen

    def draw(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the grid of centres of each patch at random.

        Parameters
        ----------
        pixels : Tensor, (N, 1, *spatial)
        generator : torch.Generator
            On the device of the pixels.

        Returns
        -------
        Tensor of bool, of the shape of ``pixels``
        """
        count, dims = len(pixels), len(self.period)
        chosen = torch.ones((count, *(1 for _ in self.period)), dtype=torch.bool, device=pixels.device)
        for axis, step in enumerate(self.period):
            size = pixels.shape[axis + 2]
            start = torch.randint(min(step, size), (count, 1), device=pixels.device, generator=generator)
            line = torch.arange(size, device=pixels.device) % step == start
            chosen = chosen & line.view(count, *(size if i == axis else 1 for i in range(dims)))
        return chosen.unsqueeze(1)

    def hide(self, pixels: Tensor, centres: Tensor) -> Tensor:
        """Return ``pixels`` (N, 1, *spatial) with the centres, and what is hidden with them, replaced."""
        stand_in = self._ring_mean(pixels)
        if not any(self.reach):
            return torch.where(centres, stand_in, pixels)
        box = torch.ones([1, 1, *(2 * reach + 1 for reach in self.reach)], device=pixels.device)
        hidden = _convolve(centres.to(pixels.dtype), box)
        return torch.where(hidden > 0.5, _convolve(torch.where(centres, stand_in, 0.0), box), pixels)

    def _ring_mean(self, pixels: Tensor) -> Tensor:
        outer = [1] * (len(self.reach) - 2) + [2 * reach + 3 for reach in self.reach[-2:]]
        ring = torch.ones([1, 1, *outer], device=pixels.device)
        inside = [slice(None)] * (len(self.reach) - 2) + [slice(1, -1)] * 2
        centre: Any = (..., *inside)
        ring[centre] = 0.0
        there = _convolve(torch.ones_like(pixels[:1]), ring).clamp_min(1.0)
        return _convolve(pixels, ring) / there


def reach_of(rho: float) -> int:
    """Return how many pixels far noise goes together whose direct neighbours have the correlation ``rho``."""
    if rho <= _NEGLIGIBLE:
        return 0
    # The correlation of noise that was blurred by a Gaussian falls with the square of the distance.
    return min(_FARTHEST, max(1, math.floor(math.sqrt(math.log(_NEGLIGIBLE) / math.log(min(rho, 0.99))))))


def _convolve(pixels: Tensor, kernel: Tensor) -> Tensor:
    convolution = functional.conv2d if kernel.dim() == 4 else functional.conv3d
    with torch.autocast(pixels.device.type, enabled=False):
        return convolution(pixels, kernel, padding=[size // 2 for size in kernel.shape[2:]])
