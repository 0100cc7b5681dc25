"""A network that makes an image of labels and noise.

As Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, turn label maps into images; but
their noise, dropout, was ignored. Labels are flat: noise as an input of its own is what texture can be made of, and so it is used.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.translation_unet import TranslationUNet

_COARSER = 8


class LabelPainter(nn.Module):
    """A U-Net over labels and noise, and behind it some layers on whole pixels, which give what it found its texture.

    Parameters
    ----------
    labels, channels : int
        Channels of the labels, and of the image.
    width : int
        See `TranslationUNet`; half as many channels on whole pixels.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = TranslationUNet.multiple
    """Sizes along Y and X must be multiples of this."""
    noises: ClassVar[int] = 2
    """Channels of the noise: one is of single pixels, one of larger patches."""

    def __init__(
        self, labels: int = 3, channels: int = 1, width: int = 32, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.labels, self.channels, self.width = labels, channels, width
        fine = max(width // 2, 1)
        self.mix = nn.Conv2d(labels, channels, 1)
        self.body = TranslationUNet(2, labels + self.noises, fine, width, generator=generator)
        last = nn.Conv2d(fine, channels, 3, padding=1)
        self.texture = nn.Sequential(
            nn.Conv2d(fine + labels + self.noises, fine, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(fine, fine, 3, padding=1),
            nn.LeakyReLU(0.2),
            last,
        )
        for layer in self.texture:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=0.2, generator=generator)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        # Little is added at first, so that training starts from the mix.
        with torch.no_grad():
            last.weight.mul_(0.1)
        self.start_from(torch.zeros(channels, labels), torch.zeros(channels))

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {"labels": self.labels, "channels": self.channels, "width": self.width}

    def start_from(self, weights: Tensor, offsets: Tensor) -> None:
        """Set the mix of channels that everything is added to.

        Parameters
        ----------
        weights : Tensor, (channels, n)
            Of the first n channels of the labels; the others count for nothing.
        offsets : Tensor, (channels,)
        """
        with torch.no_grad():
            self.mix.weight.zero_()
            self.mix.weight[:, : weights.shape[1]] = weights[..., None, None]
            self.mix.bias.copy_(offsets)  # type: ignore[union-attr]

    def forward(self, labels: Tensor, noise: Tensor) -> Tensor:
        """Map labels (N, labels, Y, X) and normal noise (N, `noises`, Y, X), multiples of 16, to images (N, channels, Y, X)."""
        # The sum over a square of normal numbers is as spread as its edge is long.
        coarse = _COARSER * functional.avg_pool2d(noise[:, 1:], _COARSER)
        coarse = functional.interpolate(coarse, size=noise.shape[-2:], mode="bilinear", align_corners=False)
        given = torch.cat((labels, noise[:, :1], coarse), 1)
        found = torch.cat((self.body(given), given), 1).contiguous(memory_format=torch.channels_last)
        made: Tensor = self.mix(labels) + self.texture(found)
        return made
