"""Makes images of vectors of normal numbers: what the generators of the GANs have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_synth.networks.adversarial_pair import SLOPE, halvings_of, widths_of
from napari_synth.networks.generative_blocks import LatentNoise, enlarged

# Of the noise, at first: features have the spread 1.
_GRAIN = 0.1


def limited(x: Tensor, limit: float) -> Tensor:
    """Return what lies between plus and minus the limit, and hardly differs where it is small."""
    return limit * torch.tanh(x / limit)


def bent(*, gated: bool) -> nn.Module:
    """Return a leaky rectifier, or what lets half of the channels gate the other half."""
    return nn.GLU(dim=1) if gated else nn.LeakyReLU(SLOPE)


def channels_for(*, gated: bool) -> int:
    """Return how many channels go into `bent` for each that comes out."""
    return 2 if gated else 1


class Grain(nn.Module):
    """What is added to the levels of a generator: `LatentNoise`, of a strength that each channel learns.

    Parameters
    ----------
    latent_size : int
    size : int
        Edge of an image.
    widths : sequence of int
        Channels of the levels, the finest last, each of twice the resolution of that before.
    """

    def __init__(self, latent_size: int, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.noise = LatentNoise(latent_size, size)
        self.strengths = nn.ParameterList(torch.full((1, width, 1, 1), _GRAIN) for width in widths)

    def forward(self, latents: Tensor) -> Iterator[Tensor]:
        """Yield what is added to each level, (N, channels, Y, X), given latents (N, latent_size)."""
        noise = self.noise(latents)
        for level, strength in enumerate(self.strengths, 1):
            step = 2 ** (len(self.strengths) - level)
            yield strength.to(noise.dtype) * noise[..., ::step, ::step]


class Up(nn.Module):
    """Doubles the resolution, convolves, and bends: with a leaky rectifier, or by letting half of the channels gate the other.

    Parameters
    ----------
    inside, outside : int
        Channels.
    gated : bool
    """

    def __init__(self, inside: int, outside: int, *, gated: bool) -> None:
        super().__init__()
        self.bent = bent(gated=gated)
        made = outside * channels_for(gated=gated)
        self.convolution = nn.Conv2d(inside, made, 3, padding=1, padding_mode="reflect", bias=False)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, x: Tensor, grain: Tensor | float = 0.0) -> Tensor:
        """Map (N, inside, Y, X) to (N, outside, 2 Y, 2 X); grain is added before what bends, of as many channels as that takes."""
        made: Tensor = self.bent(self.norm(self.convolution(enlarged(x))) + grain)
        return made


class LatentGenerator(nn.Module):
    """Maps vectors of normal numbers to images of one size: convolutions, the resolution being doubled before each of them.

    The convolutions interpolate first, since transposed ones leave a checkerboard (Odena et al., "Deconvolution and checkerboard
    artifacts", Distill 2016), and mirror what they see at the borders, where zeros would show as a frame.

    Parameters
    ----------
    size : int
        Edge of an image, a multiple of 16.
    channels : int
        Of an image.
    width : int
        Channels at half resolution: half as many at the image's own, twice as many at each further halving, four times at most.
    latent_size : int
    limit : float
        Pixels lie between plus and minus this.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.

    Raises
    ------
    ValueError
        The edge is no multiple of 16, or there is no channel, width or latent.
    """

    gated: ClassVar[bool]
    """Whether channels gate each other."""

    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        width: int = 24,
        latent_size: int = 128,
        limit: float = 1.25,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, width, latent_size) < 1:
            raise ValueError("A network needs at least one channel and one latent.")
        self.size, self.channels, self.width, self.latent_size, self.limit = size, channels, width, latent_size, limit
        halvings = halvings_of(size)
        self._base = size // 2**halvings
        # From the coarsest to the image's own resolution.
        widths = [*reversed(widths_of(width, halvings)), max(width // 2, 1)]
        taken = channels_for(gated=self.gated)
        self.first = nn.Linear(latent_size, taken * widths[0] * self._base**2, bias=False)
        self.first_norm = nn.BatchNorm2d(taken * widths[0])
        self.bent = bent(gated=self.gated)
        self.ups = nn.ModuleList(Up(inside, outside, gated=self.gated) for inside, outside in pairwise(widths))
        self.grain = Grain(latent_size, size, [taken * width for width in widths[1:]])
        self.extend(widths)
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1, padding_mode="reflect")
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, 1.0 if self.gated else SLOPE, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_normal_(self.last.weight, generator=generator)

    def extend(self, widths: Sequence[int]) -> None:
        """Add what else a generator has, given the channels of all levels from the coarsest on."""

    def changed(self, fine: Tensor, level: int, features: Sequence[Tensor]) -> Tensor:
        """Return the features of a level, given those of the coarser ones.

        Parameters
        ----------
        fine : Tensor, (N, C, Y, X)
            The features of the level.
        level : int
            Its number, the coarsest first.
        features : sequence of Tensor
            Those of the coarser levels.
        """
        return fine

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "size": self.size,
            "channels": self.channels,
            "width": self.width,
            "latent_size": self.latent_size,
            "limit": self.limit,
        }

    @property
    def first_weight(self) -> Tensor:
        """Weights (features, latent_size) of the first layer."""
        return self.first.weight

    def forward(self, latents: Tensor) -> Tensor:
        """Map (N, latent_size) to (N, channels, size, size), about -1 to 1."""
        x = self.first(latents).view(len(latents), -1, self._base, self._base)
        features = [self.bent(self.first_norm(x.contiguous(memory_format=torch.channels_last)))]
        for level, (up, grain) in enumerate(zip(self.ups, self.grain(latents), strict=True), 1):
            features.append(self.changed(up(features[-1], grain), level, features))
        return limited(self.last(features[-1]), self.limit)
