"""Reads images and labels at the places of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_synth.augmentation.displacement import SamplingMap
from napari_synth.augmentation.filtering import blurred

Outside = Literal["background", "edge", "mirror"]

_SHRINKING = 1.2
"""Steps between samples, in pixels, above which an image is smoothed before it is read."""


@dataclass(frozen=True)
class Windows:
    """Parts of the sources of a batch, cut out where a map reads them.

    Attributes
    ----------
    images : Tensor (B, C, *sizes)
    starts : Tensor (B, D), float32
        Place of the first pixel of each window in its source, in the order (x, y[, z]).
    sizes : Tensor (B, D), float32
        Sizes of the sources.
    """

    images: Tensor
    starts: Tensor
    sizes: Tensor

    @classmethod
    def whole(cls, images: Tensor) -> Windows:
        """Return images that are their own windows."""
        sizes = torch.tensor(images.shape[:1:-1], dtype=torch.float32, device=images.device).repeat(len(images), 1)
        return cls(images, torch.zeros_like(sizes), sizes)


def folded(places: Tensor, sizes: Tensor, outside: Outside) -> Tensor:
    """Return places (B, *result, D) brought into the source as ``outside`` says; background stays outside.

    Parameters
    ----------
    places : Tensor, (B, *result, D)
        In pixels of the source.
    sizes : Tensor, (D,)
        Of the source.
    outside : Outside
        What lies beyond the borders of the source.
    """
    if outside == "background":
        return places
    shape = (len(sizes), *(1 for _ in range(places.ndim - 2)), -1)
    sizes = sizes.to(places).view(shape)
    if outside == "mirror":
        turned = (places + 0.5) % (2 * sizes)
        places = torch.minimum(turned, 2 * sizes - turned) - 0.5
    return torch.minimum(places.clamp(min=0.0), sizes - 1)


def read(
    windows: Windows,
    places: Tensor,
    *,
    interpolation: Literal["linear", "cubic"] = "linear",
    background: Tensor | None = None,
) -> Tensor:
    """Interpolate images at places.

    Parameters
    ----------
    windows : Windows
        Floating point.
    places : Tensor (B, *result, D)
        In pixels of the sources, folded into them unless they are to show the background.
    interpolation : {"linear", "cubic"}
        Cubic is Keys' convolution with a = -1/2.
    background : Tensor (B, C), optional
        What lies outside the windows; their edge is drawn out where it is left out.

    Returns
    -------
    Tensor (B, C, *result)
    """
    shape = (len(places), *(1 for _ in range(places.ndim - 2)), -1)
    starts = windows.starts.to(windows.images)
    places = places.to(windows.images)
    if interpolation == "cubic":
        return _read_cubic(windows.images, places - starts.view(shape), background)
    size = places.new_tensor(windows.images.shape[:1:-1])
    grid = torch.addcmul(((1 - 2 * starts) / size - 1).view(shape), places, 2 / size)
    if background is None:
        return F.grid_sample(windows.images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    level = background.to(windows.images).view(*background.shape, *(1 for _ in windows.images.shape[2:]))
    if not bool(level.any()):
        return F.grid_sample(windows.images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    moved = F.grid_sample(windows.images - level, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved + level


def pick(images: Tensor, places: Tensor, starts: Tensor, background: Tensor | float = 0) -> Tensor:
    """Take the nearest pixel at places, of images (B, C, *sizes) of any dtype: values are copied, never computed with.

    Parameters
    ----------
    images : Tensor (B, C, *sizes)
    places : Tensor (B, *result, D)
        In pixels of the sources.
    starts : Tensor (B, D)
        See `Windows`.
    background : Tensor (B, C) or float
        What lies outside.
    """
    starts = starts.to(places)
    index: Tensor | None = None
    inside: Tensor | None = None
    for axis, size in enumerate(images.shape[2:]):
        column = images.ndim - 3 - axis
        start = starts[:, column].view(-1, *(1 for _ in places.shape[1:-1]))
        at = (places[..., column].detach() + (0.5 - start)).floor_()
        kept = at.clamp(0, size - 1)
        within = kept == at
        index = kept.long() if index is None else index.mul_(size).add_(kept.long())
        inside = within if inside is None else inside.logical_and_(within)
    assert index is not None
    assert inside is not None
    flat = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    taken = images.flatten(2).gather(2, flat).view(*images.shape[:2], *places.shape[1:-1])
    if isinstance(background, Tensor):
        level = background.to(images).view(*background.shape, *(1 for _ in places.shape[1:-1]))
        return torch.where(inside[:, None], taken, level)
    return taken.masked_fill_(inside.logical_not_()[:, None], background)


def steps(warp: SamplingMap) -> Tensor:
    """Return how many pixels of the source lie between neighbouring pixels at the middle of the result, (B, D) by source axis."""
    middle = torch.tensor([(size - 1) / 2 for size in reversed(warp.result)], dtype=torch.float64)
    aside = torch.cat([torch.eye(len(middle)), -torch.eye(len(middle))]).double() / 2
    with torch.no_grad():
        there = warp.pull((middle + aside).expand(warp.batch, -1, -1))
    lengths: Tensor = (there[:, : len(middle)] - there[:, len(middle) :]).norm(dim=1)
    return lengths.float()


def smoothed(images: Tensor, shrinking: Tensor) -> Tensor:
    """Return images (B, C, *sizes) without the patterns that are too fine for steps of so many pixels (B, D)."""
    sigmas = torch.where(shrinking > _SHRINKING, (shrinking - 1) / 2, torch.zeros_like(shrinking))
    return blurred(images, sigmas.flip(1)) if bool((sigmas > 0).any()) else images


def _read_cubic(images: Tensor, places: Tensor, background: Tensor | None) -> Tensor:
    sizes = images.shape[2:]
    flat = images.flatten(2)
    base = torch.floor(places.detach())
    part = places - base
    base = base.long()
    taps: list[list[tuple[Tensor, Tensor, Tensor]]] = []
    for axis, size in enumerate(sizes):
        column = len(sizes) - 1 - axis
        weights = _keys(part[..., column])
        axis_taps = []
        for offset, weight in zip(range(-1, 3), weights, strict=True):
            at = base[..., column] + offset
            axis_taps.append((at.clamp(0, size - 1), weight, (at >= 0) & (at < size)))
        taps.append(axis_taps)
    level = None if background is None else background.to(images)[..., None]
    total: Tensor | None = None
    for combination in product(*taps):
        index, weight, inside = combination[0]
        for (at, factor, within), size in zip(combination[1:], sizes[1:], strict=True):
            index, weight, inside = index * size + at, weight * factor, inside & within
        values = flat.gather(2, index.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
        if level is not None:
            values = torch.where(inside.flatten(1)[:, None], values, level)
        term = values * weight.flatten(1)[:, None]
        total = term if total is None else total + term
    assert total is not None
    return total.view(*images.shape[:2], *places.shape[1:-1])


def _keys(part: Tensor) -> Sequence[Tensor]:
    """Return the weights of the four pixels around a place between the second and third."""
    square, cube = part * part, part * part * part
    return (
        -0.5 * part + square - 0.5 * cube,
        1 - 2.5 * square + 1.5 * cube,
        0.5 * part + 2 * square - 1.5 * cube,
        -0.5 * square + 0.5 * cube,
    )
