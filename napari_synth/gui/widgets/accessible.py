"""Gives every control a name that a screen reader can say: that of its label, or the first words of its tooltip."""

from __future__ import annotations

import re

from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollBar,
    QTextEdit,
    QWidget,
)

_CONTROLS = (QAbstractButton, QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QTextEdit)
_LONGEST = 60


def is_control(widget: object) -> bool:
    """Tell whether somebody can do something with a widget, or read in it, that is no part of another control."""
    if not isinstance(widget, _CONTROLS) or isinstance(widget, QScrollBar) or widget.objectName().startswith("qt_"):
        return False
    above = widget.parentWidget()
    while above is not None:
        if isinstance(above, (QComboBox, QAbstractSpinBox, QAbstractItemView, QLineEdit)):
            return False
        above = above.parentWidget()
    return True


def spoken_name(widget: QWidget) -> str:
    """Return what a screen reader says of a control."""
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return widget.accessibleName() or text.replace("&", "")


def give_name(widget: QWidget, label: str = "") -> None:
    """Name a control that has no name yet.

    Parameters
    ----------
    widget : QWidget
    label : str
        What stands beside it; the first words of its tooltip are taken where it is left out.
    """
    if not is_control(widget) or (spoken_name(widget) and len(spoken_name(widget)) > 1):
        return
    said = label or _label_of(widget) or _first_words(widget)
    if said:
        widget.setAccessibleName(said)
    if widget.toolTip() and not widget.accessibleDescription():
        widget.setAccessibleDescription(_plain(widget.toolTip()))


def _label_of(widget: QWidget) -> str:
    """Return the words of the label whose buddy a control is, or one that lies around it."""
    inner: QWidget | None = widget
    for _ in range(3):
        if inner is None or (above := inner.parentWidget()) is None:
            return ""
        for label in above.findChildren(QLabel):
            if label.buddy() is inner:
                return _plain(label.text())
        inner = above
    return ""


def _first_words(widget: QWidget) -> str:
    above: QWidget | None = widget
    for _ in range(3):
        if above is None:
            return ""
        if tooltip := _plain(above.toolTip()):
            first = re.split(r"[.:;\n]", tooltip, maxsplit=1)[0].strip()
            return first if len(first) <= _LONGEST else f"{first[:_LONGEST]}…"
        above = above.parentWidget()
    return ""


def _plain(text: str) -> str:
    return re.sub(r"<[^>]+>", " ", text).replace("\u200b", "").strip()
