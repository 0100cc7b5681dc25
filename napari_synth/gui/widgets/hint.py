"""Says before a click why something cannot be done, with the next step as a button."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_synth.gui.widgets.elided import breakable
from napari_synth.gui.widgets.form_rows import wrapped


class Hint(QWidget):
    """A sentence and a button for what helps; hidden while there is nothing to say.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._step: Callable[[], object] | None = None
        self.words = wrapped(self, "Why something cannot be done now")
        self.button = QPushButton(self)
        self.button.setAccessibleName("What helps")
        self.button.setToolTip("What helps")
        self.button.clicked.connect(self._on_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.words, 1)
        row.addWidget(self.button)
        self.hide()

    def say(self, words: str, title: str = "", step: Callable[[], object] | None = None) -> None:
        """Say something, or nothing.

        Parameters
        ----------
        words : str
            A sentence; "" hides the hint.
        title : str
            Of the button.
        step : callable, optional
            What the button does; there is none where it is left out.
        """
        self._step = step
        self.words.setText(breakable(words))
        self.button.setText(title)
        self.button.setAccessibleName(title or "What helps")
        self.button.setToolTip(f"{title}: {words}" if title else "What helps")
        self.button.setVisible(step is not None)
        self.setVisible(bool(words))

    def _on_clicked(self) -> None:
        if self._step is not None:
            self._step()
