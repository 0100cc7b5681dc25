"""What comes of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_synth.training.news import CurvePoint, Validated


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

    @property
    def is_validated(self) -> bool:
        """Whether the networks were measured after the last step."""
        return bool(self.held_out) and self.held_out[-1][0] == self.steps
