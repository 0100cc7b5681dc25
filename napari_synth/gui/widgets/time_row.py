"""Buttons for how long to train."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_synth.core.trainable import TrainParams
from napari_synth.gui.widgets.form_rows import button

_UNTIL_STOPPED = "until stopped"


class TimeRow(QWidget):
    """The times that a training suggests; another one is set among its settings."""

    chosen = Signal(float)
    """Minutes, 0 for until it is stopped."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[float, QPushButton] = {}
        self.words = ""
        """The time that is set."""
        self.setToolTip("About how long to train; another time is set under More settings")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)

    def show_presets(self, params_type: type[TrainParams]) -> None:
        """Offer the times of a training."""
        extra = params_type.model_fields["minutes"].json_schema_extra
        presets = extra.get("presets") if isinstance(extra, dict) else None
        listed = presets if isinstance(presets, list) else []
        times = [float(minutes) for minutes in listed if isinstance(minutes, (int, float))]
        if times == list(self.buttons):
            return
        for old in self.buttons.values():
            self._row.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.buttons = {}
        for minutes in times:
            tooltip = f"Train for about {_in_words(minutes)}" if minutes else "Train until you press Stop"
            made = button(self, _in_words(minutes).capitalize(), tooltip, checkable=True)
            made.clicked.connect(partial(self._on_clicked, minutes))
            self.buttons[minutes] = made
            self._row.addWidget(made, 2 if minutes else 3)

    def show_time(self, minutes: float, steps: int | None) -> None:
        """Show what is set: one of the buttons is down, or none."""
        self.words = _in_words(minutes) if steps is None else f"{steps} steps"
        for time, made in self.buttons.items():
            made.setChecked(steps is None and time == minutes)

    def _on_clicked(self, minutes: float, _checked: bool = False) -> None:
        self.buttons[minutes].setChecked(True)
        self.chosen.emit(minutes)


def _in_words(minutes: float) -> str:
    return f"{minutes:g} min" if minutes else _UNTIL_STOPPED
