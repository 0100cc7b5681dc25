"""The part of the panel that says which frames are wanted."""

from __future__ import annotations

import re

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSpinBox, QStackedWidget, QWidget

from napari_synth.core.errors import InvalidParameterError
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.gui.widgets.form_rows import label, let_shrink, rows

NEXT, MISSING, BETWEEN = range(3)
_WHAT = ("The next frames", "Missing frames", "Frames between")
_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


class FramesChoice(QWidget):
    """The next frames and how many, or which ones are missing, or how many between any two.

    Parameters
    ----------
    parent : QWidget, optional
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.what = QComboBox(self)
        self.what.addItems(_WHAT)
        self.what.setToolTip(
            "Frames behind the last one, frames that were not taken, or frames between any two neighbours"
        )
        let_shrink(self.what)
        self.count = _number(self, 5, 10_000, "How many frames are added behind the last one")
        self.missing = QLineEdit(self)
        self.missing.setPlaceholderText("find them")
        self.missing.setToolTip(
            "The missing frames, counted from 0, such as 3, 7-9. Left empty: those that are all zero or NaN, or repeat the one"
            " before bit by bit."
        )
        self.between = _number(self, 1, 1_000, "How many frames are put between any two neighbours")
        self._pages = QStackedWidget(self)
        for page in (self.count, self.missing, self.between):
            self._pages.addWidget(page)
        self._pages.setFixedHeight(max(page.sizeHint().height() for page in (self.count, self.missing, self.between)))
        layout = rows()
        layout.addRow(label("Invent", self.what), self.what)
        self._label = label("How many", self._pages)
        layout.addRow(self._label, self._pages)
        self.setLayout(layout)
        self.what.currentIndexChanged.connect(self._on_what)
        self.count.valueChanged.connect(self._on_change)
        self.between.valueChanged.connect(self._on_change)
        self.missing.textChanged.connect(self._on_change)

    def request(self) -> FrameRequest:
        """Return what is asked for.

        Raises
        ------
        InvalidParameterError
            What is written names no frames.
        """
        match self.what.currentIndex():
            case 0:
                return FrameRequest(count=self.count.value())
            case 1:
                return FrameRequest(fill=_frames(self.missing.text()) or "auto")
            case _:
                return FrameRequest(between=self.between.value())

    def take(self, request: FrameRequest) -> None:
        """Ask for the same frames as a request."""
        if request.between:
            self.what.setCurrentIndex(BETWEEN)
            self.between.setValue(request.between)
        elif request.fill:
            self.what.setCurrentIndex(MISSING)
            self.missing.setText("" if request.fill == "auto" else ", ".join(map(str, request.fill)))
        elif request.count:
            self.what.setCurrentIndex(NEXT)
            self.count.setValue(request.count)

    def _on_what(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        self._label.setText("Which" if index == MISSING else "How many")
        self.changed.emit()

    def _on_change(self, _value: object = None) -> None:
        self.changed.emit()


def _number(parent: QWidget, value: int, most: int, tooltip: str) -> QSpinBox:
    box = QSpinBox(parent)
    box.setRange(1, most)
    box.setValue(value)
    box.setToolTip(tooltip)
    return box


def _frames(text: str) -> tuple[int, ...]:
    """Return the frames that are written as numbers and ranges between commas."""
    found: list[int] = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        matched = _RANGE.fullmatch(part)
        if matched is None:
            raise InvalidParameterError(f"{part!r} names no frame: write numbers and ranges, such as 3, 7-9.")
        first = int(matched[1])
        found += range(first, int(matched[2] or first) + 1)
    return tuple(found)
