"""Trains a network from noisy images to others of the same fields, good or as noisy.

The target is brought to the counts of the source by a straight line first, so that what is learnt is quantitative and the result of
the model is in the counts of the image that it restores.

References
----------
Weigert et al., "Content-aware image restoration", Nature Methods 2018; Lehtinen et al., "Noise2Noise", ICML 2018 (the squared
error of a target with noise of mean zero has the clean image as its minimum).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.errors import TrainingDataError
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.methods.denoise.catalogue import PairTrainParams
from napari_synth.methods.denoise.conditioned import MODEL
from napari_synth.methods.denoise.shared import conditions
from napari_synth.methods.noise_conditioning import Condition, bundled_network, from_opponents, to_opponents
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.networks.residual_unet import ResidualUNet
from napari_synth.training.augmenting import patch_augmentation
from napari_synth.training.dataset import Normalisation, Scaling, TrainingImages, read_fields, split_fields
from napari_synth.training.events import Figures, Preview
from napari_synth.training.held_out import (
    AS_IT_IS,
    Block,
    batch_of,
    block_axes,
    held_out_blocks,
    mean_square,
    patch_of,
    preview_of,
    psnr,
)
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.patches import PatchRegion, PatchSampler, fitting_patch
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

_NAME = "network"
_PSNR = "PSNR (dB)"
_RATE = {"bundled": 3e-4, "scratch": 5e-3}
_AVERAGING = 0.998


def learn_from_pairs(
    images: TrainingImages, params: PairTrainParams, context: TrainContext, *, noisy_target: bool
) -> TrainingSetup:
    """Set up the training.

    Parameters
    ----------
    images : TrainingImages
    params : PairTrainParams
    context : TrainContext
    noisy_target : bool
        Whether the target is as noisy as the source.
    """
    _check_channels(images)
    device = context.device
    axes, notes = block_axes(images.source, params.dimensions, device)
    context.report.start("Reading the images")
    normalisation = Normalisation.of(images.source)
    scaling = Scaling.between(images.source, images.target, noisy_target=noisy_target)
    if scaling.is_doubtful:
        notes += (
            f"Source and target hardly go together (correlation {scaling.correlation:.2f}): check that they show the same fields.",
        )
    of_target = Normalisation(tuple(tuple(map(scaling.applied, own)) for own in normalisation.transforms))
    fields = read_fields(images.source, normalisation, axes, others=images.target, other_normalisation=of_target)
    measured = list(conditions(images.source, normalisation.transforms, device, context.report))
    channels = fields[0].pixels.shape[0] // 2
    start = _start(params.initial_weights, axes, measured)
    network: nn.Module
    saved: NoiseConditionedUNet | ResidualUNet
    if start == "bundled":
        conditioned = _fresh_copy(bundled_network(MODEL, device)[0])
        network, multiple = ConditionedRestorer(conditioned, _correlation(measured)), conditioned.multiple
        fields = [_with_variance(field, measured) for field in fields]
        saved, architecture = conditioned, "noise-conditioned-unet"
    else:
        generator = torch.Generator().manual_seed(context.seed)
        network = saved = ResidualUNet(len(axes), channels, channels, params.width, generator=generator)
        multiple, architecture = saved.multiple, "residual-unet"
    training, held_out = split_fields(fields)
    grid = (1,) * (len(axes) - 2) + (multiple, multiple)
    patch = fitting_patch(training, patch_of(params.patch, axes), grid)
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE[start],
        batch_size=params.batch or batch_of(device, axes),
        averaging=_AVERAGING,
        validations=24,
        optimizer="muon",
    )
    augmentation, said = patch_augmentation(
        params.augmentation,
        images.source,
        axes,
        sources=channels,
        keeps_noise=noisy_target or start == "bundled",
        intensities="damage",
    )
    if augmentation is not None:
        said += (
            "Augmentation that moves pixels also smooths the noise of the source: where noise is all that is to go, do without.",
        )
    module = Restoration(
        network,
        PatchSampler(training, patch, device.torch_name, sources=channels, augmentation=augmentation),
        held_out_blocks(held_out, grid, device.torch_name),
        settings,
        squared=noisy_target,
        turn=_correlation(measured)[0] == _correlation(measured)[1],
        shown=normalisation.transforms,
        axes=axes,
        bundled=_bundled_baseline(measured, context, channels) if _suits_bundled(axes, measured) else None,
    )
    return TrainingSetup(
        module,
        settings,
        saved,
        architecture,
        normalisation={
            "source": normalisation.record(),
            "target": [vars(scaling.applied(IntensityTransform(**one))) for one in normalisation.record()],
            "each_image": True,
        },
        extras={"axes": axes, "start": start},
        notes=(*images.notes, *notes, *said),
        limits=(
            "It was trained on images of one kind: others may be restored wrongly, and structures may be invented.",
        ),
    )


class ConditionedRestorer(nn.Module):
    """A noise-conditioned network that is given the noise with the image, so that it can go on learning.

    Parameters
    ----------
    network : NoiseConditionedUNet
    correlation : (float, float)
        Of the noise of neighbours along y and x.
    """

    def __init__(self, network: NoiseConditionedUNet, correlation: tuple[float, float]) -> None:
        super().__init__()
        self.network, self.correlation = network, correlation

    def forward(self, pixels: Tensor) -> Tensor:
        """Restore planes (N, 2 C, Y, X): the image in normalised units, and the variance of its noise."""
        image, variance = pixels.chunk(2, dim=1)
        planes, variance = to_opponents(image, variance)
        n, c, height, width = planes.shape
        flat = planes.reshape(n * c, 1, height, width)
        sigma = variance.reshape(n * c, 1, height, width).sqrt()
        correlation = flat.new_tensor([self.correlation]).expand(n * c, 2)
        restored = self.network(flat, sigma, correlation).float()
        return from_opponents(restored.reshape(n, c, height, width))


class Restoration(TrainingModule):
    """Learns to turn the first channels of patches into the ones that follow.

    Parameters
    ----------
    network : nn.Module
        Maps (N, C, *spatial), or (N, 2 C, *spatial) with the variance of the noise, to (N, C, *spatial).
    pool : PatchSampler
        Source, target and, where the network takes it, variance.
    held_out : list of Block
    settings : FitSettings
    squared : bool
        Whether the squared error is minimised, as noise in the target needs; else the absolute one.
    turn : bool
        Whether Y and X may be swapped.
    shown : sequence of sequence of IntensityTransform
        Of each image, for the preview.
    axes : str
    bundled : callable, optional
        Restores the source of a held-out block with the bundled denoiser, which is a baseline.
    """

    def __init__(
        self,
        network: nn.Module,
        pool: PatchSampler,
        held_out: list[Block],
        settings: FitSettings,
        *,
        squared: bool,
        turn: bool,
        shown: Sequence[Sequence[IntensityTransform]],
        axes: str,
        bundled: Callable[[Block], Tensor] | None = None,
    ) -> None:
        self.networks: Networks = {_NAME: network}
        self.pool, self.held_out, self.settings = pool, held_out, settings
        self.squared, self.turn, self.shown, self.axes, self.bundled = squared, turn, shown, axes, bundled
        self.has_variance = isinstance(network, ConditionedRestorer)
        self.channels = pool.channels // (3 if self.has_variance else 2)

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        network = self.networks[_NAME]
        # Which weights are hidden is told by their names in the network itself.
        inner = network.network if isinstance(network, ConditionedRestorer) else network
        return {_NAME: usual_optimizers(inner, self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        pixels = work.share(self.pool.sample(work.batch_size, work.generator, turn=self.turn))
        error = work.networks[_NAME](self._given(pixels)) - self._truth(pixels)
        loss = error.square().mean() if self.squared else error.abs().mean()
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        return self._measured(networks[_NAME])

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        unchanged = mean_square(self.held_out, lambda block: block.pixels[:, : self.channels], self._truth_of)
        found: dict[str, Figures] = {AS_IT_IS: {_PSNR: psnr(unchanged)}}
        if self.bundled is not None:
            with torch.no_grad():
                found["the bundled denoiser"] = {_PSNR: psnr(mean_square(self.held_out, self.bundled, self._truth_of))}
        return found

    def preview(self, networks: Networks) -> Preview:
        """See `TrainingModule.preview`."""
        block = self.held_out[0]
        restored = networks[_NAME](self._given(block.pixels))
        return preview_of(block, restored, self.shown[block.field.image][0], self.axes)

    def _measured(self, network: nn.Module) -> Validation:
        square = mean_square(self.held_out, lambda block: network(self._given(block.pixels)), self._truth_of)
        return Validation(square, {_PSNR: psnr(square)})

    def _given(self, pixels: Tensor) -> Tensor:
        image = pixels[:, : self.channels]
        return torch.cat((image, pixels[:, 2 * self.channels :]), 1) if self.has_variance else image

    def _truth(self, pixels: Tensor) -> Tensor:
        return pixels[:, self.channels : 2 * self.channels]

    def _truth_of(self, block: Block) -> Tensor:
        return self._truth(block.pixels)


def _check_channels(images: TrainingImages) -> None:
    for one, other in zip(images.source, images.target, strict=True):
        sizes = [{axis: image.sizes.get(axis, 1) for axis in "CS"} for image in (one, other)]
        if sizes[0] != sizes[1]:
            raise TrainingDataError(
                f"The source {one.name!r} and its target {other.name!r} have other channels: give both the same ones."
            )
    if len({image.sizes.get("S", 1) for image in images.source}) > 1:
        raise TrainingDataError("Some of the images are gray and some are RGB: give images of one kind.")


def _suits_bundled(axes: str, measured: Sequence[Sequence[Condition]]) -> bool:
    """Return whether the bundled denoiser can restore such blocks."""
    return len(axes) == 2 and not any(condition.is_clean for own in measured for condition in own)


def _start(wanted: str, axes: str, measured: Sequence[Sequence[Condition]]) -> str:
    """Return whether to start from the bundled denoiser."""
    suits = _suits_bundled(axes, measured)
    if wanted == "bundled" and not suits:
        raise TrainingDataError(
            "The bundled denoiser restores planes in which noise was found: learn in 2D, or start from scratch."
        )
    return "bundled" if suits and wanted != "scratch" else "scratch"


def _fresh_copy(network: NoiseConditionedUNet) -> NoiseConditionedUNet:
    return copy.deepcopy(network).requires_grad_(True)


def _correlation(measured: Sequence[Sequence[Condition]]) -> tuple[float, float]:
    """Return the mean correlation of the noise of neighbours over all images."""
    found = np.mean([condition.correlation for own in measured for condition in own], axis=0)
    return float(found[0]), float(found[1])


def _bundled_baseline(
    measured: Sequence[Sequence[Condition]], context: TrainContext, channels: int
) -> Callable[[Block], Tensor]:
    """Return what the bundled denoiser makes of a held-out block, whose source comes first."""
    network: Any = bundled_network(MODEL, context.device)[0]
    restorer = ConditionedRestorer(network, _correlation(measured)).eval()

    def restored(block: Block) -> Tensor:
        source = block.pixels[:, :channels]
        own = measured[block.field.image]
        result: Tensor = restorer(torch.cat((source, own[block.field.apart].variance(source)), 1))
        return result

    return restored


def _with_variance(field: PatchRegion, measured: Sequence[Sequence[Condition]]) -> PatchRegion:
    """Return the field with the variance of the noise of its source as further channels."""
    own = measured[field.image]
    condition = own[field.apart]
    source = torch.from_numpy(field.pixels[: len(field.pixels) // 2])
    variance = condition.variance(source[None])[0].numpy()
    return replace(field, pixels=np.concatenate((field.pixels, variance)))


def set_up_supervised(images: TrainingImages, params: PairTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the pairs.

    For its parameters see `Trainable.prepare`.
    """
    return learn_from_pairs(images, params, context, noisy_target=False)


def set_up_noise2noise(images: TrainingImages, params: PairTrainParams, context: TrainContext) -> TrainingSetup:
    """Read the pairs.

    For its parameters see `Trainable.prepare`.
    """
    return learn_from_pairs(images, params, context, noisy_target=True)
