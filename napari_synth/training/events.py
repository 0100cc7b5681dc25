"""What a training run tells while it works, for whoever draws it: points of the curve, validations, previews. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Figures = Mapping[str, float]


@dataclass(frozen=True)
class CurvePoint:
    """The losses at a step; the first one is what is trained for.

    Attributes
    ----------
    step : int
    seconds : float
        Of training, pauses left out.
    losses : mapping of str to float
        Each the mean since the last point.
    """

    step: int
    seconds: float
    losses: Figures


@dataclass(frozen=True)
class Validated:
    """What the averaged weights do on pixels that are never trained on.

    Attributes
    ----------
    step : int
    seconds : float
    score : float
        Lower is better: the best is chosen by it.
    metrics : mapping of str to float
        By name with its unit, e.g. ``"PSNR (dB)"``.
    baselines : mapping of str to mapping
        The same of methods that need no learning, by what they are.
    is_best : bool
        Whether no earlier weights were better.
    """

    step: int
    seconds: float
    score: float
    metrics: Figures
    baselines: Mapping[str, Figures]
    is_best: bool


@dataclass(frozen=True)
class LossMeaning:
    """What the losses are, told once before the first of them.

    Attributes
    ----------
    words : str
        For the user, with whether lower is better.
    """

    words: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written after a step: the training can be gone on with from there."""

    step: int


@dataclass(frozen=True)
class Resumed:
    """What a run that is gone on with had told before.

    Attributes
    ----------
    points : tuple of CurvePoint
    validations : tuple of Validated
        Without baselines.
    """

    points: tuple[CurvePoint, ...]
    validations: tuple[Validated, ...]


@dataclass(frozen=True)
class Preview:
    """What the networks make of a part of the data.

    Attributes
    ----------
    pixels : numpy.ndarray, float32
        In counts.
    axes : str
        Roles of the dimensions.
    place : mapping of str to int
        Where the part begins in its image, along its axes; empty for samples that are no part of one.
    image : int
        The source image that it is a part of.
    """

    pixels: npt.NDArray[np.float32]
    axes: str
    place: Mapping[str, int] = field(default_factory=dict)
    image: int = 0


@dataclass(frozen=True)
class Previewed:
    """A preview of the averaged weights at a step."""

    step: int
    preview: Preview


_MOST_POINTS = 256


class Curve:
    """Means of losses over stretches of equally many steps; stretches are joined two by two where there are too many.

    Attributes
    ----------
    points : list of CurvePoint
    """

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []
        self._every = 1
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, seconds: float, losses: Mapping[str, float]) -> CurvePoint | None:
        """Add the losses of a step, and return the point that they complete, if any.

        Parameters
        ----------
        step : int
        seconds : float
            Since the training began.
        losses : mapping of str to float
        """
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count < self._every:
            return None
        point = CurvePoint(step, seconds, {name: total / self._count for name, total in self._sums.items()})
        self._sums, self._count = {}, 0
        self.points.append(point)
        if len(self.points) >= _MOST_POINTS:
            self.points = [_joined(*pair) for pair in zip(self.points[::2], self.points[1::2], strict=False)]
            self._every *= 2
        return point

    def state(self) -> dict[str, Any]:
        """Return everything as numbers, lists and dicts."""
        points = [(point.step, point.seconds, dict(point.losses)) for point in self.points]
        return {"points": points, "every": self._every, "sums": dict(self._sums), "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.points = [CurvePoint(step, seconds, losses) for step, seconds, losses in state["points"]]
        self._every, self._sums, self._count = state["every"], dict(state["sums"]), state["count"]


def _joined(first: CurvePoint, second: CurvePoint) -> CurvePoint:
    losses = {name: 0.5 * (value + second.losses.get(name, value)) for name, value in first.losses.items()}
    return CurvePoint(second.step, second.seconds, losses)


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
