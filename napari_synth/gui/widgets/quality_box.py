"""The part of the panel that holds made images against real ones: figures, spectrum and histogram."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_synth.gui.widgets.form_rows import button, wrapped
from napari_synth.gui.widgets.plot import Line, Plot

if TYPE_CHECKING:
    from napari_synth.methods.synthesize.quality import Quality

# As the report calls them; it loads torch, which this module must not.
MADE, REAL = "made images", "real crops"
_ON_DARK, _ON_LIGHT = ("#58b4ff", "#ffa94d"), ("#0b62b0", "#b35900")
_NAMES = {
    "Told from real (%)": "Told apart %",
    "Told from real (AUC)": "AUC",
    "Distance of forms": "Forms",
    "Variety (%)": "Variety %",
    "Spectrum (dB)": "Spectrum dB",
    "Spectrum by direction (dB)": "Direction dB",
    "Histogram (%)": "Histogram %",
    "Nearest crop (%)": "Nearest %",
    "Segmenter's Dice (%)": "Dice %",
}
_DIGITS = {"Told from real (AUC)": 2, "Distance of forms": 2, "Precision": 2, "Recall": 2}


class QualityBox(QWidget):
    """A button that asks for the report on a run's images, and the report; hidden before there are images."""

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quality: Quality | None = None
        self._colours = _ON_DARK
        self.ask = button(
            self,
            "Quality report",
            "Hold the last images against the layer of real ones: are they like those, varied, and no copies?",
        )
        self.ask.clicked.connect(self.wanted)
        self.table = wrapped(self)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.table.setToolTip(
            "Each figure beside what real crops of another part, those blurred, and noise reach. Near to real crops is good."
            " The first is in how many cases a fresh network knows made images from real ones: 50 % is guessing."
        )
        self.spectrum, self.histogram = Plot(self), Plot(self)
        self.spectrum.setToolTip("Mean power in decibels over cycles a pixel: checkerboards are peaks, blur is a fall")
        self.histogram.setToolTip("Share of the pixels over their grey values")
        self.words = {plot: QLabel(self) for plot in (self.spectrum, self.histogram)}
        for words in self.words.values():
            words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.ask)
        layout.addWidget(self.table)
        for plot, words in self.words.items():
            layout.addWidget(words)
            layout.addWidget(plot)
        self.show_quality(None)

    def show_quality(self, quality: Quality | None) -> None:
        """Show a report, or none."""
        self._quality = quality
        widgets: list[QWidget] = [self.table, *self.words, *self.words.values()]
        for widget in widgets:
            widget.setVisible(quality is not None)
        if quality is not None:
            self.table.setText(_table(quality))
            self._draw()

    def set_theme(self, text: str, ground: str) -> None:
        """Take the colours of the theme's text and ground."""
        self._colours = _ON_DARK if QColor(ground).lightness() < 128 else _ON_LIGHT
        for plot in self.words:
            plot.set_colours(text, ground)
        self._draw()

    def _draw(self) -> None:
        quality = self._quality
        if quality is None:
            return
        legend = ", ".join(
            f"<span style='color: {colour}'>{_short(name)}</span>"
            for name, colour in zip((MADE, REAL), self._colours, strict=True)
        )
        for plot, title, across, values in (
            (self.spectrum, "Power spectrum", quality.frequency, quality.spectra),
            (self.histogram, "Histogram", quality.counts, quality.histograms),
        ):
            self.words[plot].setText(f"{title}: {legend}")
            plot.draw(
                [Line(across, values[name], colour) for name, colour in zip((MADE, REAL), self._colours, strict=True)]
            )


def _table(quality: Quality) -> str:
    """Return the figures as HTML: one row a figure, one column what is held against real crops."""
    # Noise is far from everything: its column would not fit a narrow panel.
    kinds = [kind for kind in quality.figures if kind != "noise"]
    head = "".join(f"<th align='right' style='padding-left: 4px'>{escape(_short(kind))}</th>" for kind in kinds)
    names = list(quality.figures[MADE])
    rows = [f"<tr><th></th>{head}</tr>"]
    for name in names:
        digits = _DIGITS.get(name, 0)
        cells = "".join(
            f"<td align='right' style='padding-left: 4px'>{quality.figures[kind][name]:.{digits}f}</td>"
            if name in quality.figures[kind]
            else "<td></td>"
            for kind in kinds
        )
        rows.append(f"<tr><td><nobr>{escape(_NAMES.get(name, name))}</nobr></td>{cells}</tr>")
    return f"<table cellspacing='2'>{''.join(rows)}</table>"


def _short(kind: str) -> str:
    return {MADE: "made", REAL: "real", f"{REAL}, blurred": "blur"}.get(kind, kind)
