"""When training ends, how fast it learns at each step, and how many steps a time holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# Share of a budget of minutes over which the speed is measured.
_MEASURED = 0.1
_FIRST_VALIDATION = 16
# A learning rate that falls ends at this share of what it was.
_LOWEST = 0.01


@dataclass(frozen=True)
class Budget:
    """When training ends: after so many steps, or so many minutes, or when it is stopped.

    Attributes
    ----------
    steps : int or None
        The same number of steps gives the same weights on the same kind of device.
    minutes : float or None
        About the wall time: the first part of it tells how many steps it holds, and the run then is one of that many steps.
    until_stopped : bool
        Train at a constant rate until the user has enough; the averaged weights are as good as those of a rate that falls.
    """

    steps: int | None = None
    minutes: float | None = None
    until_stopped: bool = False

    def __post_init__(self) -> None:
        if (self.steps is not None) + (self.minutes is not None) + self.until_stopped != 1:
            raise ValueError("A budget needs either steps or minutes, or lasts until it is stopped.")


@dataclass(frozen=True)
class FitSettings:
    """How networks are fitted.

    Attributes
    ----------
    learning_rate : float
        Warmed up, held, then lowered along a cosine. Optimisers that a trainee makes itself start from their own.
    batch_size : int
        Halved by the session where the device's memory is short.
    finds_batch : bool
        Whether the session looks for a better one before it begins, from this one on; see `napari_synth.training.batch_search`.
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
    early_validations : bool
        Whether validations in the first tenth of the budget come after 16, 32, 64 … steps, so that there is something to see while
        the speed is still measured.
    optimizer : {"adam", "muon"}
        Muon takes the weights of hidden layers, and leaves the others to AdamW; see `napari_synth.training.muon.hidden_weights`.
    """

    learning_rate: float = 1e-3
    batch_size: int = 8
    finds_batch: bool = False
    held_flat: float = 0.3
    warm_up: int = 20
    clip: float = 1.0
    averaging: float = 0.99
    validations: int = 8
    early_validations: bool = False
    optimizer: Literal["adam", "muon"] = "adam"

    @property
    def before_changes(self) -> float:
        """Share of the budget after which, at the earliest, a step depends on how many there will be."""
        return min(self.held_flat, _MEASURED if self.early_validations else 1.0 / max(1, self.validations))

    def has_early_validation(self, step: int, spent: float) -> bool | None:
        """Return whether one is due after a step where they go by steps alone; None where they go by the share of the budget."""
        if not self.early_validations or spent >= _MEASURED:
            return None
        return step >= _FIRST_VALIDATION and step & (step - 1) == 0

    def rate(self, step: int, spent: float, full: float | None = None) -> float:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int
            Steps done before.
        spent : float
            How much of the budget is used up, 0 to 1.
        full : float, optional
            The highest rate; `learning_rate` where it is left out.
        """
        warm = min(1.0, (step + 1) / self.warm_up)
        falling = max(0.0, (spent - self.held_flat) / (1.0 - self.held_flat))
        highest = self.learning_rate if full is None else full
        return highest * warm * max(_LOWEST, 0.5 * (1.0 + math.cos(math.pi * min(1.0, falling))))


class Clock:
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
