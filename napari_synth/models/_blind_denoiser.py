"""A denoiser that needs nothing but the image, for programs that have no place for a noise level: what is exported.

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
        diagonal = image[..., ::2, ::2] - image[..., 1::2, ::2] - image[..., ::2, 1::2] + image[..., 1::2, 1::2]
        # The median of a normal distribution's absolute value is 0.6745 standard deviations; a coefficient sums four pixels.
        level = diagonal.flatten(1).abs().median(dim=1).values / (0.6745 * 2.0)
        sigma = level.reshape(-1, 1, 1, 1)
        # The network knows no scale, but it does know black: it was trained on images without an offset.
        offset = image.amin(dim=(1, 2, 3), keepdim=True)
        clean: Tensor = self.network(image - offset, sigma)
        return torch.where(sigma > 0, clean + offset, image)
