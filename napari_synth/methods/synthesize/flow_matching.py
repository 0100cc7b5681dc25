"""Trains a network to tell the velocities that lead from noise to crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_synth.contract.trainable import TrainContext, TrainingSetup
from napari_synth.core.progress import Reporter
from napari_synth.methods.synthesize.catalogue import FlowTrainParams
from napari_synth.methods.synthesize.crops import Crops, Judge, in_parts, learnt_crops
from napari_synth.methods.synthesize.samplers import STEPS
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
_SAMPLES, _STEPS = 64, 6
_HELD_OUT = 64
# Steps that are tried in the end, and how much of what can be told apart more of them must take away.
_TRIED, _WORTH_IT = (2, 4, 8, 16), 0.02


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
        validations=6,
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
        judged = self.judge.judge(self._made(networks[_NAME], _SAMPLES))
        return replace(judged, metrics=dict(judged.metrics) | {_ERROR: float(found.mean())})

    def found_at_the_end(self, report: Reporter) -> Mapping[str, Any]:
        """Return the fewest steps behind which more of them make images that are hardly less told from real ones."""
        report.start("Finding how many steps are enough", len(_TRIED))
        enough, told = 0, float("inf")
        for steps in _TRIED:
            with torch.no_grad():
                made = self._made(self.networks[_NAME], _SAMPLES, steps, report.cancel.check)
            now = self.judge.told_apart(made, check=report.cancel.check).course
            if now > told - _WORTH_IT:
                break
            enough, told = steps, now
            report.advance()
        return {STEPS: enough}

    def baselines(self) -> Mapping[str, Figures]:
        """See `TrainingModule.baselines`."""
        return self.judge.baselines()

    def preview(self, networks: Networks) -> Preview:
        """Return new images."""
        return self.crops.preview(self._made(networks[_NAME], 16))

    def state(self) -> dict[str, Any]:
        """See `TrainingModule.state`."""
        return self.judge.state()

    def restore(self, state: dict[str, Any]) -> None:
        """See `TrainingModule.restore`."""
        self.judge.restore(state)

    def _made(
        self, network: nn.Module, count: int, steps: int = _STEPS, check: Callable[[], None] | None = None
    ) -> Tensor:
        noise = self._normal(count, tuple(self.held_out.shape[1:]), 2)
        made = in_parts(lambda part: flow(network, part, steps, check=check), self.crops.spec.size, noise)
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
