"""The wheel over a panel scrolls it; what has no focus keeps its value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QScrollArea, QWidget

from napari_synth.gui import commands
from napari_synth.gui.widgets.wheel import controls

PANELS = sorted(name for name in commands.__all__ if name.endswith("Panel"))


def wheel(widget: QWidget, down: bool = True) -> None:
    """Turn the wheel one notch in the middle of a widget; what ignores it leaves it to its parent, as Qt does for a real wheel."""
    at: QWidget | None = widget
    place = widget.mapToGlobal(widget.rect().center())
    while at is not None:
        middle = at.mapFromGlobal(place)
        event = QWheelEvent(
            QPointF(middle),
            QPointF(place),
            QPoint(),
            QPoint(0, -120 if down else 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        event.ignore()
        if QApplication.sendEvent(at, event) and event.isAccepted():
            return
        at = None if at.isWindow() else at.parentWidget()


def value(control: Any) -> Any:
    if isinstance(control, QComboBox):
        return control.currentIndex(), control.currentText()
    return control.value() if hasattr(control, "value") else control.text()


@pytest.fixture
def viewer() -> ViewerModel:
    made = ViewerModel()
    made.add_image(np.zeros((4, 5, 32, 32), np.uint16), name="movie")
    made.add_image(np.zeros((32, 32), np.uint16), name="cells")
    made.add_labels(np.ones((32, 32), np.uint8), name="labels")
    return made


def shown(name: str, viewer: ViewerModel, qtbot) -> QWidget:
    panel = getattr(commands, name)(viewer)
    qtbot.addWidget(panel)
    panel.resize(300, 240)
    panel.show()
    for fold in ("form", "sampling"):
        if hasattr(panel, fold):
            getattr(panel, fold).more.setChecked(True)
    qtbot.waitUntil(lambda: panel.isVisible())
    return panel


@pytest.mark.parametrize("name", PANELS)
def test_no_control_of_any_panel_takes_the_wheel_without_focus(name, viewer, qtbot) -> None:
    panel = shown(name, viewer, qtbot)
    visited = [control for control in controls(panel) if control.isEnabled()]
    assert len(visited) >= 4
    before = [value(control) for control in visited]
    for control in visited:
        control.clearFocus()
        for down in (True, False, True, True):
            wheel(control, down)
    assert [value(control) for control in visited] == before
    assert not any(control.hasFocus() for control in visited)


def test_the_wheel_over_a_control_scrolls_the_panel(viewer, qtbot) -> None:
    panel = shown("TrainPanel", viewer, qtbot)
    bar = panel.findChild(QScrollArea).verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    bar.setValue(0)
    wheel(next(control for control in controls(panel) if control.isVisible()))
    assert bar.value() > 0


def test_a_method_chosen_later_has_controls_that_leave_the_wheel_too(viewer, qtbot) -> None:
    panel = shown("DenoisePanel", viewer, qtbot)
    panel.choose_method("denoise/non-local-means")
    panel.form.more.setChecked(True)
    QApplication.processEvents()
    made = [control for control in controls(panel.form) if control.isEnabled()]
    before = [value(control) for control in made]
    for control in made:
        wheel(control)
    assert made
    assert [value(control) for control in made] == before


def test_what_has_the_focus_still_takes_the_wheel(viewer, qtbot) -> None:
    panel = shown("AugmentPanel", viewer, qtbot)
    panel.activateWindow()
    seed = panel.presets.seed
    seed.setFocus()
    qtbot.waitUntil(seed.hasFocus)
    before = seed.value()
    wheel(seed, down=False)
    assert seed.value() != before
