"""A U-Net that tells in which direction an image lies from a mixture of it with noise, and what follows these directions.

Lipman et al., "Flow matching for generative modeling", ICLR 2023; Liu et al., "Flow straight and fast: learning to generate and
transfer data with rectified flow", ICLR 2023. It is fully convolutional, so that images of other sizes can be made than it saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.generative_blocks import ConditionedBlock, GroupNorm, enlarged, initialise

Solver = Literal["heun", "euler"]

_FREQUENCIES = 32


class VelocityUNet(nn.Module):
    """U-Net on pixels that are unshuffled by 2, told of the time.

    At time t the mixture is ``(1 - t) noise + t image``, and its velocity ``image - noise``. Were the image white noise too, of
    known mean and deviation, the best guess would be linear; the network learns what is missing to it, in units of what is left
    then (Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, for another path).

    Parameters
    ----------
    channels : int
        Of an image.
    width : int
        Channels at half resolution; twice as many at a quarter, four times as many below.
    levels : int
        How often the resolution is halved.
    mean, deviation : sequence of float
        Of the images that are learnt from, for each channel.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    given : int
        Channels of what images are made for, such as labels; 0 where there is nothing.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        levels: int = 3,
        mean: Sequence[float] = (0.0,),
        deviation: Sequence[float] = (0.5,),
        generator: torch.Generator | None = None,
        given: int = 0,
    ) -> None:
        super().__init__()
        if min(channels, levels) < 1 or width < 2 or given < 0 or len(mean) != channels or len(deviation) != channels:
            raise ValueError("A network needs channels and levels, and a mean and a deviation for every channel.")
        if not min(deviation) > 0:
            raise ValueError("Images of one brightness cannot be learnt from.")
        self.channels, self.width, self.levels, self.given = channels, width, levels, given
        self.mean, self.deviation = tuple(mean), tuple(deviation)
        widths = [width * min(2**level, 4) for level in range(levels)]
        steps = list(pairwise(widths))
        told = 4 * width
        self.head_time = nn.Linear(2 * _FREQUENCIES, told)
        self.time = nn.Linear(told, told)
        self.head = nn.Conv2d(4 * (channels + given), width, 3, padding=1)
        self.encoders = nn.ModuleList(ConditionedBlock(a, told) for a, _ in steps)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.bottom = nn.ModuleList(ConditionedBlock(widths[-1], told) for _ in range(2))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(steps))
        self.decoders = nn.ModuleList(ConditionedBlock(a, told) for a, _ in reversed(steps))
        self.tail_norm = GroupNorm(width)
        self.tail = nn.Conv2d(width, 4 * channels, 3, padding=1)
        initialise(self, generator, self.tail)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "channels": self.channels,
            "width": self.width,
            "levels": self.levels,
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "given": self.given,
        }

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 1 << self.levels

    def forward(self, x: Tensor, time: Tensor, given: Tensor | None = None) -> Tensor:
        """Return the velocity.

        Parameters
        ----------
        x : Tensor
            Shape (N, C, Y, X): mixtures of standard normal noise with images that are `standardised`.
        time : Tensor
            Shape (N,), 0 for noise to 1 for images.
        given : Tensor, optional
            Shape (N, given, Y, X), about -1 to 1: what images are made for, where the network is told of it.

        Returns
        -------
        Tensor
            Shape (N, C, Y, X), float32.
        """
        t = time.view(-1, 1, 1, 1).float()
        variance = (1.0 - t).square() + t.square()
        # Of images that are standardised: mean 0, deviation 1.
        linear = (2.0 * t - 1.0) / variance * x
        left = variance.rsqrt()
        seen = left * x if given is None else torch.cat((left * x, given), 1)
        return linear + left * self._missing(seen, time)

    def standardised(self, images: Tensor) -> Tensor:
        """Return images (N, C, Y, X), about -1 to 1, with mean 0 and deviation 1 over all that are learnt from."""
        mean, deviation = self._moments(images)
        return (images - mean) / deviation

    def unstandardised(self, images: Tensor) -> Tensor:
        """Return what `standardised` was given."""
        mean, deviation = self._moments(images)
        return images * deviation + mean

    def _moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        found = like.new_tensor([self.mean, self.deviation])[:, None, :, None, None]
        return found[0], found[1]

    def _missing(self, x: Tensor, time: Tensor) -> Tensor:
        angles = time.float()[:, None] * torch.logspace(0, 3, _FREQUENCIES, device=x.device)
        told = self.head_time(torch.cat((angles.sin(), angles.cos()), 1))
        told = functional.silu(self.time(functional.silu(told)))
        pixels = functional.pixel_unshuffle(x, 2)
        y = self.head(pixels.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for block, down in zip(self.encoders, self.downs, strict=True):
            y = block(y, told)
            skips.append(y)
            y = down(y)
        for block in self.bottom:
            y = block(y, told)
        for up, block in zip(self.ups, self.decoders, strict=True):
            y = block(up(enlarged(y)) + skips.pop(), told)
        y = self.tail(functional.silu(self.tail_norm(y)))
        return functional.pixel_shuffle(y, 2).float()


def flow(
    network: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    steps: int,
    solver: Solver = "heun",
    *,
    back: bool = False,
    check: Callable[[], None] | None = None,
) -> Tensor:
    """Follow the velocities from noise to images, or back.

    Parameters
    ----------
    network : callable
        Maps (N, C, Y, X) and times (N,) to velocities.
    x : Tensor
        Shape (N, C, Y, X): noise, or standardised images.
    steps : int
        Of equal length in time.
    solver : {"heun", "euler"}
        Heun's looks twice a step, and is exact to the second order.
    back : bool
        From images to the noise that they come from.
    check : callable, optional
        Called before every step; may raise.

    Returns
    -------
    Tensor
        Shape (N, C, Y, X), float32.
    """
    times = [1.0 - i / steps for i in range(steps + 1)] if back else [i / steps for i in range(steps + 1)]
    x = x.float()
    for now, then in pairwise(times):
        if check is not None:
            check()
        length = then - now
        velocity = network(x, x.new_full((len(x),), now))
        if solver == "heun":
            ahead = network(x + length * velocity, x.new_full((len(x),), then))
            velocity = 0.5 * (velocity + ahead)
        x = x + length * velocity
    return x


def mixing_times(count: int, generator: torch.Generator, device: str | torch.device) -> Tensor:
    """Draw times (count,) between 0 and 1, those in the middle more often.

    The sigmoid of normal numbers: Esser et al., "Scaling rectified flow transformers for high-resolution image synthesis", ICML
    2024.

    Parameters
    ----------
    count : int
    generator : torch.Generator
    device : str or torch.device
        Of the result.
    """
    return torch.randn(count, generator=generator, device=device).sigmoid()


def spread_times(count: int) -> Tensor:
    """Return the quantiles of `mixing_times` at the middles of ``count`` equal parts, on the CPU: the same at every call."""
    quantiles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (math.sqrt(2.0) * torch.erfinv(2.0 * quantiles - 1.0)).sigmoid().float()
