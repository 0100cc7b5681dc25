"""A small U-Net that removes noise of known strength and known correlation between neighbours.

It is bias-free throughout, so that scaling image and noise together scales the result (Mohan et al., "Robust and
interpretable blind image denoising via bias-free convolutional neural networks", ICLR 2020), and works on the
pixel-unshuffled image with a noise-level map (Zhang et al., "FFDNet", IEEE TIP 2018).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.blocks import initialise, noise_planes, residual_blocks
from napari_synth.networks.local_mean import CELL, local_mean, local_mean_reach


class NoiseConditionedUNet(nn.Module):
    """Denoiser conditioned on a map of noise standard deviations and on the lag-1 correlation of the noise.

    The image is unshuffled by 2 (four channels at half resolution) and joined by three planes: sigma, sigma * rho_y
    and sigma * rho_x. Everything is homogeneous of degree 1: ``f(k y, k sigma) = k f(y, sigma)`` for k > 0, so the
    network takes images of any range. Where the local mean is taken out, ``f(y + c, sigma) = f(y, sigma) + c`` as well.

    Parameters
    ----------
    widths : tuple of int
        Channels of the levels, from half resolution downwards.
    encoder_blocks, decoder_blocks : tuple of int
        Residual blocks of each level but the last, on the way down and up.
    bottom_blocks : int
        Residual blocks of the last level.
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
        widths: tuple[int, ...] = (32, 64, 128),
        encoder_blocks: tuple[int, ...] = (1, 1),
        decoder_blocks: tuple[int, ...] = (1, 1),
        bottom_blocks: int = 2,
        slope: float = 0.0,
        mean_spread: float = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) != 3 or len(encoder_blocks) != 2 or len(decoder_blocks) != 2:
            raise ValueError("The network has three levels: give three widths and two counts of blocks a side.")
        self.widths = tuple(widths)
        self.encoder_blocks = tuple(encoder_blocks)
        self.decoder_blocks = tuple(decoder_blocks)
        self.bottom_blocks = bottom_blocks
        self.slope, self.mean_spread = slope, mean_spread
        steps = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        self.head = nn.Conv2d(7, self.widths[0], 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(
            residual_blocks(w, n, slope) for w, n in zip(self.widths, self.encoder_blocks, strict=False)
        )
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in steps)
        self.bottom = residual_blocks(self.widths[-1], bottom_blocks, slope)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2, bias=False) for a, b in steps)
        self.decoders = nn.ModuleList(
            residual_blocks(w, n, slope) for w, n in zip(self.widths, self.decoder_blocks, strict=False)
        )
        self.tail = nn.Conv2d(self.widths[0], 4, 3, padding=1, bias=False)
        initialise(self, self.tail)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "widths": list(self.widths),
            "encoder_blocks": list(self.encoder_blocks),
            "decoder_blocks": list(self.decoder_blocks),
            "bottom_blocks": self.bottom_blocks,
            "slope": self.slope,
            "mean_spread": self.mean_spread,
        }

    @property
    def receptive_field(self) -> int:
        """Largest distance in pixels, along an axis, at which an input pixel can change an output pixel.

        Where the local mean is taken out, up to a cell less: the places in its cells from which it and the convolutions reach
        farthest need not be the same.
        """
        # In each unit of the coarsest level, and then of the finer ones, the reach is the number of 3x3 convolutions;
        # a pixel may lie anywhere in its 2x2 cell, so that each change of level can add one pixel of the finer grid.
        reach = 2 * self.bottom_blocks
        for encoder, decoder in zip(self.encoder_blocks[::-1], self.decoder_blocks[::-1], strict=True):
            reach = 2 * reach + 1 + 2 * encoder + 2 * decoder
        return 2 * (reach + 2) + 1 + local_mean_reach(self.mean_spread)

    def forward(self, image: Tensor, sigma: Tensor, correlation: Tensor | None = None) -> Tensor:
        """Return the clean image.

        Parameters
        ----------
        image : Tensor
            Noisy image, shape (N, 1, H, W), any range; H and W multiples of 8.
        sigma : Tensor
            Standard deviation of the noise in the units of the image, shape (N, 1, H, W) or broadcastable to it.
        correlation : Tensor, optional
            Correlation of the noise of neighbours along y and x, shape (N, 2), 0 to 1; None for independent pixels.

        Returns
        -------
        Tensor
            Shape (N, 1, H, W).
        """
        n, _, h, w = image.shape
        level = functional.avg_pool2d(sigma.expand(n, 1, h, w), 2)
        seen = image - local_mean(image, self.mean_spread) if self.mean_spread else image
        x = torch.cat((functional.pixel_unshuffle(seen, 2), noise_planes(level, correlation)), dim=1)
        x = self.head(x.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            x = decoder(up(x).add_(skips.pop()))
        return image - functional.pixel_shuffle(self.tail(x), 2)
