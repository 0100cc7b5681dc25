"""Noise for training, drawn anew for every batch: white, signal-dependent and correlated between neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.networks.sigma_map import gaussian_blur, sigma_map


@dataclass(frozen=True)
class NoiseSettings:
    """Shares and ranges of the kinds of noise.

    Standard deviations are in units of the clean image (0..1). What is not signal-dependent is white Gaussian noise or
    takes its spatial correlation from `correlated`.
    """

    signal_dependent: float = 0.25
    correlated: float = 0.18
    largest_sigma: float = 75.0 / 255.0
    small_share: float = 0.15
    small_sigma: float = 10.0 / 255.0
    photons: tuple[float, float] = (5.0, 500.0)
    largest_read_noise: float = 3.0
    sigma_jitter: float = 0.05
    correlation_jitter: float = 0.03


@dataclass(frozen=True)
class NoisyBatch:
    """A batch as the network meets it: noisy and clean images, sigma (N, 1, H, W) and correlation (N, 2)."""

    noisy: Tensor
    clean: Tensor
    sigma: Tensor
    correlation: Tensor


def lag_one(noise: Tensor) -> Tensor:
    """Return the lag-1 correlation of noise planes (N, 1, H, W) along y and x, shape (N, 2), clipped to 0..1."""
    power = noise.square().mean(dim=(1, 2, 3))
    along_y = (noise[:, :, 1:] * noise[:, :, :-1]).mean(dim=(1, 2, 3)) / power
    along_x = (noise[..., 1:] * noise[..., :-1]).mean(dim=(1, 2, 3)) / power
    return torch.stack((along_y, along_x), dim=1).clamp(0.0, 1.0)


def correlated_noise(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return one plane of unit-variance noise, shape (1, 1, H, W), whose neighbours are correlated.

    Blurred by a Gaussian of 0.3 to 1.5 pixels in both directions or in one, or upsampled by 2 with linear
    interpolation, as binning, scanning, resampling and demosaicing leave it.
    """
    kind, amount = torch.rand(2, generator=generator).tolist()
    if kind < 0.2:
        coarse = torch.randn(1, 1, height // 2 + 2, width // 2 + 2, generator=generator)
        fine = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        noise = fine[..., 2 : height + 2, 2 : width + 2]
    else:
        std = 0.3 + 1.2 * amount
        stds = (std, std) if kind < 0.7 else (std, 0.0) if kind < 0.85 else (0.0, std)
        margin = 6
        white = torch.randn(1, 1, height + 2 * margin, width + 2 * margin, generator=generator)
        noise = gaussian_blur(white, stds)[..., margin:-margin, margin:-margin]
    return noise / noise.std()


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def add_noise(clean: Tensor, settings: NoiseSettings, generator: torch.Generator) -> NoisyBatch:
    """Draw noise for every image of a batch, and what the network is told of it.

    Where the noise depends on the signal, the map of its standard deviation is made from the noisy image by the
    function that also makes it at deployment. Images with negative values (colour differences) get signal-independent
    noise only.

    Parameters
    ----------
    clean : Tensor
        Shape (N, 1, H, W), about 0..1, on the CPU.
    settings : NoiseSettings
        Shares and ranges.
    generator : torch.Generator
        Source of all randomness.
    """
    n, _, height, width = clean.shape
    noisy, sigma = torch.empty_like(clean), torch.empty_like(clean)
    correlation = torch.zeros(n, 2)
    for i in range(n):
        image = clean[i : i + 1]
        depends, blurred = torch.rand(2, generator=generator).tolist()
        unit = None
        if blurred < settings.correlated:
            unit = correlated_noise(height, width, generator)
            jitter = settings.correlation_jitter * torch.randn(1, 2, generator=generator)
            correlation[i : i + 1] = (lag_one(unit) + jitter).clamp(0.0, 1.0)
        if depends < settings.signal_dependent and float(image.min()) >= 0.0:
            low, high = settings.photons
            gain = 1.0 / math.exp(_uniform(math.log(low), math.log(high), generator))
            offset = (gain * _uniform(0.0, settings.largest_read_noise, generator)) ** 2
            if unit is None:
                read = math.sqrt(offset) * torch.randn(image.shape, generator=generator)
                observed = gain * torch.poisson(image / gain, generator=generator) + read
            else:
                observed = image + unit * (gain * image + offset).sqrt()
            spread = sigma_map(observed, gain, offset, floor=1e-4)
        else:
            small = float(torch.rand((), generator=generator)) < settings.small_share
            std = _uniform(0.0, settings.small_sigma if small else settings.largest_sigma, generator)
            unit = torch.randn(image.shape, generator=generator) if unit is None else unit
            observed = image + std * unit
            spread = torch.full_like(image, std)
        noisy[i : i + 1] = observed
        sigma[i : i + 1] = spread * _uniform(1 - settings.sigma_jitter, 1 + settings.sigma_jitter, generator)
    return NoisyBatch(noisy, clean, sigma, correlation)
