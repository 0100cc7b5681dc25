"""Trains the network of zero-shot Noise2Noise on one image, and restores with it.

The two diagonals of every 2 x 2 pixels, averaged, are two images of half the size with the same signal and independent noise.
A network learns to take one to the other, and to do the same before and after the halving.

Mansour & Heckel, "Zero-shot Noise2Noise: efficient image denoising without any data", CVPR 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.noise import NoiseReport
from napari_synth.generators.denoise._common import Unchanged, is_clean, measure_noise, training_notes
from napari_synth.networks.three_layer_cnn import ThreeLayerCNN
from napari_synth.training.loop import Budget, FitSettings, fit
from napari_synth.training.patches import PatchPool, collect_crops

if TYPE_CHECKING:
    from napari_synth.generators.denoise.zero_shot_noise2noise import ZeroShotNoise2NoiseParams

_HELD_OUT = 1 / 32
_LEAST = 16
_VALIDATION_PIXELS = 2**16


def train_zero_shot(image: Image, params: ZeroShotNoise2NoiseParams, context: Context) -> Prepared:
    """Train, and return what restores."""
    noise = measure_noise(image, context)
    if is_clean(noise):
        return Unchanged(noise)
    pool = collect_crops(image, "YX", context.intensity, context.device.torch_name).padded((_LEAST, _LEAST))
    training, held_out = pool.split(_HELD_OUT, least=_LEAST)
    network = ThreeLayerCNN(generator=torch.Generator().manual_seed(context.seed))
    result = fit(
        network,
        _Halves(training, held_out, training.fitting((params.patch, params.patch), (2, 2))),
        Budget(steps=params.steps),
        context.device,
        context.torch_generator(),
        settings=FitSettings(learning_rate=8e-3, batch_size=params.batch),
        report=context.report,
    )
    notes = training_notes(result)
    if noise.correlated:
        notes = (
            *notes,
            "The noise of neighbours is correlated, so that the two halves share it and little is removed: take Noise2Void.",
        )
    return ZeroShotRestorer(network, noise, notes)


class _Halves:
    """The residual and the consistency loss of the paper; an `Objective`."""

    def __init__(self, training: PatchPool, held_out: PatchPool, patch: tuple[int, ...]) -> None:
        self.pool, self.patch = training, patch
        height, width = (size - size % 2 for size in held_out.spatial)
        crops = held_out.crops[:, :height, :width]
        count = max(1, _VALIDATION_PIXELS // crops[0].numel())
        self.validation = crops[:: -(-len(crops) // count)].unsqueeze(1)

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        pixels = self.pool.sample(batch_size, self.patch, generator)
        first, second = halves(pixels)
        clean_first, clean_second = first - network(first), second - network(second)
        of_whole_first, of_whole_second = halves(pixels - network(pixels))
        residual = functional.mse_loss(clean_first, second) + functional.mse_loss(clean_second, first)
        consistency = functional.mse_loss(clean_first, of_whole_first)
        return 0.5 * (residual + consistency + functional.mse_loss(clean_second, of_whole_second))

    def held_out(self, network: nn.Module) -> float:
        first, second = halves(self.validation)
        residual = functional.mse_loss(first - network(first), second)
        return float(0.5 * (residual + functional.mse_loss(second - network(second), first)))


class ZeroShotRestorer(Prepared):
    """A trained network that predicts the noise.

    Parameters
    ----------
    network : ThreeLayerCNN
    noise : NoiseReport
    notes : tuple of str
    """

    def __init__(self, network: ThreeLayerCNN, noise: NoiseReport, notes: tuple[str, ...]) -> None:
        self._network = network
        self.noise, self.notes = noise, notes
        self.spec = BlockSpec.plane(network.receptive_field, bytes_per_pixel=800)

    def apply(self, block: Tensor) -> Tensor:
        """Subtract the predicted noise; see `Prepared.apply`."""
        noise: Tensor = self._network(block)
        return block - noise.float()


def halves(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the averaged diagonals, each (N, 1, Y / 2, X / 2), of ``pixels`` (N, 1, Y, X) of even size."""
    top_left, top_right = pixels[..., ::2, ::2], pixels[..., ::2, 1::2]
    bottom_left, bottom_right = pixels[..., 1::2, ::2], pixels[..., 1::2, 1::2]
    return 0.5 * (top_right + bottom_left), 0.5 * (top_left + bottom_right)
