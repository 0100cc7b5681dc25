"""Networks that need nothing but the image, for programs that have no place for a noise level: what is exported.

The noise is taken for independent and equally strong everywhere, and measured in the image by the median of its finest
diagonal wavelet coefficients (Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BlindDenoiser(nn.Module):
    """Measures the noise of every image of a batch, and removes it.

    Parameters
    ----------
    network : NoiseConditionedUNet
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the clean image, in counts like the noisy one, both (N, 1, H, W) with H and W multiples of 8."""
        sigma, black = _noise_of(image), _black_of(image)
        clean: Tensor = self.network(image - black, sigma)
        return torch.where(sigma > 0, clean + black, image)


class BlindEnlarger(nn.Module):
    """Measures the noise of every image of a batch, and makes the image finer without it.

    Parameters
    ----------
    network : SuperResolutionUNet
    scale : int
        One of the network's.
    """

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, image: Tensor) -> Tensor:
        """Return the image (N, 1, H, W), H and W multiples of 8, ``scale`` times finer, in the same counts."""
        black = _black_of(image)
        fine: Tensor = self.network(image - black, _noise_of(image), None, self.scale)
        return fine + black


def _noise_of(image: Tensor) -> Tensor:
    """Return the standard deviation of the noise of every image (N, 1, H, W), shape (N, 1, 1, 1)."""
    diagonal = image[..., ::2, ::2] - image[..., 1::2, ::2] - image[..., ::2, 1::2] + image[..., 1::2, 1::2]
    # The median of a normal distribution's absolute value is 0.6745 standard deviations; a coefficient sums four pixels.
    level = diagonal.flatten(1).abs().median(dim=1).values / (0.6745 * 2.0)
    return level.reshape(-1, 1, 1, 1)


def _black_of(image: Tensor) -> Tensor:
    """Return what to take off: the networks know no scale, but they do know black, for they were trained without an offset."""
    return image.amin(dim=(1, 2, 3), keepdim=True)
