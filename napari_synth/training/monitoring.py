"""Watches a training run: how much of its budget is spent, whether it diverges, and how it does on what is held out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch

from napari_synth.training.checkpoint import TrainingState
from napari_synth.training.distributed import ProcessGroup
from napari_synth.training.events import Figures, FitResult, Validated
from napari_synth.training.optim import Budget, Clock, FitSettings
from napari_synth.training.training_module import TrainingModule, Validation


class BudgetTracker:
    """The course of a run, which may have been given its budget more than once.

    Parameters
    ----------
    budget : Budget
    settings : FitSettings
    result : FitResult
        Whose steps and seconds are looked at, and whose ``planned`` is kept.
    """

    def __init__(self, budget: Budget, settings: FitSettings, result: FitResult) -> None:
        self.budget, self.settings, self.result = budget, settings, result
        self._began, self._began_seconds = 0, 0.0
        self._first_seconds = 0.0
        self._clock = Clock(0.0, settings, 0.0)

    @property
    def done(self) -> int:
        """Steps since the budget was given."""
        return self.result.steps - self._began

    @property
    def spent(self) -> float:
        """Share of the budget that is used up; 0 while its end is not known."""
        planned = self.result.planned - self._began
        return self.done / planned if planned > 0 else 0.0

    @property
    def is_measured(self) -> bool:
        """Whether it is still being found out how many steps there will be."""
        return not self.result.planned and not self.budget.until_stopped

    def announced(self) -> int:
        """Return the steps that are left, as far as they are known before the first one."""
        self.result.planned = self.result.planned or (self.budget.steps or 0)
        return max(self.result.planned - self.result.steps, 0)

    def set_clock(self, validation: float) -> None:
        """Begin to measure the speed; one validation takes so many seconds."""
        self._clock = Clock(60.0 * (self.budget.minutes or 0.0), self.settings, validation)
        self._clock.first = self._first_seconds

    def likely(self) -> int:
        """Return how many steps there will be, and fix it once the speed is known well enough."""
        seconds = self.result.seconds - self._began_seconds
        likely = self._clock.likely(self.done, seconds)
        self._first_seconds = self._clock.first
        self.result.planned = self._began + likely if self._clock.is_measured(seconds) else 0
        return likely

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {
            "began": (self._began, self._began_seconds),
            "first_seconds": self._first_seconds,
            "has_end": not self.budget.until_stopped,
        }

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Take up what `state` returned, once the result is restored, and return whether the budget begins anew.

        It does for a run that was at its end: the learning rate rises again, what was learnt stays.
        """
        self._began, self._began_seconds = state["began"]
        self._first_seconds = state["first_seconds"]
        anew = False
        if self.budget.until_stopped:
            self.result.planned = 0
        elif not state["has_end"]:
            anew = True
        elif self.budget.steps is not None:
            self.result.planned = self._began + self.budget.steps
        anew = anew or self.spent >= 1.0
        if anew:
            self._began, self._began_seconds, self._first_seconds = self.result.steps, self.result.seconds, 0.0
            self.result.planned = self._began + self.budget.steps if self.budget.steps else 0
        return anew


WINDOW = 100
"""Losses that the latest ones are compared with."""


RECENT = 10
"""Latest losses that are compared."""


_OUTLYING = 30.0


class DivergenceMonitor:
    """Watches losses for values that are not finite, and for a sudden rise that stays.

    Parameters
    ----------
    settles : bool
        Whether the loss falls and stays low where all is well, so that a rise means something.
    """

    def __init__(self, settles: bool) -> None:
        self.settles = settles
        self.recent: deque[float] = deque(maxlen=WINDOW)

    @property
    def is_known(self) -> bool:
        """Whether enough losses were seen to tell."""
        return len(self.recent) == WINDOW

    def is_good(self, losses: Sequence[Sequence[float]]) -> bool:
        """Take up the losses of the latest steps, what is trained for first, and return whether all is well."""
        self.recent.extend(row[0] for row in losses)
        if not all(math.isfinite(value) for row in losses for value in row):
            return False
        if not (self.is_known and self.settles):
            return True
        past = list(self.recent)
        middle = median(past)
        spread = median(abs(value - middle) for value in past)
        return median(past[-RECENT:]) <= middle + _OUTLYING * spread + 1e-6 * abs(middle)


# Where no end is known: at least so many seconds between two, and so many times what one takes.
_LEAST_SECONDS, _MOST_SHARE = 5.0, 10.0


class Validator:
    """The validations of a run.

    Parameters
    ----------
    module : TrainingModule
    parts : TrainingState
    course : BudgetTracker
    team : ProcessGroup

    Attributes
    ----------
    best : (float, dict) or None
        The lowest score, and the weights that had it.
    collapsed : str
        Says what the last validation found wrong, or "".
    baselines : mapping
        Figures of what needs no learning.
    seconds : float
        What the first one took.
    has_begun : bool
        Whether the untrained networks were measured.
    """

    def __init__(self, module: TrainingModule, parts: TrainingState, course: BudgetTracker, team: ProcessGroup) -> None:
        self.module, self.parts, self.course, self.team = module, parts, course, team
        self.best: tuple[float, dict[str, Any]] | None = None
        self.collapsed = ""
        self.baselines: Mapping[str, Figures] = {}
        self.seconds = 0.0
        self._count, self._next_step = 0, 0

    @property
    def has_begun(self) -> bool:
        """Whether the untrained networks were measured."""
        return self._count > 0

    def begin(self, seconds: float) -> None:
        """Note that the untrained networks were measured, and what that took."""
        self._count, self.seconds = 1, seconds

    def begin_anew(self) -> None:
        """Go by the budget as if it had just begun."""
        self._count = 1

    def take(self) -> Validated | None:
        """Measure, and keep the weights where they are the best so far; None where nothing is held out."""
        found = self._measured() if self.course.settings.validations else None
        if found is None:
            return None
        result = self.course.result
        result.held_out.append((result.steps, found.score))
        self.collapsed = found.collapsed
        is_best = (
            not found.collapsed and math.isfinite(found.score) and (self.best is None or found.score < self.best[0])
        )
        if is_best:
            self.best = (found.score, self.parts.weights())
        validated = Validated(result.steps, result.seconds, found.score, dict(found.metrics), self.baselines, is_best)
        result.validations.append(validated)
        return validated

    def is_due(self) -> bool:
        """Return whether it is time for one after this step."""
        course = self.course
        if course.budget.until_stopped:
            return course.result.steps >= self._next_step
        early = course.settings.has_early_validation(course.done, course.spent)
        if early is not None:
            return early
        if course.spent * course.settings.validations < self._count:
            return False
        self._count = math.floor(course.spent * course.settings.validations) + 1
        return True

    def plan(self, seconds: float) -> None:
        """Choose the step of the next one where no end is known, by what one took."""
        course = self.course
        if course.budget.until_stopped:
            pause = max(_LEAST_SECONDS, _MOST_SHARE * seconds)
            pace = course.result.seconds / course.done if course.done else seconds
            wanted = max(1, round(pause / max(pace, 1e-6))) if course.done else 1
            self._next_step = course.result.steps + self.team.from_main(wanted)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it, but for the best weights."""
        found = self.course.result.validations
        return {
            "validations": [(v.step, v.seconds, v.score, dict(v.metrics), v.is_best) for v in found],
            "next": self._count,
            "validation_seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        result: FitResult = self.course.result
        result.validations = [
            Validated(step, seconds, score, metrics, {}, is_best)
            for step, seconds, score, metrics, is_best in state["validations"]
        ]
        result.held_out = [(validated.step, validated.score) for validated in result.validations]
        self._count, self.seconds = state["next"], state["validation_seconds"]

    def _measured(self) -> Validation | None:
        found = None
        # One process measures, since those that are not the same to the last bit would go on differently.
        if self.team.fabric.is_global_zero:
            with torch.no_grad(), self.team.fabric.autocast():
                found = self.module.validate(self.parts.kept())
        return self.team.from_main(found)
