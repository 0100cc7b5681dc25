"""Small things to learn, and a program that learns one of them: run as a script, it is what the tests kill."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_synth.core.device import Device
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.training.optim import Budget, FitSettings
from napari_synth.training.trainer import FitResult, Trainer
from napari_synth.training.training_module import Networks, StepContext, TrainingModule, Validation

CPU = Device("cpu", "CPU", "for the test")
STEPS = 40


class Curves(TrainingModule):
    """Two networks that fit two curves, one by Adam and one by momentum; dropout and noise draw from every generator there is."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.networks: Networks = {
            "sine": nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1)),
            "line": nn.Linear(1, 1),
        }
        self.drawn = 0

    @property
    def averaged(self) -> Sequence[str]:
        return ["sine"]

    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        return {
            "sine": [torch.optim.Adam(self.networks["sine"].parameters(), lr=0.02)],
            "line": [torch.optim.SGD(self.networks["line"].parameters(), lr=0.05, momentum=0.9)],
        }

    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        self.drawn += 1
        x = work.share(torch.rand(work.batch_size, 1, generator=work.generator))
        noise = 0.01 * (random.random() + float(np.random.random()))  # noqa: NPY002
        sine = (work.networks["sine"](x) - torch.sin(6 * x)).square().mean() + noise
        work.update("sine", sine)
        line = (work.networks["line"](x) - 3 * x).square().mean()
        work.update("line", line)
        return {"sine": sine, "line": line}

    def validate(self, networks: Networks) -> Validation:
        x = torch.linspace(0, 1, 16)[:, None]
        error = float((networks["sine"](x) - torch.sin(6 * x)).square().mean())
        return Validation(error, {"MSE": error})

    def baselines(self) -> Mapping[str, Mapping[str, float]]:
        return {"nothing": {"MSE": 0.5}}

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def restore(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]


def trainer(
    module: TrainingModule,
    folder: Path | None = None,
    budget: Budget | None = None,
    callback: ProgressCallback | None = None,
    token: CancelToken | None = None,
    validations: int = 5,
    **options: Any,
) -> Trainer:
    """A session on the CPU with its random generators seeded, which writes a checkpoint at its end."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(1)
    return Trainer(
        module,
        budget or Budget(steps=STEPS),
        CPU,
        torch.Generator().manual_seed(2),
        settings=FitSettings(batch_size=8, averaging=0.9, validations=validations),
        report=Reporter(callback, token),
        folder=folder,
        identity={"kind": "curves"},
        **{"checkpoint_seconds": 1e6, "emit_events": True, **options},
    )


def weights(module: TrainingModule) -> list[Tensor]:
    """Return all weights."""
    return [weight.detach().clone() for network in module.networks.values() for weight in network.parameters()]


def run(module: TrainingModule, *arguments: Any, **options: Any) -> FitResult:
    """Train from the start."""
    return trainer(module, *arguments, **options).run()


def die_at(step: int) -> ProgressCallback:
    """Return what kills this process at a step, as a power cut would."""

    def look(progress: Progress) -> None:
        if progress.done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return look


if __name__ == "__main__":
    run(Curves(), Path(sys.argv[1]), callback=die_at(int(sys.argv[2])), checkpoint_seconds=0.0)
