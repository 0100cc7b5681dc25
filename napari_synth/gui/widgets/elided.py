"""Names that are longer than a panel is wide: cut in the middle, with the whole name in the tooltip."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

_LETTERS = 8
_LONGEST_WORD = 24


class NameBox(QComboBox):
    """A list of names that is as narrow as it has to be; the chosen name is cut in its middle, and whole in its own tooltip.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(_LETTERS)
        view = self.view()
        assert view is not None
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._what = ""
        self.currentTextChanged.connect(self._tell)
        model = self.model()
        assert model is not None
        model.dataChanged.connect(self._tell)

    def setToolTip(self, text: str | None) -> None:
        """Say what the list is for; the chosen name comes before it."""
        self._what = text or ""
        self._tell()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint the box with as much of the name as there is room for."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        style = self.style()
        assert style is not None
        place = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, place.width()
        )
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _tell(self, *_changed: object) -> None:
        super().setToolTip("\n".join(filter(None, (self.currentText(), self._what))))


class NameLabel(QLabel):
    """A line of words that is cut in its middle where it has no room; the whole of it is its tooltip.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_name(self, text: str) -> None:
        """Show words."""
        self._whole = text
        self.setToolTip(text)
        self._cut()

    def minimumSizeHint(self) -> QSize:
        """Return no width: any of it will do."""
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Cut the words anew."""
        super().resizeEvent(event)
        self._cut()

    def _cut(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width()))


def breakable(text: str) -> str:
    """Return words that Qt can break in a narrow panel: it leaves a name without spaces in one line.

    In a word that is longer than most lines, an invisible space comes behind every sign at which a name may be broken, and behind
    every so many letters without one.
    """
    return " ".join(_broken(word) if len(word) > _LONGEST_WORD else word for word in text.split(" "))


def _broken(word: str) -> str:
    parts, length = [], 0
    for letter in word:
        parts.append(letter)
        length += 1
        if letter in "_-./\\" or length >= _LONGEST_WORD:
            parts.append("\u200b")
            length = 0
    return "".join(parts)
