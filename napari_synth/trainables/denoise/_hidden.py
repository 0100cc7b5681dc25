"""Trains a blind-spot network on many noisy images, by the likelihood of hidden pixels; see `generators.denoise._blind_spot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.core.errors import TrainingDataError
from napari_synth.core.intensity import IntensityTransform
from napari_synth.generators._conditioning import Condition
from napari_synth.networks.blind_spot_unet import BlindSpotUNet, prediction
from napari_synth.trainables.denoise._common import (
    Block,
    batch_of,
    block_axes,
    conditions,
    held_out_blocks,
    patch_of,
    preview_of,
    psnr,
)
from napari_synth.trainables.denoise.noise2void import Noise2VoidTrainParams
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.blind_spot import BlindSpotMask
from napari_synth.training.news import Figures, Preview
from napari_synth.training.optimizers import usual_optimizers
from napari_synth.training.pools import Field, FieldPool, fitting_patch
from napari_synth.training.schedule import FitSettings
from napari_synth.training.sources import Normalisation, TrainingImages, read_fields, split_fields
from napari_synth.training.trainable import Lesson, TrainContext
from napari_synth.training.trainee import Networks, Trainee, Validation, Work

_NAME = "network"
_HIDDEN_PSNR = "PSNR of hidden pixels (dB)"
_RATE = 3e-3


def learn_from_hidden(images: TrainingImages, params: Noise2VoidTrainParams, context: TrainContext) -> Lesson:
    """Set up the training."""
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
    trainee = HiddenPixelsOfMany(
        network,
        mask,
        FieldPool(training, patch, device.torch_name, augmentation=augmentation),
        Laws.of(training, measured, device.torch_name),
        blocks,
        Laws.of([block.field for block in blocks], measured, device.torch_name),
        settings,
        normalisation.transforms,
        axes,
    )
    return Lesson(
        trainee,
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
        As in `napari_synth.core.noise.NoiseModel`.
    """

    gain: Tensor
    offset: Tensor
    read_noise: Tensor

    @classmethod
    def of(cls, fields: Sequence[Field], measured: Sequence[Sequence[Condition]], device: str) -> Laws:
        """Collect the measured noise of the images that the fields come from."""
        models = [measured[field.image][field.apart].model for field in fields]
        columns = ([getattr(model, name) for model in models] for name in ("gain", "offset", "read_noise"))
        return cls(*(torch.tensor(column, dtype=torch.float32, device=device) for column in columns))

    def variance(self, signal: Tensor, fields: Tensor) -> Tensor:
        """Return the variance of the noise at ``signal`` (N, 1, *spatial), of the fields (N,) that it comes from."""
        shape = (-1, *(1 for _ in signal.shape[1:]))
        gain, offset, read = (column[fields].view(shape) for column in (self.gain, self.offset, self.read_noise))
        return gain * (signal - offset).clamp_min(0.0) + read.square()


class HiddenPixelsOfMany(Trainee):
    """Learns to predict hidden pixels of many images, each with its own noise.

    Parameters
    ----------
    network : BlindSpotUNet
        With two outputs.
    mask : BlindSpotMask
    pool : FieldPool
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
        pool: FieldPool,
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

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `Trainee.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: Work) -> Mapping[str, Tensor]:
        """See `Trainee.step`."""
        pixels, fields = self.pool.draw(work.batch_size, work.generator, turn=self.mask.isotropic)
        centres = work.share(self.mask.draw(pixels, work.generator))
        pixels, fields = work.share(pixels), work.share(fields)
        loss = self._negative(work.networks[_NAME], pixels, centres, self.laws, fields)
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `Trainee.validate`."""
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

    def preview(self, networks: Networks) -> Preview:
        """See `Trainee.preview`."""
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
