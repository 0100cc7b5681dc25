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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.imaging.noise import NoiseModel, NoiseReport
from napari_synth.methods.denoise.catalogue import Noise2VoidTrainParams
from napari_synth.methods.denoise.even_noise import with_even_noise
from napari_synth.methods.denoise.shared import (
    TransposedRestorer,
    Unchanged,
    conditions,
    is_clean,
    keeping_photons,
    measure_noise,
    noise_variance,
    training_notes,
)
from napari_synth.methods.noise_conditioning import Condition
from napari_synth.networks.blind_spot_unet import BlindSpotMask, BlindSpotUNet, prediction
from napari_synth.networks.three_layer_cnn import ThreeLayerCNN
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import Block, batch_of, block_axes, held_out_blocks, patch_of, preview_of, psnr
from napari_synth.training.loop import Budget, FitSettings, fit
from napari_synth.training.optim import usual_optimizers
from napari_synth.training.patches import PatchPool, PatchRegion, PatchSampler, collect_crops, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

if TYPE_CHECKING:
    from napari_synth.methods.denoise.catalogue import Noise2VoidParams, ZeroShotNoise2NoiseParams

HELD_OUT = 1 / 16
_LEAST_PLANES = 8
_PLANES = 8
_VALIDATION_PIXELS = 2**16


def train_blind_spot(image: Image, params: Noise2VoidParams, context: Context) -> Prepared:
    """Measure the noise, train, and return what restores.

    For its parameters see `Generator.prepare`.
    """
    return with_even_noise(image, context, lambda even: _train_blind_spot(even, params, context))


def _train_blind_spot(image: Image, params: Noise2VoidParams, context: Context) -> Prepared:
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
    return keeping_photons(restorer, noise, context)


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


_HELD_OUT = 1 / 32
_LEAST = 16


def train_zero_shot(image: Image, params: ZeroShotNoise2NoiseParams, context: Context) -> Prepared:
    """Train, and return what restores.

    For its parameters see `Generator.prepare`.
    """
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
    return keeping_photons(ZeroShotRestorer(network, noise, notes), noise, context)


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


_NAME = "network"
_HIDDEN_PSNR = "PSNR of hidden pixels (dB)"
_RATE = 3e-3


def learn_from_hidden(images: TrainingImages, params: Noise2VoidTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    device = context.device
    if any("S" in image.axes for image in images.source):
        raise TrainingDataError("Noise2Void learns from gray images: give the channels of RGB images apart, as axis C.")
    axes, notes = block_axes(images.source, params.dimensions, device)
    context.report.start("Reading the images")
    normalisation = Normalisation.of(images.source)
    fields = read_fields(images.source, normalisation, axes)
    measured = list(conditions(images.source, normalisation.transforms, device, context.report))
    if all(condition.is_clean for own in measured for condition in own):
        raise TrainingDataError("No noise was found in the images: there is nothing to learn.")
    every = [condition.correlation for own in measured for condition in own]
    mask = BlindSpotMask.for_correlation(tuple(np.max(every, axis=0)), len(axes))
    network = BlindSpotUNet(len(axes), params.width, 2, torch.Generator().manual_seed(context.seed))
    training, held_out = split_fields(fields)
    grid = (1,) * (len(axes) - 2) + (network.multiple,) * 2
    patch = fitting_patch(training, patch_of(params.patch, axes), grid)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or batch_of(device, axes),
        validations=24,
        averaging=0.998,
    )
    blocks = held_out_blocks(held_out, grid, device.torch_name)
    augmentation, said = patch_augmentation(params.augmentation, images.source, axes, sources=1, keeps_noise=True)
    module = HiddenPixelsOfMany(
        network,
        mask,
        PatchSampler(training, patch, device.torch_name, augmentation=augmentation),
        Laws.of(training, measured, device.torch_name),
        blocks,
        Laws.of([block.field for block in blocks], measured, device.torch_name),
        settings,
        normalisation.transforms,
        axes,
    )
    return TrainingSetup(
        module,
        settings,
        network,
        "blind-spot-unet",
        normalisation={"source": normalisation.record(), "each_image": True},
        extras={"axes": axes, "reach": list(mask.reach), "gap": mask.gap},
        notes=(*images.notes, *notes, *said),
        limits=("It was trained on images of one kind with one kind of noise: others may be restored wrongly.",),
    )


@dataclass(frozen=True)
class Laws:
    """The noise of each of several fields, in normalised units; each a Tensor (fields,).

    Attributes
    ----------
    gain, offset, read_noise : Tensor
        As in `napari_synth.imaging.noise.NoiseModel`.
    """

    gain: Tensor
    offset: Tensor
    read_noise: Tensor

    @classmethod
    def of(cls, fields: Sequence[PatchRegion], measured: Sequence[Sequence[Condition]], device: str) -> Laws:
        """Collect the measured noise of the images that the fields come from.

        Parameters
        ----------
        fields : sequence of Field
            Where patches are drawn from.
        measured : sequence of sequence of Condition
            The noise of each image, of each of its channels.
        device : str
            As torch calls it.
        """
        models = [measured[field.image][field.apart].model for field in fields]
        columns = ([getattr(model, name) for model in models] for name in ("gain", "offset", "read_noise"))
        return cls(*(torch.tensor(column, dtype=torch.float32, device=device) for column in columns))

    def variance(self, signal: Tensor, fields: Tensor) -> Tensor:
        """Return the variance of the noise at ``signal`` (N, 1, *spatial), of the fields (N,) that it comes from."""
        shape = (-1, *(1 for _ in signal.shape[1:]))
        gain, offset, read = (column[fields].view(shape) for column in (self.gain, self.offset, self.read_noise))
        return gain * (signal - offset).clamp_min(0.0) + read.square()


class HiddenPixelsOfMany(TrainingModule):
    """Learns to predict hidden pixels of many images, each with its own noise.

    Parameters
    ----------
    network : BlindSpotUNet
        With two outputs.
    mask : BlindSpotMask
    pool : PatchSampler
    laws : Laws
        Of the fields of the pool.
    held_out : list of Block
    held_out_laws : Laws
        Of those.
    settings : FitSettings
    shown : sequence of sequence of IntensityTransform
        Of each image, for the preview.
    axes : str
    """

    def __init__(
        self,
        network: BlindSpotUNet,
        mask: BlindSpotMask,
        pool: PatchSampler,
        laws: Laws,
        held_out: list[Block],
        held_out_laws: Laws,
        settings: FitSettings,
        shown: Sequence[Sequence[IntensityTransform]],
        axes: str,
    ) -> None:
        self.networks: Networks = {_NAME: network}
        self.mask, self.pool, self.laws, self.settings = mask, pool, laws, settings
        self.held_out, self.held_out_laws, self.shown, self.axes = held_out, held_out_laws, shown, axes

    @property
    def loss_in_words(self) -> str:
        """See `TrainingModule.loss_in_words`."""
        return (
            "How surprised the network is by the pixels that are hidden from it (negative log-likelihood): lower is better, below 0"
            " as well as above."
        )

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        pixels, fields = self.pool.draw(work.batch_size, work.generator, turn=self.mask.isotropic)
        centres = work.share(self.mask.draw(pixels, work.generator))
        pixels, fields = work.share(pixels), work.share(fields)
        loss = self._negative(work.networks[_NAME], pixels, centres, self.laws, fields)
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        losses = []
        for number, block in enumerate(self.held_out):
            fields = torch.tensor([number], device=block.pixels.device)
            losses += [
                self._negative(networks[_NAME], block.pixels, centres, self.held_out_laws, fields, block.inside)
                for centres in self._grids(block)
            ]
        return Validation(float(torch.stack(losses).mean()), {_HIDDEN_PSNR: self._psnr(networks[_NAME])})

    def baselines(self) -> Mapping[str, Figures]:
        """Return how well the mean of its neighbours predicts a pixel: a pixel itself is no prediction."""
        return {"the mean of the neighbours": {_HIDDEN_PSNR: self._psnr(None)}}

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """Say where less was learnt than the neighbours of a pixel tell; see `TrainingModule.limits`."""
        trivial = self._psnr(None)
        if metrics.get(_HIDDEN_PSNR, trivial) >= trivial:
            return ()
        return (
            "It predicts hidden pixels less well than the mean of their neighbours does: train longer, or on more images.",
        )

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        block = self.held_out[0]
        mean = prediction(networks[_NAME](block.pixels))[0]
        return preview_of(block, mean, self.shown[block.field.image][block.field.apart], self.axes)

    def _negative(
        self,
        network: nn.Module,
        pixels: Tensor,
        centres: Tensor,
        laws: Laws,
        fields: Tensor,
        inside: Tensor | None = None,
    ) -> Tensor:
        mean, variance = prediction(network(self.mask.hide(pixels, centres)))
        total = variance + laws.variance(mean.detach(), fields) + 1e-6
        negative = 0.5 * ((pixels - mean).square() / total + total.log())
        chosen = centres if inside is None else centres & inside
        return negative[chosen.expand_as(negative)].mean()

    def _grids(self, block: Block) -> list[Tensor]:
        phases = list(self.mask.phases())
        return [self.mask.centres(phase, block.pixels) for phase in phases[:: max(1, len(phases) // 2)]]

    def _psnr(self, network: nn.Module | None) -> float:
        """Return how near predictions are to the measured pixels; without a network, the means of their neighbours."""
        errors = []
        for block in self.held_out:
            for centres in self._grids(block):
                hidden = self.mask.hide(block.pixels, centres)
                mean = hidden if network is None else prediction(network(hidden))[0]
                chosen = centres if block.inside is None else centres & block.inside
                errors.append((mean - block.pixels).square()[chosen])
        return psnr(float(torch.cat(errors).mean()))
