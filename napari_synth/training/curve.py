"""The curve of a training run, of a bounded number of points however long it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_synth.training.news import CurvePoint

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
