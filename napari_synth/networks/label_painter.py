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
    """A U-Net over the channels of labels, noise of single pixels, and noise of larger patches.

    Parameters
    ----------
    labels, channels : int
        Channels of the labels, and of the image.
    width : int
        See `TranslationUNet`.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = TranslationUNet.multiple
    """Sizes along Y and X must be multiples of this."""
    noises: ClassVar[int] = 2
    """Channels of the noise."""

    def __init__(
        self, labels: int = 3, channels: int = 1, width: int = 32, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.labels, self.channels, self.width = labels, channels, width
        self.body = TranslationUNet(2, labels + self.noises, channels, width, generator=generator)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {"labels": self.labels, "channels": self.channels, "width": self.width}

    def start_from(self, weights: Tensor, offsets: Tensor) -> None:
        """Set the mix of channels that everything is added to.

        Parameters
        ----------
        weights : Tensor, (channels, n)
            Of the first n channels of the labels; the others and the noise count for nothing.
        offsets : Tensor, (channels,)
        """
        others = weights.new_zeros(self.channels, self.labels + self.noises - weights.shape[1])
        self.body.start_from(torch.cat((weights, others), 1), offsets)

    def forward(self, labels: Tensor, noise: Tensor) -> Tensor:
        """Map labels (N, labels, Y, X) and normal noise (N, `noises`, Y, X), multiples of 16, to images (N, channels, Y, X)."""
        # The sum over a square of normal numbers is as spread as its edge is long.
        coarse = _COARSER * functional.avg_pool2d(noise[:, 1:], _COARSER)
        coarse = functional.interpolate(coarse, size=noise.shape[-2:], mode="bilinear", align_corners=False)
        made: Tensor = self.body(torch.cat((labels, noise[:, :1], coarse), 1))
        return made
