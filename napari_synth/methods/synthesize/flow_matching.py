"""Trains a network to tell the velocities that lead from noise to crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.methods.synthesize.catalogue import FlowTrainParams
from napari_synth.methods.synthesize.crops import Crops, Judge, in_parts, learnt_crops
from napari_synth.networks.velocity_unet import VelocityUNet, flow, mixing_times, spread_times
from napari_synth.training.dataset import TrainingImages
from napari_synth.training.events import Figures, Preview
from napari_synth.training.optim import FitSettings, usual_optimizers
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

_NAME = "velocities"
_ERROR = "Squared error of velocities"
_RATE = 3e-3
# Below this size of a crop, three levels see all of it.
_LARGE = 128
# Of a validation: few, since each image takes many looks.
_SAMPLES, _STEPS = 24, 6
_HELD_OUT = 64


def learn_velocities(images: TrainingImages, params: FlowTrainParams, context: TrainContext) -> TrainingSetup:
    """Set up the training.

    For its parameters see `Trainable.prepare`.
    """
    levels = 4 if params.patch >= _LARGE else 3
    crops = learnt_crops(images, params, context, grid=2**levels)
    seen = crops.sample(256, torch.Generator(crops.held_out.device).manual_seed(4)).transpose(0, 1).flatten(1)
    network = VelocityUNet(
        crops.spec.channels,
        params.width,
        levels,
        seen.mean(1).tolist(),
        seen.std(1).clamp_min(1e-2).tolist(),
        torch.Generator().manual_seed(context.seed),
    )
    settings = FitSettings(
        learning_rate=params.learning_rate or _RATE,
        batch_size=params.batch or (8 if context.device.kind == "cpu" else 64),
        averaging=0.998,
        validations=8,
        optimizer="muon",
    )
    return TrainingSetup(
        Flowing(network, crops, settings),
        settings,
        network,
        "velocity-unet",
        normalisation=crops.normalisation(),
        extras=crops.extras(),
        notes=crops.notes,
        limits=(
            "Images that are larger than those that it learnt from have their texture, and no structure that is larger.",
        ),
    )


class Flowing(TrainingModule):
    """Learns velocities.

    Parameters
    ----------
    network : VelocityUNet
    crops : Crops
    settings : FitSettings
    """

    def __init__(self, network: VelocityUNet, crops: Crops, settings: FitSettings) -> None:
        self.networks: Networks = {_NAME: network}
        self.crops, self.pool, self.settings = crops, crops.pool, settings
        self.judge = Judge(crops)
        self.held_out = network.standardised(crops.held_out[:_HELD_OUT])

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """See `TrainingModule.optimizers`."""
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """See `TrainingModule.step`."""
        network = _velocities(self.networks[_NAME])
        images = network.standardised(self.crops.sample(work.batch_size, work.generator))
        noise = torch.randn(images.shape, generator=work.generator, device=images.device)
        times = mixing_times(len(images), work.generator, images.device)
        images, noise, times = work.share(images), work.share(noise), work.share(times)
        loss = _errors(work.networks[_NAME], images, noise, times).mean()
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation:
        """See `TrainingModule.validate`."""
        noise = self._normal(len(self.held_out), tuple(self.held_out.shape[1:]), 1)
        times = spread_times(len(self.held_out)).to(noise.device)
        found = in_parts(
            lambda *given: _errors(networks[_NAME], *given), self.crops.spec.size, self.held_out, noise, times
        )
        error = float(found.mean())
        return Validation(error, self.judge.figures(self._made(networks[_NAME], _SAMPLES)) | {_ERROR: error})

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """Return new images."""
        return self.crops.preview(self._made(networks[_NAME], 16))

    def _made(self, network: nn.Module, count: int) -> Tensor:
        noise = self._normal(count, tuple(self.held_out.shape[1:]), 2)
        made = in_parts(lambda part: flow(network, part, _STEPS), self.crops.spec.size, noise)
        return _velocities(network).unstandardised(made)

    def _normal(self, count: int, shape: tuple[int, ...], seed: int) -> Tensor:
        drawn = torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))
        return drawn.to(self.held_out.device)


def _errors(network: nn.Module, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return the mean squared errors (N,) of the velocities of mixtures of images (N, C, Y, X) and noise at times (N,)."""
    t = times.view(-1, 1, 1, 1)
    apart: Tensor = network((1.0 - t) * noise + t * images, times) - (images - noise)
    return apart.square().flatten(1).mean(1)


def _velocities(network: nn.Module) -> VelocityUNet:
    assert isinstance(network, VelocityUNet)
    return network
