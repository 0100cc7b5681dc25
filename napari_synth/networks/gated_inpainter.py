"""A small gated network that fills the holes of an image.

Yu et al., "Free-form image inpainting with gated convolution", ICCV 2019: every block learns which of its features count where,
since what lies in a hole is a guess. It adds structure to a smooth fill, computes on pixels that are unshuffled two by two, and
looks far around by dilated convolutions at an eighth of the resolution.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST = 4
_SMOOTHED = 6
_COARSE = 16
_LEAST_SPREAD = 1e-6


class Prepared(NamedTuple):
    """What the network looks at, and what it is measured by.

    Attributes
    ----------
    filled : Tensor, (N, 1, H, W)
        The image with its holes filled smoothly.
    base : Tensor, (N, 1, H, W)
        What varies slowly in it.
    spread : Tensor, (N, 1, 1, 1)
        Standard deviation of the rest outside the holes.
    """

    filled: Tensor
    base: Tensor
    spread: Tensor


class GatedBlock(nn.Module):
    """``x + conv(leaky(norm(conv(x))) * sigmoid(norm(gate(x))))``.

    The norm, over the channels of each pixel, keeps rectifiers and gates from closing: holes and masks are large constant parts of
    what the network sees, and large steps make it shut itself against them.

    Parameters
    ----------
    width : int
        Channels.
    dilation : int
        Of the first convolution.
    """

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.gate = nn.Conv2d(width, width, 1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, H, W)."""
        inner = functional.leaky_relu(_normed(self.first(x)), 0.1) * torch.sigmoid(_normed(self.gate(x)))
        change: Tensor = self.second(inner)
        return x + change


def _normed(x: Tensor) -> Tensor:
    """Return what has the mean 0 and the standard deviation 1 over the channels of each pixel."""
    return functional.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)


class GatedInpainter(nn.Module):
    """U-Net of gated blocks; its result moves and scales with the image, so it takes images of any range.

    Parameters
    ----------
    widths : tuple of int
        Channels at a half, a quarter and an eighth of the resolution.
    encoder_blocks, decoder_blocks : tuple of int
        Blocks at the first two of these.
    dilations : tuple of int
        Of the blocks at the last one, one each.
    """

    multiple: ClassVar[int] = 8
    """Height and width must be multiples of this."""

    def __init__(
        self,
        widths: tuple[int, int, int] = (32, 64, 96),
        encoder_blocks: tuple[int, int] = (1, 1),
        decoder_blocks: tuple[int, int] = (1, 1),
        dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4),
    ) -> None:
        super().__init__()
        full, half, low = self.widths = tuple(widths)
        self.encoder_blocks, self.decoder_blocks = tuple(encoder_blocks), tuple(decoder_blocks)
        self.dilations = tuple(dilations)
        self.head = nn.Conv2d(8, full, 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(w, n) for w, n in zip((full, half), self.encoder_blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in ((full, half), (half, low)))
        self.bottom = nn.Sequential(*(GatedBlock(low, dilation) for dilation in self.dilations))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in ((full, half), (half, low)))
        self.decoders = nn.ModuleList(_blocks(w, n) for w, n in zip((full, half), self.decoder_blocks, strict=True))
        self.tail = nn.Conv2d(full, 4, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, a=0.1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            # Blocks and the last layer add little at first, so that training starts from the smooth fill.
            for module in self.modules():
                if isinstance(module, GatedBlock):
                    module.second.weight.mul_(0.2)
            self.tail.weight.mul_(0.1)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "widths": list(self.widths),
            "encoder_blocks": list(self.encoder_blocks),
            "decoder_blocks": list(self.decoder_blocks),
            "dilations": list(self.dilations),
        }

    def forward(self, image: Tensor, holes: Tensor) -> Tensor:
        """Return the image with its holes filled.

        Parameters
        ----------
        image : Tensor
            Shape (N, 1, H, W), any range; H and W multiples of 8. What lies in the holes does not count.
        holes : Tensor
            Shape (N, 1, H, W): 1 where a pixel is to be filled, else 0.

        Returns
        -------
        Tensor
            Shape (N, 1, H, W); outside the holes the pixels of the image.
        """
        return self.completed(self.prepared(image, holes), holes)

    @staticmethod
    def prepared(image: Tensor, holes: Tensor) -> Prepared:
        """Fill the holes smoothly, and measure what surrounds them; see `forward`."""
        with torch.no_grad():
            filled = smooth_fill(image, holes)
            size = filled.shape[-2:]
            coarse = (max(1, size[0] // _COARSE), max(1, size[1] // _COARSE))
            base = functional.interpolate(functional.adaptive_avg_pool2d(filled, coarse), size, mode="bicubic")
            known = 1.0 - holes
            rest = (filled - base).square().mul_(known).sum((2, 3), keepdim=True)
            spread = (rest / known.sum((2, 3), keepdim=True).clamp_min(1.0)).sqrt_()
        return Prepared(filled, base, spread)

    def completed(self, prepared: Prepared, holes: Tensor) -> Tensor:
        """Return the filled image (N, 1, H, W) of what was prepared."""
        filled, base, spread = prepared
        unit = spread.clamp_min(_LEAST_SPREAD)
        seen = torch.cat((((filled - base) / unit).clamp(-8.0, 8.0), holes), dim=1)
        x = self.head(functional.pixel_unshuffle(seen, 2).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            x = decoder(up(x) + skips.pop())
        change = functional.pixel_shuffle(self.tail(x), 2)
        return filled + holes * unit * change


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(GatedBlock(width) for _ in range(count)))


def smooth_fill(image: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with a surface that is about harmonic, at small cost: from coarse to fine, smoothed a little at each resolution.

    Parameters
    ----------
    image, holes : Tensor, (N, 1, H, W)
        See `GatedInpainter.forward`.

    Returns
    -------
    Tensor
        Shape (N, 1, H, W).
    """
    known = 1.0 - holes
    pyramid = [(image * known, known)]
    while min(pyramid[-1][0].shape[-2:]) > _SMALLEST:
        pixels, weight = pyramid[-1]
        share = functional.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
        mean = functional.avg_pool2d(pixels * weight, 2, ceil_mode=True, count_include_pad=False)
        pyramid.append((mean / share.clamp_min(1e-6), (share > 0).to(share.dtype)))
    pixels, weight = pyramid.pop()
    count = weight.sum((2, 3), keepdim=True)
    overall = (pixels * weight).sum((2, 3), keepdim=True) / count.clamp_min(1.0)
    filled = torch.where(weight > 0, pixels, overall)
    while pyramid:
        pixels, weight = pyramid.pop()
        filled = functional.interpolate(filled, pixels.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, pixels, filled)
        for _ in range(_SMOOTHED):
            around = functional.avg_pool2d(functional.pad(filled, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            filled = torch.where(weight > 0, pixels, around)
    return filled
