"""A U-Net that turns the channels of an image into others, in two or three dimensions.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015, as Isola et al., "Image-to-image
translation with conditional adversarial networks", CVPR 2017, took it up. It works on pixels that are unshuffled two by two in the
plane, where a convolution costs a quarter, and adds what it finds to a mix of the channels of each pixel that can be fitted before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.residual_translator import Normalisation, TranslationBlock
from napari_synth.networks.unshuffled import BiasedBlock, Layers, encoded, initialise, unshuffled

_LEVELS = 4
_SLOPE = 0.2


class TranslationUNet(nn.Module):
    """U-Net with four levels below the pixels: unshuffled by 2, then strided by 2 three times, in Y and X.

    On the way up features are interpolated, and the last layers see whole pixels: what is made cell by cell shows as a grid once a
    critic asks for texture (Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016).

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes; the first of three is convolved along but never subsampled.
    in_channels, out_channels : int
    width : int
        Channels at half resolution; twice, four and four times as many below.
    normalisation : {"none", "pixel", "instance"}
        Of the features; an instance's forgets how bright the image was.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = 2**_LEVELS
    """Sizes along Y and X must be multiples of this."""

    def __init__(
        self,
        dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        normalisation: Normalisation = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dims not in {2, 3} or min(in_channels, out_channels, width) < 1:
            raise ValueError("A network needs two or three dimensions, and at least one channel everywhere.")
        self.dims, self.in_channels, self.out_channels, self.width = dims, in_channels, out_channels, width
        self.normalisation: Normalisation = normalisation
        convolution, _, halving, self._memory_format = Layers.of(dims)
        widths = [width * min(2**level, 4) for level in range(_LEVELS)]

        def block(channels: int) -> nn.Module:
            if normalisation == "none":
                return BiasedBlock(convolution, channels)
            return TranslationBlock(dims, channels, normalisation)

        steps = list(pairwise(widths))
        self.tail_mix = convolution(in_channels, out_channels, 1)
        self.head = convolution(4 * in_channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(block(above) for above, _ in steps)
        self.downs = nn.ModuleList(convolution(above, below, halving, stride=halving) for above, below in steps)
        self.bottom = nn.Sequential(block(widths[-1]), block(widths[-1]))
        self.ups = nn.ModuleList(convolution(below, above, 1) for above, below in steps)
        self.decoders = nn.ModuleList(block(above) for above, _ in steps)
        fine = max(width // 2, 1)
        self.finest = convolution(width + in_channels, fine, 3, padding=1)
        self.tail = convolution(fine, out_channels, 3, padding=1)
        initialise(self, generator, {"finest": _SLOPE})
        # Little is added at first, so that training starts from the mix.
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
        self.start_from(torch.full((out_channels, in_channels), 1.0 / in_channels), torch.zeros(out_channels))

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "dims": self.dims,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "width": self.width,
            "normalisation": self.normalisation,
        }

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """How far, along Z, Y and X, an input pixel can change an output pixel, apart from an instance's mean and deviation."""
        # 3 x 3 convolutions of each level in units of its pixels; a pixel may lie anywhere in its cell, and is interpolated between
        # it and the next.
        reach = 4
        for _ in range(_LEVELS - 1):
            reach = 2 * (reach + 1) + 1 + 4
        plane = 2 * (reach + 2) + 1 + 2
        return (4 + 4 * (_LEVELS - 1) + 3, plane, plane)

    @property
    def needs_whole(self) -> bool:
        """Whether a result depends on all of the image."""
        return self.normalisation == "instance"

    def start_from(self, weights: Tensor, offsets: Tensor) -> None:
        """Set the mix of channels that everything is added to.

        Parameters
        ----------
        weights : Tensor, (out_channels, in_channels)
        offsets : Tensor, (out_channels,)
        """
        with torch.no_grad():
            self.tail_mix.weight.copy_(weights.reshape(self.tail_mix.weight.shape))
            self.tail_mix.bias.copy_(offsets)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, [Z,] Y, X), Y and X multiples of 16, to (N, out_channels, [Z,] Y, X)."""
        y = self.head(unshuffled(x).contiguous(memory_format=self._memory_format))
        y, skips = encoded(y, self.encoders, self.downs)
        y = self.bottom(y)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            y = decoder(self._finer(up(y)) + skips.pop())
        fine = functional.leaky_relu(self.finest(torch.cat((self._finer(y), x), 1)), _SLOPE)
        made: Tensor = self.tail_mix(x) + self.tail(fine)
        return made

    def _finer(self, y: Tensor) -> Tensor:
        """Return features of twice the size along Y and X."""
        scale, mode = ((2.0, 2.0), "bilinear") if self.dims == 2 else ((1.0, 2.0, 2.0), "trilinear")
        return functional.interpolate(y, scale_factor=scale, mode=mode, align_corners=False)
