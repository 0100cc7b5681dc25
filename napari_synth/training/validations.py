"""Measures the networks of a run on what is held out, at the right times, and keeps the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from napari_synth.training.course import Course
from napari_synth.training.news import Figures, Validated
from napari_synth.training.parts import Parts
from napari_synth.training.processes import Team
from napari_synth.training.result import FitResult
from napari_synth.training.trainee import Trainee, Validation

# Where no end is known: at least so many seconds between two, and so many times what one takes.
_LEAST_SECONDS, _SHARE = 5.0, 10.0


class Validations:
    """The validations of a run.

    Parameters
    ----------
    trainee : Trainee
    parts : Parts
    course : Course
    team : Team

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

    def __init__(self, trainee: Trainee, parts: Parts, course: Course, team: Team) -> None:
        self.trainee, self.parts, self.course, self.team = trainee, parts, course, team
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
            pause = max(_LEAST_SECONDS, _SHARE * seconds)
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
                found = self.trainee.validate(self.parts.kept())
        return self.team.from_main(found)
