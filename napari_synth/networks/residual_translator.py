"""A residual network that turns images of one kind into another, in two or three dimensions, alone or as a pair for both ways.

Johnson et al., "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016, as Zhu et al., "Unpaired
image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, took it up. It works on pixels that are
unshuffled two by two in the plane, where a convolution costs a quarter, and adds what it finds to the image, so that training
starts from the structures as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks.curves import MatchedCurve
from napari_synth.networks.unshuffled import shuffled, unshuffled

Normalisation = Literal["none", "pixel", "instance"]
"""Of features: not at all; each pixel's by the root mean square over its channels; each channel's by its mean and deviation over
the image, which forgets how bright the image was."""


class PixelNorm(nn.Module):
    """Divides the features of each pixel by their root mean square, and scales each channel by what is learnt.

    Karras et al., "Progressive growing of GANs", ICLR 2018. A result depends on its surroundings no further than without it.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, *spatial)."""
        gain = self.gain.view(-1, *(1 for _ in x.shape[2:]))
        return x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt() * gain


class TranslationBlock(nn.Module):
    """``x + norm(conv(relu(norm(conv(x)))))``.

    Parameters
    ----------
    dims : {2, 3}
    width : int
        Channels.
    normalisation : {"none", "pixel", "instance"}
    """

    def __init__(self, dims: int, width: int, normalisation: Normalisation) -> None:
        super().__init__()
        self.first, self.second = (_convolution(dims, width, width) for _ in range(2))
        self.first_norm, self.second_norm = (_norm(dims, width, normalisation) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, *spatial)."""
        change: Tensor = self.second_norm(self.second(functional.relu(self.first_norm(self.first(x)))))
        return x + change


class ResidualTranslator(nn.Module):
    """Encoder, residual blocks at a quarter of the resolution, decoder.

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes; the first of three is convolved along but never subsampled.
    in_channels, out_channels : int
        What is found is added to the input; to the mean of its channels where their numbers differ.
    width : int
        Channels at half resolution; twice as many at a quarter.
    blocks : int
    normalisation : {"none", "pixel", "instance"}
        Of the features.
    curve : mapping, optional
        Of a `MatchedCurve` that intensities go through first.
    generator : torch.Generator, optional
        On the CPU: the initial weights come from it.
    """

    multiple: ClassVar[int] = 4
    """Sizes along Y and X must be multiples of this."""

    def __init__(
        self,
        dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        blocks: int = 6,
        normalisation: Normalisation = "none",
        curve: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dims not in {2, 3} or min(in_channels, out_channels, width, blocks) < 1:
            raise ValueError("A network needs two or three dimensions, and at least one block and channel everywhere.")
        if normalisation not in get_args(Normalisation):
            raise ValueError(f"Features cannot be normalised by {normalisation!r}.")
        self.dims, self.in_channels, self.out_channels, self.width = dims, in_channels, out_channels, width
        self.normalisation: Normalisation = normalisation
        self.curve = None if curve is None else MatchedCurve(**curve)
        halving = (1,) * (dims - 2) + (2, 2)
        strided: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        transposed: Any = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.head = _convolution(dims, 4 * in_channels, width)
        self.down = strided(width, 2 * width, halving, stride=halving)
        self.blocks = nn.ModuleList(TranslationBlock(dims, 2 * width, normalisation) for _ in range(blocks))
        self.up = transposed(2 * width, width, halving, stride=halving)
        self.decoder = TranslationBlock(dims, width, normalisation)
        self.tail = _convolution(dims, width, 4 * out_channels)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        # Little is added at first.
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return {
            "dims": self.dims,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "width": self.width,
            "blocks": len(self.blocks),
            "normalisation": self.normalisation,
            "curve": None if self.curve is None else self.curve.config,
        }

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """How far, along Z, Y and X, an input pixel can change an output pixel, apart from an instance's mean and deviation."""
        depth = 2 * len(self.blocks) + 4
        # 3 x 3 convolutions of each level in units of its pixels; a pixel may lie anywhere in its cell.
        plane = 2 * (2 * 2 * len(self.blocks) + 1 + 1 + 2 + 1 + 1) + 1
        return (depth, plane, plane)

    @property
    def needs_whole(self) -> bool:
        """Whether a result depends on all of the image."""
        return self.normalisation == "instance"

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Channels of what ``features`` returns."""
        return (4 * self.in_channels, self.width, 2 * self.width, *(2 * self.width for _ in self._looked_at))

    @property
    def _looked_at(self) -> set[int]:
        return {(len(self.blocks) + 1) // 2, len(self.blocks)}

    def forward(self, x: Tensor, *, features: bool = False, matched: bool = False) -> Any:
        """Translate images.

        Parameters
        ----------
        x : Tensor
            Shape (N, in_channels, [Z,] Y, X), Y and X multiples of 4.
        features : bool
            Whether to stop half way and return what the encoder sees, a list of Tensor (N, C, *spatial): the unshuffled pixels,
            behind the head, at a quarter of the resolution, and behind half and all of the blocks.
        matched : bool
            Whether the images went through the curve already, or look like the target.

        Returns
        -------
        Tensor
            Shape (N, out_channels, [Z,] Y, X).
        """
        if self.curve is not None and not matched:
            x = self.curve(x)
        layout = torch.channels_last if self.dims == 2 else torch.channels_last_3d
        pixels = unshuffled(x).contiguous(memory_format=layout)
        fine = functional.relu(self.head(pixels))
        y = functional.relu(self.down(fine))
        seen = [pixels, fine, y]
        for number, block in enumerate(self.blocks, start=1):
            y = block(y)
            if number in self._looked_at:
                seen.append(y)
        if features:
            return seen
        change = shuffled(self.tail(self.decoder(functional.relu(self.up(y)) + fine)))
        start = x if self.in_channels == self.out_channels else x.mean(1, keepdim=True)
        return start + change


class CycleTranslator(nn.Module):
    """Two networks: from the source to the target, and back.

    Parameters
    ----------
    dims, in_channels, out_channels, width, blocks, normalisation, curve, generator
        Of the way there, see `ResidualTranslator`; the way back ends with the curve's inverse.
    """

    multiple: ClassVar[int] = ResidualTranslator.multiple

    def __init__(
        self,
        dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        blocks: int = 6,
        normalisation: Normalisation = "none",
        curve: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shared = {"width": width, "blocks": blocks, "normalisation": normalisation, "generator": generator}
        self.there = ResidualTranslator(dims, in_channels, out_channels, curve=curve, **shared)  # type: ignore[arg-type]
        self.back = ResidualTranslator(dims, out_channels, in_channels, **shared)  # type: ignore[arg-type]
        self.dims, self.in_channels, self.out_channels = dims, in_channels, out_channels

    @property
    def config(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this network, as plain JSON types."""
        return self.there.config

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Of one of the ways; see `ResidualTranslator.receptive_field`."""
        return self.there.receptive_field

    @property
    def needs_whole(self) -> bool:
        """Whether a result depends on all of the image."""
        return self.there.needs_whole

    def forward(self, x: Tensor, *, back: bool = False, matched: bool = False) -> Tensor:
        """Translate images.

        Parameters
        ----------
        x : Tensor
            Shape (N, in_channels, [Z,] Y, X), or (N, out_channels, [Z,] Y, X) to go back.
        back : bool
            Whether to go from the target to the source.
        matched : bool
            Whether images of the source are, and are to be, as they leave the curve.
        """
        result: Tensor = self.back(x) if back else self.there(x, matched=matched)
        if back and not matched and self.there.curve is not None:
            return self.there.curve.inverse(result)
        return result


def _convolution(dims: int, inside: int, outside: int) -> Any:
    # Zeros would be an edge that an adversary tells results by.
    kind: Any = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(inside, outside, 3, padding=1, padding_mode="replicate")


def _norm(dims: int, width: int, normalisation: Normalisation) -> nn.Module:
    if normalisation == "none":
        return nn.Identity()
    if normalisation == "pixel":
        return PixelNorm(width)
    return nn.InstanceNorm2d(width) if dims == 2 else nn.InstanceNorm3d(width)
