"""Gives an image the patches of another: texture and small structure move over, the layout stays.

The distributions of all patches are brought to each other along random directions, at one resolution after another, from the
coarsest on. Elnekave and Weiss, "Generating natural images with direct patch distribution matching" (GPDM), ECCV 2022; instead of
following a gradient, every patch moves to its place in the other distribution and overlapping patches are averaged, as colours
move in Pitié et al., CVIU 2007.
"""

from __future__ import annotations

from math import ceil, log2, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.intensity import IntensityTransform, measure_statistics
from napari_synth.core.progress import check_cancelled
from napari_synth.core.resampling import resized
from napari_synth.generators._conditioning import full_precision
from napari_synth.generators.translate._options import StyleParams

_DIRECTIONS = 32
_BYTES_PER_PIXEL = 32 * _DIRECTIONS
_LARGEST_STYLE = 512
_LEVELS, _POINTS = 256, 256
_MOST_PATCHES = 2**12
# Flat parts need a beginning: equal patches would move alike.
_GRAIN = 0.1


class PatchStyle(Prepared):
    """A style image whose patches an image is given.

    Parameters
    ----------
    style : torch.Tensor, (1, C, H, W)
        Normalised by its own range.
    params : StyleParams
    seed : int
    """

    def __init__(self, style: Tensor, params: StyleParams, seed: int) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL + 64 * style.shape[1])
        self._style, self._params, self._seed = style, params, seed

    def apply(self, block: Tensor) -> Tensor:
        """Restyle planes (N, C, Y, X), each on its own; see `Prepared.apply`."""
        with full_precision(block):
            return torch.cat([self._restyled(plane[None]) for plane in block])

    def _restyled(self, content: Tensor) -> Tensor:
        params = self._params
        rng = torch.Generator().manual_seed(self._seed)
        sizes = (content.shape[-2:], self._style.shape[-2:])
        patch = min(params.patch, *sizes[0], *sizes[1])
        halvings = max(0, ceil(log2(params.structure / patch)))
        change = torch.zeros_like(content)
        for level in range(halvings, -1, -1):
            shapes = [[max(patch, round(n / 2**level)) for n in size] for size in sizes]
            anchor, style = resized(content, shapes[0]), patches_of(resized(self._style, shapes[1]), patch)
            # What coarser levels changed is kept, and the detail that they could not see comes from the image.
            result = anchor + resized(change, shapes[0])
            if level == halvings:
                result = result + _GRAIN * params.strength * torch.randn(anchor.shape, generator=rng).to(anchor)
            for _ in range(params.steps):
                check_cancelled()
                moved = result + step(result, style, directions(patch, content.shape[1], rng).to(content))
                result = torch.lerp(anchor, moved, params.strength)
            change = result - anchor
        return content + change


def directions(patch: int, channels: int, rng: torch.Generator) -> Tensor:
    """Draw directions in the space of patches that are at right angles, (directions, channels, patch, patch)."""
    size = channels * patch**2
    drawn: Tensor = torch.linalg.qr(torch.randn(size, min(size, _DIRECTIONS), generator=rng)).Q
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
    """Return the sliced Wasserstein distance of the patches of two images (1, C, H, W), in their unit."""
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


def prepare_patch_style(image: Image, params: StyleParams, context: Context) -> PatchStyle:
    """Look at the style image.

    Raises
    ------
    ReferenceImageError
        There is none.
    """
    if context.reference is None:
        raise ReferenceImageError("Patch style needs a style image: say which image the result should look like.")
    context.report.start("Looking at the style")
    style = style_plane(context.reference)
    if context.statistics.maximum <= context.statistics.minimum:
        params = params.model_copy(update={"strength": 0.0})
    return PatchStyle(style.to(context.device.torch_name), params, context.seed)


def style_plane(reference: Image) -> Tensor:
    """Return the middle of a style image's middle plane, (1, C, H, W), normalised by its own range."""
    lead = {axis: size // 2 for axis, size in reference.sizes.items() if axis not in "YXS"}
    middle = {}
    for axis in "YX":
        size = reference.sizes[axis]
        start = max(0, (size - _LARGEST_STYLE) // 2)
        middle[axis] = slice(start, min(size, start + _LARGEST_STYLE))
    part = reference.select(**lead, **middle)
    intensity = IntensityTransform.from_statistics(measure_statistics(part))
    axes = [part.axes.index(axis) for axis in "SYX" if axis in part.axes]
    pixels = intensity.forward(part.read()).transpose(axes)
    pixels = np.nan_to_num(pixels, nan=0.5, posinf=1.0, neginf=0.0)
    return torch.from_numpy(np.ascontiguousarray(pixels)).view(1, -1, *pixels.shape[-2:])
