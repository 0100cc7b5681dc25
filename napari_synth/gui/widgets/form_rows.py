"""Small pieces that give every row of the panel the same look."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_synth.gui.widgets.wheel import WheelGuard

NARROW = 19
"""Pixels of a button with one sign, which leaves the name of a method the most room."""


class _Rows(QFormLayout):
    """Rows that are measured again when they get another height: Qt keeps the old height of a sentence that became longer."""

    def setGeometry(self, rect: QRect) -> None:
        """Lay the rows out."""
        if rect.height() != self.geometry().height():
            self.invalidate()
        super().setGeometry(rect)


def rows() -> QFormLayout:
    """Return a layout of labels with their controls."""
    layout = _Rows()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setHorizontalSpacing(8)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return layout


def label(text: str, buddy: QWidget) -> QLabel:
    """Return the label of a control, with the same tooltip."""
    made = QLabel(text, buddy.parentWidget())
    made.setBuddy(buddy)
    made.setToolTip(buddy.toolTip())
    return made


def wrapped(parent: QWidget, tooltip: str = "") -> QLabel:
    """Return an empty label for sentences, which breaks them where the panel is narrow."""
    made = QLabel(parent)
    made.setWordWrap(True)
    made.setToolTip(tooltip)
    return made


def let_shrink(box: QComboBox) -> None:
    """Let a list be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)


def button(parent: QWidget, text: str, tooltip: str, *, checkable: bool = False) -> QPushButton:
    """Return a button that takes the width it is given.

    Parameters
    ----------
    parent : QWidget
    text, tooltip : str
    checkable : bool
        Whether it stays down until it is clicked again.
    """
    made = QPushButton(text, parent)
    made.setToolTip(tooltip)
    made.setCheckable(checkable)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def help_button(parent: QWidget, what: str, tooltip: str) -> QPushButton:
    """Return the small button with a question mark.

    Parameters
    ----------
    parent : QWidget
    what : str
        Names for screen readers what it helps with.
    tooltip : str
    """
    made = button(parent, "?", tooltip)
    made.setAccessibleName(f"Help on {what}")
    made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    made.setFixedWidth(NARROW)
    return made


def menu_button(
    parent: QWidget, text: str, tooltip: str, entries: Iterable[tuple[str, str, Callable[[], object]]]
) -> QPushButton:
    """Return a button with a menu.

    Parameters
    ----------
    parent : QWidget
    text, tooltip : str
        Of the button.
    entries : iterable of (str, str, callable)
        The text, the tooltip and what is done where it is chosen.
    """
    made = button(parent, text, tooltip)
    menu = QMenu(made)
    menu.setToolTipsVisible(True)
    for entry in entries:
        add_entry(menu, *entry)
    made.setMenu(menu)
    return made


def add_entry(menu: QMenu, text: str, tooltip: str, chosen: Callable[[], object]) -> None:
    """Add an entry to a menu.

    Parameters
    ----------
    menu : QMenu
    text, tooltip : str
    chosen : callable
        Is called without arguments; Qt would pass whether the entry is checked, which says nothing here.
    """
    action = QAction(text, menu)
    action.setToolTip(tooltip)
    action.triggered.connect(partial(_call, chosen))
    menu.addAction(action)


def _call(chosen: Callable[[], Any], _checked: bool = False) -> None:
    chosen()


def put_on_clipboard(text: str) -> None:
    """Put a text on the clipboard, where there is one."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def copied_text() -> str:
    """Return the text on the clipboard."""
    clipboard = QGuiApplication.clipboard()
    return "" if clipboard is None else clipboard.text()


class FoldButton(QToolButton):
    """A button with an arrow that shows and hides what is under it.

    Parameters
    ----------
    parent : QWidget
    text, tooltip : str
    """

    def __init__(self, parent: QWidget, text: str, tooltip: str) -> None:
        super().__init__(parent)
        self.setText(text)
        self.setToolTip(tooltip)
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggled.connect(self._point)
        self._point(False)

    def _point(self, unfolded: bool) -> None:
        self.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)


def line(parent: QWidget) -> QFrame:
    """Return a line between two parts of the panel."""
    made = QFrame(parent)
    # Drawn by the panel's style: napari's own hides the lines that Qt draws.
    made.setObjectName("synth_line")
    made.setFixedHeight(1)
    return made


def put_in_scroll_area(inner: QWidget, panel: QWidget) -> None:
    """Make a widget the whole of a panel, which scrolls along its height where that is short."""
    scroll = QScrollArea(panel)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inner)
    WheelGuard(inner)
    outer = QVBoxLayout(panel)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll)
    panel.setMinimumWidth(280)
