"""The training loop: exact resume, averaged weights, learning rate over wall time, return from divergence."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napari_synth.training.optim import Muon, hidden_weights
from pretraining.crops import CropStore

log = logging.getLogger("pretraining")


@dataclass(frozen=True)
class Settings:
    """What a training run is made of; its length is given in minutes or, for an exact repetition, in steps.

    `half` computes the network in bfloat16 and keeps its weights in float32.
    """

    minutes: float | None = None
    steps: int | None = None
    learning_rate: float = 4e-3
    last_learning_rate: float = 1e-6
    warm_up_steps: int = 300
    largest_gradient: float = 0.5
    decay: float = 0.999
    square_loss_share: float = 0.15
    checkpoint_seconds: float = 120.0
    report_seconds: float = 600.0
    seed: int = 0
    half: bool = False


class Lesson(Protocol):
    """What a network is taught."""

    def network(self) -> nn.Module:
        """Return a fresh network."""

    def draw(self, store: CropStore, generator: torch.Generator, done: float) -> Any:
        """Return the next batch, when the share `done` of the run is over."""

    def errors(self, network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Return what is wrong with the network's answers, (N, 1, H, W), and the weight of each, (N,)."""


class Trainer:
    """One training run in one folder.

    Parameters
    ----------
    folder : Path
        Where ``checkpoint.pt`` and ``curve.jsonl`` are kept.
    store : CropStore
        The clean crops.
    lesson : Lesson
        The network and what it is taught.
    settings : Settings
        Everything else.
    device : torch.device
        That of the store; batches are drawn there.
    """

    def __init__(
        self,
        folder: Path,
        store: CropStore,
        lesson: Lesson,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.folder = folder
        self.store = store
        self.lesson = lesson
        self.settings = settings
        self.device = device
        torch.manual_seed(settings.seed)
        self.network = lesson.network().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        hidden, outer = hidden_weights(self.network)
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(hidden, lr=settings.learning_rate),
            torch.optim.AdamW(outer, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4),
        )
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.step = 0
        self.elapsed = 0.0
        self.loss = 0.0
        self.rate_factor = 1.0
        self._good = copy.deepcopy(self._state())

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with the weights of another training of the same network."""
        self.network.load_state_dict(weights)
        self.average.load_state_dict(self.network.state_dict())
        self._good = copy.deepcopy(self._state())

    @property
    def done(self) -> float:
        """Share of the run that is over, 0 to 1."""
        if self.settings.steps is not None:
            return min(self.step / self.settings.steps, 1.0)
        if self.settings.minutes is None:
            raise ValueError("Give the length of the run in minutes or in steps.")
        return min(self.elapsed / (60.0 * self.settings.minutes), 1.0)

    def rate(self) -> float:
        """Return the learning rate of the next step: a short warm-up, then a cosine."""
        s = self.settings
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.done))
        warm_up = min(1.0, (self.step + 1) / s.warm_up_steps)
        return self.rate_factor * warm_up * (s.last_learning_rate + (s.learning_rate - s.last_learning_rate) * cosine)

    def draw(self) -> Any:
        """Return the next batch."""
        return self.lesson.draw(self.store, self.generator, self.done)

    def train_step(self, batch: Any) -> float:
        """Take one step and return its loss before the step; a loss that is not finite changes no weight."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate()
        loss = self._loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            return value
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.largest_gradient)
        for optimiser in self.optimisers:
            optimiser.step()
        decay = min(self.settings.decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - decay)
        self.step += 1
        return value

    def precision(self) -> torch.autocast:
        """Return the context in which the network computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half)

    def _loss(self, batch: Any) -> Tensor:
        """Return what is to become small."""
        with self.precision():
            error, weight = self.lesson.errors(self.network, batch)
        error = error.float()
        if self.done < 1.0 - self.settings.square_loss_share:
            each = error.abs().mean(dim=(1, 2, 3))
        else:
            # The root of a patch's mean square follows PSNR and has gradients of the size that L1 has.
            each = (error.square().mean(dim=(1, 2, 3)) + 1e-8).sqrt()
        return (each * weight).mean()

    def run(self, report: Callable[[Trainer], None], stopped: Callable[[], bool] = lambda: False) -> None:
        """Train until the time or the steps are over or `stopped` says so; a checkpoint is written at the end.

        `report` is called every `report_seconds` and at the end.
        """
        last = saved = reported = time.monotonic()
        while self.done < 1.0 and not stopped():
            self._follow(self.train_step(self.draw()))
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if now - saved > self.settings.checkpoint_seconds:
                self.save()
                saved = now
            if now - reported > self.settings.report_seconds:
                report(self)
                # The time of a report counts, so that the run ends when it was told to.
                reported = time.monotonic()
        self.save()
        report(self)

    def _follow(self, loss: float) -> None:
        """Watch the loss: remember good states, return to the last one where it is not finite or far too large."""
        if not math.isfinite(loss) or (self.step > 1000 and loss > 8.0 * self.loss):
            step, elapsed = self.step, self.elapsed
            noise = self.generator.get_state()
            self._restore(copy.deepcopy(self._good))
            # The batches that led here are not met again, and the time is spent.
            self.generator.set_state(noise)
            self.elapsed = elapsed
            self.rate_factor *= 0.7
            log.warning("loss %.4g at step %d: back to step %d", loss, step, self.step)
            return
        self.loss = loss if self.step <= 1 else self.loss + 0.01 * (loss - self.loss)
        if self.step % 500 == 0:
            self._good = copy.deepcopy(self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generator": self.generator.get_state(),
            "step": self.step,
            "elapsed": self.elapsed,
            "loss": self.loss,
            "rate_factor": self.rate_factor,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, own in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(own)
        # The state of a generator lies on the CPU, whatever its device is.
        self.generator.set_state(state["generator"].cpu())
        self.step = state["step"]
        self.elapsed = state["elapsed"]
        self.loss = state["loss"]
        self.rate_factor = state["rate_factor"]

    def save(self) -> Path:
        """Write ``checkpoint.pt`` so that a crash at any moment leaves the old one or the new one, and return it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "checkpoint.pt"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(self._state(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path

    def resume(self) -> None:
        """Go on from ``checkpoint.pt`` exactly where it stood."""
        path = self.folder / "checkpoint.pt"
        self._restore(torch.load(path, map_location=self.device, weights_only=True))
        self._good = copy.deepcopy(self._state())

    def note(self, figures: dict[str, Any]) -> None:
        """Append one line to ``curve.jsonl``: step, minutes, loss and `figures`."""
        line = {"step": self.step, "minutes": round(self.elapsed / 60.0, 2), "loss": self.loss} | figures
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
