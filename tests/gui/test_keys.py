"""Keys go to the panel that was used last and collide with none of napari's; what ends elsewhere is told."""

from __future__ import annotations

from typing import Any

import napari.layers
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QApplication

from napari_synth.contract.generator import Task
from napari_synth.gui import commands
from napari_synth.gui.keys import NEXT, PREVIEW, REPEAT, RUN, SOURCE, last_used
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.widgets import activity

KEYS = (RUN, PREVIEW, SOURCE, NEXT, REPEAT)
HELD = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


@pytest.fixture
def viewer(make_napari_viewer, control) -> Any:
    made = make_napari_viewer(show=True)
    made.window.resize(1000, 700)
    return made


def docked(viewer: Any, task: Task = Task.DENOISE) -> RestorePanel:
    panel = RestorePanel(viewer, task)
    viewer.window.add_dock_widget(panel, name=task)
    QApplication.processEvents()
    return panel


def press(qtbot, viewer: Any, key: Qt.Key) -> None:
    qtbot.keyClick(viewer.window._qt_window, key, HELD)


def written(key: str) -> str:
    return QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")).toString()


def test_no_key_is_one_of_naparis(viewer) -> None:
    docked(viewer)
    ours = {written(key) for key in KEYS}
    assert len(ours) == len(KEYS)
    theirs = {QKeySequence(str(key)).toString() for keys in default_shortcuts.values() for key in keys}
    window = viewer.window._qt_window
    theirs |= {
        action.shortcut().toString() for action in window.findChildren(QAction) if not action.shortcut().isEmpty()
    }
    for name in ("Image", "Labels", "Points", "Shapes", "Surface", "Tracks", "Vectors"):
        theirs |= {QKeySequence(str(key)).toString() for key in getattr(napari.layers, name).class_keymap}
    theirs |= {QKeySequence(str(key)).toString() for key in type(viewer).class_keymap}
    assert len(theirs) > 50
    assert not ours & theirs


def test_keys_run_preview_and_go_through_results(viewer, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(24, 24), name="cells")
    panel = docked(viewer)
    press(qtbot, viewer, Qt.Key.Key_P)
    assert panel.preview_button.isChecked()
    qtbot.waitUntil(lambda: "cells preview" in viewer.layers)
    press(qtbot, viewer, Qt.Key.Key_P)
    assert "cells preview" not in viewer.layers
    press(qtbot, viewer, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers and panel._job is None)
    other = viewer.add_image(noisy(24, 24), name="other")
    viewer.layers.selection = {other}
    panel.form.set_values({"gain": 2.0})
    press(qtbot, viewer, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: "other denoised" in viewer.layers and panel._job is None)
    assert np.allclose(viewer.layers["other denoised"].data, other.data * 0.5, atol=1)
    assert panel.result.finished.source is other
    press(qtbot, viewer, Qt.Key.Key_N)
    assert panel.result.finished.source is source
    panel.stop()


def test_the_source_is_seen_as_long_as_the_key_is_held(viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(24, 24), name="cells", visible=True)
    panel = docked(viewer)
    press(qtbot, viewer, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers and panel._job is None)
    result = viewer.layers["cells denoised"]
    viewer.layers["cells"].visible = False
    window = viewer.window._qt_window
    qtbot.keyPress(window, Qt.Key.Key_S, HELD)
    assert not result.visible
    assert viewer.layers["cells"].visible
    qtbot.keyRelease(window, Qt.Key.Key_S, HELD)
    assert result.visible
    assert not viewer.layers["cells"].visible
    panel.stop()


def test_keys_go_to_the_dock_that_was_used_last(viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(24, 24), name="cells")
    first = docked(viewer)
    second = docked(viewer)
    assert last_used(viewer) is second
    first.parentWidget().raise_()
    first.activateWindow()
    qtbot.mouseClick(first.methods, Qt.MouseButton.LeftButton)
    first.methods.hidePopup()
    first.methods.setFocus()
    qtbot.waitUntil(lambda: last_used(viewer) is first)
    viewer.window.remove_dock_widget(first)
    assert last_used(viewer) is second
    viewer.window.remove_dock_widget(second)
    assert last_used(viewer) is None
    commands.run_last_used()
    assert "Open a panel" in notification_manager.records[-1].message
    for panel in (first, second):
        panel.deleteLater()


def test_the_activity_dock_shows_a_run_and_cancels_it(viewer, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(24, 24), name="cells")
    panel = docked(viewer)
    control.go_on.clear()
    panel.run_button.click()
    qtbot.waitUntil(control.started.is_set)
    (bar,) = progress._all_instances
    qtbot.waitUntil(lambda: bar.total == 1000 and bar.n > 0)
    assert "Working" in bar.desc
    bar.cancel()
    qtbot.waitUntil(lambda: panel._job is None)
    assert not progress._all_instances
    assert "cells denoised" not in viewer.layers


@pytest.mark.parametrize(("seconds", "elsewhere", "told"), [(60, True, True), (60, False, False), (3, True, False)])
def test_the_end_of_a_long_run_is_told_where_the_window_is_elsewhere(
    viewer, qtbot, noisy, monkeypatch, seconds, elsewhere, told
) -> None:
    viewer.add_image(noisy(24, 24), name="cells")
    panel = docked(viewer)
    window = viewer.window._qt_window
    before = len(notification_manager.records)
    # Undone here: what holds the window would keep it alive.
    with monkeypatch.context() as patched:
        patched.setattr(activity.QApplication, "activeWindow", lambda: None if elsewhere else window)
        patched.setattr(activity.QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationActive)
        panel.run_button.click()
        panel._begun -= seconds
        qtbot.waitUntil(lambda: panel._job is None)
    said = [record.message for record in notification_manager.records[before:]]
    assert any("Denoising" in sentence for sentence in said) == told
    panel.stop()
