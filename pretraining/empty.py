"""Patches that show hardly anything: flat backgrounds, at times with a dim filament or a few spots.

Crops of photographs are chosen for their detail. A network that sees nothing else leaves blotches in dark backgrounds, which are
most of many microscope images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SPOTS = 4
_WITH_SPOTS, _WITH_FILAMENT = 0.4, 0.3


def empty_patches(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return clean patches (count, 1, size, size), 0..1, on the device of the generator.

    Levels are mostly dark, with a slope across the patch in some. Four in ten have one to four spots, three in ten have a filament;
    these are 0.01 to 0.4 brighter than the background.

    Parameters
    ----------
    count : int
    size : int
        Edge in pixels.
    generator : torch.Generator
        Source of all randomness.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, 1, 1, generator=generator, device=generator.device)

    def brightness(*shape: int) -> Tensor:
        return torch.exp(uniform(math.log(0.01), math.log(0.4), *shape))

    at = torch.linspace(-0.5, 0.5, size, device=generator.device)
    y, x = (plane[None, None] for plane in torch.meshgrid(at, at, indexing="ij"))
    level = uniform(0.0, 1.0, 1).square()
    slope = (uniform(-1.0, 1.0, 1) * y + uniform(-1.0, 1.0, 1) * x) * 0.2 * level
    image = level + slope * (uniform(0.0, 1.0, 1) < 0.5)
    radius = uniform(0.8, 2.5, _SPOTS) / size
    away = (y - uniform(-0.5, 0.5, _SPOTS)).square() + (x - uniform(-0.5, 0.5, _SPOTS)).square()
    spots = brightness(_SPOTS) * torch.exp(-0.5 * away / radius.square())
    shown = uniform(0.0, 1.0, _SPOTS) < torch.cat((torch.ones_like(level), uniform(0.0, 1.0, _SPOTS - 1)), 1)
    image = image + (spots * shown).sum(1, keepdim=True) * (uniform(0.0, 1.0, 1) < _WITH_SPOTS)
    angle, width = uniform(0.0, math.pi, 1), uniform(0.7, 2.0, 1) / size
    along, across = y * angle.cos() + x * angle.sin(), x * angle.cos() - y * angle.sin()
    bent = across - uniform(-0.4, 0.4, 1) - uniform(-0.8, 0.8, 1) * along.square() - uniform(-1.5, 1.5, 1) * along**3
    uneven = 1.0 + 0.5 * torch.sin(along * uniform(0.0, 20.0, 1) + uniform(0.0, 6.3, 1))
    filament = brightness(1) * uneven * torch.exp(-0.5 * (bent / width).square())
    image = image + filament * (uniform(0.0, 1.0, 1) < _WITH_FILAMENT)
    return image.clamp(0.0, 1.0)
