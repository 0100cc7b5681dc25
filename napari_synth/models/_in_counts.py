"""Trained networks that take and return counts, for programs that know nothing of our normalisation: what is exported.

Each image of a batch is brought to its own range, percentiles 0.1 and 99.9 to 0 and 1, as `napari_synth.imaging.intensity` does,
and the result is brought back. bioimage.io can describe the way there, not the way back, so that both lie inside.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from napari_synth.networks.blind_spot_unet import BlindSpotMask, BlindSpotUNet, prediction

_PERCENTILES = (0.001, 0.999)


class InCounts(nn.Module):
    """Runs a network on images in counts.

    Parameters
    ----------
    network : nn.Module
        Maps normalised (N, C, *spatial) to the same.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the restored image in counts, both (N, C, *spatial)."""
        low, scale = range_of(image)
        restored: Tensor = self.network((image - low) / scale)
        return restored.float() * scale + low


class FromNeighbours(nn.Module):
    """Predicts every pixel by a blind-spot network from its neighbours alone.

    Parameters
    ----------
    network : BlindSpotUNet
    mask : BlindSpotMask
    """

    def __init__(self, network: BlindSpotUNet, mask: BlindSpotMask) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, image: Tensor) -> Tensor:
        """Return the predictions, (N, 1, *spatial) like the image."""
        restored = torch.zeros_like(image)
        for phase in self.mask.phases():
            centres, grid = torch.zeros_like(image[:1]), cast(Any, (..., *phase))
            centres[grid] = 1.0
            mean, _ = prediction(self.network(self.mask.hide(image, centres > 0.5)))
            restored = torch.where(centres > 0.5, mean, restored)
        return restored


def range_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the low percentile of every image (N, C, *spatial), and how far above it the high one lies, (N, 1, ..., 1)."""
    ranked = image.flatten(1).sort(dim=1).values
    # A tensor, so that it is computed anew for every size where the network is traced.
    last = torch.ones_like(ranked[0], dtype=torch.int64).sum() - 1
    shape = (-1, *(1 for _ in image.shape[1:]))
    low, high = (_between(ranked, last, part).reshape(shape) for part in _PERCENTILES)
    whole = (ranked[:, -1:] - ranked[:, :1]).reshape(shape)
    spread = torch.where(high > low, high - low, whole)
    return low, torch.where(spread > 0, spread, torch.ones_like(spread))


def _between(ranked: Tensor, last: Tensor, part: float) -> Tensor:
    """Return what lies at a part of the way through sorted rows, between two of their values."""
    place = last.double() * part
    below = place.floor().long()
    above = torch.minimum(below + 1, last)
    low, high = (ranked.index_select(1, at.reshape(1)) for at in (below, above))
    return (low + (high - low) * (place - below).to(ranked)).float()


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
