"""The map of noise standard deviations that a noise-conditioned network is given, made from the noisy image.

Training and deployment call the same function, so that the network learns to live with the errors of this very map
and one pass of the network is enough.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

BLUR_STD = 1.5
"""Standard deviation, in pixels, of the Gaussian that estimates the local mean."""


def blur_radius(std: float) -> int:
    """Return the radius in pixels at which a Gaussian of standard deviation `std` is cut."""
    return math.ceil(3.0 * std)


def gaussian_kernel(std: float, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """Return a normalised 1D Gaussian of ``2 * blur_radius(std) + 1`` samples; a single 1 where `std` is 0.

    Parameters
    ----------
    std : float
        In pixels, at least 0.
    dtype : torch.dtype
    device : torch.device, optional
    """
    radius = blur_radius(std)
    if radius == 0:
        return torch.ones(1, dtype=dtype, device=device)
    position = torch.arange(-radius, radius + 1, dtype=dtype, device=device)
    weights = torch.exp(-0.5 * (position / std) ** 2)
    return weights / weights.sum()


def gaussian_blur(image: Tensor, std: float | tuple[float, float]) -> Tensor:
    """Blur the last two axes with a separable Gaussian, borders replicated.

    Parameters
    ----------
    image : Tensor
        Shape (N, C, H, W), floating point.
    std : float or (float, float)
        Standard deviation in pixels, one for both axes or one along y and one along x; 0 leaves an axis alone.

    Returns
    -------
    Tensor
        Same shape and dtype.
    """
    std_y, std_x = (std, std) if isinstance(std, int | float) else std
    n, c, h, w = image.shape
    planes = image.reshape(n * c, 1, h, w)
    for along_y, s in ((True, std_y), (False, std_x)):
        radius = blur_radius(s)
        if radius == 0:
            continue
        kernel = gaussian_kernel(s, dtype=image.dtype, device=image.device)
        pad = (0, 0, radius, radius) if along_y else (radius, radius, 0, 0)
        shape = (1, 1, -1, 1) if along_y else (1, 1, 1, -1)
        planes = functional.conv2d(functional.pad(planes, pad, mode="replicate"), kernel.reshape(shape))
    return planes.reshape(n, c, h, w)


def sigma_map(noisy: Tensor, gain: float | Tensor, offset: float | Tensor, *, floor: float = 0.0) -> Tensor:
    """Return the standard deviation of Poisson-Gaussian noise at every pixel, from the noisy image itself.

    The variance is ``gain * max(m, 0) + offset``, where m is the image blurred by `BLUR_STD`.

    Parameters
    ----------
    noisy : Tensor
        Shape (N, C, H, W), in the units in which the noise model holds.
    gain : float or Tensor
        Variance per unit of signal; broadcastable to `noisy`. 0 for noise that does not depend on the signal.
    offset : float or Tensor
        Variance where the signal is 0; may be negative where the image has an offset of its own.
    floor : float
        Smallest standard deviation returned, in units of the image.

    Returns
    -------
    Tensor
        Same shape as `noisy`, at least `floor` everywhere.
    """
    mean = gaussian_blur(noisy, BLUR_STD).clamp_min(0.0)
    return (gain * mean + offset).clamp_min(floor * floor).sqrt()
