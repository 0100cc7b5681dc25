"""Which images of a set are shown: by decision, by name, and by measures whose histogram is dragged."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_synth.core.texts import three_digits
from napari_synth.curation import CuratedImage
from napari_synth.gui.widgets.curation_model import ACCEPTED, DISPUTED, FLAGGED, OPEN, REJECTED, ImageModel
from napari_synth.gui.widgets.elided import NameBox, NameLabel
from napari_synth.gui.widgets.form_rows import FoldButton, button

_CHIPS = {
    OPEN: ("○", "Images on which nothing is decided yet"),
    ACCEPTED: ("✓", "Accepted images"),
    REJECTED: ("✗", "Rejected images"),
    FLAGGED: ("⚑", "Flagged images"),
    DISPUTED: ("≠", "Images on which several people do not agree"),
}
_BINS = 40
_HEIGHT = 92
_BETWEEN = (128, 128, 128, 45)


class Histogram(pg.GraphicsView):  # type: ignore[misc]
    """How often values occur, with two lines that are dragged: what lies between them is shown.

    Parameters
    ----------
    parent : QWidget, optional
    """

    dragged = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self._box = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0.02)
        self._axis = pg.AxisItem("bottom")
        whole = pg.GraphicsLayout()
        whole.setContentsMargins(2, 2, 2, 0)
        whole.setSpacing(0)
        whole.addItem(self._box, 0, 0)
        whole.addItem(self._axis, 1, 0)
        self._axis.linkToView(self._box)
        self._axis.setStyle(tickLength=-4, maxTickLevel=0)
        self.setCentralItem(whole)
        self._bars = pg.BarGraphItem(x0=[0], x1=[1], height=[0])
        self.region = pg.LinearRegionItem((0, 1), brush=_BETWEEN, hoverBrush=_BETWEEN)
        self.region.sigRegionChangeFinished.connect(self._on_dragged)
        for item in (self._bars, self.region):
            self._box.addItem(item)
        self.ends = (0.0, 1.0)

    def set_colours(self, text: str, ground: str, bars: str) -> None:
        """Take the colours of the theme.

        Parameters
        ----------
        text, ground, bars : str
            Of the axis, the ground and the bars, as ``"#rrggbb"``.
        """
        self.setBackground(ground)
        self._axis.setPen(pg.mkPen(text, width=1))
        self._axis.setTextPen(text)
        self._bars.setOpts(brush=bars, pen=None)

    def show_values(self, values: Any) -> None:
        """Show how often values occur; both lines go to the ends."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        high = high if high > low else low + max(abs(low), 1.0) * 1e-3
        counts, edges = np.histogram(finite, _BINS, (low, high))
        # Few images of a bin would not be seen beside many of another.
        self._bars.setOpts(x0=edges[:-1], x1=edges[1:], height=np.sqrt(counts))
        self.ends = (low, high)
        self._box.setRange(xRange=(low, high), yRange=(0, max(1.0, math.sqrt(counts.max(initial=0)))), padding=0.02)
        self.region.setBounds((low, high))
        self.show_region(low, high)

    def show_region(self, low: float, high: float) -> None:
        """Put the lines somewhere, without telling."""
        self.region.blockSignals(True)
        self.region.setRegion((low, high))
        self.region.blockSignals(False)

    def _on_dragged(self) -> None:
        low, high = self.region.getRegion()
        self.dragged.emit(float(low), float(high))


class FilterBox(QWidget):
    """Chips for the decisions, words in the name, and a histogram of a measure.

    Parameters
    ----------
    model : ImageModel
        What is filtered.
    parent : QWidget, optional
    """

    changed = Signal()

    def __init__(self, model: ImageModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._ranges: dict[str, tuple[float, float]] = {}
        self.chips: dict[str, QPushButton] = {}
        chips = QHBoxLayout()
        chips.setSpacing(3)
        for state, (sign, tooltip) in _CHIPS.items():
            chip = button(self, f"{sign} 0", f"{tooltip}: click to show only these, several together", checkable=True)
            chip.setAccessibleName(state)
            chip.clicked.connect(self._apply)
            self.chips[state] = chip
            chips.addWidget(chip, 1)
        self.words = QLineEdit(self)
        self.words.setPlaceholderText("part of a name, a well, a comment")
        self.words.setClearButtonEnabled(True)
        self.words.setToolTip("Show only images with this in their name, their well or your comment")
        self.words.textChanged.connect(self._apply)
        self.fold = FoldButton(self, "Measures", "Drag the ends of a histogram to show only what lies between them")
        self.fold.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.column = NameBox(self)
        self.column.setToolTip("The measure whose histogram is shown")
        self.histogram = Histogram(self)
        self.histogram.setToolTip("Drag the lines; the height is the square root of the count")
        self.range = NameLabel(self)
        self.clear = button(self, "Show all", "Take every filter away")
        self.fold.toggled.connect(self._unfold)
        self.column.currentTextChanged.connect(self._on_column)
        self.histogram.dragged.connect(self._on_dragged)
        self.clear.clicked.connect(self.show_all)
        search = QHBoxLayout()
        search.addWidget(self.words, 3)
        search.addWidget(self.clear, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(chips)
        layout.addLayout(search)
        for part in (self.fold, self.column, self.histogram, self.range):
            layout.addWidget(part)
        self._unfold(False)

    def show_set(self) -> None:
        """Offer the measures of a set that has just been opened, and filter nothing."""
        self.column.blockSignals(True)
        self.column.clear()
        self.column.addItems(list(self._model.number_columns))
        self.column.blockSignals(False)
        self.fold.setVisible(bool(self._model.number_columns))
        self._reset()
        self._on_column()
        self.show_counts()

    def show_counts(self) -> None:
        """Say on the chips how many images are in each state."""
        for state, count in self._model.counts().items():
            self.chips[state].setText(f"{_CHIPS[state][0]} {count}")

    def show_all(self) -> None:
        """Filter nothing."""
        self._reset()
        self._on_column()
        self._apply()

    def show_blind(self, blind: bool) -> None:
        """Hide what would tell of measures and names, and filter by none of them."""
        if blind:
            self.show_all()
            self.fold.setChecked(False)
        for part in (self.fold, self.words):
            part.setEnabled(not blind)

    def limit(self, column: str, low: float, high: float) -> None:
        """Show only images whose measure lies between two values, as if the histogram had been dragged.

        Parameters
        ----------
        column : str
        low, high : float
        """
        self.column.setCurrentText(column)
        self.histogram.show_region(low, high)
        self._on_dragged(low, high)

    def _reset(self) -> None:
        self._ranges.clear()
        for chip in self.chips.values():
            chip.setChecked(False)
        self.words.blockSignals(True)
        self.words.clear()
        self.words.blockSignals(False)

    def _unfold(self, unfold: bool) -> None:
        for part in (self.column, self.histogram, self.range):
            part.setVisible(unfold)

    def _on_column(self, _text: str = "") -> None:
        column = self.column.currentText()
        self.histogram.show_values(self._model.numbers(column) if column else np.zeros(0))
        if column in self._ranges:
            self.histogram.show_region(*self._ranges[column])
        self._describe()

    def _on_dragged(self, low: float, high: float) -> None:
        column = self.column.currentText()
        if (low, high) == self.histogram.ends:
            self._ranges.pop(column, None)
        else:
            self._ranges[column] = (low, high)
        self._apply()

    def _describe(self) -> None:
        said = [f"{three_digits(low)} ≤ {name} ≤ {three_digits(high)}" for name, (low, high) in self._ranges.items()]
        self.range.show_name(" and ".join(said) or "Drag the ends of the histogram.")

    def _apply(self, _changed: object = None) -> None:
        states = {state for state, chip in self.chips.items() if chip.isChecked()}
        words = self.words.text().strip().casefold()
        tests: list[Callable[[CuratedImage], bool]] = []
        if states:
            tests.append(lambda image: self._model.state(image) in states)
        if words:
            tests.append(partial(_mentions, self._model, words))
        for column, (low, high) in self._ranges.items():
            tests.append(partial(_lies_between, self._model, column, low, high))
        self._model.filter_by((lambda image: all(test(image) for test in tests)) if tests else None)
        self._describe()
        self.changed.emit()


def _mentions(model: ImageModel, words: str, image: CuratedImage) -> bool:
    decision = model.journal.of(image.name) if model.journal is not None else None
    comment = decision.comment if decision is not None else ""
    return any(words in text.casefold() for text in (image.name, str(image.values.get("well", "")), comment))


def _lies_between(model: ImageModel, column: str, low: float, high: float, image: CuratedImage) -> bool:
    return low <= model.number(image, column) <= high
