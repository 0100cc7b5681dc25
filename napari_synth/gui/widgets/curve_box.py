"""The part of the panel that shows how a training goes: its losses, and what is measured on held-out pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget
from scipy.ndimage import uniform_filter1d

from napari_synth.core.texts import three_digits
from napari_synth.gui.jobs.train import TrainingUpdate
from napari_synth.gui.widgets.form_rows import let_shrink, wrapped
from napari_synth.gui.widgets.plot import Level, Line, Plot, Values
from napari_synth.training.events import CurvePoint, Validated

# Told apart by most who see colours differently, for a dark ground and for a light one.
ON_DARK = ("#58b4ff", "#ffa94d", "#63d297", "#f783ac", "#c9a6ff", "#ffe066")
ON_LIGHT = ("#0b62b0", "#b35900", "#1b7f46", "#b3245f", "#6b3fb5", "#7d6500")
_SMOOTHED = 25
"""A line is smoothed over its number of points by this."""
_FEW = 12
_WIDE = 5.0
"""Losses that fall by more than this factor are seen better on a logarithmic scale."""
_MOST = len(ON_DARK)


class CurveBox(QWidget):
    """Two plots with what their lines mean and where they stand; hidden while there is nothing to show."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: list[CurvePoint] = []
        self._validations: list[Validated] = []
        self._colours: Sequence[str] = ON_DARK
        self._log_is_set = False

        self.loss_title = _title(self, "Loss", "What is trained for, after each step")
        self.logarithmic = QCheckBox("log", self)
        self.logarithmic.setToolTip("Show the losses on a logarithmic scale")
        self.logarithmic.clicked.connect(self._on_log)
        self.meaning = wrapped(self, "What the losses are, and whether lower is better")
        self.losses = Plot(self)
        self.losses.setToolTip("The losses over the steps")
        self.loss_words = _words(self)
        self.metric_title = _title(self, "", "Measured on pixels that are never trained on")
        self.which = QComboBox(self)
        self.which.setToolTip("What is shown of what was measured on pixels that are never trained on")
        let_shrink(self.which)
        self.which.currentIndexChanged.connect(self._draw_metric)
        self.metrics = Plot(self)
        self.metrics.setToolTip(
            "The averaged weights on held-out pixels, their best ringed; dashed, what needs no learning gets there"
        )
        self.metric_words = _words(self)

        head = QHBoxLayout()
        head.addWidget(self.loss_title, 1)
        head.addWidget(self.logarithmic)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        for widget in (
            self.meaning,
            self.losses,
            self.loss_words,
            self.metric_title,
            self.which,
            self.metrics,
            self.metric_words,
        ):
            layout.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Forget what was shown, and hide."""
        self._points, self._validations = [], []
        self._log_is_set = False
        self.logarithmic.setChecked(False)
        self.meaning.setText("")
        self.which.blockSignals(True)
        self.which.clear()
        self.which.blockSignals(False)
        self._draw()
        self.hide()

    def add(self, update: TrainingUpdate) -> None:
        """Show more of a training."""
        if update.meaning:
            self.meaning.setText(update.meaning)
        self._points += update.points
        self._validations += update.validations
        if update.points or update.validations:
            self._draw()

    def set_theme(self, text: str, ground: str) -> None:
        """Take the colours of the theme's text and ground."""
        self._colours = ON_DARK if QColor(ground).lightness() < 128 else ON_LIGHT
        for plot in (self.losses, self.metrics):
            plot.set_colours(text, ground)
        self._draw()

    # Drawing

    def _draw(self) -> None:
        self.setVisible(bool(self._points or self._validations))
        self._draw_losses()
        self._list_metrics()
        self._draw_metric()

    def _draw_losses(self) -> None:
        names = list(dict.fromkeys(name for point in self._points for name in point.losses))[:_MOST]
        steps = np.array([point.step for point in self._points], dtype=float)
        table = {name: np.array([point.losses.get(name, np.nan) for point in self._points]) for name in names}
        positive = all(bool((values[np.isfinite(values)] > 0).all()) for values in table.values())
        if not self._log_is_set:
            self.logarithmic.setChecked(positive and _is_wide(table.values()))
        self.logarithmic.setEnabled(positive)
        lines = [
            Line(steps, table[name], colour, _smoothed(table[name]))
            for name, colour in zip(names, self._colours, strict=False)
        ]
        self.meaning.setVisible(bool(lines and self.meaning.text()))
        self.losses.draw(lines, logarithmic=positive and self.logarithmic.isChecked())
        known = (
            (name, line.smooth if line.smooth is not None else line.y) for name, line in zip(names, lines, strict=True)
        )
        self.loss_words.setText(
            _legend([(name, values[-1], line.colour, "") for (name, values), line in zip(known, lines, strict=True)])
        )
        self.loss_words.setVisible(bool(lines))

    def _list_metrics(self) -> None:
        names = list(dict.fromkeys(name for found in self._validations for name in found.metrics))
        if names != [self.which.itemText(index) for index in range(self.which.count())]:
            kept = self.which.currentText()
            self.which.blockSignals(True)
            self.which.clear()
            self.which.addItems(names)
            self.which.setCurrentText(kept)
            self.which.blockSignals(False)
        self.which.setVisible(len(names) > 1)
        self.metric_title.setText(f"<b>{escape(names[0])}</b>" if len(names) == 1 else "<b>On held-out pixels</b>")
        for widget in (self.metric_title, self.metrics, self.metric_words):
            widget.setVisible(bool(names))

    def _draw_metric(self, _index: int = 0) -> None:
        name = self.which.currentText()
        found = [each for each in self._validations if name in each.metrics]
        if not found:
            self.metrics.draw([])
            return
        own, *others = self._colours
        baselines = {
            what: figures[name] for each in found for what, figures in each.baselines.items() if name in figures
        }
        best = max((index for index, each in enumerate(found) if each.is_best), default=None)
        x = np.array([each.step for each in found], dtype=float)
        y = np.array([each.metrics[name] for each in found])
        coloured = dict(zip(baselines, others, strict=False))
        self.metrics.draw(
            [Line(x, y, own, marks=True, best=best)],
            [Level(baselines[what], colour) for what, colour in coloured.items()],
        )
        shown = [("now", y[-1], own, "")]
        if best is not None and best != len(found) - 1:
            shown[0:0] = [("best", y[best], own, "")]
        self.metric_words.setText(
            _legend([*shown, *((what, baselines[what], c, "dashed") for what, c in coloured.items())])
        )

    def _on_log(self, _on: bool) -> None:
        self._log_is_set = True
        self._draw_losses()


def _smoothed(values: Values) -> Values | None:
    """Return the mean around each point, in view of a noisy line; None where there are too few points."""
    if len(values) < _FEW or not np.isfinite(values).all():
        return None
    smooth: Values = uniform_filter1d(values, max(3, len(values) // _SMOOTHED), mode="nearest")
    return smooth


def _is_wide(columns: Iterable[Values]) -> bool:
    finite = [values[np.isfinite(values)] for values in columns]
    ends = [np.percentile(values, (5, 95)) for values in finite if len(values)]
    return bool(ends and max(high for _, high in ends) > _WIDE * min(low for low, _ in ends))


def _legend(entries: Iterable[tuple[str, float, str, str]]) -> str:
    """Return names with values, each behind a stroke in the colour of its line."""
    parts = []
    for name, value, colour, style in entries:
        stroke = "╌" if style else "━"
        words = (
            f"{escape(name)} {three_digits(value)}".replace(" ", "&nbsp;")
            if len(name) < 24
            else f"{escape(name)} {three_digits(value)}"
        )
        parts.append(f"<span style='color:{colour}'><b>{stroke}</b></span>&nbsp;{words}")
    return " &nbsp; ".join(parts)


def _title(parent: QWidget, text: str, tooltip: str) -> QLabel:
    made = QLabel(f"<b>{text}</b>", parent)
    made.setToolTip(tooltip)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return made


def _words(parent: QWidget) -> QLabel:
    made = QLabel(parent)
    made.setWordWrap(True)
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setToolTip("What each line is, and where it stands")
    return made
