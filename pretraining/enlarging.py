"""The lesson of the super-resolution network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.networks import SuperResolutionUNet, gaussian_blur
from napari_synth.networks.enlargers import enlarged
from pretraining.crops import CropStore
from pretraining.noise import NoiseSettings, add_noise
from pretraining.patches import draw_patches

_LEVELS = 255.0

Pixels = Literal["cubic", "area", "lens"]
"""How a fine image becomes a coarse one."""


@dataclass(frozen=True)
class CoarseBatch:
    """A batch of one scale: coarse, fine and sigma (N, 1, H, W), correlation (N, 2)."""

    coarse: Tensor
    fine: Tensor
    sigma: Tensor
    correlation: Tensor
    scale: int


@dataclass(frozen=True)
class Enlarging:
    """Fine patches from coarse ones, one scale a step.

    Parameters
    ----------
    batch : int
        Patches a step.
    patch : int
        Edge of a coarse patch in pixels, a multiple of 8.
    candidates : int
        Patches drawn for each that is kept: those that the cubic enlargement misses most.
    oversampled : float
        Share of the patches whose fine image is blurred already, as most microscopy is: no detail is to be invented there.
    other_pixels : float
        Share of the patches that were not reduced with a cubic kernel but by averaging, or behind a Gaussian point-spread function.
    noisy : float
        Share of the patches with noise.
    noise : NoiseSettings
    config : mapping
        Keyword arguments of the network.
    """

    batch: int = 8
    patch: int = 40
    candidates: int = 2
    oversampled: float = 0.2
    other_pixels: float = 0.2
    noisy: float = 0.25
    noise: NoiseSettings = field(
        default_factory=lambda: NoiseSettings(largest_sigma=50.0 / 255.0, photons=(15.0, 500.0))
    )
    config: Mapping[str, Any] = field(default_factory=lambda: {"slope": -1.0, "mean_spread": 1.0})

    def network(self) -> nn.Module:
        """Return a fresh network."""
        return SuperResolutionUNet(**self.config)

    def draw(self, store: CropStore, generator: torch.Generator, done: float = 0.0) -> CoarseBatch:
        """Return the next batch."""
        device = generator.device
        scales = tuple(self.config.get("scales", (2, 3, 4)))
        scale = scales[int(torch.randint(len(scales), (), generator=generator, device=device))]
        drawn = draw_patches(store, self.batch * self.candidates, self.patch * scale, generator)
        fine = drawn[_missed(drawn, scale).topk(self.batch).indices]
        coarse = []
        for image, numbers in zip(
            torch.split(fine, 1), torch.rand(self.batch, 5, generator=generator, device=device).tolist(), strict=True
        ):
            blurred, width, other, kind, lens = numbers
            if blurred < self.oversampled:
                image.copy_(gaussian_blur(image, (0.5 + 2.0 * width,) * 2))
            pixels: Pixels = "cubic" if other >= self.other_pixels else "area" if kind < 0.5 else "lens"
            coarse.append(reduced(image, scale, pixels, 0.25 + 0.2 * lens))
        small = torch.cat(coarse)
        with_noise = add_noise(small, self.noise, generator)
        kept, rounded = torch.rand(2, self.batch, 1, 1, 1, generator=generator, device=device)
        small = torch.where(rounded < 0.5, (small * _LEVELS).round() / _LEVELS, small)
        kept = kept >= self.noisy
        return CoarseBatch(
            torch.where(kept, small, with_noise.noisy),
            fine,
            torch.where(kept, 0.0, with_noise.sigma),
            torch.where(kept.reshape(-1, 1), 0.0, with_noise.correlation),
            scale,
        )

    def errors(self, network: nn.Module, batch: CoarseBatch) -> tuple[Tensor, Tensor]:
        """Return the errors (N, 1, H, W), and a weight of each image (N,)."""
        weight = (0.02 / batch.sigma.mean(dim=(1, 2, 3)).clamp_min(0.02)).sqrt()
        return network(batch.coarse, batch.sigma, batch.correlation, batch.scale) - batch.fine, weight


def _missed(fine: Tensor, scale: int) -> Tensor:
    """Return the mean error of the cubic enlargement of each image once it was reduced, (N,)."""
    return (enlarged(reduced(fine, scale, "cubic"), scale) - fine).abs().mean(dim=(1, 2, 3))


def reduced(fine: Tensor, scale: int, pixels: Pixels, lens: float = 0.35) -> Tensor:
    """Return an image (N, 1, H, W) that is ``scale`` times coarser.

    Parameters
    ----------
    fine : Tensor
        Height and width are multiples of `scale`.
    scale : int
    pixels : {"cubic", "area", "lens"}
        Reduced with Keys' cubic kernel, by averaging, or by averaging behind a Gaussian point-spread function.
    lens : float
        Standard deviation of the point-spread function in coarse pixels.
    """
    if pixels == "cubic":
        size = (fine.shape[-2] // scale, fine.shape[-1] // scale)
        return functional.interpolate(fine, size, mode="bicubic", antialias=True)
    sharp = fine if pixels == "area" else gaussian_blur(fine, (lens * scale,) * 2)
    return functional.avg_pool2d(sharp, scale)
