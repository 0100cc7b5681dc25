"""Trains any number of networks with their own optimisers, and keeps the best weights it has seen: the loop of all training here.

The session knows nothing of images or losses: what a step is, and what is measured on held-out pixels, is the trainee's affair. It
sees to everything else: devices and precision, several processes, the running average of the weights, clipping, short memory,
going back where training became unstable, budgets, pausing and stopping, checkpoints from which a run goes on exactly.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_synth.core.device import Device
from napari_synth.core.errors import CheckpointError, OutOfMemoryError, TrainingDivergedError
from napari_synth.core.progress import Reporter
from napari_synth.networks.layout import channels_last
from napari_synth.training import checkpoint
from napari_synth.training.control import TrainingControl
from napari_synth.training.curve import Curve
from napari_synth.training.health import RECENT, WINDOW, Health
from napari_synth.training.news import CurvePoint, Figures, Previewed, Resumed, Validated
from napari_synth.training.processes import MemoryShortElsewhereError, Team, single_process
from napari_synth.training.schedule import Budget, Clock, FitSettings
from napari_synth.training.trainee import Networks, Trainee, Validation

_MOST_ROLL_BACKS = 5
# Between validations where no end is known: at least so many seconds, and so many times what a validation takes.
_VALIDATION_SECONDS, _VALIDATION_SHARE = 5.0, 10.0


@dataclass
class FitResult:
    """What came of a training run; the networks themselves hold the best averaged weights.

    Attributes
    ----------
    precision : str
        Of the arithmetic, as lightning-fabric calls it.
    batch_size : int
        At the end: smaller than asked for where memory was short.
    steps : int
        Steps done.
    planned : int
        Steps that the budget held: a budget of that many steps repeats the run. 0 where it had no end.
    seconds : float
        Wall time of training.
    losses : list of float
        What was trained for, of every step.
    held_out : list of (int, float)
        Step and score on held-out pixels, the untrained networks first.
    roll_backs : int
        How often the run had to go back to earlier weights.
    validations : list of Validated
        As `held_out`, with what was measured besides.
    curve : list of CurvePoint
        All losses, over stretches of steps.
    was_stopped : bool
        Whether the user ended it.
    """

    precision: str
    batch_size: int
    steps: int = 0
    planned: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    roll_backs: int = 0
    validations: list[Validated] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)
    was_stopped: bool = False

    @property
    def best(self) -> Validated | None:
        """The validation of the weights that were kept; None where nothing is held out."""
        return next((found for found in reversed(self.validations) if found.is_best), None)


class Session:
    """One training run.

    Parameters
    ----------
    trainee : Trainee
        Its networks are moved to the device, and left in evaluation mode with the averaged weights whose score was the best (the
        last ones where nothing is held out).
    budget : Budget
    device : Device
    generator : torch.Generator
        On the device: all random draws of batches come from it.
    settings : FitSettings, optional
    report : Reporter, optional
        Told of every step; a cancel takes effect within one. Where its token is a `TrainingControl`, the run can be paused and
        stopped.
    fabric : Fabric, optional
        What trains on several devices; one where it is left out.
    folder : Path, optional
        Where checkpoints are kept; none are written where it is left out.
    identity : mapping of str to str
        What a checkpoint must say of itself for the run to go on from it.
    checkpoint_seconds : float
        Between checkpoints; 0 for one after every step.
    tells : bool
        Whether points of the curve, validations and previews are handed to the reporter.
    """

    def __init__(
        self,
        trainee: Trainee,
        budget: Budget,
        device: Device,
        generator: torch.Generator,
        *,
        settings: FitSettings | None = None,
        report: Reporter | None = None,
        fabric: Fabric | None = None,
        folder: Path | None = None,
        identity: Mapping[str, str] | None = None,
        checkpoint_seconds: float = 60.0,
        tells: bool = False,
    ) -> None:
        self.trainee, self.budget, self.device, self.generator = trainee, budget, device, generator
        self.settings, self.report = settings or FitSettings(), report or Reporter()
        self.folder, self.identity, self.checkpoint_seconds = folder, dict(identity or {}), checkpoint_seconds
        self.tells = tells
        self.control = self.report.cancel if isinstance(self.report.cancel, TrainingControl) else TrainingControl()
        self.fabric = fabric or single_process(device)
        self.team = Team(self.fabric)
        self.result = FitResult(
            str(self.fabric.strategy.precision.precision), self.team.divisible(self.settings.batch_size)
        )
        self._plain = {name: channels_last(net.to(device.torch_name)).train() for name, net in trainee.networks.items()}
        self._averages = {
            name: AveragedModel(
                self._plain[name], multi_avg_fn=_warmed_average(self.settings.averaging), use_buffers=True
            ).eval()
            for name in trainee.averaged
        }
        self.networks: Networks = {name: self.fabric.setup_module(network) for name, network in self._plain.items()}
        made = trainee.optimizers()
        # The rates are noted before the schedule changes them.
        self._rates = {name: [[g["lr"] for g in o.param_groups] for o in group] for name, group in made.items()}
        self.optimizers = {name: _as_list(self.fabric.setup_optimizers(*group)) for name, group in made.items()}
        self.step, self.spent = 0, 0.0
        self._curve = Curve()
        self._best: tuple[float, dict[str, Any]] | None = None
        self.baselines: Mapping[str, Figures] = {}
        self._scale = 1.0
        self._began, self._began_seconds = 0, 0.0
        self._validations = 0
        self._next_validation = 0
        self._first_seconds = self._validation_seconds = 0.0
        self._collapsed = ""
        self._safe = self._snapshot()
        self._health = Health(trainee.settles)
        # Reading the loss waits for a GPU: there it is looked at only now and then.
        self._look_every = 1 if device.kind == "cpu" else RECENT
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._start = self._saved = time.perf_counter()

    # What a trainee is given: see `Work`.

    @property
    def batch_size(self) -> int:
        """Of all processes together."""
        return self.result.batch_size

    def share(self, batch: Tensor) -> Tensor:
        """Return this process' share of a batch; see `Work.share`."""
        return self.team.share(batch)

    def update(self, optimizers: str, loss: Tensor) -> None:
        """Take one step of the named optimisers; see `Work.update`."""
        group = self.optimizers[optimizers]
        for optimizer in group:
            optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.team.average_gradients(group)
        for optimizer in group:
            self.fabric.clip_gradients(
                next(iter(self.networks.values())), optimizer, max_norm=self.settings.clip, error_if_nonfinite=False
            )
            optimizer.step()

    # The run.

    def run(self, stage: str = "Training") -> FitResult:
        """Train until the budget is used up or the user has enough, and return what came of it.

        Raises
        ------
        Cancelled
            The user threw the run away; the networks hold weights of no particular step.
        OutOfMemoryError
            Not even a batch of one fits.
        TrainingDivergedError
            The loss was not finite, or grew without bound, however small the learning rate was made.
        CheckpointError
            A checkpoint cannot be written.
        """
        with torch.inference_mode(False), torch.enable_grad():
            self._run(stage)
        return self.result

    def _run(self, stage: str) -> None:
        if self.folder is not None and self.fabric.is_global_zero:
            checkpoint.make_folder(self.folder)
        result = self.result
        result.planned = result.planned or (self.budget.steps or 0)
        before = self._done
        announced = max(result.planned - result.steps, 0)
        self.report.start(stage, announced)
        if self.tells and result.steps:
            self.report.tell(Resumed(tuple(self._curve.points), tuple(result.validations)))
        if self.tells or self.folder is not None:
            self.baselines = self.trainee.baselines() if self.settings.validations else {}
        validating = time.perf_counter()
        if not self._validations:
            self._validate()
            self._validations = 1
            self._validation_seconds = time.perf_counter() - validating
        clock = Clock(60.0 * (self.budget.minutes or 0.0), self.settings, self._validation_seconds)
        clock.first = self._first_seconds
        self._plan_validation(self._validation_seconds)
        self._start = time.perf_counter() - result.seconds
        self._saved = time.perf_counter()
        while self._spent() < 1.0 and not result.was_stopped:
            self.spent = self._spent()
            self._one_step()
            result.steps += 1
            self.step = result.steps
            seconds = time.perf_counter() - self._start
            # While decisions hang on it, it is the same for all.
            result.seconds = seconds if result.planned else self.team.agreed(seconds)
            if not result.planned and not self.budget.until_stopped:
                spent_on = result.seconds - self._began_seconds
                likely = clock.likely(self._done, spent_on)
                self._first_seconds = clock.first
                self.report.extend(likely - before - announced)
                announced = likely - before
                result.planned = self._began + likely if clock.is_measured(spent_on) else 0
            over = self._spent() >= 1.0
            looked = len(self._pending) >= self._look_every or over
            if looked and not self._look() and not self._roll_back():
                break
            if self._is_time_to_validate() or (result.was_stopped and not self._is_validated):
                validating = time.perf_counter()
                self._validate()
                self._plan_validation(time.perf_counter() - validating)
                if self._collapsed and not self._roll_back():
                    break
            self.report.advance()
            self._checkpoint_or_wait(looked=looked, over=over or result.was_stopped)
        self._finish()

    @property
    def _done(self) -> int:
        return self.result.steps - self._began

    def _spent(self) -> float:
        planned = self.result.planned - self._began
        return self._done / planned if planned > 0 else 0.0

    def _one_step(self) -> None:
        for name, group in self.optimizers.items():
            for optimizer, rates in zip(group, self._rates[name], strict=True):
                for parameters, full in zip(optimizer.param_groups, rates, strict=True):
                    parameters["lr"] = self.settings.rate(self._done, self.spent, full) * self._scale
        while True:
            drawn = None if self.team.is_alone else self.generator.get_state()
            try:
                losses = self.trainee.step(self)
                break
            except (torch.OutOfMemoryError, MemoryError) as error:
                self.team.tell_memory_is_short()
                if self.batch_size <= self.team.size:
                    raise OutOfMemoryError(
                        f"Not even one patch at a time fits into the memory of {self.device.title}: choose smaller patches,"
                        " free memory, or run on the cpu."
                    ) from error
            except MemoryShortElsewhereError:
                pass
            if drawn is not None:
                self.generator.set_state(drawn)
            # Out of the handler, since the error holds the tensors of the step.
            self._halve_batch()
        self._pending.append((self.result.steps + 1, {name: loss.detach() for name, loss in losses.items()}))
        for name, average in self._averages.items():
            average.update_parameters(self._plain[name])

    def _halve_batch(self) -> None:
        for network in self._plain.values():
            network.zero_grad(set_to_none=True)
        self.result.batch_size = self.team.divisible(self.batch_size // 2)
        self.device.release_memory()
        self.report.message(
            f"The device's memory is short: training goes on with {self.result.batch_size} patches a step."
        )

    # Health.

    def _look(self) -> bool:
        """Read the latest losses, and return whether they are finite and like those before."""
        names = list(self._pending[0][1])
        table = torch.stack([torch.stack([losses[name].float() for name in names]) for _, losses in self._pending])
        stop = torch.full((1, len(names)), float(self.control.is_stopped), device=table.device)
        *values, stops = self.team.mean(torch.cat((table, stop))).tolist()
        self.result.was_stopped = self.result.was_stopped or stops[0] > 0
        for (step, _), row in zip(self._pending, values, strict=True):
            point = self._curve.add(step, self.result.seconds, dict(zip(names, row, strict=True)))
            if point is not None and self.tells:
                self.report.tell(point)
        self._pending.clear()
        self.result.losses.extend(row[0] for row in values)
        is_good = self._health.is_good(values)
        if is_good and self.trainee.settles and self._health.is_known and self.result.steps % WINDOW < self._look_every:
            self._safe = self._snapshot()
        return is_good

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy({name: part.state_dict() for name, part in self._parts.items()})

    @property
    def _parts(self) -> dict[str, Any]:
        """Everything that learns, by name."""
        return (
            {f"network {name}": network for name, network in self._plain.items()}
            | {f"average {name}": average for name, average in self._averages.items()}
            | {
                f"optimizer {name} {i}": o.optimizer
                for name, group in self.optimizers.items()
                for i, o in enumerate(group)
            }
        )

    def _take_up(self, states: Mapping[str, Any]) -> None:
        # Loading does not copy the optimizer's tensors, which are then changed in place.
        for name, state in copy.deepcopy(dict(states)).items():
            self._parts[name].load_state_dict(state)

    def _roll_back(self) -> bool:
        """Go back to the last safe weights with half the learning rate; return False where there are good weights to stop at."""
        self.result.roll_backs += 1
        why, self._collapsed = self._collapsed or "Training became unstable", ""
        if self.result.roll_backs > _MOST_ROLL_BACKS:
            if self._best is not None and len(self.result.held_out) > 1:
                self.report.message(f"{why} again and again: it was ended early with the best weights so far.")
                return False
            raise TrainingDivergedError(
                "Training did not settle, even with a small learning rate: check the image for extreme values, or train on a part"
                " of it that has none."
            )
        self._scale *= 0.5
        self._take_up(self._safe)
        self._health.recent.clear()
        self.report.message(f"{why}: going back to earlier weights with half the learning rate.")
        return True

    # Validation.

    def _validate(self) -> None:
        if not self.settings.validations:
            return
        found = self._measured()
        if found is None:
            return
        result = self.result
        result.held_out.append((result.steps, found.score))
        self._collapsed = found.collapsed
        is_best = (
            not found.collapsed and math.isfinite(found.score) and (self._best is None or found.score < self._best[0])
        )
        if is_best:
            self._best = (found.score, self._weights())
        if not self.trainee.settles and not found.collapsed:
            # Losses of networks that play against each other do not tell whether they are well.
            self._safe = self._snapshot()
        validated = Validated(result.steps, result.seconds, found.score, dict(found.metrics), self.baselines, is_best)
        result.validations.append(validated)
        if self.tells:
            self.report.tell(validated)
            if self.fabric.is_global_zero and self.report.is_heard:
                with torch.no_grad(), self.fabric.autocast():
                    preview = self.trainee.preview(self._kept())
                if preview is not None:
                    self.report.tell(Previewed(result.steps, preview))

    def _measured(self) -> Validation | None:
        found = None
        # One process measures, since those that are not the same to the last bit would go on differently.
        if self.fabric.is_global_zero:
            with torch.no_grad(), self.fabric.autocast():
                found = self.trainee.validate(self._kept())
        return self.team.from_main(found)

    @property
    def _is_validated(self) -> bool:
        return bool(self.result.held_out) and self.result.held_out[-1][0] == self.result.steps

    def _is_time_to_validate(self) -> bool:
        if self.budget.until_stopped:
            return self.result.steps >= self._next_validation
        early = self.settings.has_early_validation(self._done, self._spent())
        if early is not None:
            return early
        if self._spent() * self.settings.validations < self._validations:
            return False
        self._validations = math.floor(self._spent() * self.settings.validations) + 1
        return True

    def _plan_validation(self, seconds: float) -> None:
        """Choose the step of the next validation where no end is known, by what one took."""
        if self.budget.until_stopped:
            pause = max(_VALIDATION_SECONDS, _VALIDATION_SHARE * seconds)
            pace = self.result.seconds / self._done if self._done else seconds
            wanted = max(1, round(pause / max(pace, 1e-6))) if self._done else 1
            self._next_validation = self.result.steps + self.team.from_main(wanted)

    def _kept(self) -> dict[str, nn.Module]:
        """Return the networks that are kept in the end: averages in evaluation mode, and the others as they are."""
        return {
            name: self._averages[name].module.eval() if name in self._averages else network
            for name, network in self._plain.items()
        }

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy({name: network.state_dict() for name, network in self._kept().items()})

    def _finish(self) -> None:
        weights = self._best[1] if self._best else self._weights()
        for name, network in self._plain.items():
            network.load_state_dict(weights[name])
            network.eval().requires_grad_(False)
        self.result.curve = list(self._curve.points)

    # Checkpoints.

    def _checkpoint_or_wait(self, *, looked: bool, over: bool) -> None:
        paused = looked and self.control.is_paused and not over
        due = time.perf_counter() - self._saved >= self.checkpoint_seconds
        if self.folder is not None and self.fabric.is_global_zero and (due or paused or over):
            checkpoint.save(self.folder, self.state())
            self._saved = time.perf_counter()
        if paused:
            waiting = time.perf_counter()
            self.report.message("Training waits: nothing is lost.")
            self.control.wait()
            self.report.cancel.check()
            self._start += time.perf_counter() - waiting
        if over:
            self.team.wait()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        result = self.result
        return {
            "identity": self.identity,
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "safe": self._safe,
            "best": self._best,
            "scaler": self.fabric.strategy.precision.state_dict(),
            "trainee": self.trainee.state(),
            "random": checkpoint.random_states() | {"generator": self.generator.get_state()},
            "curve": self._curve.state(),
            "pending": self._pending,
            "run": {
                "steps": result.steps,
                "planned": result.planned,
                "seconds": result.seconds,
                "batch_size": result.batch_size,
                "roll_backs": result.roll_backs,
                "losses": torch.tensor(result.losses, dtype=torch.float64),
                "validations": [(v.step, v.seconds, v.score, dict(v.metrics), v.is_best) for v in result.validations],
                "scale": self._scale,
                "began": (self._began, self._began_seconds),
                "next": self._validations,
                "first_seconds": self._first_seconds,
                "validation_seconds": self._validation_seconds,
                "has_end": not self.budget.until_stopped,
                "recent": list(self._health.recent),
            },
        }

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder; return False where there is none.

        A run that was at its end gets its budget once more.

        Raises
        ------
        CheckpointError
            The checkpoint is damaged, or of another run.
        """
        state = checkpoint.load(self.folder) if self.folder is not None else None
        if state is None:
            return False
        if state["identity"] != self.identity:
            changed = [name for name, value in self.identity.items() if state["identity"].get(name) != value]
            raise CheckpointError(
                f"The checkpoint in {self.folder} is of a training with another {', another '.join(changed) or 'kind'}:"
                " choose another folder, or train without resuming."
            )
        try:
            self._restore(state)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"The checkpoint in {self.folder} does not fit this training: choose another folder, or train without resuming."
            ) from error
        return True

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._take_up(state["parts"])
        self._safe, self._best = state["safe"], state["best"]
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        self.trainee.restore(state["trainee"])
        checkpoint.set_random_states(state["random"])
        self.generator.set_state(state["random"]["generator"])
        self._curve.restore(state["curve"])
        place = self.fabric.device
        self._pending = [(step, {k: v.to(place) for k, v in losses.items()}) for step, losses in state["pending"]]
        run, result = state["run"], self.result
        result.steps, result.planned, result.seconds = run["steps"], run["planned"], run["seconds"]
        result.batch_size, result.roll_backs = self.team.divisible(run["batch_size"]), run["roll_backs"]
        result.losses = run["losses"].tolist()
        result.validations = [
            Validated(step, seconds, score, metrics, {}, is_best)
            for step, seconds, score, metrics, is_best in run["validations"]
        ]
        result.held_out = [(validated.step, validated.score) for validated in result.validations]
        self.step = result.steps
        self._scale, (self._began, self._began_seconds) = run["scale"], run["began"]
        self._validations, self._validation_seconds = run["next"], run["validation_seconds"]
        self._first_seconds = run["first_seconds"]
        self._health.recent.extend(run["recent"])
        if self.budget.until_stopped:
            result.planned = 0
        elif not run["has_end"]:
            self._begin_anew()
        elif self.budget.steps is not None:
            result.planned = self._began + self.budget.steps
        if self._spent() >= 1.0:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Give a run that was at its end its budget once more: the learning rate rises again, what was learnt stays."""
        self._began, self._began_seconds = self.result.steps, self.result.seconds
        self.result.planned = self._began + self.budget.steps if self.budget.steps else 0
        self._validations, self._first_seconds = 1, 0.0


def _as_list(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]


def _warmed_average(decay: float) -> Callable[..., None]:
    """Return the update of a running average that forgets the first weights quickly."""

    def update(averages: Any, weights: Any, count: Any) -> None:
        warmed = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        average: Any = get_ema_multi_avg_fn(warmed)  # type: ignore[no-untyped-call]
        average(averages, weights, count)

    return update
