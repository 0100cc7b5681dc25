"""What fills a thick hole: patches of the image, or a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy import ndimage, signal
from torch import Tensor
from torch.nn import functional

from napari_synth.core.progress import check_cancelled
from napari_synth.generators._conditioning import from_opponents, to_opponents
from napari_synth.generators.inpaint._biharmonic import fill_smoothly
from napari_synth.generators.inpaint._patches import Search, copied, levelled

_SHARES = (0.0, 0.35, 0.65, 1.0)
_USUAL_SHARE = 0.65
# Of the squared error: what one hole says is much chance.
_CLEARLY = 0.8
# In pixels: radius up to which a hole is a band or a spot that shows no texture of its own.
_NARROW = 6.0
# What is tried on: pixels along each side of a hole, around it, and planes.
_TRIED_EDGE, _TRIED_CONTEXT, _TRIED_PLANES = 64, 64, 3


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
    share : float or None
        How far what varies slowly is that of the guide. None where that is tried out: a hole of the same shape is punched beside,
        and what fills that clearly better than the usual share is taken.
    guide : Fill, optional
        The smooth surface through the hole where left out.
    """

    radius: int = 3
    share: float | None = 0.0
    guide: Fill | None = None

    @property
    def said(self) -> str:
        """With what, as a sentence says it."""
        return "with patches of the image" + ("" if self.guide is None else f", guided {self.guide.said}")

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Copy patches; see `Fill`."""
        share = self._tried(crop, generator) if self.share is None else self.share
        if share is None:
            assert self.guide is not None
            return self.guide(crop, generator)
        return levelled(*self._parts(crop, generator), crop.holes, share)

    def _parts(self, crop: Crop, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the texture and the guide."""
        deep = (len(crop.holes) - 1) // 2 if int(crop.holes.any(2).any(1).sum()) > 2 else 0
        search = Search((min(1, deep), self.radius, self.radius), level=self.share != 0.0)
        rough = copied(crop.pixels, crop.holes, ~crop.unknown, search, generator, check_cancelled)
        guide = crop.pixels
        if self.guide is not None and self.share != 0.0:
            guide = torch.where(crop.holes, self.guide(crop, generator), guide)
        return rough, guide

    def _tried(self, crop: Crop, generator: torch.Generator) -> float | None:
        """Return the share that fills a hole beside best; the usual one unless another is clearly better.

        It is None for the guide alone, in bands so narrow that texture does not show.
        """
        crop = part_to_try_on(crop)
        beside = punched(crop)
        if beside is None:
            return _USUAL_SHARE
        parts = self._parts(beside, generator)
        errors = {}
        for share in _SHARES:
            off = (levelled(*parts, beside.holes, share) - crop.pixels)[:, beside.holes]
            errors[share] = float(off.square().mean())
        best = min(errors, key=lambda share: errors[share])
        if self.guide is not None and _radius(crop.holes) <= _NARROW:
            wrong = (parts[1] - crop.pixels)[:, beside.holes]
            if float(wrong.square().mean()) < errors[best]:
                return None
        return best if errors[best] < _CLEARLY * errors[_USUAL_SHARE] else _USUAL_SHARE


def part_to_try_on(crop: Crop) -> Crop:
    """Return a crop around a part of holes that are long or go through many planes: a trial must be shorter than the work."""
    wide = [along.nonzero() for along in (crop.holes.any(0).any(1), crop.holes.any(0).any(0))]
    if len(crop.holes) <= _TRIED_PLANES and all(int(at.max() - at.min()) < _TRIED_EDGE for at in wide):
        return crop
    plane = int(crop.holes.sum((1, 2)).argmax())
    first = min(max(0, plane - _TRIED_PLANES // 2), max(0, len(crop.holes) - _TRIED_PLANES))
    planes = slice(first, first + _TRIED_PLANES)
    marked = crop.holes[plane].float()[None, None]
    crowded = functional.avg_pool2d(marked, _TRIED_EDGE + 1, stride=1, padding=_TRIED_EDGE // 2)[0, 0]
    # In the middle of a hole rather than beside it.
    at = divmod(int((crowded * crop.holes[plane]).argmax()), crowded.shape[1])
    core, around = (
        tuple(slice(max(0, centre - reach), centre + reach + 1) for centre in at)
        for reach in (_TRIED_EDGE // 2, _TRIED_EDGE // 2 + _TRIED_CONTEXT)
    )
    holes = torch.zeros_like(crop.holes)
    holes[planes, *core] = crop.holes[planes, *core]
    part = (planes, *around)
    return Crop(crop.pixels[:, *part], holes[part], crop.unknown[part])


def _radius(holes: Tensor) -> float:
    """Return the radius of the largest circle in any plane of holes (A, Y, X); beyond the border nothing ends it."""
    return max(float(ndimage.distance_transform_edt(plane).max()) for plane in holes.cpu().numpy())


def punched(crop: Crop) -> Crop | None:
    """Return the crop with a hole of the same shape nearby, to try on; None where there is no room."""
    holes, unknown = (part.any(0).cpu().numpy() for part in (crop.holes, crop.unknown))
    (top, left), (bottom, right) = (end(np.argwhere(holes), 0) for end in (np.min, np.max))
    shape = holes[top : bottom + 1, left : right + 1]
    covered = signal.fftconvolve(unknown.astype(np.float32), shape[::-1, ::-1].astype(np.float32), mode="valid")
    places = np.argwhere(covered < 0.5)
    if not len(places):
        return None
    moves = places - (top, left)
    move = tuple(moves[(moves**2).sum(1).argmin()].tolist())
    # What is rolled past a border of the crop is none of the hole.
    moved = torch.roll(crop.holes, move, (1, 2))
    pixels = fill_smoothly(crop.pixels, moved, (0.0, 1.0, 1.0), check_cancelled)
    return Crop(pixels, moved, crop.unknown | moved)


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
    share : float
        Of the network's answer; the rest is the smooth surface. The mean of both is nearer to the truth than either.
    """

    complete: Callable[[Tensor, Tensor], Tensor]
    multiple: int = 8
    least: int = 16
    share: float = 1.0

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
            answer = self.complete(image, holes)[0, :, :height, :width]
            result[:, plane] = torch.lerp(crop.pixels[:, plane], answer, self.share)
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
