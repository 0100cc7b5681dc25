"""The lesson of the inpainting network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.networks import gaussian_blur
from napari_synth.networks.gated_inpainter import GatedInpainter, Prepared
from pretraining.crops import CropStore
from pretraining.holes import draw_holes
from pretraining.patches import draw_patches

_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class HoleBatch:
    """A batch: clean and holes (N, 1, H, W); holes are 1 where a pixel is missing."""

    clean: Tensor
    holes: Tensor


@dataclass(frozen=True)
class Inpainting:
    """Patches from patches with holes.

    Parameters
    ----------
    batch : int
        Patches a step.
    patch : int
        Edge in pixels, a multiple of 8.
    oversampled : float
        Share of the patches that are blurred, as most microscopy is: what continues into a hole shows better where no texture
        hides it.
    config : mapping
        Keyword arguments of the network.
    """

    batch: int = 8
    patch: int = 96
    oversampled: float = 0.5
    config: Mapping[str, Any] = field(default_factory=dict)

    def network(self) -> nn.Module:
        """Return a fresh network."""
        return GatedInpainter(**self.config)

    def draw(self, store: CropStore, generator: torch.Generator, done: float = 0.0) -> HoleBatch:
        """Return the next batch."""
        clean = draw_patches(store, self.batch, self.patch, generator)
        device = generator.device
        numbers = torch.rand(self.batch, 2, generator=generator, device=device).tolist()
        for image, (blurred, width) in zip(torch.split(clean, 1), numbers, strict=True):
            if blurred < self.oversampled:
                image.copy_(gaussian_blur(image, 0.7 + 2.3 * width))
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=device)))
        holes = np.stack([draw_holes(self.patch, rng) for _ in range(self.batch)])
        return HoleBatch(clean, torch.from_numpy(holes)[:, None].float().to(device))

    def errors(self, network: nn.Module, batch: HoleBatch) -> tuple[Tensor, Tensor]:
        """Return the errors (N, 1, H, W), and a weight of each image (N,).

        Errors are in units of what surrounds the holes, so that images of little contrast count as much as others, and those of a
        small hole are as large as those of a large one.
        """
        clean, holes = batch.clean, batch.holes
        assert isinstance(network, GatedInpainter)
        prepared = network.prepared(clean, holes)
        answer = network.completed(prepared, holes)
        return (answer - clean) / unit_of(prepared), 1.0 / holes.mean(dim=(1, 2, 3))


def unit_of(prepared: Prepared) -> Tensor:
    """Return the unit of the errors of each image, (N, 1, 1, 1)."""
    return prepared.spread.clamp_min(_LEAST_SPREAD)
