"""The pairs of networks that make images of one size from vectors: DCGAN and FastGAN.

Liu et al., "Towards faster and stabilized GAN training for high-fidelity few-shot image synthesis", ICLR 2021. The noise that is
added inside the generator belongs to the latents, so that the same latents always give the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.adversarial_pair import SLOPE, bounded, halvings_of, widths_of, with_spread
from napari_synth.networks.latent_generator import LatentGenerator, Up


class SkipLayerExcitation(nn.Module):
    """Scales the channels of fine features by what coarse ones show.

    Parameters
    ----------
    coarse, fine : int
        Channels.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(coarse, fine, 4),
            nn.LeakyReLU(0.1),
            nn.Conv2d(fine, fine, 1),
            nn.Sigmoid(),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return fine features of the same shape (N, fine, Y, X)."""
        scaled: Tensor = fine * self.gate(coarse)
        return scaled


class FastganGenerator(LatentGenerator):
    """Makes images by gated convolutions, of which coarse ones excite the channels of fine ones; see `LatentGenerator`."""

    gated = True

    def extend(self, widths: Sequence[int]) -> None:
        """Let the two coarsest levels excite the two finest ones."""
        finest = len(widths) - 1
        self._skips = {finest: 1, finest - 1: 0} if finest > 2 else {finest: 0}
        self.excitations = nn.ModuleDict(
            {str(fine): SkipLayerExcitation(widths[coarse], widths[fine]) for fine, coarse in self._skips.items()}
        )

    def changed(self, fine: Tensor, level: int, features: Sequence[Tensor]) -> Tensor:
        """Scale the channels of a fine level.

        Parameters
        ----------
        fine, level, features
            As for `LatentGenerator.changed`.
        """
        if level not in self._skips:
            return fine
        scaled: Tensor = self.excitations[str(level)](features[self._skips[level]], fine)
        return scaled


class _Down(nn.Module):
    """Halves the resolution on two ways, a deep and a plain one, and takes their mean."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Conv2d(inside, outside, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outside, outside, 3, padding=1),
            nn.LeakyReLU(SLOPE),
        )
        self.plain = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inside, outside, 1), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = 0.5 * (self.deep(x) + self.plain(x))
        return mean


class FastganDiscriminator(nn.Module):
    """Tells made images from real ones place by place, and can draw real ones again from what it saw of them.

    Parameters
    ----------
    size, channels, width : int
        As for `LatentGenerator`.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: int = 24, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        # So few halvings that the judgement is one of several places, where the image is larger than a few pixels.
        halvings = max(2, halvings_of(size) - 1)
        widths = widths_of(width, halvings)
        self.stem = nn.Sequential(nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(SLOPE))
        self.downs = nn.ModuleList(_Down(inside, outside) for inside, outside in pairwise(widths))
        self.head = nn.Sequential(
            nn.Conv2d(widths[-1] + 1, widths[-1], 1), nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], 1, 4)
        )
        self.whole = _decoder(widths[-1], channels, width, halvings - 1)
        self.part = _decoder(widths[-2], channels, width, halvings - 1)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, a=SLOPE, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        judging = [module for part in (self.stem, self.downs, self.head) for module in part.modules()]
        for module in judging:
            if isinstance(module, nn.Conv2d):
                bounded(module)

    def forward(self, images: Tensor, quarter: tuple[int, int] | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Say how real images look, and draw them again where a quarter is named.

        Parameters
        ----------
        images : Tensor, (N, channels, size, size)
        quarter : (int, int), optional
            Which quarter of them is drawn again at their own resolution, 0 or 1 along Y and X; the whole is drawn at half of it.

        Returns
        -------
        Tensor, or pair of Tensor
            How real they look at several places, (N, 1, Y, X), the larger the more; with a quarter, also how far from them what is
            drawn is, the mean absolute difference, a scalar.
        """
        features = self._features(images)
        if quarter is None:
            judged: Tensor = self.head(with_spread(features[-1]))
            return judged
        fine, coarse = features[-2], features[-1]
        whole = self.whole(coarse)
        error = (whole - functional.avg_pool2d(images, 2)).abs().mean()
        drawn = self.part(_quarter(fine, quarter))
        error = error + (drawn - _quarter(images, quarter)).abs().mean()
        return self.head(with_spread(coarse)), error

    def _features(self, images: Tensor) -> list[Tensor]:
        found = [self.stem(images.contiguous(memory_format=torch.channels_last))]
        for down in self.downs:
            found.append(down(found[-1]))
        return found


def _decoder(inside: int, channels: int, width: int, doublings: int) -> nn.Sequential:
    """Return a small network that doubles the resolution so many times, and ends at pixels."""
    steps = [inside] + [max(width // 2, 4)] * doublings
    ups = [Up(one, other, gated=True) for one, other in pairwise(steps)]
    return nn.Sequential(*ups, nn.Conv2d(steps[-1], channels, 3, padding=1))


def _quarter(x: Tensor, at: tuple[int, int]) -> Tensor:
    height, width = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, at[0] * height : (at[0] + 1) * height, at[1] * width : (at[1] + 1) * width]


class DcganGenerator(LatentGenerator):
    """Makes images by convolutions and leaky rectifiers; see `LatentGenerator`."""

    gated = False


class DcganDiscriminator(nn.Module):
    """Tells made images from real ones, as a whole and in parts, by strided convolutions with bounded weights.

    Parameters
    ----------
    size, channels, width : int
        As for `LatentGenerator`.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: int = 24, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        halvings = halvings_of(size)
        base = size // 2**halvings
        steps = [channels, *widths_of(width, halvings)]
        layers: list[Any] = [nn.Conv2d(inside, outside, 4, stride=2, padding=1) for inside, outside in pairwise(steps)]
        whole, part = nn.Conv2d(steps[-1] + 1, 1, base), nn.Conv2d(steps[-2], 1, 3)
        for layer in (*layers, whole, part):
            nn.init.orthogonal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        self.downs = nn.ModuleList(bounded(layer) for layer in layers)
        self.whole, self.part = bounded(whole), bounded(part)

    def forward(self, images: Tensor) -> Tensor:
        """Return how real images (N, channels, size, size) look, (N, 2, Y, X), the larger the more: the whole, and each part."""
        x = images.contiguous(memory_format=torch.channels_last)
        for down in self.downs:
            fine, x = x, functional.leaky_relu(down(x), SLOPE)
        parts = self.part(fine)
        return torch.cat((self.whole(with_spread(x)).expand_as(parts), parts), 1)
