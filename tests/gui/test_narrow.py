"""Every panel reads at 280 pixels with names as microscopes give them: nothing lies outside, in the dark and in the light theme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari._qt.qt_resources import get_stylesheet
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QTextDocumentFragment
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QWidget,
)

from napari_synth.gui import commands
from napari_synth.gui.widgets.elided import NameBox, NameLabel, breakable

PANELS = sorted(name for name in commands.__all__ if name.endswith("Panel"))
NAME = "20261130_HeLa_H2B-GFP_40x_pos003_z021_ch1_t0001.ome.tif"
WIDTH = 280
EDGE = 3
"""Pixels of a button on each side of its words."""
WITH_WORDS = (QLabel, QAbstractButton, QComboBox)


def settle() -> None:
    for _ in range(6):
        QApplication.processEvents()


def outside(panel: QWidget) -> list[str]:
    """Name what reaches over the left or the right edge of what is seen of a panel."""
    area = panel.findChild(QScrollArea)
    view = area.viewport()
    found = []
    for widget in area.widget().findChildren(QWidget):
        if not widget.isVisible() or widget.window() is not panel.window():
            continue
        left = widget.mapTo(view, QPoint(0, 0)).x()
        if left < 0 or left + widget.width() > view.width():
            found.append(
                f"{type(widget).__name__} {getattr(widget, 'text', str)()!r}: {left} to {left + widget.width()}"
            )
    if area.widget().width() > view.width():
        found.append(f"the panel is {area.widget().width()} wide, {view.width()} are seen")
    return found


def cut(panel: QWidget) -> list[str]:
    """Name the words that have no room: names may be cut in their middle, all else has to be read whole."""
    found = []
    for widget in panel.findChild(QScrollArea).widget().findChildren(QWidget):
        is_shown = widget.isVisible() and widget.window() is panel.window()
        if not is_shown or not isinstance(widget, WITH_WORDS) or isinstance(widget, NameBox | NameLabel):
            continue
        text = widget.currentText() if isinstance(widget, QComboBox) else widget.text()
        width, height = (
            widget.fontMetrics().horizontalAdvance(plain(text)),
            widget.fontMetrics().height() if text else 0,
        )
        if isinstance(widget, QLabel) and widget.wordWrap():
            width, height = 0, widget.heightForWidth(widget.width()) if text else 0
        elif isinstance(widget, QComboBox):
            option = QStyleOptionComboBox()
            widget.initStyleOption(option)
            field = QStyle.SubControl.SC_ComboBoxEditField
            inner = widget.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, widget)
            width += widget.width() - inner.width()
        elif isinstance(widget, QCheckBox):
            width = widget.sizeHint().width()
        elif isinstance(widget, QPushButton) and text:
            width += 2 * EDGE
        if width > widget.width() or height > widget.height():
            found.append(f"{type(widget).__name__} {text!r} needs {width} x {height}, has {widget.size()}")
    return found


def plain(text: str) -> str:
    return QTextDocumentFragment.fromHtml(text).toPlainText() if "<" in text else text.replace("&", "")


def docked(viewer: Any, name: str) -> QWidget:
    panel = getattr(commands, name)(viewer)
    dock = viewer.window.add_dock_widget(panel, name=name)
    viewer.window._qt_window.resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    return panel


@pytest.mark.parametrize("name", ["DenoisePanel", "InpaintPanel", "SynthesizePanel"])
def test_rows_that_break_have_their_room_as_soon_as_a_panel_is_open(name, make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.add_image(np.zeros((32, 32), np.uint16), name="cells")
    panel = docked(viewer, name)
    qtbot.wait(300)
    assert not cut(panel)
    for row in panel.form.values():
        editor = panel.form.editor(row)
        if editor.isVisible():
            assert editor.height() >= editor.minimumSizeHint().height(), row
    assert panel.form.height() >= panel.form.heightForWidth(panel.form.width())


@pytest.mark.parametrize("name", PANELS)
def test_nothing_lies_outside_a_narrow_panel(name, make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1100, 900)
    viewer.add_image(np.zeros((3, 4, 32, 32), np.uint16), name=NAME, axis_labels=("t", "z", "y", "x"))
    viewer.add_labels(np.ones((4, 32, 32), np.uint8), name=f"masks_of_{NAME}")
    viewer.add_points(np.ones((1, 4)), name=f"points_of_{NAME}")
    panel = docked(viewer, name)
    for fold in ("form", "sampling"):
        if hasattr(panel, fold):
            getattr(panel, fold).more.setChecked(True)
    panel.messages.show_error(f"The file /data/{NAME * 2} cannot be read.")
    panel.messages.show_notes([f"The result is in /data/{NAME * 2}."], about=NAME)
    panel.progress.begin(f"Denoising {NAME}")
    if hasattr(panel, "device"):
        qtbot.waitUntil(lambda: "looking" not in panel.device.text(), timeout=60_000)
        panel.device.setText("NVIDIA RTX 6000 Ada Generation Laptop GPU · bfloat16")
    if hasattr(panel, "estimate"):
        panel.estimate.setText("About 12 min, as fast as the last run of this method on this device was.")
        panel.estimate.show()
    for theme in ("dark", "light"):
        viewer.theme = theme
        settle()
        assert panel.width() <= WIDTH + 20
        assert outside(panel) == []
        assert cut(panel) == []
        for said in (panel.messages.error, panel.messages.notes):
            assert said.document().idealWidth() <= said.viewport().width()
            assert said.document().size().height() <= said.viewport().height() + 1
    panel.stop()


@pytest.mark.parametrize("name", ["DenoisePanel", "InpaintPanel", "TranslatePanel", "UpscalePanel"])
def test_the_name_of_a_method_is_read_whole(name, qtbot) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 32, 32), np.uint16), name=NAME)
    panel = getattr(commands, name)(viewer)
    qtbot.addWidget(panel)
    panel.setStyleSheet(get_stylesheet("dark"))
    panel.resize(WIDTH, 400)
    panel.show()
    for identifier, title, _ in panel.methods.possible():
        panel.choose_method(identifier)
        settle()
        option = QStyleOptionComboBox()
        panel.methods.initStyleOption(option)
        field = QStyle.SubControl.SC_ComboBoxEditField
        control = QStyle.ComplexControl.CC_ComboBox
        room = panel.methods.style().subControlRect(control, option, field, panel.methods).width()
        words = panel.methods.fontMetrics().horizontalAdvance(title)
        # What is longer than the row is cut in its middle.
        assert words <= room or panel.methods.width() >= 200
        assert outside(panel) == []
    panel.stop()


def test_a_sentence_that_becomes_longer_is_read_whole(qtbot) -> None:
    viewer = ViewerModel()
    panel = commands.DenoisePanel(viewer)
    qtbot.addWidget(panel)
    panel.setStyleSheet(get_stylesheet("dark"))
    panel.resize(WIDTH, 800)
    panel.show()
    qtbot.wait(100)
    layer = viewer.add_image(np.zeros((32, 32), np.uint16))
    qtbot.wait(100)
    viewer.layers.remove(layer)
    qtbot.wait(100)
    words = panel.source.description
    assert words.text().startswith("There is no image")
    assert words.height() >= words.heightForWidth(words.width()) > 2 * words.fontMetrics().height()
    panel.stop()


def test_a_second_panel_is_not_squeezed(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    first, second = docked(viewer, "DenoisePanel"), docked(viewer, "UpscalePanel")
    settle()
    assert second.isVisible()
    assert second.height() > 300
    assert first.height() > 300
    for panel in (first, second):
        panel.stop()


def test_a_long_name_is_cut_in_its_middle_and_whole_in_the_tooltip(qtbot) -> None:
    box, words = NameBox(), NameLabel()
    for widget in (box, words):
        qtbot.addWidget(widget)
    box.setToolTip("The image to work on.")
    box.addItem(NAME)
    assert box.toolTip() == f"{NAME}\nThe image to work on."
    box.setItemText(0, f"{NAME}2")
    assert box.toolTip().startswith(f"{NAME}2\n")
    assert box.minimumSizeHint().width() < 200
    words.resize(120, 20)
    words.show_name(NAME)
    assert words.toolTip() == NAME
    assert words.text().startswith("2026")
    assert words.text().endswith("tif")
    assert "…" in words.text()
    assert len(words.text()) < 40


def test_words_that_may_be_broken_read_the_same() -> None:
    broken = breakable(NAME)
    assert broken.replace("\u200b", "") == NAME
    assert max(map(len, broken.split("\u200b"))) <= 25
