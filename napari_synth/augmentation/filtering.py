"""Gaussian and motion blur of batches whose items are blurred differently, in 2D and 3D, with kornia's filters."""

from __future__ import annotations

from math import ceil

import torch
from kornia.filters import filter2d, filter2d_separable, get_gaussian_kernel1d, get_motion_kernel2d
from torch import Tensor

_LEAST = 0.05
"""Standard deviations below this, in pixels, leave an image as it is."""


def blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur with a Gaussian; borders are drawn out.

    Parameters
    ----------
    images : Tensor (B, C, [Z,] Y, X)
    sigmas : Tensor (B, D)
        Standard deviations in pixels, in the order of the axes.
    """
    batch, *_, height, width = images.shape
    if float(sigmas[:, -2:].detach().max()) > _LEAST:
        flat = images.reshape(batch, -1, height, width)
        flat = filter2d_separable(flat, _kernel(sigmas[:, -1], images), _kernel(sigmas[:, -2], images), "replicate")
        images = flat.view(images.shape)
    if sigmas.shape[1] == 3 and float(sigmas[:, 0].detach().max()) > _LEAST:
        channels, depth = images.shape[1:3]
        flat = images.movedim(2, -2).reshape(batch, channels * height, depth, width)
        still = torch.ones(1, 1, dtype=images.dtype, device=images.device)
        flat = filter2d_separable(flat, still, _kernel(sigmas[:, 0], images), "replicate")
        images = flat.view(batch, channels, height, depth, width).movedim(-2, 2)
    return images


def smeared(images: Tensor, lengths: Tensor, degrees: Tensor, lopsided: Tensor) -> Tensor:
    """Blur along a line in the plane; see `kornia.filters.get_motion_kernel2d`.

    Parameters
    ----------
    images : Tensor (B, C, Y, X)
    lengths, degrees, lopsided : Tensor (B,)
        Length of each line in pixels, its angle, and from -1 to 1 how much its weight lies at one end.
    """
    odd = [2 * ceil((float(length) - 1) / 2) + 1 for length in lengths]
    most = max(odd)
    kernels = []
    for size, angle, side in zip(odd, degrees, lopsided, strict=True):
        kernel = get_motion_kernel2d(size, angle[None], side[None], mode="bilinear")
        kernels.append(torch.nn.functional.pad(kernel, [(most - size) // 2] * 4))
    kernel = torch.cat(kernels)
    smeared: Tensor = filter2d(images, kernel / kernel.sum((1, 2), keepdim=True), "replicate")
    return smeared


def _kernel(sigma: Tensor, like: Tensor) -> Tensor:
    """Return kernels (B, taps) of the size of the widest."""
    # A standard deviation of nearly nothing gives a kernel of one tap.
    sigma = sigma.to(like).clamp(min=0.02)
    size = 2 * ceil(3.0 * float(sigma.detach().max())) + 1
    kernel: Tensor = get_gaussian_kernel1d(size, sigma[:, None])
    return kernel
