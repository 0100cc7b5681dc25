"""The part of the panel that draws what a correction found over frames or tiles, and saves it as a table."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_synth.gui.widgets.curve_box import ON_DARK, ON_LIGHT
from napari_synth.gui.widgets.form_rows import button, wrapped
from napari_synth.gui.widgets.plot import Line, Plot
from napari_synth.methods.correct.curves import Curves

_SAVE = "Save the numbers of the curve as a CSV table: a row for each frame, tile or channel, counted from 0."


class CurvesBox(QWidget):
    """A plot of curves over frames or tiles, with their names and a button that saves them; hidden where there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curves: Curves | None = None
        self._name = ""
        self._colours = ON_DARK
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.words = wrapped(self, "What the correction found; the first is counted as 0.")
        self.plot = Plot(self)
        self.save = button(self, "Save curve…", _SAVE)
        self.save.clicked.connect(self._ask_where)
        for widget in (self.words, self.plot, self.save):
            layout.addWidget(widget)
        self._draw()

    def show_run(self, curves: Curves | None, name: str) -> None:
        """Show what was found; `name` is that of the result, of which the table has its own."""
        self._curves, self._name = curves, name
        self._draw()

    def set_theme(self, text: str, ground: str) -> None:
        """Take the colours of the theme's text and ground."""
        self._colours = ON_DARK if QColor(ground).lightness() < 128 else ON_LIGHT
        self.plot.set_colours(text, ground)
        self._draw()

    def _draw(self) -> None:
        self.setVisible(self._curves is not None)
        if self._curves is None:
            self.plot.draw([])
            return
        lines, names = [], []
        if self._curves.over != "channel":
            for index, (name, values) in enumerate(self._curves.columns.items()):
                colour = self._colours[index % len(self._colours)]
                lines.append(Line(np.arange(len(values), dtype=np.float64), np.asarray(values, np.float64), colour))
                names.append(f"<span style='color:{colour}'><b>{escape(name.replace('_', ' '))}</b></span>")
        self.words.setText(escape(self._curves.title) + (f": {', '.join(names)}" if len(names) > 1 else ""))
        self.plot.draw(lines)
        self.plot.setVisible(bool(lines))

    def _ask_where(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Where shall the table be saved?", f"{self._name}.csv", "Tables (*.csv)"
        )
        if chosen and self._curves is not None:
            self._curves.write(Path(chosen))
