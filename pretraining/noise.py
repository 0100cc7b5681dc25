"""Noise for training, drawn anew for every batch: white, signal-dependent, correlated between neighbours, striped, compressed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.networks.sigma_map import sigma_map
from pretraining.compression import compress

_LONGEST = 1.8
_RADIUS = 6
_LEAST_PIXELS = 1e-3
_MANY_PHOTONS = 5.0


@dataclass(frozen=True)
class NoiseSettings:
    """Shares and ranges of the kinds of noise.

    Standard deviations are in units of the clean image (0..1). What is not signal-dependent is white Gaussian noise or
    takes its spatial correlation from `correlated_noise` or `striped_noise`.
    """

    signal_dependent: float = 0.25
    correlated: float = 0.2
    striped: float = 0.03
    compressed: float = 0.04
    largest_sigma: float = 75.0 / 255.0
    small_share: float = 0.15
    small_sigma: float = 10.0 / 255.0
    photons: tuple[float, float] = (2.0, 500.0)
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


class _Dice:
    """Uniform random numbers for every image of a batch, shape (N, 1, 1, 1)."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count, self._generator = count, generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(self._count, 1, 1, 1, generator=self._generator, device=self._generator.device)
        return low + (high - low) * drawn

    def share(self, share: float) -> Tensor:
        return self.uniform() < share


def _white(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def correlated_noise(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return planes of unit-variance noise, shape (count, 1, H, W), whose neighbours are correlated.

    Blurred by a Gaussian of 0.3 to 1.8 pixels in both directions or in one, or upsampled by 2 with linear interpolation, as
    binning, scanning, resampling and demosaicing leave it.
    """
    dice = _Dice(count, generator)
    kind, std = dice.uniform(), dice.uniform(0.3, _LONGEST)
    coarse = _white((count, 1, height // 2 + 2, width // 2 + 2), generator)
    fine = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    noise = _white((1, count, height + 2 * _RADIUS, width + 2 * _RADIUS), generator)
    position = torch.arange(-_RADIUS, _RADIUS + 1, device=generator.device)
    for along, only in (((-1, 1), kind >= 0.85), ((1, -1), (kind >= 0.7) & (kind < 0.85))):
        kernel = torch.exp(-0.5 * (position / torch.where(only, _LEAST_PIXELS, std)).square())
        kernel = kernel / kernel.sum(-1, keepdim=True)
        noise = functional.conv2d(noise, kernel.reshape(count, 1, *along), groups=count)
    noise = torch.where(kind < 0.2, fine[..., 2 : height + 2, 2 : width + 2], noise.transpose(0, 1))
    return noise / noise.std(dim=(1, 2, 3), keepdim=True)


def striped_noise(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return planes of unit-variance white noise with whole rows or columns brighter or darker, (count, 1, H, W)."""
    dice = _Dice(count, generator)
    share = dice.uniform(0.1, 0.7)
    rows, columns = _white((count, 1, height, 1), generator), _white((count, 1, 1, width), generator)
    lines = torch.where(dice.share(0.5), rows, columns)
    noise = (1.0 - share).sqrt() * _white((count, 1, height, width), generator) + share.sqrt() * lines
    return noise / noise.std(dim=(1, 2, 3), keepdim=True)


def add_noise(clean: Tensor, settings: NoiseSettings, generator: torch.Generator) -> NoisyBatch:
    """Draw noise for every image of a batch, and what the network is told of it.

    Where the noise depends on the signal, the map of its standard deviation is made from the noisy image by the
    function that also makes it at deployment. Images with negative values (colour differences) get signal-independent
    noise only.

    Parameters
    ----------
    clean : Tensor
        Shape (N, 1, H, W), about 0..1, on the device of the generator.
    settings : NoiseSettings
        Shares and ranges.
    generator : torch.Generator
        Source of all randomness.
    """
    n, _, height, width = clean.shape
    dice = _Dice(n, generator)
    unit, correlation = _white(clean.shape, generator), clean.new_zeros(n, 2)
    spatial = dice.uniform()[:, 0, 0, 0]
    correlated = spatial < settings.correlated
    striped = ~correlated & (spatial < settings.correlated + settings.striped)
    for chosen, make in ((correlated, correlated_noise), (striped, striped_noise)):
        if count := int(chosen.sum()):
            unit[chosen] = make(count, height, width, generator)
    told = correlated | striped
    correlation[told] = lag_one(unit[told])
    std = torch.where(
        dice.share(settings.small_share),
        dice.uniform(0.0, settings.small_sigma),
        dice.uniform(0.0, settings.largest_sigma),
    )
    noisy, sigma = clean + std * unit, std.expand_as(clean).clone()
    positive = clean.amin(dim=(1, 2, 3)) >= 0.0
    low, high = settings.photons
    gain = 1.0 / torch.exp(dice.uniform(math.log(low), math.log(high)))
    # The map that is made from an image of few photons whose noise is correlated says nothing.
    gain = torch.where(told[:, None, None, None], gain.clamp(max=1.0 / _MANY_PHOTONS), gain)
    offset = (gain * dice.uniform(0.0, settings.largest_read_noise)).square()
    counted = dice.share(settings.signal_dependent)[:, 0, 0, 0] & positive
    if bool(counted.any()):
        image, per, constant = clean[counted], gain[counted], offset[counted]
        photons = per * torch.poisson(image / per, generator=generator) + constant.sqrt() * unit[counted]
        blurred = image + unit[counted] * (per * image + constant).sqrt()
        observed = torch.where(told[counted][:, None, None, None], blurred, photons)
        noisy[counted], sigma[counted] = observed, sigma_map(observed, per, constant, floor=1e-4)
    compressed = dice.share(settings.compressed)[:, 0, 0, 0] & positive
    if count := int(compressed.sum()):
        noisy[compressed] = compress(noisy[compressed], _Dice(count, generator).uniform(50.0, 97.0), generator)
        # What is measured in such an image is the noise that the compression left.
        left = noisy[compressed] - clean[compressed]
        sigma[compressed] = left.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().expand_as(left)
        correlation[compressed], told = lag_one(left), told | compressed
    error = settings.correlation_jitter * _white((n, 2), generator)
    correlation = torch.where(told[:, None], (correlation + error).clamp(0.0, 1.0), correlation)
    sigma = sigma * dice.uniform(1 - settings.sigma_jitter, 1 + settings.sigma_jitter)
    return NoisyBatch(noisy, clean, sigma, correlation)
