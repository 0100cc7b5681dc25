"""The part of the panel that shows why a deconvolution stopped where it did, and the point spread function that it used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_synth.core.texts import three_digits
from napari_synth.gui.widgets.curve_box import ON_DARK, ON_LIGHT
from napari_synth.gui.widgets.form_rows import wrapped
from napari_synth.gui.widgets.plot import Line, Plot, Values

_CURVE = "How badly each step explains what was held out, one line a channel; the ring is where it stopped"
_WIDTHS = "How badly each width of the point spread function explains what was held out; the ring is the best of them"
_PROFILE = "The point spread function through its centre, along X and, for volumes, along Z, in pixels"


class StopBox(QWidget):
    """Three plots: what was held out against steps, against widths, and the point spread function; each hidden without content."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fitted: Sequence[Mapping[str, Any]] = ()
        self._psf: Values | None = None
        self._colours: Sequence[str] = ON_DARK
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.curve, self.curve_words = self._plot(_CURVE, layout)
        self.widths, self.width_words = self._plot(_WIDTHS, layout)
        self.profile, self.profile_words = self._plot(_PROFILE, layout)
        self._draw()

    def show_run(self, fitted: Sequence[Mapping[str, Any]], psf: Values | None = None) -> None:
        """Show what was found of each channel.

        Parameters
        ----------
        fitted : sequence of mapping
            The setting `fitted` of a recipe; nothing where it holds none.
        psf : numpy.ndarray, optional
            The point spread function of the first channel, (Y, X) or (Z, Y, X), where it is known.
        """
        self._fitted, self._psf = fitted, psf
        self._draw()

    def set_theme(self, text: str, ground: str) -> None:
        """Take the colours of the theme's text and ground."""
        self._colours = ON_DARK if QColor(ground).lightness() < 128 else ON_LIGHT
        for plot in (self.curve, self.widths, self.profile):
            plot.set_colours(text, ground)
        self._draw()

    def _plot(self, tooltip: str, layout: QVBoxLayout) -> tuple[Plot, Any]:
        plot, words = Plot(self), wrapped(self, tooltip)
        plot.setToolTip(tooltip)
        layout.addWidget(words)
        layout.addWidget(plot)
        return plot, words

    def _draw(self) -> None:
        stops = self._draw_points(self.curve, self.curve_words, "curve", "Held-out deviance, least at step {}")
        widths = self._draw_points(
            self.widths, self.width_words, "width_curve", "The same by width, least at {} pixels"
        )
        self.setVisible(self._draw_profile() or stops or widths)

    def _draw_points(self, plot: Plot, words: Any, name: str, said: str) -> bool:
        """Draw one line a channel, with its least value ringed, and return whether there is any."""
        lines, least = [], []
        for fit, colour in zip(self._fitted, self._colours, strict=False):
            points = np.asarray(fit.get(name) or (), np.float64)
            if len(points):
                points = points[np.argsort(points[:, 0])]
                best = int(np.argmin(points[:, 1]))
                lines.append(Line(points[:, 0], points[:, 1], colour, marks=True, best=best))
                least.append((three_digits(float(points[best, 0])), colour))
        told = ", ".join(f"<span style='color:{colour}'><b>{escape(at)}</b></span>" for at, colour in least)
        words.setText(said.format(told) if lines else "")
        plot.draw(lines)
        for widget in (plot, words):
            widget.setVisible(bool(lines))
        return bool(lines)

    def _draw_profile(self) -> bool:
        lines, names = [], []
        if self._psf is not None:
            centre = tuple(size // 2 for size in self._psf.shape)
            for axis, colour in zip("XZ", self._colours, strict=False):
                index = "ZYX"[-self._psf.ndim :].find(axis)
                if index >= 0:
                    at = tuple(slice(None) if i == index else c for i, c in enumerate(centre))
                    line = np.asarray(self._psf[at], np.float64)
                    lines.append(Line(np.arange(len(line)) - centre[index] * 1.0, line / line.max(), colour))
                    names.append(f"<span style='color:{colour}'><b>{axis}</b></span>")
        self.profile_words.setText(f"Point spread function along {' and '.join(names)}" if lines else "")
        self.profile.draw(lines)
        for widget in (self.profile, self.profile_words):
            widget.setVisible(bool(lines))
        return bool(lines)
