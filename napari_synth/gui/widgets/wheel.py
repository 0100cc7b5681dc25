"""Lets the wheel scroll a panel: a control changes its value only where it has the focus."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QWidget

from napari_synth.gui.widgets.accessible import give_name


class WheelGuard(QObject):
    """Hands the wheel on from every control without focus to what lies around it, and names controls, also those that come later.

    Qt gives a box or a slider the focus when the wheel turns over it, so that scrolling a panel would change its settings.

    Parameters
    ----------
    panel : QWidget
        All controls in it are looked after.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._adopt(panel)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ignore the wheel over a control without focus: Qt gives it to the parent then."""
        if event is None or watched is None:
            return False
        if event.type() == QEvent.Type.ChildPolished:
            child = event.child()  # type: ignore[attr-defined]
            if isinstance(child, QWidget):
                self._adopt(child)
        elif event.type() == QEvent.Type.Show and isinstance(watched, QWidget):
            # Its label stands beside it by now.
            give_name(watched)
        elif event.type() == QEvent.Type.Wheel and _is_control(watched) and not watched.hasFocus():  # type: ignore[attr-defined]
            event.ignore()
            return True
        return False

    def _adopt(self, root: QWidget) -> None:
        for widget in (root, *root.findChildren(QWidget)):
            # A second installation of the same filter moves it to the front.
            widget.installEventFilter(self)
            if _is_control(widget) and widget.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


def controls(panel: QWidget) -> list[QWidget]:
    """Return the boxes, numbers and sliders of a panel, whatever the wheel does to them."""
    return [widget for widget in panel.findChildren(QWidget) if _is_control(widget)]


def _is_control(widget: object) -> bool:
    return isinstance(widget, (QComboBox, QAbstractSpinBox, QAbstractSlider)) and not isinstance(widget, QScrollBar)
