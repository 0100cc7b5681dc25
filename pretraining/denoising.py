"""The lesson of the blind denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from napari_synth.networks import NoiseConditionedUNet
from pretraining.crops import CropStore
from pretraining.noise import NoiseSettings, NoisyBatch, add_noise
from pretraining.patches import draw_patches


@dataclass(frozen=True)
class Denoising:
    """Clean patches from noisy ones, with the standard deviation and the correlation of the noise told.

    Parameters
    ----------
    batch : int
        Patches a step.
    patch : int
        Edge in pixels, a multiple of 8.
    noise : NoiseSettings
    config : mapping
        Keyword arguments of the network.
    """

    batch: int = 16
    patch: int = 72
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    config: Mapping[str, Any] = field(default_factory=lambda: {"slope": 0.1})

    def network(self) -> nn.Module:
        """Return a fresh network."""
        return NoiseConditionedUNet(**self.config)

    def draw(self, store: CropStore, generator: torch.Generator) -> NoisyBatch:
        """Return the next batch."""
        return add_noise(draw_patches(store, self.batch, self.patch, generator), self.noise, generator)

    def errors(self, network: nn.Module, batch: NoisyBatch, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the errors (N, 1, H, W), and a weight of each image (N,)."""
        noisy, clean, sigma, correlation = (
            t.to(device) for t in (batch.noisy, batch.clean, batch.sigma, batch.correlation)
        )
        # Weak noise leaves small errors that would otherwise hardly count.
        weight = (0.1 / sigma.mean(dim=(1, 2, 3)).clamp_min(0.01)).sqrt()
        return network(noisy, sigma, correlation) - clean, weight
