"""What fills a thick hole: patches of the image, or a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.progress import check_cancelled
from napari_synth.generators._conditioning import from_opponents, to_opponents
from napari_synth.generators.inpaint._patches import Search, textured


@dataclass(frozen=True)
class Crop:
    """What lies around holes.

    Attributes
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
        The holes are filled smoothly.
    holes : torch.Tensor of bool, (A, Y, X)
        Pixels to be filled.
    unknown : torch.Tensor of bool, (A, Y, X)
        Pixels that say nothing, the holes among them.
    """

    pixels: Tensor
    holes: Tensor
    unknown: Tensor


class Fill(Protocol):
    """Fills the holes of a crop."""

    @property
    def said(self) -> str:
        """With what, as a sentence says it."""

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Return the pixels (C, A, Y, X); outside the holes they do not count."""


@dataclass(frozen=True)
class PatchFill:
    """Fills holes with patches of the image.

    Attributes
    ----------
    radius : int
        Of a patch, in pixels.
    surface : float
        How far what is smooth is that of a smooth surface.
    """

    radius: int = 3
    surface: float = 0.0

    said = "with patches of the image"

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Copy patches; see `Fill`."""
        planes = len(crop.holes)
        deep = min(self.radius, (planes - 1) // 2) if bool((crop.holes.any((1, 2))).sum() > 2) else 0
        search = Search((min(1, deep), self.radius, self.radius), surface=self.surface)
        return textured(crop.pixels, crop.holes, ~crop.unknown, search, generator, check_cancelled)


@dataclass(frozen=True)
class NetworkFill:
    """Fills holes with what a network makes of them, plane by plane.

    Attributes
    ----------
    complete : callable
        Takes planes (1, C, Y, X) and holes (1, 1, Y, X), 1 where a pixel is missing, and returns planes.
    multiple : int
        Height and width that it takes are multiples of this.
    least : int
        And no smaller.
    """

    complete: Callable[[Tensor, Tensor], Tensor]
    multiple: int = 8
    least: int = 16

    said = "by the network"

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Ask the network; see `Fill`."""
        result = crop.pixels.clone()
        height, width = crop.holes.shape[1:]
        for plane in crop.holes.any((1, 2)).nonzero().squeeze(1).tolist():
            check_cancelled()
            image, holes = crop.pixels[None, :, plane], crop.unknown[None, None, plane].to(crop.pixels.dtype)
            wanted = [max(self.least, -(-size // self.multiple) * self.multiple) for size in (height, width)]
            more = (0, wanted[1] - width, 0, wanted[0] - height)
            image = functional.pad(image, more, mode="replicate")
            # What lies beyond the border is not known either.
            holes = functional.pad(holes, more, value=1.0)
            result[:, plane] = self.complete(image, holes)[0, :, :height, :width]
        return result


def own_network(network: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what a network of ours for one channel makes of planes: of colours, it is asked for each opponent colour."""

    def complete(image: Tensor, holes: Tensor) -> Tensor:
        with torch.inference_mode():
            planes, _ = to_opponents(image, image)
            n, c, h, w = planes.shape
            filled = network(planes.reshape(n * c, 1, h, w), holes.repeat_interleave(c, 0))
        return from_opponents(filled.float().reshape(n, c, h, w))

    return complete
