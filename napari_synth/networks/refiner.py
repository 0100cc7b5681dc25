"""A network that draws fine structure into blurred images, in the manner of the domain that it is told of.

It adds what it finds to the image. What cannot be known of it is drawn from noise.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.generative_blocks import ConditionedBlock, GroupNorm, enlarged, initialise

_MARGIN = 8


class Refiner(nn.Module):
    """U-Net from the pixels down to a quarter of the resolution, told of the domain.

    Pixels are neither unshuffled nor shuffled: what plays against a discriminator would show it as a checkerboard.

    Parameters
    ----------
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at a quarter, half as many at the whole one.
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
        # Of the noise there is one channel, whatever the image has. Zeros around what is seen would show as a frame.
        fine = max(1, width // 2)
        self.head = nn.Conv2d(channels + 1, fine, 3, padding=1, padding_mode="replicate")
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, padding_mode="replicate")
            for a, b in ((fine, width), (width, 2 * width))
        )
        self.encoder = ConditionedBlock(width, told, "replicate")
        self.blocks = nn.ModuleList(ConditionedBlock(2 * width, told, "replicate") for _ in range(blocks))
        self.ups = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1, padding_mode="replicate") for a, b in ((width, 2 * width), (fine, width))
        )
        self.decoder = ConditionedBlock(width, told, "replicate")
        self.tail_norm = GroupNorm(fine)
        self.tail = nn.Conv2d(fine, channels, 3, padding=1, padding_mode="replicate")
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
            Shape (N, C, Y, X), about -1 to 1, Y and X multiples of 4 and larger than 8.
        noise : Tensor
            Shape (N, 1, Y, X), standard normal.
        domain : int

        Returns
        -------
        Tensor
            Shape (N, C, Y, X), float32.
        """
        told = functional.one_hot(torch.full((len(x),), domain, device=x.device), self.domains).to(x.dtype)
        # Beyond the borders it draws as well, and what is drawn there is cut off: who judges hardly sees the outermost pixels.
        seen = functional.pad(torch.cat((x, noise), 1), (_MARGIN,) * 4, mode="reflect")
        fine = self.head(seen.contiguous(memory_format=torch.channels_last))
        half = self.encoder(self.downs[0](fine), told)
        y = self.downs[1](half)
        for block in self.blocks:
            y = block(y, told)
        y = self.decoder(self.ups[0](enlarged(y)) + half, told)
        change: Tensor = self.tail(functional.silu(self.tail_norm(self.ups[1](enlarged(y)) + fine)))
        return x + change[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].float()
