"""Trains a blind-spot network on one image, and restores with what it learnt.

The network predicts, from the neighbours of a pixel, the mean and the variance of its signal. Training maximises the likelihood of
the measured value under that prediction and the measured noise; restoring weighs prediction and measurement by their variances.
The same pixels are hidden in training and in restoring, so that no noise leaks and no pattern of the mask appears.

References
----------
Krull et al., "Noise2Void", CVPR 2019; Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019 (the
posterior); Broaddus et al., "Removing structured noise with self-supervised blind-spot networks", ISBI 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.noise import NoiseModel, NoiseReport
from napari_synth.generators.denoise._common import (
    TransposedRestorer,
    Unchanged,
    is_clean,
    measure_noise,
    noise_variance,
    training_notes,
)
from napari_synth.networks.blind_spot_unet import BlindSpotUNet, prediction
from napari_synth.training.blind_spot import BlindSpotMask
from napari_synth.training.loop import Budget, FitSettings, fit
from napari_synth.training.patches import PatchPool, collect_crops

if TYPE_CHECKING:
    from napari_synth.generators.denoise.noise2void import Noise2VoidParams

HELD_OUT = 1 / 16
_LEAST_PLANES = 8
_PLANES = 8
_VALIDATION_PIXELS = 2**16


def train_blind_spot(image: Image, params: Noise2VoidParams, context: Context) -> Prepared:
    """Measure the noise, train, and return what restores."""
    noise = measure_noise(image, context)
    if is_clean(noise):
        return Unchanged(noise)
    axes, notes = _axes(image, params.dimensions, context.device.kind)
    mask = _mask(params.mask, noise, len(axes))
    least = (1,) * (len(axes) - 2) + (16, 16)
    pool = collect_crops(image, axes, context.intensity, context.device.torch_name).padded(least)
    training, held_out = pool.split(HELD_OUT, least=16)
    patch = training.fitting((_PLANES, params.patch, params.patch)[-len(axes) :], (1, 4, 4)[-len(axes) :])
    model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
    network = BlindSpotUNet(len(axes), out_channels=2, generator=torch.Generator().manual_seed(context.seed))
    result = fit(
        network,
        _Likelihood(mask, model, training, held_out, patch),
        Budget(params.steps, None if params.steps else params.minutes),
        context.device,
        context.torch_generator(),
        settings=FitSettings(learning_rate=3e-3, batch_size=params.batch),
        report=context.report,
    )
    notes = (*notes, *training_notes(result), *_mask_notes(mask, noise))
    restorer = BlindSpotRestorer(network, mask, model if params.weigh_measurement else None, axes, noise, notes)
    restorer.resolved = {"steps": result.planned}
    return restorer


class _Likelihood:
    """Negative log-likelihood of the hidden pixels; an `Objective`."""

    def __init__(
        self,
        mask: BlindSpotMask,
        model: NoiseModel,
        training: PatchPool,
        held_out: PatchPool,
        patch: tuple[int, ...],
    ) -> None:
        self.mask, self.model, self.pool, self.patch = mask, model, training, patch
        self.validation = validation_pixels(held_out, 4)

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        pixels = self.pool.sample(batch_size, self.patch, generator, turn=self.mask.isotropic)
        return self._of(network, pixels, self.mask.draw(pixels, generator))

    def held_out(self, network: nn.Module) -> float:
        phases = list(self.mask.phases())
        chosen = phases[:: max(1, len(phases) // 2)]
        losses = [self._of(network, self.validation, self.mask.centres(phase, self.validation)) for phase in chosen]
        return float(torch.stack(losses).mean())

    def _of(self, network: nn.Module, pixels: Tensor, centres: Tensor) -> Tensor:
        mean, variance = prediction(network(self.mask.hide(pixels, centres)))
        total = variance + noise_variance(self.model, mean.detach())
        negative = 0.5 * ((pixels - mean).square() / total + total.log())
        return negative[centres.expand_as(negative)].mean()


class BlindSpotRestorer(Prepared):
    """A trained blind-spot network.

    Parameters
    ----------
    network : nn.Module
        With two outputs, see `prediction`.
    mask : BlindSpotMask
    model : NoiseModel or None
        In normalised units; None to leave the measured value of a pixel out.
    axes : str
        ``"YX"`` or ``"ZYX"``.
    noise : NoiseReport
    notes : tuple of str
    """

    def __init__(
        self,
        network: BlindSpotUNet,
        mask: BlindSpotMask,
        model: NoiseModel | None,
        axes: str,
        noise: NoiseReport,
        notes: tuple[str, ...],
    ) -> None:
        self._network, self._mask, self._model = network, mask, model
        self.noise, self.notes = noise, notes
        planar = network.receptive_field[-1] + mask.ring
        if axes == "YX":
            self.spec = BlockSpec.plane(planar, multiple=network.multiple, bytes_per_pixel=1500)
        else:
            self.spec = BlockSpec.volume(
                axes,
                (network.receptive_field[0], planar, planar),
                multiple=(1, network.multiple, network.multiple),
                bytes_per_pixel=1500,
            )

    def apply(self, block: Tensor) -> Tensor:
        """Predict every pixel from its neighbours, one grid of hidden pixels after the other; see `Prepared.apply`."""
        restored = torch.empty_like(block)
        for phase in self._mask.phases():
            grid: Any = (..., *phase)
            hidden = self._mask.hide(block, self._mask.centres(phase, block))
            mean, variance = prediction(self._network(hidden)[grid])
            if self._model is not None:
                spread = noise_variance(self._model, mean)
                mean = (variance * block[grid] + spread * mean) / (variance + spread)
            restored[grid] = mean
        return restored

    def transposed(self) -> Prepared:
        """Return what restores the image with Y and X swapped."""
        return self if self._mask.isotropic else TransposedRestorer(self)


def _axes(image: Image, dimensions: str, kind: str) -> tuple[str, tuple[str, ...]]:
    deep = image.sizes.get("Z", 1) >= _LEAST_PLANES
    if dimensions == "3D" and "Z" not in image.axes:
        return "YX", ("The image has no Z axis: it was learnt plane by plane.",)
    if dimensions == "3D" or (dimensions == "auto" and deep and kind == "cuda"):
        return "ZYX", ()
    return "YX", ()


def _mask(choice: str, noise: NoiseReport, dims: int) -> BlindSpotMask:
    if choice == "auto":
        return BlindSpotMask.for_correlation(noise.correlation, dims)
    reach = {"pixel": (0, 0), "along x": (0, 3), "along y": (3, 0), "box": (2, 2)}[choice]
    return BlindSpotMask((0,) * (dims - 2) + reach)


def validation_pixels(pool: PatchPool, multiple: int) -> Tensor:
    """Return held-out pixels (N, 1, *spatial), cut to multiples of what the network takes, and to what can be looked at often."""
    height, width = (size - size % multiple for size in pool.spatial[-2:])
    affordable = max(16, _VALIDATION_PIXELS // height)
    crops = pool.crops[..., :height, : min(width, affordable - affordable % multiple)]
    if crops.dim() == 4:
        crops = crops[:, :_PLANES]
    count = max(1, _VALIDATION_PIXELS // crops[0].numel())
    return crops[:: -(-len(crops) // count)].unsqueeze(1)


def _mask_notes(mask: BlindSpotMask, noise: NoiseReport) -> tuple[str, ...]:
    if not any(mask.reach):
        alone = "Each pixel was hidden alone though the noise of neighbours is correlated: some of it stays."
        return (alone,) if noise.correlated else ()
    y, x = mask.reach[-2:]
    return (f"Pixels up to {y} away along y and {x} along x were hidden together, because their noise is correlated.",)
