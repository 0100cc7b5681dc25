"""Trains any number of networks with their own optimisers, and keeps the best weights it has seen: the loop of all training here.

The trainer knows nothing of images or losses: what a step is, and what is measured on held-out pixels, is the module's affair. It
sees to everything else: devices and precision, several processes, the running average of the weights, clipping, short memory,
going back where training became unstable, budgets, pausing and stopping, checkpoints from which a run goes on exactly.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_synth.core.device import Device
from napari_synth.core.errors import CheckpointError, OutOfMemoryError, TrainingDivergedError, is_memory_short
from napari_synth.core.progress import Reporter
from napari_synth.training import checkpoint
from napari_synth.training.checkpoint import TrainingState
from napari_synth.training.control import TrainingControl
from napari_synth.training.distributed import MemoryShortElsewhereError, ProcessGroup, single_process
from napari_synth.training.events import Curve, Figures, FitResult, LossMeaning, Previewed, Resumed, Saved
from napari_synth.training.monitoring import RECENT, WINDOW, BudgetTracker, DivergenceMonitor, Validator
from napari_synth.training.optim import Budget, FitSettings
from napari_synth.training.training_module import Networks, TrainingModule

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FitResult", "Trainer"]

_MOST_ROLL_BACKS = 5


class Trainer:
    """One training run.

    Parameters
    ----------
    module : TrainingModule
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
    emit_events : bool
        Whether points of the curve, validations and previews are handed to the reporter.
    """

    def __init__(
        self,
        module: TrainingModule,
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
        emit_events: bool = False,
    ) -> None:
        self.module, self.budget, self.device, self.generator = module, budget, device, generator
        self.settings, self.report = settings or FitSettings(), report or Reporter()
        self.folder, self.identity, self.checkpoint_seconds = folder, dict(identity or {}), checkpoint_seconds
        self.emit_events = emit_events
        self.control = self.report.cancel if isinstance(self.report.cancel, TrainingControl) else TrainingControl()
        self.fabric = fabric or single_process(device)
        self.team = ProcessGroup(self.fabric)
        self.result = FitResult(
            str(self.fabric.strategy.precision.precision), self.team.divisible(self.settings.batch_size)
        )
        self.parts = TrainingState(module, self.fabric, device, self.settings.averaging)
        self.networks: Networks = self.parts.networks
        self.course = BudgetTracker(budget, self.settings, self.result)
        self.validations = Validator(module, self.parts, self.course, self.team)
        self.step, self.spent = 0, 0.0
        self._curve = Curve()
        self._scale = 1.0
        self._safe = self.parts.snapshot()
        self._health = DivergenceMonitor(module.settles)
        # Reading the loss waits for a GPU: there it is looked at only now and then.
        self._look_every = 1 if device.kind == "cpu" else RECENT
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._start = self._saved = time.perf_counter()

    @property
    def baselines(self) -> Mapping[str, Figures]:
        """Figures of what needs no learning, by what it is."""
        return self.validations.baselines

    # What a training module is given: see `StepContext`.

    @property
    def batch_size(self) -> int:
        """Of all processes together."""
        return self.result.batch_size

    def share(self, batch: Tensor) -> Tensor:
        """Return this process' share of a batch; see `StepContext.share`."""
        return self.team.share(batch)

    def update(self, optimizers: str, loss: Tensor) -> None:
        """Take one step of the named optimisers; see `StepContext.update`."""
        group = self.parts.optimizers[optimizers]
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
        result, course, validations = self.result, self.course, self.validations
        before = course.done
        announced = course.announced()
        self.report.start(stage, announced)
        if self.emit_events:
            self.report.emit(LossMeaning(self.module.loss_in_words))
            if result.steps:
                self.report.emit(Resumed(tuple(self._curve.points), tuple(result.validations)))
        if self.settings.finds_batch and not result.steps and self.team.is_alone:
            self._name_phase("Trying how many patches a step suit the device")
            self._find_batch()
        if self.emit_events or self.folder is not None:
            self._name_phase("Measuring what needs no learning, to compare with")
            validations.baselines = self.module.baselines() if self.settings.validations else {}
        validating = time.perf_counter()
        if not validations.has_begun:
            self._name_phase("Measuring the network before it learns")
            self._validate()
            validations.begin(time.perf_counter() - validating)
        self._name_phase(stage, announced)
        course.set_clock(validations.seconds)
        validations.plan(validations.seconds)
        self._start = time.perf_counter() - result.seconds
        self._saved = time.perf_counter()
        while course.spent < 1.0 and not result.was_stopped:
            self.spent = course.spent
            self._one_step()
            result.steps += 1
            self.step = result.steps
            seconds = time.perf_counter() - self._start
            # While decisions hang on it, it is the same for all.
            result.seconds = seconds if result.planned else self.team.agreed(seconds)
            if course.is_measured:
                likely = course.likely()
                self.report.extend(likely - before - announced)
                announced = likely - before
            over = course.spent >= 1.0
            looked = len(self._pending) >= self._look_every or over
            if looked and not self._look() and not self._roll_back():
                break
            if validations.is_due() or (result.was_stopped and not result.is_validated):
                validating = time.perf_counter()
                self._validate()
                validations.plan(time.perf_counter() - validating)
                if validations.collapsed and not self._roll_back():
                    break
            self.report.advance()
            self._checkpoint_or_wait(looked=looked, over=over or result.was_stopped)
        self.keep_best()

    def _name_phase(self, phase: str, steps: int = 0) -> None:
        """Tell the user what is being done, where they watch the course of the training."""
        if self.emit_events:
            self.report.start(phase, steps)

    def keep_best(self) -> None:
        """Leave the networks with the best weights so far, where a run ended before its end."""
        self.parts.finish(self.validations.best[1] if self.validations.best else self.parts.weights())
        self.result.curve = list(self._curve.points)

    def _one_step(self) -> None:
        self.parts.set_rates(lambda full: self.settings.rate(self.course.done, self.spent, full) * self._scale)
        while True:
            drawn = None if self.team.is_alone else self.generator.get_state()
            try:
                losses = self.module.step(self)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_memory_short(error):
                    raise
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
        self.parts.average()

    def _find_batch(self) -> None:
        before = self.batch_size
        self.result.batch_size = found_batch(self)
        if self.batch_size != before:
            self.report.message(f"{self.batch_size} patches a step suit {self.device.title}.")

    def _halve_batch(self) -> None:
        self.parts.forget_gradients()
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
            if point is not None and self.emit_events:
                self.report.emit(point)
        self._pending.clear()
        self.result.losses.extend(row[0] for row in values)
        is_good = self._health.is_good(values)
        if is_good and self.module.settles and self._health.is_known and self.result.steps % WINDOW < self._look_every:
            self._safe = self.parts.snapshot()
        return is_good

    def _roll_back(self) -> bool:
        """Go back to the last safe weights with half the learning rate; return False where there are good weights to stop at."""
        self.result.roll_backs += 1
        why, self.validations.collapsed = self.validations.collapsed or "Training became unstable", ""
        if self.result.roll_backs > _MOST_ROLL_BACKS:
            if self.validations.best is not None and len(self.result.held_out) > 1:
                self.report.message(f"{why} again and again: it was ended early with the best weights so far.")
                return False
            raise TrainingDivergedError(
                "Training did not settle, even with a small learning rate: check the image for extreme values, or train on a part"
                " of it that has none."
            )
        self._scale *= 0.5
        self.parts.take_up(self._safe)
        self._health.recent.clear()
        self.report.message(f"{why}: going back to earlier weights with half the learning rate.")
        return True

    # Validation.

    def _validate(self) -> None:
        validated = self.validations.take()
        if validated is None:
            return
        if not self.module.settles and not self.validations.collapsed:
            # Losses of networks that play against each other do not tell whether they are well.
            self._safe = self.parts.snapshot()
        if self.emit_events:
            self.report.emit(validated)
            if self.fabric.is_global_zero and self.report.has_listener:
                with torch.no_grad(), self.fabric.autocast():
                    preview = self.module.preview(self.parts.kept())
                if preview is not None:
                    self.report.emit(Previewed(self.result.steps, preview))

    # Checkpoints.

    def _checkpoint_or_wait(self, *, looked: bool, over: bool) -> None:
        paused = looked and self.control.is_paused and not over
        due = time.perf_counter() - self._saved >= self.checkpoint_seconds
        if self.folder is not None and self.fabric.is_global_zero and (due or paused or over):
            checkpoint.save(self.folder, self.state())
            self._saved = time.perf_counter()
            if self.emit_events:
                self.report.emit(Saved(self.result.steps))
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
            "parts": self.parts.state(),
            "safe": self._safe,
            "best": self.validations.best,
            "scaler": self.fabric.strategy.precision.state_dict(),
            "module": self.module.state(),
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
                "scale": self._scale,
                "recent": list(self._health.recent),
                **self.course.state(),
                **self.validations.state(),
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
                " give another name or folder."
            )
        try:
            self._restore(state)
        except Exception as error:
            raise CheckpointError(
                f"The checkpoint in {self.folder} does not fit this training: give another name or folder."
            ) from error
        return True

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.parts.take_up(state["parts"])
        self._safe, self.validations.best = state["safe"], state["best"]
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        self.module.restore(state["module"])
        checkpoint.set_random_states(state["random"])
        self.generator.set_state(state["random"]["generator"])
        self._curve.restore(state["curve"])
        place = self.fabric.device
        self._pending = [(step, {k: v.to(place) for k, v in losses.items()}) for step, losses in state["pending"]]
        run, result = state["run"], self.result
        result.steps, result.planned, result.seconds = run["steps"], run["planned"], run["seconds"]
        result.batch_size, result.roll_backs = self.team.divisible(run["batch_size"]), run["roll_backs"]
        result.losses = run["losses"].tolist()
        self.step, self._scale = result.steps, run["scale"]
        self._health.recent.extend(run["recent"])
        self.validations.restore(run)
        if self.course.restore(run):
            self.validations.begin_anew()


# Of a step at one size: the first one chooses kernels and takes memory.
_WARM, _TIMED = 1, 3
_MOST_DOUBLINGS = 4
# A doubled batch must take less than so much of twice the time.
_WORTH_IT = 0.9
# Of the free memory, as validations need some too.
_MOST_MEMORY = 0.9
# What a step takes at its peak, in units of what it keeps for the backward pass.
_PEAK = 2.0
# Of a run of minutes, and of any other.
_SHARE, _MOST_SECONDS = 0.03, 20.0


@dataclass(frozen=True)
class Trial:
    """What a step was seen to take.

    Attributes
    ----------
    seconds : float
        Of one step.
    memory : float
        Share of the free memory, at most.
    """

    seconds: float
    memory: float


def quickest_batch(start: int, trial: Callable[[int], Trial | None], most_seconds: float) -> int:
    """Return the batch with which a patch takes the least time.

    Parameters
    ----------
    start : int
        Where the search begins; a smaller one is returned only where the memory is short.
    trial : callable
        Tries a batch; None where it does not fit into the memory.
    most_seconds : float
        The search goes no further after so many seconds of steps.
    """
    batch, found = start, trial(start)
    while found is None and batch > 1:
        batch //= 2
        found = trial(batch)
    if found is None or batch < start:
        return batch
    seconds = found.seconds
    for _ in range(_MOST_DOUBLINGS):
        if 2 * found.memory > _MOST_MEMORY or seconds > most_seconds / (_WARM + _TIMED):
            break
        larger = trial(2 * batch)
        if larger is None or larger.seconds > _WORTH_IT * 2 * found.seconds:
            break
        batch, found = 2 * batch, larger
        seconds += found.seconds
    return batch


def fitting_batch(start: int, bytes_a_patch: float, free: float) -> int:
    """Return ``start``, halved until its patches fit into so many free bytes.

    Parameters
    ----------
    start : int
        Patches.
    bytes_a_patch : float
    free : float
        Bytes.
    """
    while start > 1 and _PEAK * start * bytes_a_patch > _MOST_MEMORY * free:
        start //= 2
    return start


def found_batch(trainer: Trainer) -> int:
    """Return how many patches a step of a training that has not begun should have; the trainer is left as it was."""
    device, start = trainer.device, trainer.batch_size
    with _restored(trainer):
        if device.kind == "cuda":
            minutes = trainer.budget.minutes
            most = min(_MOST_SECONDS, _SHARE * 60.0 * minutes) if minutes else _MOST_SECONDS
            return quickest_batch(start, lambda batch: _tried(trainer, batch), most)
        return fitting_batch(start, _bytes_a_patch(trainer), device.free_memory())


@contextmanager
def _restored(trainer: Trainer) -> Iterator[None]:
    """Let steps be tried, and take back all that they change."""
    parts, module = trainer.parts.snapshot(), copy.deepcopy(trainer.module.state())
    precision = trainer.fabric.strategy.precision
    scaler = copy.deepcopy(precision.state_dict())
    drawn, states, batch = trainer.generator.get_state(), checkpoint.random_states(), trainer.batch_size
    try:
        yield
    finally:
        trainer.parts.forget_gradients()
        trainer.parts.take_up(parts)
        trainer.module.restore(module)
        precision.load_state_dict(scaler)
        trainer.generator.set_state(drawn)
        checkpoint.set_random_states(states)
        trainer.result.batch_size = batch
        trainer.device.release_memory()


def _tried(trainer: Trainer, batch: int) -> Trial | None:
    trainer.result.batch_size = batch
    trainer.parts.forget_gradients()
    trainer.device.release_memory()
    place = trainer.device.torch_name
    free, before = trainer.device.free_memory(), torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    try:
        for _ in range(_WARM):
            trainer.module.step(trainer)
        torch.cuda.synchronize(place)
        begun = time.perf_counter()
        for _ in range(_TIMED):
            trainer.module.step(trainer)
        torch.cuda.synchronize(place)
    except torch.OutOfMemoryError:
        return None
    taken = torch.cuda.max_memory_allocated(place) - before
    return Trial((time.perf_counter() - begun) / _TIMED, taken / max(free, 1))


def _bytes_a_patch(trainer: Trainer) -> float:
    """Return what one patch keeps in memory for the backward pass."""
    kept = 0

    def counted(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += 0 if isinstance(tensor, nn.Parameter) else tensor.nbytes
        return tensor

    # Some networks need two to learn from.
    few = trainer.result.batch_size = min(2, trainer.batch_size)
    try:
        with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
            trainer.module.step(trainer)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_short(error):
            raise
        return float("inf")
    return kept / few
