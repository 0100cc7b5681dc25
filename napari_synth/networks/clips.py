"""What networks for time-lapses are made of: frames in and out of a grid four times as coarse, the same for every frame.

Nothing here looks at more than its neighbourhood, so that a tile is equal to the same pixels of the whole: channels are normalised
pixel by pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

COARSER = 4
"""Pixels along an edge of a cell of the grid."""


class ChannelNorm(nn.Module):
    """Brings the channels of every pixel to mean 0 and variance 1, then scales and shifts them.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, Y, X)."""
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(1, keepdim=True)
        normalised: Tensor = centred * (variance + 1e-5).rsqrt() * self.gain + self.shift
        return normalised


class _Block(nn.Module):
    """``x + conv(silu(conv(norm(x))))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.silu(self.first(self.norm(x))))
        return x + changed


class FrameEncoder(nn.Module):
    """A frame to the coarse grid, and to features of half resolution that a decoder can go on from.

    Parameters
    ----------
    channels : int
        Of a frame.
    width : int
        Of the features, on either grid.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.block = _Block(width)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, channels, Y, X) to (N, width, Y / 4, X / 4) and (N, width, Y / 2, X / 2)."""
        halved = functional.pixel_unshuffle(frames, 2).contiguous(memory_format=torch.channels_last)
        fine = functional.silu(self.head(halved))
        return self.block(self.down(fine)), fine


class FrameDecoder(nn.Module):
    """From the coarse grid to a frame.

    Parameters
    ----------
    channels : int
        Of a frame.
    width : int
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.block = _Block(width)
        self.tail = nn.Conv2d(width, 4 * channels, 3, padding=1)
        # What is decoded is little at first: it is added to a frame.
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()  # type: ignore[union-attr]

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Map (N, width, Y / 4, X / 4) and (N, width, Y / 2, X / 2) to (N, channels, Y, X)."""
        x = self.block(self.mix(torch.cat((self.up(coarse), fine), 1)))
        return functional.pixel_shuffle(self.tail(functional.silu(x)), 2)


def with_history(past: Tensor, frames: int) -> Tensor:
    """Return the last so many frames of (N, T, C, Y, X); the first one is repeated where there are fewer."""
    missing = frames - past.shape[1]
    if missing <= 0:
        return past[:, -frames:]
    return torch.cat((past[:, :1].expand(-1, missing, -1, -1, -1), past), dim=1)
