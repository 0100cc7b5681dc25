"""A small plot that fits a narrow panel: lines over steps, and levels across it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtWidgets import QGraphicsGridLayout, QWidget

Values = npt.NDArray[np.float64]

_HEIGHT = 130
_MARGIN = 0.06
_FAINT = 90
"""Of 255, the opacity of what a line smooths."""
_OUTLIERS = (1.0, 99.0)
"""Percentiles that must be in view where there are many points."""
_MANY = 50
_FEW_DECADES, _MOST_DECADES = 2.0, 6
"""On a logarithmic axis: below so many there are marks between them, and above so many not all are marked."""
_BEGINNING, _SOME = 10, 8
"""Of some points, the first tenth may be out of view: a training begins far from where it is interesting."""


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes
    ----------
    x, y : numpy.ndarray, (n,)
    colour : str
    smooth : numpy.ndarray, (n,), optional
        Drawn over it, so that it is faint itself.
    marks : bool
        Whether each point is marked.
    best : int or None
        The index of a point that is marked more.
    """

    x: Values
    y: Values
    colour: str
    smooth: Values | None = None
    marks: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Level:
    """A value that does not change, drawn across the plot."""

    value: float
    colour: str


class Plot(pg.GraphicsView):  # type: ignore[misc]
    """Axes with lines; it takes no mouse, so that the panel around it can be scrolled.

    It is put together from parts of pyqtgraph, since its ready-made plot brings a hundred widgets for a menu.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self._box = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0)
        self._box.disableAutoRange()
        self._left, self._bottom = pg.AxisItem("left"), pg.AxisItem("bottom")
        layout = QGraphicsGridLayout()
        layout.setContentsMargins(2, 4, 8, 2)
        layout.setSpacing(0)
        for row, column, item in ((0, 0, self._left), (0, 1, self._box), (1, 1, self._bottom)):
            layout.addItem(item, row, column)
        whole = pg.GraphicsWidget()
        whole.setLayout(layout)
        self.setCentralItem(whole)
        for axis in (self._left, self._bottom):
            axis.linkToView(self._box)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickLength=-4, maxTickLevel=0)
        self._left.setWidth(44)

    def set_colours(self, text: str, ground: str) -> None:
        """Take the colours of the theme."""
        self.setBackground(ground)
        for axis in (self._left, self._bottom):
            axis.setPen(pg.mkPen(text, width=1))
            axis.setTextPen(text)

    def draw(self, lines: Sequence[Line], levels: Sequence[Level] = (), *, logarithmic: bool = False) -> None:
        """Draw lines and levels in place of those before.

        Parameters
        ----------
        lines : sequence of Line
        levels : sequence of Level
        logarithmic : bool
            Whether equal factors are equally far apart; all values must be above 0 then.
        """
        scale: Any = np.log10 if logarithmic else np.asarray
        self._box.clear()
        self._left.setLogMode(False, logarithmic)
        for line in lines:
            self._add(line, scale)
        for level in levels:
            pen = pg.mkPen(level.colour, width=1.5, style=Qt.PenStyle.DashLine)
            self._box.addItem(pg.InfiniteLine(float(scale(level.value)), angle=0, pen=pen), ignoreBounds=True)
        self._fit([scale(line.y) for line in lines], [float(scale(level.value)) for level in levels], lines)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the panel."""
        if event is not None:
            event.ignore()

    def _add(self, line: Line, scale: Any) -> None:
        # A line through a single point would not be seen.
        is_marked = line.marks or len(line.x) == 1
        symbol = {"symbol": "o", "symbolSize": 5, "symbolBrush": line.colour, "symbolPen": None} if is_marked else {}
        faint = QColor(line.colour)
        if line.smooth is not None:
            faint.setAlpha(_FAINT)
        self._box.addItem(
            pg.PlotDataItem(
                line.x, scale(line.y), pen=pg.mkPen(faint, width=1 if line.smooth is not None else 2), **symbol
            )
        )
        if line.smooth is not None:
            self._box.addItem(pg.PlotDataItem(line.x, scale(line.smooth), pen=pg.mkPen(line.colour, width=2)))
        if line.best is not None:
            at = slice(line.best, line.best + 1)
            ring = pg.mkPen(line.colour, width=2)
            self._box.addItem(
                pg.PlotDataItem(
                    line.x[at], scale(line.y[at]), pen=None, symbol="o", symbolSize=11, symbolBrush=None, symbolPen=ring
                )
            )

    def _fit(self, drawn: Sequence[Values], levels: Sequence[float], lines: Sequence[Line]) -> None:
        ends = [*levels]
        for values in drawn:
            late = values[-(-len(values) // _BEGINNING) :] if len(values) >= _SOME else values
            finite = late[np.isfinite(late)]
            if finite.size:
                ends += np.percentile(finite, _OUTLIERS if finite.size > _MANY else (0.0, 100.0)).tolist()
        if not ends:
            return
        low, high = min(ends), max(ends)
        margin = _MARGIN * (high - low) or 0.1 * abs(high) or 1.0
        across = [float(end) for line in lines if len(line.x) for end in (line.x[0], line.x[-1])] or [0.0]
        first, last = min(across), max(across)
        self._left.setTicks(_decade_ticks(low - margin, high + margin) if self._left.logMode else None)
        self._box.setRange(
            xRange=(first, last if last > first else first + 1.0), yRange=(low - margin, high + margin), padding=0.02
        )


def _decade_ticks(low: float, high: float) -> list[list[tuple[float, str]]] | None:
    """Return marks at 1, 2 and 5 of every decade between two logarithms; at some decades only, where there are many.

    None where there would be but one: the axis knows better marks then.
    """
    apart = max(1, ceil((high - low) / _MOST_DECADES))
    decades = range(floor(low) // apart * apart, ceil(high) + 1, apart)
    steps = (1, 2, 5) if high - low < _FEW_DECADES else (1,)
    values = [step * 10.0**decade for decade in decades for step in steps]
    marks = [(float(np.log10(value)), f"{value:g}") for value in values if low <= np.log10(value) <= high]
    return [marks] if len(marks) > 1 else None
