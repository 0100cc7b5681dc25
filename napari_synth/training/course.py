"""How far a run has come within its budget, and how many steps that holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_synth.training.result import FitResult
from napari_synth.training.schedule import Budget, Clock, FitSettings


class Course:
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
