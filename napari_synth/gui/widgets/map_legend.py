"""A strip of colours that says what a map shows: its colours, its ends and its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_synth.core.texts import three_digits
from napari_synth.gui.widgets.sentences import Sentences

if TYPE_CHECKING:
    import napari.layers

_HEIGHT = 12
_STOPS = 33


class MapLegend(QWidget):
    """The colours of a map with the values at its ends, and a sentence; hidden while there is none.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = Sentences(self, "What the map shows")
        self.strip = _Strip(self)
        self.low, self.high = QLabel(self), QLabel(self)
        row = QHBoxLayout()
        for part, stretch in ((self.low, 0), (self.strip, 1), (self.high, 0)):
            row.addWidget(part, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.words)
        layout.addLayout(row)
        self._layer: napari.layers.Image | None = None
        self.hide()

    @property
    def layer(self) -> napari.layers.Image | None:
        """The map that is explained."""
        return self._layer

    def show_map(self, layer: napari.layers.Image | None, words: str = "", unit: str = "") -> None:
        """Explain a map, or none.

        Parameters
        ----------
        layer : napari.layers.Image or None
        words : str
            A sentence.
        unit : str
            Of its values.
        """
        self._layer = layer
        self.setVisible(layer is not None)
        if layer is None:
            return
        low, high = layer.contrast_limits
        self.words.setText(words)
        self.low.setText(three_digits(low))
        self.high.setText(f"{three_digits(high)} {unit}".strip())
        self.strip.setToolTip(f"The colours of {layer.name!r}, from {self.low.text()} to {self.high.text()}")
        self.strip.show_colours(np.asarray(layer.colormap.map(np.linspace(0, 1, _STOPS))))


class _Strip(QWidget):
    """Paints colours from left to right on the ground of the panel."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._colours: list[QColor] = []
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_colours(self, colours: np.ndarray) -> None:
        """Take colours (N, 4), red, green, blue and alpha from 0 to 1."""
        self._colours = [QColor.fromRgbF(*(min(1.0, max(0.0, float(part))) for part in colour)) for colour in colours]
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint the colours."""
        ramp = QLinearGradient(0, 0, self.width(), 0)
        for index, colour in enumerate(self._colours):
            ramp.setColorAt(index / max(1, len(self._colours) - 1), colour)
        painter = QPainter(self)
        painter.fillRect(QRect(0, 0, self.width(), self.height()), ramp)
        painter.end()
