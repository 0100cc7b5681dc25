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
    late : float
        Share of the run after which patches are larger and a step has fewer of them: a network that sees far meets the border of a
        small patch everywhere.
    late_patch : int
        Their edge, a multiple of 8.
    empty_share : float
        Share of the patches that show hardly anything.
    noise : NoiseSettings
    config : mapping
        Keyword arguments of the network.
    """

    batch: int = 16
    patch: int = 72
    late: float = 0.85
    late_patch: int = 128
    empty_share: float = 0.06
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    config: Mapping[str, Any] = field(default_factory=lambda: {"slope": -1.0, "mean_spread": 3.0})

    def network(self) -> nn.Module:
        """Return a fresh network."""
        return NoiseConditionedUNet(**self.config)

    def draw(self, store: CropStore, generator: torch.Generator, done: float = 0.0) -> NoisyBatch:
        """Return the next batch."""
        count, size = self.batch, self.patch
        if done >= self.late:
            count, size = max(1, round(count * (size / self.late_patch) ** 2)), self.late_patch
        return add_noise(
            draw_patches(store, count, size, generator, empty_share=self.empty_share), self.noise, generator
        )

    def errors(self, network: nn.Module, batch: NoisyBatch) -> tuple[Tensor, Tensor]:
        """Return the errors (N, 1, H, W), and a weight of each image (N,)."""
        # Weak noise leaves small errors that would otherwise hardly count.
        weight = (0.1 / batch.sigma.mean(dim=(1, 2, 3)).clamp_min(0.01)).sqrt()
        return network(batch.noisy, batch.sigma, batch.correlation) - batch.clean, weight
