"""Fits a network to an objective within a number of steps or minutes, and keeps the best weights it has seen.

The loop knows nothing of images: what a step's loss is, and what is measured on held-out pixels, is the objective's affair.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_synth.core.device import Device
from napari_synth.core.errors import OutOfMemoryError, TrainingDivergedError
from napari_synth.core.progress import Reporter
from napari_synth.training.muon import Muon, hidden_weights
from napari_synth.training.precision import TrainingPrecision, training_precision

_WINDOW = 100
_RECENT = 10
_MOST_ROLL_BACKS = 5
# Share of a budget of minutes over which the speed is measured.
_MEASURED = 0.1


class Objective(Protocol):
    """What a network is trained for."""

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw a batch of ``batch_size`` with ``generator`` and return its mean loss, a scalar that can be differentiated."""

    def held_out(self, network: nn.Module) -> float | None:
        """Return the loss on pixels that are never trained on, the same draw at every call; None where there are none."""


@dataclass(frozen=True)
class Budget:
    """When training ends: after so many steps, or so many minutes.

    Attributes
    ----------
    steps : int or None
        The same number of steps gives the same weights on the same kind of device.
    minutes : float or None
        About the wall time: the first part of it tells how many steps it holds, and the run then is one of that many steps.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("A budget needs either steps or minutes.")


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    Attributes
    ----------
    learning_rate : float
        Warmed up, held, then lowered along a cosine.
    batch_size : int
        Halved by the loop where the device's memory is short.
    held_flat : float
        Share of the budget before the learning rate falls.
    warm_up : int
        Steps over which the learning rate rises.
    clip : float
        Largest norm of the gradient.
    averaging : float
        Decay of the running average of the weights, a step.
    validations : int
        How often the held-out loss is taken; 0 for never.
    optimizer : {"adam", "muon"}
        Muon takes the weights of hidden layers, and leaves the others to AdamW; see `hidden_weights`.
    """

    learning_rate: float = 1e-3
    batch_size: int = 8
    held_flat: float = 0.3
    warm_up: int = 20
    clip: float = 1.0
    averaging: float = 0.99
    validations: int = 8
    optimizer: Literal["adam", "muon"] = "adam"

    @property
    def before_changes(self) -> float:
        """Share of the budget after which, at the earliest, a step depends on how many there will be."""
        return min(self.held_flat, 1.0 / max(1, self.validations))

    def rate(self, step: int, spent: float) -> float:
        """Return the learning rate of a step when ``spent`` of the budget is used up."""
        warm = min(1.0, (step + 1) / self.warm_up)
        falling = max(0.0, (spent - self.held_flat) / (1.0 - self.held_flat))
        return self.learning_rate * warm * max(0.01, 0.5 * (1.0 + math.cos(math.pi * min(1.0, falling))))


@dataclass
class FitResult:
    """What came of a training run; the network itself holds the best averaged weights.

    Attributes
    ----------
    steps : int
        Steps done.
    planned : int
        Steps that the budget held: a budget of that many steps repeats the run.
    seconds : float
        Wall time.
    batch_size : int
        At the end: smaller than asked for where memory was short.
    precision : str
        Of the arithmetic, as lightning-fabric calls it.
    losses : list of float
        Of every step.
    held_out : list of (int, float)
        Step and held-out loss, the untrained network first.
    roll_backs : int
        How often the run had to go back to earlier weights.
    """

    precision: TrainingPrecision
    batch_size: int
    steps: int = 0
    planned: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    roll_backs: int = 0


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

    Raises
    ------
    Cancelled
        The user stopped the run; the network holds weights of no particular step.
    OutOfMemoryError
        Not even a batch of one fits.
    TrainingDivergedError
        The loss was not finite, or grew without bound, however small the learning rate was made.
    """
    with torch.inference_mode(False), torch.enable_grad():
        run = _Run(network, objective, budget, device, generator, settings or FitSettings(), report or Reporter())
        return run.run(stage)


class _Clock:
    """Finds out how many steps a time holds, before any step depends on it.

    Parameters
    ----------
    seconds : float
        Of the whole run.
    settings : FitSettings
    validation : float
        Seconds that one validation takes.
    """

    def __init__(self, seconds: float, settings: FitSettings, validation: float) -> None:
        self.seconds, self.settings = seconds, settings
        self.validations = settings.validations * validation
        self.first = 0.0

    def likely(self, step: int, seconds: float) -> int:
        """Return how many steps there will be, judged after ``step`` of them."""
        if step == 1:
            self.first = seconds
        # The first step is slower than the others: kernels are chosen, and memory is taken.
        pace = (seconds - self.first) / (step - 1) if step > 1 else seconds
        left = math.floor((self.seconds - seconds - self.validations) / max(pace, 1e-9))
        unaffected = math.floor((step - 1) / max(self.settings.before_changes, 1e-9)) + 1
        return max(step + left, unaffected)

    def is_measured(self, seconds: float) -> bool:
        """Whether the speed is known well enough, which is before a step depends on how many there will be."""
        return seconds >= min(_MEASURED, 0.8 * self.settings.before_changes) * self.seconds


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        budget: Budget,
        device: Device,
        generator: torch.Generator,
        settings: FitSettings,
        report: Reporter,
    ) -> None:
        self.objective, self.budget, self.settings, self.report = objective, budget, settings, report
        self.device, self.generator = device, generator
        precision = training_precision(device)
        self.result = FitResult(precision, settings.batch_size)
        self.network = _channels_last(network.to(device.torch_name)).train()
        self.average = AveragedModel(network, multi_avg_fn=_warmed_average(settings.averaging), use_buffers=True)
        self.average.eval()
        index = int(device.torch_name.partition(":")[2] or 0)
        self.fabric = Fabric(
            accelerator=device.kind, devices=1 if device.kind == "cpu" else [index], precision=precision
        )
        self.wrapped, *self.optimizers = self.fabric.setup(network, *_optimizers(network, settings))
        self.best: tuple[float, dict[str, Any]] | None = None
        self.scale = 1.0
        self.safe = self._snapshot()
        self.recent: deque[float] = deque(maxlen=_WINDOW)
        # Reading the loss waits for a GPU: there it is looked at only now and then.
        self.look_every = 1 if device.kind == "cpu" else _RECENT
        self.pending: list[Tensor] = []

    def run(self, stage: str) -> FitResult:
        self.result.planned = self.budget.steps or 0
        announced = self.result.planned
        self.report.start(stage, announced)
        validating = time.perf_counter()
        self._validate()
        validations = 1
        start = time.perf_counter()
        clock = _Clock(60.0 * (self.budget.minutes or 0.0), self.settings, start - validating)
        spent = 0.0
        while spent < 1.0:
            self._step(spent)
            self.result.steps += 1
            self.result.seconds = time.perf_counter() - start
            if not self.result.planned:
                likely = clock.likely(self.result.steps, self.result.seconds)
                self.report.extend(likely - announced)
                announced = likely
                self.result.planned = likely if clock.is_measured(self.result.seconds) else 0
            spent = self.result.steps / self.result.planned if self.result.planned else 0.0
            if not self._healthy(last=spent >= 1.0) and not self._roll_back():
                break
            if spent * self.settings.validations >= validations:
                validations = math.floor(spent * self.settings.validations) + 1
                self._validate()
            self.report.advance()
        weights = self.best[1] if self.best else copy.deepcopy(self.average.module.state_dict())
        self.network.load_state_dict(weights)
        self.network.eval().requires_grad_(False)
        return self.result

    def _step(self, spent: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.settings.rate(self.result.steps, spent) * self.scale
        while True:
            try:
                loss = self.objective.loss(self.wrapped, self.result.batch_size, self.generator)
                self.network.zero_grad(set_to_none=True)
                self.fabric.backward(loss)
                break
            except (torch.OutOfMemoryError, MemoryError) as error:
                if self.result.batch_size == 1:
                    raise OutOfMemoryError(
                        f"Not even one patch at a time fits into the memory of {self.device.title}: choose smaller patches,"
                        " free memory, or run on the cpu."
                    ) from error
            # Out of the handler, since the error holds the tensors of the step.
            self._halve_batch()
        self.pending.append(loss.detach())
        for optimizer in self.optimizers:
            self.fabric.clip_gradients(self.wrapped, optimizer, max_norm=self.settings.clip, error_if_nonfinite=False)
            optimizer.step()
        self.average.update_parameters(self.network)

    def _halve_batch(self) -> None:
        self.network.zero_grad(set_to_none=True)
        self.result.batch_size //= 2
        self.device.release_memory()
        self.report.message(
            f"The device's memory is short: training goes on with {self.result.batch_size} patches a step."
        )

    def _healthy(self, *, last: bool) -> bool:
        """Whether the latest losses are finite and like those before."""
        if len(self.pending) < self.look_every and not last:
            return True
        values = torch.stack(self.pending).float().tolist()
        self.pending.clear()
        self.result.losses.extend(values)
        self.recent.extend(values)
        if not all(math.isfinite(value) for value in values):
            return False
        if len(self.recent) < _WINDOW:
            return True
        past = list(self.recent)
        middle = median(past)
        spread = median(abs(value - middle) for value in past)
        if median(past[-_RECENT:]) > middle + 30.0 * spread + 1e-6 * abs(middle):
            return False
        if self.result.steps % _WINDOW < self.look_every:
            self.safe = self._snapshot()
        return True

    def _snapshot(self) -> tuple[dict[str, Any], ...]:
        return tuple(copy.deepcopy(part.state_dict()) for part in self._parts)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return (self.network, self.average, *self.optimizers)

    def _roll_back(self) -> bool:
        """Go back to the last safe weights with half the learning rate; return False where there are good weights to stop at."""
        self.result.roll_backs += 1
        if self.result.roll_backs > _MOST_ROLL_BACKS:
            if self.best is not None and len(self.result.held_out) > 1:
                self.report.message("Training became unstable and was ended early with the best weights so far.")
                return False
            raise TrainingDivergedError(
                "Training did not settle, even with a small learning rate: check the image for extreme values, or train on a part"
                " of it that has none."
            )
        self.scale *= 0.5
        # Loading does not copy the optimizer's tensors, which are then changed in place.
        for part, state in zip(self._parts, copy.deepcopy(self.safe), strict=True):
            part.load_state_dict(state)
        self.recent.clear()
        self.report.message("Training became unstable: going back to earlier weights with half the learning rate.")
        return True

    def _validate(self) -> None:
        if not self.settings.validations:
            return
        with torch.no_grad(), self.fabric.autocast():
            loss = self.objective.held_out(self.average.module.eval())
        if loss is None:
            return
        self.result.held_out.append((self.result.steps, loss))
        if math.isfinite(loss) and (self.best is None or loss < self.best[0]):
            self.best = (loss, copy.deepcopy(self.average.module.state_dict()))


def _optimizers(network: nn.Module, settings: FitSettings) -> list[torch.optim.Optimizer]:
    if settings.optimizer == "adam":
        trained = [p for p in network.parameters() if p.requires_grad]
        return [torch.optim.Adam(trained, betas=(0.9, 0.99))]
    hidden, outer = hidden_weights(network)
    return [
        Muon(hidden, lr=settings.learning_rate),
        torch.optim.AdamW(outer, betas=(0.9, 0.99), weight_decay=1e-4),
    ]


def _channels_last(network: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out as the processors' fast kernels want them."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.dim()])
    return network


def _warmed_average(decay: float) -> Any:
    """Return the update of a running average that forgets the first weights quickly."""

    def update(averages: Any, weights: Any, count: Any) -> None:
        warmed = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        average: Any = get_ema_multi_avg_fn(warmed)  # type: ignore[no-untyped-call]
        average(averages, weights, count)

    return update
