"""Small pieces that give every row of the panel the same look."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QFrame, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget


def rows() -> QFormLayout:
    """Return a layout of labels with their controls."""
    layout = QFormLayout()
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


def button(parent: QWidget, text: str, tooltip: str, *, checkable: bool = False) -> QPushButton:
    """Return a button that takes the width it is given."""
    made = QPushButton(text, parent)
    made.setToolTip(tooltip)
    made.setCheckable(checkable)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


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
    outer = QVBoxLayout(panel)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll)
    panel.setMinimumWidth(280)
