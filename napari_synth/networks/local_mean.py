"""The mean around every pixel, which restoring networks take out of the image before their first layer.

Without it, a network must carry the brightness of a region through all of its layers beside the detail that it restores. With it,
adding a constant to the image adds the same constant to the result, however dark or bright a region is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.networks.sigma_map import blur_radius, gaussian_blur

CELL = 8
"""Edge in pixels of the cells over which the image is averaged first; heights, widths and places of blocks are multiples of it."""


def local_mean(image: Tensor, spread: float) -> Tensor:
    """Return the Gaussian mean around every pixel, smooth between the cells of the image's grid.

    Parameters
    ----------
    image : Tensor
        Shape (N, 1, H, W), H and W multiples of `CELL`, any range.
    spread : float
        Standard deviation of the Gaussian in cells, above 0.

    Returns
    -------
    Tensor
        Same shape; float32 whatever the precision of the network.
    """
    with torch.autocast(image.device.type, enabled=False):
        cells = gaussian_blur(functional.avg_pool2d(image.float(), CELL), spread)
        return functional.interpolate(cells, scale_factor=CELL, mode="bilinear", align_corners=False)


def local_mean_reach(spread: float) -> int:
    """Return the largest distance in pixels, along an axis, at which a pixel can change its `local_mean`; 0 where `spread` is 0."""
    if spread == 0:
        return 0
    # A pixel just before the middle of its cell is interpolated from this cell and the one before.
    return (blur_radius(spread) + 1) * CELL + CELL // 2 - 1
