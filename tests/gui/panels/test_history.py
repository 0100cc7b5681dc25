"""Runs are listed and their settings used again; recipes are pasted and dropped; settings are remembered, and put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from qtpy.QtWidgets import QAbstractSlider, QApplication

from napari_synth.contract.generator import Task
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.layers.results import recipe_of
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.remembered import Speed, note_speed, speed_of


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, control, qtbot) -> Callable[..., RestorePanel]:
    def make(task: Task = Task.DENOISE) -> RestorePanel:
        made = RestorePanel(viewer, task)
        qtbot.addWidget(made)
        made.show()
        return made

    return make


def run(qtbot, panel: RestorePanel) -> None:
    qtbot.mouseClick(panel.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._job is None)


def drop(panel: RestorePanel, data: QMimeData) -> bool:
    """Drag over a panel and let go; return whether it was taken."""
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(panel.rect().center(), copy, data, left, none)
    enter.ignore()
    QApplication.sendEvent(panel, enter)
    if enter.isAccepted():
        QApplication.sendEvent(panel, QDropEvent(QPointF(panel.rect().center()), copy, data, left, none))
    return enter.isAccepted()


def test_every_run_is_listed_and_its_settings_are_used_again(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(32, 32), name="cells")
    made = panel()
    assert made.history.isHidden()
    made.form.set_values({"gain": 1.5, "mode": "other"})
    run(qtbot, made)
    made.choose_method("denoise/inventing")
    made.form.set_values({"gain": 0.25})
    run(qtbot, made)
    viewer.layers.remove("cells denoised")
    history = made.history
    assert [line.recipe.generator for line in history.runs] == ["denoise/inventing", "denoise/fake"]
    qtbot.mouseClick(history.fold, Qt.MouseButton.LeftButton)
    assert "cells" in history.list.item(1).text()
    assert "Fake" in history.list.item(1).text()
    assert not history.use.isEnabled()
    history.list.setCurrentRow(1)
    qtbot.mouseClick(history.use, Qt.MouseButton.LeftButton)
    assert made.method.info.id == "denoise/fake"
    assert made.form.values()["gain"] == 1.5
    assert made.form.values()["mode"] == "other"


def test_a_panel_that_is_opened_later_lists_what_was_run_before(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(32, 32), name="cells")
    run(qtbot, panel())
    assert [line.layer for line in panel().history.runs] == ["cells"]
    other = RestorePanel(ViewerModel(), Task.DENOISE)
    qtbot.addWidget(other)
    assert other.history.runs == ()


def test_a_recipe_is_pasted_as_yaml_and_as_a_file(viewer, panel, qtbot, noisy, tmp_path) -> None:
    viewer.add_image(noisy(3, 16, 16), name="movie", axis_labels=("t", "y", "x"))
    made = panel()
    recipe = Recipe(generator="denoise/inventing", params={"gain": 1.25}, region={"bounds": {"T": (1, 2)}})
    path = tmp_path / "one.recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    for text in (recipe.to_yaml(), str(path)):
        made.reset()
        assert made.method.info.id == "denoise/fake"
        QGuiApplication.clipboard().setText(text)
        qtbot.mouseClick(made.settings_row.paste, Qt.MouseButton.LeftButton)
        assert made.method.info.id == "denoise/inventing"
        assert made.form.values()["gain"] == 1.25
        assert made.region.choice.currentText() == "As in the recipe: T 1 to 1"
    run(qtbot, made)
    assert recipe_of(viewer.layers["movie denoised (synthetic)"]).region.bounds == {"T": (1, 2)}


def test_a_recipe_is_dropped_on_the_panel(viewer, panel, qtbot, noisy, tmp_path) -> None:
    viewer.add_image(noisy(16, 16), name="cells")
    made = panel()
    path = tmp_path / "one.recipe.yaml"
    path.write_text(Recipe(generator="denoise/fake", params={"gain": 0.75}).to_yaml(), encoding="utf-8")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    assert drop(made, data)
    assert made.form.values()["gain"] == 0.75
    picture = QMimeData()
    picture.setUrls([QUrl.fromLocalFile(str(tmp_path / "cells.tif"))])
    assert not drop(made, picture)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no recipe on the clipboard"),
        ("generator: inpaint/auto\nparams: {}\n", "open the panel Inpaint"),
        ("generator: denoise/nothing\nparams: {}\n", "no method"),
        ("generator: denoise/fake\nparams: {gain: 9}\n", "gain"),
        ("a: b\nc: d\n", "no recipe"),
        ("/nowhere/recipe.yaml", "cannot be read"),
    ],
)
def test_what_is_no_recipe_for_this_panel_changes_nothing(panel, qtbot, text, words) -> None:
    made = panel()
    made.form.set_values({"gain": 1.5})
    QGuiApplication.clipboard().setText(text)
    qtbot.mouseClick(made.settings_row.paste, Qt.MouseButton.LeftButton)
    assert words in made.messages.error.text()
    assert made.form.values()["gain"] == 1.5


def test_settings_are_remembered_until_they_are_reset(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(16, 16), name="cells")
    made = panel()
    made.choose_method("denoise/inventing")
    made.form.set_values({"gain": 1.75})
    run(qtbot, made)
    again = panel()
    assert again.method.info.id == "denoise/inventing"
    assert again.form.values()["gain"] == 1.75
    qtbot.mouseClick(again.settings_row.reset, Qt.MouseButton.LeftButton)
    assert again.method.info.id == "denoise/fake"
    assert again.form.values()["gain"] == 0.5
    assert panel().form.values()["gain"] == 0.5


def test_what_was_remembered_and_does_not_fit_any_more_is_left_alone(panel, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAPARI_SYNTH_SETTINGS", str(tmp_path))
    for text in (
        '{"denoise": {"method": "denoise/gone", "params": {}}}',
        '{"denoise": {"method": "denoise/fake", "params": {"gain": 99}}}',
        "no json",
    ):
        (tmp_path / "panels.json").write_text(text, encoding="utf-8")
        assert panel().form.values()["gain"] == 0.5


def test_the_last_settings_are_applied_to_the_next_image(viewer, panel, qtbot, noisy) -> None:
    one = viewer.add_image(noisy(16, 16), name="one")
    made = panel()
    made.form.set_values({"gain": 0.25})
    run(qtbot, made)
    made.form.set_values({"gain": 2.0})
    two = viewer.add_image(noisy(16, 16, seed=3), name="two")
    viewer.layers.selection = {two}
    made.repeat_last()
    qtbot.waitUntil(lambda: "two denoised" in viewer.layers)
    qtbot.waitUntil(lambda: made._job is None)
    assert np.allclose(viewer.layers["two denoised"].data, two.data * 0.25, atol=1)
    assert made.form.values()["gain"] == 0.25
    assert one in viewer.layers


def test_the_time_of_a_run_is_told_from_the_last_one_of_the_method_on_this_device(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(64, 64), name="cells")
    made = panel()
    qtbot.waitUntil(lambda: made.device.device is not None, timeout=60_000)
    assert made.estimate.isHidden()
    run(qtbot, made)
    title, key = made.device.device.title, "denoise/fake thorough=False"
    assert speed_of(key, title).pixels == 64 * 64
    # Nobody needs to know of a run that is over at once.
    note_speed(key, title, Speed(preparing=0.1, computing=0.1, pixels=64 * 64))
    viewer.add_image(noisy(64, 64), name="quick")
    assert made.estimate.isHidden()
    note_speed(key, title, Speed(preparing=1.0, computing=2.0, pixels=32 * 32))
    viewer.add_image(noisy(64, 64), name="more")
    assert not made.estimate.isHidden()
    assert made.estimate.text() == "About 9 s, as fast as the last run of this method on this device was."
    made.form.set_values({"thorough": True})
    made.form.changed.emit()
    assert made.estimate.isHidden()
    made.form.set_values({"thorough": False})
    made.region.choose("field")
    assert made.estimate.isHidden()
    made.region.choose("whole")
    assert not made.estimate.isHidden()
    # From so few pixels it cannot be told how a large image goes.
    note_speed(key, title, Speed(preparing=1.0, computing=2.0, pixels=16))
    viewer.add_image(noisy(60, 60), name="large")
    assert made.estimate.isHidden()


def test_the_time_of_a_first_run_is_told_from_one_block(viewer, panel, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(8, 400, 400), name="cells")
    made = panel()
    qtbot.waitUntil(lambda: made.device.device is not None, timeout=60_000)
    qtbot.waitUntil(lambda: bool(made.pace._speeds), timeout=60_000)
    assert control.prepared == [(8, 192, 192)]
    (key,) = made.pace._speeds
    assert made.pace.speed_of(key).pixels == np.prod(control.prepared[0])
    # The fake takes no time; a slower one would be told.
    pixels = made.pace.speed_of(key).pixels
    made.pace._speeds[key] = Speed(preparing=2.0, computing=3.0, pixels=pixels)
    made.pace.measured.emit()
    seconds = round(2 + 3 * 8 * 400 * 400 / pixels)
    assert made.estimate.text() == f"About {seconds} s, as fast as one block of this image was."
    assert not made.estimate.isHidden()
    made.pace._speeds[key] = None
    made.pace.measured.emit()
    assert made.estimate.text().startswith("A run takes long")
    # What a real run took is better known.
    run(qtbot, made)
    assert made.estimate.isHidden()


def test_measuring_a_block_gives_way_to_a_run_and_to_any_change(viewer, panel, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(512, 512), name="cells")
    made = panel()
    control.go_on.clear()
    qtbot.waitUntil(control.started.is_set, timeout=60_000)
    handle = made.form.editor("gain").findChildren(QAbstractSlider)[-1]
    handle.setFocus()
    qtbot.keyClick(handle, Qt.Key.Key_Right)
    assert made.form.values()["gain"] != 0.5
    qtbot.waitUntil(control.stopped.is_set, timeout=5000)
    assert not made.pace._speeds
    control.started.clear()
    control.stopped.clear()
    qtbot.waitUntil(control.started.is_set, timeout=60_000)
    qtbot.mouseClick(made.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(control.stopped.is_set, timeout=5000)
    control.go_on.set()
    qtbot.waitUntil(lambda: "cells denoised" in viewer.layers)
    assert not made.pace._speeds


def test_a_method_that_learns_says_why_its_time_is_not_known(viewer, panel, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(512, 512), name="cells")
    made = panel()
    made.choose_method("denoise/learning")
    qtbot.waitUntil(lambda: made.device.device is not None, timeout=60_000)
    qtbot.wait(1800)
    assert made.estimate.text().startswith("How long this takes is known after its first run: it learns")
    assert control.prepared == []
