"""Distributions of patches: how an image's patches move to their places among those of another.

The distributions of all patches are brought to each other along random directions. Elnekave and Weiss, "Generating natural images
with direct patch distribution matching" (GPDM), ECCV 2022; instead of following a gradient, every patch moves to its place in the
other distribution and overlapping patches are averaged, as colours move in Pitié et al., CVIU 2007.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics

DIRECTIONS = 32
"""Drawn for a step at most."""
LARGEST_EXAMPLE = 512
"""Pixels of an example's edge that are looked at."""
_LEVELS, _POINTS = 256, 256
_MOST_PATCHES = 2**12


def directions(patch: int, channels: int, rng: torch.Generator) -> Tensor:
    """Draw directions in the space of patches that are at right angles, (directions, channels, patch, patch).

    Parameters
    ----------
    patch : int
        The edge of a patch in pixels.
    channels : int
    rng : torch.Generator
    """
    size = channels * patch**2
    drawn: Tensor = torch.linalg.qr(torch.randn(size, min(size, DIRECTIONS), generator=rng)).Q
    return drawn.T.reshape(-1, channels, patch, patch).contiguous()


def patches_of(image: Tensor, patch: int) -> Tensor:
    """Return patches of (1, C, H, W) that are spread over it, (C * patch * patch, patches)."""
    windows = image[0].unfold(-2, patch, 1).unfold(-2, patch, 1)
    count = windows.shape[1] * windows.shape[2]
    chosen = torch.linspace(0, count - 1, min(count, _MOST_PATCHES), device=image.device).round().long()
    found = windows[:, chosen // windows.shape[2], chosen % windows.shape[2]]
    patches: Tensor = found.permute(0, 2, 3, 1).flatten(0, 2)
    return patches


def step(image: Tensor, style: Tensor, kernels: Tensor) -> Tensor:
    """Return how the pixels of an image change where its patches move to their places among those of a style.

    Parameters
    ----------
    image : torch.Tensor, (1, C, H, W)
    style : torch.Tensor, (C * patch * patch, patches)
    kernels : torch.Tensor, (directions, C, patch, patch)
        At right angles to each other.
    """
    along = functional.conv2d(image, kernels)
    every = max(1, along.shape[-2] * along.shape[-1] // _MOST_PATCHES)
    change = _moves(along, _levels(along.flatten(2)[0, :, ::every]), _levels(kernels.flatten(1) @ style))
    covering = functional.conv_transpose2d(torch.ones_like(along[:, :1]), torch.ones_like(kernels[:1, :1]))
    # Less than what would move patches all the way along the directions that were not drawn.
    boldness = sqrt(kernels[0].numel() / len(kernels))
    back: Tensor = functional.conv_transpose2d(change, kernels) / covering
    return back * boldness


def patch_distance(image: Tensor, style: Tensor, patch: int, rng: torch.Generator) -> float:
    """Return the sliced Wasserstein distance of the patches of two images (1, C, H, W), in their unit.

    Parameters
    ----------
    image, style : Tensor, (1, C, H, W)
    patch : int
        The edge of a patch in pixels.
    rng : torch.Generator
        Draws the directions.
    """
    kernels = directions(patch, image.shape[1], rng).to(image).flatten(1)
    own, target = (_levels(kernels @ patches_of(x, patch)) for x in (image, style))
    return float((own - target).abs().mean()) / patch


def _levels(along: Tensor) -> Tensor:
    """Return evenly spread quantiles of values along each direction, (directions, patches), as (directions, _LEVELS)."""
    # On a processor numpy sorts several times faster.
    ordered = torch.from_numpy(np.sort(along.numpy())) if along.device.type == "cpu" else along.sort(dim=1).values
    levels: Tensor = functional.interpolate(ordered[None], size=_LEVELS, mode="linear", align_corners=True)[0]
    return levels


def _moves(along: Tensor, own: Tensor, target: Tensor) -> Tensor:
    """Return how far values (1, K, H, W) are from where those of the same rank lie in another distribution."""
    start, width = own[:, :1], ((own[:, -1:] - own[:, :1]) / (_POINTS - 1)).clamp_min(1e-9)
    points = start + width * torch.arange(_POINTS, device=own.device)
    right = torch.searchsorted(own, points.contiguous()).clamp(1, _LEVELS - 1)
    low, high = own.gather(1, right - 1), own.gather(1, right)
    share = ((points - low) / (high - low).clamp_min(1e-9)).clamp(0.0, 1.0)
    moved = torch.lerp(target.gather(1, right - 1), target.gather(1, right), share) - points
    place = ((along.flatten(2)[0] - start) / width).clamp_(0.0, _POINTS - 1.0)
    left = place.long().clamp_max_(_POINTS - 2)
    result = torch.lerp(moved.gather(1, left), moved.gather(1, left + 1), place - left)
    return result.view(along.shape)


def example_plane(example: Image, channels: str = "S") -> tuple[Tensor, IntensityTransform]:
    """Return the middle of an image's middle plane, (1, C, H, W), normalised by its own range, and how it was.

    Axes other than Y, X and ``channels`` are looked at in their middle.
    """
    lead = {axis: size // 2 for axis, size in example.sizes.items() if axis not in f"YX{channels}"}
    middle = {}
    for axis in "YX":
        size = example.sizes[axis]
        start = max(0, (size - LARGEST_EXAMPLE) // 2)
        middle[axis] = slice(start, min(size, start + LARGEST_EXAMPLE))
    part = example.select(**lead, **middle)
    intensity = IntensityTransform.from_statistics(measure_statistics(part))
    axes = [part.axes.index(axis) for axis in f"{channels}YX" if axis in part.axes]
    pixels = intensity.forward(part.read()).transpose(axes)
    pixels = np.nan_to_num(pixels, nan=0.5, posinf=1.0, neginf=0.0)
    return torch.from_numpy(np.ascontiguousarray(pixels)).view(1, -1, *pixels.shape[-2:]), intensity
