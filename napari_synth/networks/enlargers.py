"""Networks that make images finer: a U-Net that enlarges an image of known noise by 2, 3 or 4, and one along a single axis.

It adds detail to the cubic enlargement (Kim et al., "Accurate image super-resolution using very deep convolutional networks", CVPR
2016), computes at the size of the image, and shuffles its last channels into finer pixels (Shi et al., "Real-time single image and
video super-resolution using an efficient sub-pixel convolutional neural network", CVPR 2016), with one last layer for every scale.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.blocks import initialise, noise_planes, residual_blocks
from napari_synth.networks.local_mean import CELL, local_mean, local_mean_reach


class SuperResolutionUNet(nn.Module):
    """Enlarges images, and takes their noise away on the way.

    It is homogeneous of degree 1: ``f(k y, k sigma) = k f(y, sigma)`` for k > 0, so the network takes images of any range. Where
    the local mean is taken out, ``f(y + c, sigma) = f(y, sigma) + c`` as well.

    Parameters
    ----------
    widths : tuple of int
        Channels at full and at half resolution.
    encoder_blocks, bottom_blocks, decoder_blocks : int
        Residual blocks on the way down, at half resolution, and on the way up.
    scales : tuple of int
        How many times finer results can be.
    slope : float
        Of the rectifiers below zero, see `ResidualBlock`.
    mean_spread : float
        Standard deviation, in cells of 8 pixels, of the Gaussian mean that is taken out of the image before the first layer; 0
        leaves it in.
    """

    multiple: ClassVar[int] = CELL
    """Height and width must be multiples of this."""

    def __init__(
        self,
        widths: tuple[int, int] = (48, 80),
        encoder_blocks: int = 2,
        bottom_blocks: int = 2,
        decoder_blocks: int = 2,
        scales: tuple[int, ...] = (2, 3, 4),
        slope: float = 0.0,
        mean_spread: float = 0.0,
    ) -> None:
        super().__init__()
        full, half = self.widths = tuple(widths)
        self.encoder_blocks, self.bottom_blocks, self.decoder_blocks = encoder_blocks, bottom_blocks, decoder_blocks
        self.scales = tuple(scales)
        self.slope, self.mean_spread = slope, mean_spread
        self.head = nn.Conv2d(4, full, 3, padding=1, bias=False)
        self.encoder = residual_blocks(full, encoder_blocks, slope)
        self.down = nn.Conv2d(full, half, 2, stride=2, bias=False)
        self.bottom = residual_blocks(half, bottom_blocks, slope)
        self.up = nn.ConvTranspose2d(half, full, 2, stride=2, bias=False)
        self.decoder = residual_blocks(full, decoder_blocks, slope)
        self.tails = nn.ModuleDict({str(s): nn.Conv2d(full, s * s, 3, padding=1, bias=False) for s in self.scales})
        initialise(self, *(tail for tail in self.tails.values() if isinstance(tail, nn.Conv2d)))

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "widths": list(self.widths),
            "encoder_blocks": self.encoder_blocks,
            "bottom_blocks": self.bottom_blocks,
            "decoder_blocks": self.decoder_blocks,
            "scales": list(self.scales),
            "slope": self.slope,
            "mean_spread": self.mean_spread,
        }

    @property
    def receptive_field(self) -> int:
        """Largest distance in pixels of the image, along an axis, at which a pixel can change the result.

        Where the local mean is taken out, up to a cell less: the places in its cells from which it and the convolutions reach
        farthest need not be the same.
        """
        reach = 2 * (2 * self.bottom_blocks) + 1 + 2 * self.encoder_blocks + 2 * self.decoder_blocks + 2
        return reach + local_mean_reach(self.mean_spread)

    def forward(self, image: Tensor, sigma: Tensor, correlation: Tensor | None = None, scale: int = 2) -> Tensor:
        """Return the image, ``scale`` times finer.

        Parameters
        ----------
        image : Tensor
            Shape (N, 1, H, W), any range; H and W multiples of 8.
        sigma : Tensor
            Standard deviation of the noise in the units of the image, shape (N, 1, H, W) or broadcastable to it; 0 for none.
        correlation : Tensor, optional
            Correlation of the noise of neighbours along y and x, shape (N, 2), 0 to 1; None for independent pixels.
        scale : int
            One of `scales`.

        Returns
        -------
        Tensor
            Shape (N, 1, scale * H, scale * W).
        """
        n, _, h, w = image.shape
        noise = noise_planes(sigma.expand(n, 1, h, w), correlation)
        seen = image - local_mean(image, self.mean_spread) if self.mean_spread else image
        x = self.head(torch.cat((seen, noise), dim=1).contiguous(memory_format=torch.channels_last))
        x = self.encoder(x)
        x = self.decoder(self.up(self.bottom(self.down(x))).add_(x))
        detail = functional.pixel_shuffle(self.tails[str(scale)](x), scale)
        return enlarged(image, scale).add_(detail)


def enlarged(image: Tensor, scale: int) -> Tensor:
    """Return the cubic enlargement (Keys, a = -1/2) of an image (N, C, H, W), in float32 where the image is of half precision."""
    if image.dtype in (torch.bfloat16, torch.float16):
        # Not every processor's torch has this interpolation in half precision.
        image = image.float()
    size = (image.shape[-2] * scale, image.shape[-1] * scale)
    # Only with antialias does torch take Keys' coefficient; in an enlargement it has no other effect.
    return functional.interpolate(image, size, mode="bicubic", antialias=True)


class AxialEnlarger(nn.Module):
    """Finds what a cubic enlargement along the first axis lacks.

    It is homogeneous of degree 1: ``f(k y) = k f(y)`` for k > 0, so the network takes images of any range.

    Parameters
    ----------
    scale : int
        How many times finer the result is along the first spatial axis.
    width : int
        Channels.
    blocks : int
        Residual blocks.
    """

    def __init__(self, scale: int, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.head = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.body = residual_blocks(width, blocks)
        self.tail = nn.Conv2d(width, scale, 3, padding=1, bias=False)
        initialise(self)
        # Untrained, it adds nothing.
        nn.init.zeros_(self.tail.weight)

    @property
    def receptive_field(self) -> int:
        """Largest distance in pixels of the image, along an axis, at which a pixel can change the result."""
        return 2 * self.blocks + 2

    def forward(self, image: Tensor) -> Tensor:
        """Return what is to be added to the cubic enlargement.

        Parameters
        ----------
        image : Tensor
            Shape (N, 1, A, B), any range; A is the coarse axis.

        Returns
        -------
        Tensor
            Shape (N, 1, scale * A, B).
        """
        rows: Tensor = self.tail(self.body(self.head(image.contiguous(memory_format=torch.channels_last))))
        n, _, a, b = image.shape
        return rows.permute(0, 2, 1, 3).reshape(n, 1, self.scale * a, b)
