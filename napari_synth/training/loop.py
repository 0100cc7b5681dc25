"""Fits one network to an objective within a number of steps or minutes, and keeps the best weights it has seen.

This is what generators that learn from the image itself use: a `Trainer` with one network, without checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from napari_synth.core.device import Device
from napari_synth.core.progress import Reporter
from napari_synth.training.distributed import single_process
from napari_synth.training.optim import Budget, FitSettings, usual_optimizers
from napari_synth.training.trainer import FitResult, Trainer
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

__all__ = ["Budget", "FitResult", "FitSettings", "Objective", "fit"]

_NAME = "network"


class Objective(Protocol):
    """What a network is trained for."""

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw a batch of ``batch_size`` with ``generator`` and return its mean loss, a scalar that can be differentiated.

        Parameters
        ----------
        network : torch.nn.Module
        batch_size : int
        generator : torch.Generator
            Every random draw comes from it.
        """

    def held_out(self, network: nn.Module) -> float | None:
        """Return the loss on pixels that are never trained on, the same draw at every call; None where there are none."""


def fit(
    network: nn.Module,
    objective: Objective,
    budget: Budget,
    device: Device,
    generator: torch.Generator,
    *,
    settings: FitSettings | None = None,
    report: Reporter | None = None,
    stage: str = "Training",
    full_precision: bool = False,
) -> FitResult:
    """Train ``network`` in place.

    Parameters
    ----------
    network : nn.Module
        Moved to the device; left in evaluation mode with the averaged weights whose held-out loss was the lowest (the last ones
        where nothing is held out).
    objective : Objective
    budget : Budget
    device : Device
    generator : torch.Generator
        On the device: all random draws come from it.
    settings : FitSettings, optional
    report : Reporter, optional
        Told of every step; a cancel takes effect within one.
    stage : str
        What the user is told is being done.
    full_precision : bool
        Whether to compute in float32 whatever the device is good at: what finished weights gain by a few more steps is less than
        what bfloat16 rounds away.

    Raises
    ------
    Cancelled
        The user stopped the run; the network holds weights of no particular step.
    OutOfMemoryError
        Not even a batch of one fits.
    TrainingDivergedError
        The loss was not finite, or grew without bound, however small the learning rate was made.
    """
    settings = settings or FitSettings()
    with torch.inference_mode(False), torch.enable_grad():
        module = _Single(network, objective, settings)
        fabric = single_process(device, full_precision=full_precision)
        trainer = Trainer(module, budget, device, generator, settings=settings, report=report, fabric=fabric)
        return trainer.run(stage)


class _Single(TrainingModule):
    """One network with one objective."""

    def __init__(self, network: nn.Module, objective: Objective, settings: FitSettings) -> None:
        self.networks: Networks = {_NAME: network}
        self.objective, self.settings = objective, settings

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        return {_NAME: usual_optimizers(self.networks[_NAME], self.settings)}

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        loss = self.objective.loss(work.networks[_NAME], work.batch_size, work.generator)
        work.update(_NAME, loss)
        return {"loss": loss}

    def validate(self, networks: Networks) -> Validation | None:
        loss = self.objective.held_out(networks[_NAME])
        return None if loss is None else Validation(loss)
