"""A network that draws fine structure into blurred images, in the manner of the domain that it is told of.

It adds what it finds to the image. What cannot be known of it is drawn from noise.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.generative_blocks import ConditionedBlock, GroupNorm, enlarged, initialise


class Refiner(nn.Module):
    """Blocks at half and at a quarter of the resolution, told of the domain.

    Parameters
    ----------
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at a quarter.
    blocks : int
        At a quarter of the resolution.
    domains : int
        How many manners of drawing are learnt.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = 4
    """Height and width must be multiples of this."""

    def __init__(
        self,
        channels: int = 1,
        width: int = 24,
        blocks: int = 2,
        domains: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, width, blocks, domains) < 1:
            raise ValueError("A network needs at least one channel, block and domain.")
        self.channels, self.width, self.domains = channels, width, domains
        told = domains if domains > 1 else 0
        # Of the noise there is one channel, whatever the image has.
        self.head = nn.Conv2d(4 * (channels + 1), width, 3, padding=1)
        self.encoder = ConditionedBlock(width, told)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(ConditionedBlock(2 * width, told) for _ in range(blocks))
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.decoder = ConditionedBlock(width, told)
        self.tail_norm = GroupNorm(width)
        self.tail = nn.Conv2d(width, 4 * channels, 3, padding=1)
        initialise(self, generator, self.tail)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "channels": self.channels,
            "width": self.width,
            "blocks": len(self.blocks),
            "domains": self.domains,
        }

    def forward(self, x: Tensor, noise: Tensor, domain: int = 0) -> Tensor:
        """Refine images.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, Y, X), about -1 to 1, Y and X multiples of 4.
        noise : Tensor
            Shape (N, 1, Y, X), standard normal.
        domain : int

        Returns
        -------
        Tensor
            Shape (N, C, Y, X), float32.
        """
        told = functional.one_hot(torch.full((len(x),), domain, device=x.device), self.domains).to(x.dtype)
        pixels = functional.pixel_unshuffle(torch.cat((x, noise), 1), 2)
        fine = self.encoder(self.head(pixels.contiguous(memory_format=torch.channels_last)), told)
        y = self.down(fine)
        for block in self.blocks:
            y = block(y, told)
        y = self.decoder(self.up(enlarged(y)) + fine, told)
        change = functional.pixel_shuffle(self.tail(functional.silu(self.tail_norm(y))), 2)
        return x + change.float()
