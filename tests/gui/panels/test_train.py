from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDockWidget,
    QLineEdit,
    QMainWindow,
    QScrollArea,
    QWidget,
)

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.core.errors import InvalidImageError, TrainingDataError, TrainingDivergedError
from napari_synth.core.progress import Progress
from napari_synth.gui.jobs.train import TrainingUpdate, UpdateCollector, side_by_side
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.panels import train as train_panel
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.panels.train import TrainPanel
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets import help as helping
from napari_synth.gui.widgets import training_setup as set_up
from napari_synth.gui.widgets.curve_box import CurveBox
from napari_synth.gui.widgets.plot import _decade_ticks
from napari_synth.gui.widgets.training_ends import Answer, EndingWords, ask_before_closing
from napari_synth.gui.widgets.training_preview import laid_out
from napari_synth.models import export, library
from napari_synth.studio import train as studio
from napari_synth.studio.record import earlier_runs
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import CurvePoint, LossMeaning, Preview, Previewed, Resumed, Saved, Validated

SMALL = {"width": 8, "patch": 32, "batch": 4}


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test a library of its own."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    made = RunSettings(device="cpu", precision="auto", memory_budget=None, folder=tmp_path)
    monkeypatch.setattr(set_up, "read_settings", lambda: made)
    registry.refresh()
    yield tmp_path / "shelf"
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def open_panel(viewer: ViewerModel, qtbot: Any) -> Callable[..., TrainPanel]:
    """Return a way to open panels on a viewer without a window."""

    def make(method: str = "denoise/noise2void", **values: Any) -> TrainPanel:
        panel = TrainPanel(viewer)
        qtbot.addWidget(panel)
        panel.setup.methods.choose(method)
        fields = panel.setup.form.values()
        small = {name: value for name, value in SMALL.items() if name in fields}
        panel.setup.form.set_values({**small, "steps": 2, **values})
        return panel

    return make


@pytest.fixture
def cells() -> Callable[..., np.ndarray]:
    """Return images with structure: noisy ones of uint16, or clean ones of float32."""

    def make(*shape: int, seed: int = 0, noise: bool = True) -> np.ndarray:
        y, x = np.mgrid[: shape[-2], : shape[-1]]
        clean = np.broadcast_to(400 + 200 * np.sin(y / 5) * np.cos(x / 7), shape)
        if not noise:
            return clean.astype(np.float32)
        return (clean + np.random.default_rng(seed).normal(0, 30, shape)).astype(np.uint16)

    return make


def finish(panel: TrainPanel, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)


def error(panel: TrainPanel) -> str:
    return panel.messages.error.text() if not panel.messages.error.isHidden() else ""


def begun(panel: TrainPanel, qtbot: Any, points: int = 2) -> None:
    qtbot.waitUntil(lambda: len(panel.curves._points) >= points, timeout=60_000)


# A training


def test_a_model_is_trained_shown_and_in_the_panel_of_its_task(open_panel, viewer, qtbot, cells, monkeypatch) -> None:
    monkeypatch.setattr(export, "can_export", lambda architecture: False)
    pixels = cells(2, 96, 80)
    source = viewer.add_image(
        pixels,
        name="Cells 1",
        scale=(1, 0.5, 0.25),
        translate=(0, 3, 4),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    before = pixels.copy()
    denoise = RestorePanel(viewer, Task.DENOISE)
    qtbot.addWidget(denoise)
    panel = open_panel(steps=20)
    panel.train_button.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert [method.info.id for method in denoise.methods._methods].count("denoise/cells-1-noise2void") == 1
    assert [point.step for point in panel.curves._points] == list(range(1, 21))
    assert panel.curves._validations[0].baselines
    assert "PSNR" in panel.curves.metric_title.text()
    assert "cells-1-noise2void" in panel.result.title.text()
    assert not panel.result.isHidden()
    assert not panel.result.export.isEnabled()
    assert "blind-spot-unet" in panel.result.export.toolTip()
    assert "held out" in panel.messages.notes.text()
    preview = panel.preview.layer
    assert preview in viewer.layers
    assert kind_of(preview) == "preview"
    assert preview.ndim == 3
    assert preview.units == source.units
    assert preview.extent.world[0][1] >= source.extent.world[0][1] - 1e-6
    assert preview.extent.world[1][1] <= source.extent.world[1][1] + 1e-6
    assert abs(float(np.mean(preview.data)) - float(pixels.mean())) < 200
    assert np.array_equal(source.data, before)


def test_a_training_waits_goes_on_and_is_stopped_with_its_best_weights(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel()
    panel.setup.time.buttons[0].click()
    panel.train_button.click()
    begun(panel, qtbot)
    assert panel.setup.isHidden()
    assert "until stopped" in panel.progress.text.text()
    panel.pause_button.click()
    assert panel.pause_button.text() == "Resume"
    qtbot.waitUntil(lambda: "waits" in panel.progress.text.text(), timeout=10_000)
    reached = panel.curves._points[-1].step
    qtbot.wait(300)
    assert panel.curves._points[-1].step == reached
    panel.pause_button.click()
    begun(panel, qtbot, reached + 2)
    panel.stop_button.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert registry.is_taken("denoise/cells-noise2void")
    assert "It was stopped" in panel.messages.notes.text()
    assert panel.stop_button.isHidden()
    assert not panel.train_button.isHidden()


def test_a_cancelled_training_leaves_neither_layer_nor_model(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel(steps=10_000)
    panel.train_button.click()
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=60_000)
    panel.progress.cancel.click()
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert not registry.is_taken("denoise/cells-noise2void")
    assert "Cancelled" in panel.messages.notes.text()
    assert "Earlier" not in panel.messages.notes.text()
    assert panel.result.isHidden()
    assert not panel.setup.isHidden()


def test_an_error_is_said_in_the_panel(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(24, 96), name="low")
    panel = open_panel()
    panel.train_button.click()
    finish(panel, qtbot)
    assert "too little to learn from" in error(panel)
    assert panel.result.isHidden()
    viewer.layers.clear()
    panel.train_button.click()
    assert "There is no image" in error(panel)
    assert panel._job is None


def test_where_an_image_is_missing_after_a_training_the_choice_is_unfolded(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(32, 32), name="cells")
    panel = open_panel(steps=2)
    panel.train_button.click()
    finish(panel, qtbot)
    # Two steps teach nothing, and that is said.
    assert "less well than the mean of their neighbours" in panel.messages.notes.toPlainText()
    assert not panel.fold.isChecked()
    viewer.layers.clear()
    panel.train_button.click()
    assert "There is no image" in error(panel)
    assert panel.fold.isChecked()


@pytest.mark.parametrize("raised", [TrainingDivergedError("The loss grew."), RuntimeError("torch says no")])
def test_whatever_goes_wrong_later_is_said_too(open_panel, viewer, qtbot, cells, monkeypatch, raised) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(studio, "train_model", fail)
    viewer.add_image(cells(32, 32), name="cells")
    panel = open_panel()
    panel.train_button.click()
    finish(panel, qtbot)
    assert str(raised).rstrip(".") in error(panel)
    assert not panel.train_button.isHidden()


def test_closing_the_dock_keeps_a_checkpoint_from_which_the_training_goes_on(make_napari_viewer, qtbot, cells) -> None:
    window = make_napari_viewer()
    window.add_image(cells(96, 96), name="cells")
    panel = TrainPanel(window)
    dock = window.window.add_dock_widget(panel, name="Train")
    panel.setup.methods.choose("denoise/noise2void")
    panel.setup.form.set_values({**SMALL, "steps": 10_000})
    panel.train_button.click()
    qtbot.waitUntil(lambda: panel.preview.layer is not None and len(panel.curves._points) > 1, timeout=60_000)
    job = panel._job
    window.window.remove_dock_widget(dock)
    assert job.wait(200)
    finish(panel, qtbot)
    assert [layer.name for layer in window.layers] == ["cells"]
    (run,) = earlier_runs(library.folder() / "runs")
    assert not run.is_finished

    other = TrainPanel(window)
    window.window.add_dock_widget(other, name="Train")
    other.resume_button.refresh()
    entry, *_ = other.resume_button.list.actions()
    assert entry.text().startswith("cells-noise2void")
    entry.trigger()
    assert other.setup.trainable.info.id == "denoise/noise2void"
    assert other.setup.form.values()["width"] == 8
    assert [layer.name for layer in other.setup.source.layers.chosen] == ["cells"]
    assert other.train_button.text() == "Resume training"
    other.setup.form.set_values({"steps": 3})
    other.train_button.click()
    finish(other, qtbot)
    assert error(other) == ""
    assert [point.step for point in other.curves._points[:2]] == [1, 2]
    assert registry.is_taken("denoise/cells-noise2void")
    assert other.train_button.text() == "Train"
    panel.deleteLater()


def close_button(dock: Any) -> Any:
    return dock.findChild(QAbstractButton, "QTitleBarCloseButton")


def test_closing_the_dock_of_a_training_asks_first(make_napari_viewer, qtbot, cells, monkeypatch) -> None:
    answers = iter([Answer.GO_ON, Answer.CLOSE])
    asked: list[tuple[str, str]] = []

    def ask(_parent: Any, model: str, words: str) -> Answer:
        asked.append((model, words))
        return next(answers)

    monkeypatch.setattr(train_panel, "ask_before_closing", ask)
    window = make_napari_viewer(show=True)
    window.add_image(cells(96, 96), name="cells")
    panel = TrainPanel(window)
    dock = window.window.add_dock_widget(panel, name="Train")
    panel.setup.methods.choose("denoise/noise2void")
    panel.setup.form.set_values({**SMALL, "steps": 10_000})
    # napari makes another button when a dock floats, and when it lands.
    dock.setFloating(True)
    dock.setFloating(False)
    qtbot.wait(50)
    panel.train_button.click()
    begun(panel, qtbot)
    job = panel._job
    qtbot.mouseClick(close_button(dock), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(asked) == 1)
    qtbot.wait(50)
    assert panel.parent() is not None
    assert not job.is_cancelled
    assert "cells" in asked[0][0]
    assert "A checkpoint of now is written" in asked[0][1]
    qtbot.mouseClick(close_button(dock), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.parent() is None, timeout=10_000)
    assert job.wait(200)
    finish(panel, qtbot)
    (run,) = earlier_runs(library.folder() / "runs")
    assert not run.is_finished
    panel.deleteLater()


def test_closing_may_stop_with_the_best_and_asks_nothing_without_a_training(
    make_napari_viewer, qtbot, cells, monkeypatch
) -> None:
    monkeypatch.setattr(train_panel, "ask_before_closing", lambda *_: Answer.STOP)
    window = make_napari_viewer(show=True)
    window.add_image(cells(96, 96), name="cells")
    panel = TrainPanel(window)
    dock = window.window.add_dock_widget(panel, name="Train")
    panel.setup.methods.choose("denoise/noise2void")
    panel.setup.form.set_values({**SMALL, "steps": 10_000})
    qtbot.wait(50)
    panel.train_button.click()
    begun(panel, qtbot)
    qtbot.mouseClick(close_button(dock), Qt.MouseButton.LeftButton)
    finish(panel, qtbot)
    assert panel.parent() is not None
    assert registry.is_taken("denoise/cells-noise2void")
    monkeypatch.setattr(train_panel, "ask_before_closing", lambda *_: Answer.GO_ON)
    qtbot.mouseClick(close_button(dock), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.parent() is None, timeout=10_000)
    panel.deleteLater()


def test_closing_the_window_of_a_training_asks_and_closes_once_the_model_is_made(
    open_panel, viewer, qtbot, cells, monkeypatch
) -> None:
    answers = iter([Answer.GO_ON, Answer.STOP])
    asked: list[str] = []

    def ask(_parent: Any, _model: str, words: str, closed: str) -> Answer:
        asked.append(f"{closed}: {words}")
        return next(answers)

    monkeypatch.setattr(train_panel, "ask_before_closing", ask)
    viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel(steps=10_000)
    window = QMainWindow()
    dock = QDockWidget(window)
    dock.setWidget(panel)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    qtbot.wait(50)
    panel.train_button.click()
    begun(panel, qtbot)
    # As from a menu or by a key: the event loop runs.
    QTimer.singleShot(0, window.close)
    qtbot.waitUntil(lambda: len(asked) == 1)
    assert window.isVisible()
    assert not panel._job.is_cancelled
    assert asked[0].startswith("the window: It makes no model. A checkpoint of now is written")
    QTimer.singleShot(0, window.close)
    qtbot.waitUntil(lambda: len(asked) == 2)
    assert window.isVisible()
    finish(panel, qtbot)
    qtbot.waitUntil(lambda: not window.isVisible())
    assert registry.is_taken("denoise/cells-noise2void")
    window.show()
    panel.train_button.click()
    begun(panel, qtbot)
    # A script that closes the window is not asked: nobody may be there to answer.
    window.close()
    assert len(asked) == 2
    panel._job.leave()
    finish(panel, qtbot)
    panel.setParent(None)
    window.deleteLater()


def test_what_was_trained_last_is_set_again_and_put_back(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(32, 32), name="cells")
    panel = open_panel("denoise/noise2void", steps=2)
    panel.train_button.click()
    finish(panel, qtbot)
    other = TrainPanel(viewer)
    qtbot.addWidget(other)
    assert other.setup.trainable.info.id == "denoise/noise2void"
    assert [other.setup.form.values()[name] for name in ("width", "patch", "steps")] == [8, 32, 2]
    qtbot.mouseClick(other.setup.reset_button, Qt.MouseButton.LeftButton)
    usual = other.setup.trainable.params_type()
    assert other.setup.form.values()["width"] == usual.width
    assert other.setup.time.words == f"{usual.minutes:g} min"
    third = TrainPanel(viewer)
    qtbot.addWidget(third)
    assert third.setup.form.values()["steps"] is None
    # Settings of a version that knew others are left alone.
    other.setup.use("denoise/noise2void", {"width": -3})
    other.setup.use("denoise/gone", {})
    assert other.setup.form.values()["width"] == usual.width


def test_help_says_what_a_training_does(open_panel, viewer, qtbot, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(helping.napari_synth, "__file__", str(tmp_path / "napari_synth" / "__init__.py"))
    panel = open_panel("denoise/noise2void")
    panel.show()
    qtbot.mouseClick(panel.setup.help, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(helping.HelpDialog)
    assert panel.setup.trainable.info.summary in dialog.text.toPlainText()
    assert "Minutes" in dialog.text.toPlainText() or "Time" in dialog.text.toPlainText()
    dialog.reject()
    page = tmp_path / "build" / "docs" / "methods" / "train-denoise-noise2void.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html></html>", encoding="utf-8")
    assert helping.page_of(panel.setup.trainable) == page


def test_what_an_end_keeps_and_throws_away_is_said(qtbot) -> None:
    words = EndingWords()
    qtbot.addWidget(words)
    assert "nothing yet" in words.stop.text()
    assert "nothing is kept" in words.on_closing
    points = tuple(CurvePoint(step, 0.0, {"loss": 1.0}) for step in (1, 2))
    words.add(TrainingUpdate(points))
    assert "all 2 steps are thrown away" in words.cancel.text()
    best = Validated(30, 0.0, 1.0, {}, {}, True)
    worse = Validated(40, 0.0, 2.0, {}, {}, False)
    words.add(TrainingUpdate((CurvePoint(40, 0.0, {"loss": 1.0}),), (best, worse), saved=35))
    assert "the weights of step 30" in words.stop.text()
    assert "what came after them is thrown away" in words.stop.text()
    assert "Earlier… goes on from step 35" in words.cancel.text()
    assert "checkpoint" in words.on_closing


def test_the_question_names_all_ways_out_and_escape_goes_on(qtbot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    seen: list[list[str]] = []

    def escape() -> None:
        box = QApplication.activeModalWidget()
        seen.append([button.text() for button in box.buttons()])
        qtbot.keyClick(box, Qt.Key.Key_Escape)

    QTimer.singleShot(100, escape)
    assert ask_before_closing(parent, "Noise2Void · cells", "A checkpoint is written.") is Answer.GO_ON
    assert sorted(seen[0]) == sorted(answer.value for answer in Answer)


def test_every_phase_of_a_training_is_named_and_so_is_its_loss(open_panel, viewer, qtbot, cells, monkeypatch) -> None:
    phases: list[str] = []
    shown = train_panel.TrainPanel._on_progressed

    def listen(self: TrainPanel, progress: Progress) -> None:
        shown(self, progress)
        phases.append(self.progress.text.text())

    monkeypatch.setattr(train_panel.TrainPanel, "_on_progressed", listen)
    viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel()
    panel.train_button.click()
    finish(panel, qtbot)
    named = [phase for phase, _ in groupby(phase for phase in phases if phase.endswith("…"))]
    assert named == [
        "Loading torch…",
        "Reading the images…",
        "Measuring the noise…",
        "Training cells-noise2void…",
        "Measuring what needs no learning, to compare with…",
        "Measuring the network before it learns…",
        "Training cells-noise2void…",
        "Writing the model…",
    ]
    assert "lower is better" in panel.curves.meaning.text()
    assert "below 0" in panel.curves.meaning.text()
    assert not panel.curves.meaning.isHidden()


def test_a_run_of_a_layer_that_is_closed_asks_for_it(open_panel, viewer, qtbot, cells) -> None:
    source = viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel()
    panel.train_button.click()
    finish(panel, qtbot)
    viewer.layers.remove(source)
    (run,) = earlier_runs(library.folder() / "runs")
    panel.resume(run.folder)
    assert "Open 'cells' again" in panel.messages.notes.text()
    assert "at its end" in panel.resume_note.text.text()
    panel.resume_note.drop.click()
    assert panel.train_button.text() == "Train"
    panel.resume(run.folder / "nowhere")
    assert "no training in" in error(panel)


def test_the_same_training_can_be_copied(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(96, 96), name="cells")
    panel = open_panel()
    panel.train_button.click()
    finish(panel, qtbot)
    command, python = panel.result.copy.menu().actions()
    command.trigger()
    copied = QGuiApplication.clipboard().text()
    assert copied.startswith("napari-synth train denoise/noise2void SOURCE.tif ")
    assert "--steps 2" in copied
    assert "--width 8" in copied
    assert "--minutes" not in copied
    python.trigger()
    copied = QGuiApplication.clipboard().text()
    assert "napari_synth.train('denoise/noise2void', source, steps=2" in copied
    compile(copied, "copied", "exec")


def test_a_model_is_used_in_the_panel_of_its_task(make_napari_viewer, npe2pm, plugin_settings, qtbot, cells) -> None:
    npe2pm.register(PluginManifest.from_file(Path(napari_synth.__file__).parent / "napari.yaml"))
    window = make_napari_viewer()
    window.add_image(cells(96, 96), name="cells")
    _, panel = window.window.add_plugin_dock_widget("napari-synth", "Train")
    panel.setup.methods.choose("denoise/noise2void")
    panel.setup.form.set_values({**SMALL, "steps": 2})
    panel.train_button.click()
    finish(panel, qtbot)
    assert not panel.result.use.isHidden()
    panel.result.use.click()
    _, denoise = window.window.add_plugin_dock_widget("napari-synth", "Denoise")
    assert denoise.method.info.id == "denoise/cells-noise2void"


def test_a_model_of_a_known_architecture_is_exported(open_panel, viewer, qtbot, cells, tmp_path) -> None:
    viewer.add_image(cells(96, 96), name="noisy")
    viewer.add_image(cells(96, 96, noise=False), name="clean")
    panel = open_panel("denoise/supervised", initial_weights="bundled")
    panel.setup.source.layers.tick_only(viewer.layers["noisy"])
    panel.train_button.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert panel.result.export.isEnabled()
    panel.export(tmp_path / "model.zip")
    finish(panel, qtbot)
    assert error(panel) == ""
    assert (tmp_path / "model.zip").stat().st_size > 10_000


# What is learnt from


def test_the_sources_follow_the_active_layer_until_several_are_ticked(open_panel, viewer, cells) -> None:
    first, second = (viewer.add_image(cells(32, 32), name=name) for name in ("first", "second"))
    panel = open_panel()
    layers = panel.setup.source.layers
    viewer.layers.selection.active = first
    assert layers.chosen == (first,)
    layers.tick(second)
    assert layers.chosen == (first, second)
    third = viewer.add_image(cells(32, 32), name="third")
    viewer.layers.selection.active = third
    assert layers.chosen == (first, second)
    assert [image.name for image in panel.setup.request().source.images] == ["first", "second"]
    viewer.layers.remove(first)
    viewer.layers.remove(second)
    assert layers.chosen == (third,)


def test_images_are_learnt_from_labels_layers(open_panel, viewer, qtbot, cells) -> None:
    image = viewer.add_image(cells(64, 80), name="cells", scale=(0.5, 0.5))
    panel = open_panel("synthesize/labels-to-image")
    with pytest.raises(InvalidImageError, match="Labels layer"):
        panel.setup.request()
    labels = viewer.add_labels((cells(64, 80, noise=False) > 450).astype(np.uint8), name="drawn", scale=(0.5, 0.5))
    assert panel.setup.source.layers.layers == (labels,)
    assert (panel.setup.source.layers.chosen, panel.setup.target.layers.chosen) == ((labels,), (image,))
    assert panel.setup.pairs.text() == "drawn → cells"
    panel.train_button.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert "drawn-labels-to-image" in panel.result.title.text()
    preview = panel.preview.layer
    # It looks like the image, and lies where the labels do.
    assert preview.scale == pytest.approx(labels.scale)
    assert tuple(preview.contrast_limits) == tuple(image.contrast_limits)
    panel.setup.methods.choose("denoise/supervised")
    assert panel.setup.source.layers.layers == (image,)


def test_pairs_are_shown_and_what_does_not_fit_is_said(open_panel, viewer, cells) -> None:
    noisy = viewer.add_image(cells(32, 40), name="noisy")
    panel = open_panel("denoise/supervised")
    assert panel.setup.source.layers.chosen == (noisy,)
    clean = viewer.add_image(cells(32, 40), name="clean")
    assert (panel.setup.source.layers.chosen, panel.setup.target.layers.chosen) == ((noisy,), (clean,))
    assert panel.setup.pairs.text() == "noisy → clean"
    clean.translate = (0, 5)
    panel.setup._describe()
    assert "'clean' lies elsewhere" in panel.setup.pairs.text()
    panel.setup.request()
    clean.data = cells(32, 20)
    assert "Y 32 · X 40" in panel.setup.pairs.text()
    with pytest.raises(TrainingDataError, match="same field and size"):
        panel.setup.request()
    panel.setup.target.layers.tick_only(noisy)
    with pytest.raises(TrainingDataError, match="source and target"):
        panel.setup.request()
    panel.setup.target.layers.tick_only()
    panel.train_button.click()
    assert "No target is ticked" in error(panel)


def test_the_axes_hold_for_all_layers_like_the_first(open_panel, viewer, cells) -> None:
    stack, other = viewer.add_image(cells(3, 32, 32), name="a"), viewer.add_image(cells(3, 32, 32), name="b")
    plane = viewer.add_image(cells(32, 32), name="c")
    panel = open_panel()
    panel.setup.source.layers.tick_only(stack, other, plane)
    panel.setup.axes.setCurrentText("tyx")
    assert [image.axes for image in panel.setup.request().source.images] == ["TYX", "TYX", "YX"]
    assert "time 3" in panel.setup.described.text()
    panel.setup.axes.setCurrentText("TY")
    panel.train_button.click()
    assert error(panel)


def test_a_labels_layer_limits_what_is_learnt_from(open_panel, viewer, cells) -> None:
    viewer.add_image(cells(96, 80), name="cells")
    drawn = np.zeros((48, 40), np.uint8)
    drawn[:24] = 1
    region = viewer.add_labels(drawn, name="region", scale=(2, 2), translate=(0.5, 0.5))
    panel = open_panel()
    panel.setup.region.choose(region)
    (inside,) = panel.setup.request().source.regions()
    expected = np.zeros((96, 80), bool)
    expected[:48] = True
    assert np.array_equal(np.asarray(inside.data) != 0, expected)
    viewer.layers.remove(region)
    assert panel.setup.request().source.regions() == []


def test_files_are_learnt_from_in_place_of_layers(open_panel, viewer, tmp_path) -> None:
    panel = open_panel("denoise/supervised")
    panel.setup.place.setCurrentIndex(1)
    panel.train_button.click()
    assert "No file is named" in error(panel)
    panel.setup.source.files.text.setText(f"{tmp_path}/noisy; {tmp_path}/more/*.tif")
    panel.setup.target.files.text.setText(f"{tmp_path}/clean")
    panel.setup.axes.setCurrentText("zyx")
    request = panel.setup.request()
    assert request.source.given() == [f"{tmp_path}/noisy", f"{tmp_path}/more/*.tif"]
    assert request.target.given() == f"{tmp_path}/clean"
    assert request.source.file_axes == "ZYX"
    assert panel.setup.region.isHidden()


def test_files_are_learnt_from_within_their_regions_and_named_again(open_panel, viewer, qtbot, cells, tmp_path) -> None:
    import tifffile

    panel = open_panel()
    for name in ("in", "where"):
        (tmp_path / name).mkdir()
    for number in range(2):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", cells(96, 96, seed=number))
        inside = np.zeros((96, 96), np.uint8)
        inside[:80] = 1
        tifffile.imwrite(tmp_path / "where" / f"{number}.tif", inside)
    assert panel.setup.file_region.isHidden()
    panel.setup.place.setCurrentIndex(1)
    assert not panel.setup.file_region.isHidden()
    assert panel.setup.region.isHidden()
    panel.setup.source.files.text.setText(str(tmp_path / "in"))
    panel.setup.file_region.text.setText(str(tmp_path / "where"))
    assert panel.setup.request().source.regions() == [str(tmp_path / "where")]
    panel.train()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert panel.result.model.record.region.names == (str(tmp_path / "where"),)
    other = TrainPanel(viewer)
    qtbot.addWidget(other)
    assert other.setup.is_from_files
    assert other.setup.kept_files() == panel.setup.kept_files()
    panel.setup.file_region.text.setText(str(tmp_path / "where" / "none*.tif"))
    panel.train()
    finish(panel, qtbot)
    assert "none*.tif" in error(panel)


def test_a_training_from_files_is_listed_with_them(open_panel, viewer, qtbot, cells, tmp_path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "one.tif", cells(96, 96))
    panel = open_panel()
    panel.setup.place.setCurrentIndex(1)
    panel.setup.source.files.text.setText(str(tmp_path / "one.tif"))
    panel.train_button.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert "one.tif" in panel.fold.text()
    assert [kind_of(layer) for layer in viewer.layers] == ["preview"]
    other = open_panel()
    (run,) = earlier_runs(library.folder() / "runs")
    other.resume(run.folder)
    assert other.setup.is_from_files
    assert other.setup.source.files.files == (str(tmp_path / "one.tif"),)


def test_the_time_is_one_of_those_that_the_training_suggests_or_another(open_panel, viewer) -> None:
    panel = open_panel(steps=None)
    form, time_row = panel.setup.form, panel.setup.time
    assert list(time_row.buttons) == [2.0, 10.0, 0.0]
    time_row.buttons[2].click()
    assert form.values()["minutes"] == 2
    assert [made.isChecked() for made in time_row.buttons.values()] == [True, False, False]
    form.set_values({"minutes": 5.0})
    assert not any(made.isChecked() for made in time_row.buttons.values())
    assert panel.setup.in_brief().endswith("5 min")
    form.set_values({"steps": 100})
    assert panel.setup.in_brief().endswith("100 steps")
    time_row.buttons[0].click()
    assert (form.values()["minutes"], form.values()["steps"]) == (0, None)


def test_two_panels_do_not_know_each_other(open_panel, viewer, cells) -> None:
    first, second = (viewer.add_image(cells(32, 32), name=name) for name in "ab")
    one, other = open_panel(), open_panel("denoise/supervised")
    one.setup.source.layers.tick_only(first, second)
    other.setup.source.layers.tick_only(second)
    other.setup.name.setText("mine")
    assert one.setup.source.layers.chosen == (first, second)
    assert one.setup.name.text() == ""
    assert one.setup.trainable.info.id == "denoise/noise2void"


def test_patches_can_be_looked_at_before_training(open_panel, viewer, qtbot, cells) -> None:
    viewer.add_image(cells(96, 96), name="noisy")
    viewer.add_image(cells(96, 96, noise=False), name="clean")
    panel = open_panel("denoise/supervised", initial_weights="scratch", augmentation="geometry")
    panel.setup.source.layers.tick_only(viewer.layers["noisy"])
    panel.setup.examples.click()
    finish(panel, qtbot)
    assert error(panel) == ""
    assert viewer.layers["augmented patches"].data.shape == (136, 136)
    panel.setup.examples.click()
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["noisy", "clean", "augmented patches"]
    assert panel.setup.source.layers.layers == (viewer.layers["clean"], viewer.layers["noisy"])


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_control_has_a_tooltip_and_nothing_is_wider_than_the_panel(open_panel, viewer, theme) -> None:
    viewer.theme = theme
    panel = open_panel("denoise/supervised")
    controls = [
        widget
        for kind in (QAbstractButton, QComboBox, QLineEdit)
        for widget in panel.findChildren(kind)
        if not widget.objectName().startswith("qt_") and not isinstance(widget.parent(), QComboBox)
    ]
    assert len(controls) > 15
    assert [widget for widget in controls if not widget.toolTip() and not widget.parent().toolTip()] == []
    assert panel.findChild(QScrollArea).widget().minimumSizeHint().width() <= 300


# News


def test_news_come_a_few_times_a_second_and_none_is_lost() -> None:
    heard: list[Progress] = []
    control = TrainingControl()
    control.waited = 5.0
    teller = UpdateCollector(heard.append, control)
    for step in range(1, 201):
        teller.take_progress(Progress("Training", step, 400, 10.0, event=CurvePoint(step, 0.1, {"loss": 1.0})))
    found = Validated(200, 1.0, 0.5, {"PSNR": 30.0}, {}, True)
    teller.take_progress(Progress("Training", 200, 400, 10.0, event=found))
    teller.flush()
    bulletins = [progress.event for progress in heard if progress.event is not None]
    assert [point.step for bulletin in bulletins for point in bulletin.points] == list(range(1, 201))
    assert len(bulletins) == 2
    assert [each for bulletin in bulletins for each in bulletin.validations] == [found]
    assert heard[-1].elapsed == 5.0


def test_a_new_phase_is_told_at_once() -> None:
    heard: list[Progress] = []
    teller = UpdateCollector(heard.append, TrainingControl())
    for stage in ("Reading the images", "Measuring", "Measuring", "Training"):
        teller.take_progress(Progress(stage, 0, 0, 0.0))
    assert [progress.stage for progress in heard] == ["Reading the images", "Measuring", "Training"]
    teller.take_progress(Progress("Training", 0, 9, 0.0, event=LossMeaning("Lower is better.")))
    teller.take_progress(Progress("Training", 4, 9, 0.0, event=Saved(4)))
    teller.flush()
    assert heard[-1].event == TrainingUpdate(meaning="Lower is better.", saved=4)


def test_a_resumed_training_tells_what_came_before() -> None:
    heard: list[Progress] = []
    teller = UpdateCollector(heard.append, TrainingControl())
    before = (CurvePoint(1, 0.1, {"loss": 1.0}),)
    teller.take_progress(Progress("Training", 0, 0, 0.0, event=Resumed(before, ())))
    assert heard[-1].event == TrainingUpdate(before)
    assert not teller.has_begun


@pytest.fixture
def curves(qtbot: Any) -> CurveBox:
    box = CurveBox()
    qtbot.addWidget(box)
    return box


def test_losses_that_fall_far_are_shown_on_a_logarithmic_scale(curves) -> None:
    curves.add(TrainingUpdate(tuple(CurvePoint(step, 0.0, {"loss": 1000.0 / step**2}) for step in range(1, 60))))
    assert curves.logarithmic.isChecked()
    curves.logarithmic.click()
    curves.add(TrainingUpdate((CurvePoint(60, 0.0, {"loss": 0.2}),)))
    assert not curves.logarithmic.isChecked()
    curves.add(TrainingUpdate((CurvePoint(61, 0.0, {"loss": -1.0}),)))
    assert not curves.logarithmic.isEnabled()
    curves.clear()
    assert curves.isHidden()


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(-1.0, 0.5, ["0.1", "0.2", "0.5", "1", "2"]), (-3.2, 2.1, ["0.001", "0.01", "0.1", "1", "10", "100"])],
)
def test_logarithmic_marks_are_few(low: float, high: float, labels: list[str]) -> None:
    found = _decade_ticks(low, high)
    assert found is not None
    (marks,) = found
    assert [label for _, label in marks] == labels
    for place, label in marks:
        assert 10**place == pytest.approx(float(label))


def test_logarithmic_marks_of_little_and_of_much() -> None:
    assert _decade_ticks(-0.26, -0.02) is None
    found = _decade_ticks(-30.0, 5.0)
    assert found is not None
    assert 4 <= len(found[0]) <= 7


def test_the_plots_show_all_steps_from_the_first_on(curves) -> None:
    curves.add(TrainingUpdate((CurvePoint(1, 0.0, {"loss": 3.0}),)))
    ((first, last), (low, high)) = curves.losses._box.viewRange()
    assert first < 1 < last
    assert low < 3 < high
    spike = [CurvePoint(step, 0.0, {"loss": -50.0 if step < 3 else 2.0 + 0.01 * step}) for step in range(2, 40)]
    curves.add(TrainingUpdate(tuple(spike)))
    ((_, last), (low, _)) = curves.losses._box.viewRange()
    assert last >= 39
    assert low > -10


def test_several_losses_and_baselines_are_named(curves) -> None:
    losses = {"generator": 1.0, "discriminator": -0.5}
    baselines = {"the image as it is": {"PSNR (dB)": 20.0}}
    metrics = {"PSNR (dB)": 25.0, "SSIM": 0.9}
    curves.add(
        TrainingUpdate(
            (CurvePoint(1, 0.0, losses), CurvePoint(2, 0.0, losses)),
            (Validated(1, 0.0, 1.0, metrics, baselines, True), Validated(2, 0.0, 2.0, metrics, baselines, False)),
        )
    )
    words = curves.loss_words.text()
    assert "generator" in words
    assert "discriminator" in words
    assert "best" in curves.metric_words.text()
    assert "image&nbsp;as&nbsp;it&nbsp;is&nbsp;20" in curves.metric_words.text()
    assert [curves.which.itemText(index) for index in range(2)] == ["PSNR (dB)", "SSIM"]
    curves.which.setCurrentIndex(1)
    assert "0.9" in curves.metric_words.text()
    assert "20" not in curves.metric_words.text()
    dark = curves.loss_words.text()
    curves.set_theme("#000000", "#ffffff")
    assert curves.loss_words.text() != dark


# The preview


def test_a_preview_lies_where_it_was_taken_from() -> None:
    pixels = np.ones((4, 6), np.float32)
    shown = laid_out(Preview(pixels, "YX", {"Y": 10, "X": 20, "T": 2, "C": 1}), "TCYX")
    assert shown.pixels.shape == (1, 1, 4, 6)
    assert shown.start == (2, 1, 10, 20)


def test_samples_lie_beside_the_image_in_every_frame(open_panel, viewer, cells) -> None:
    source = viewer.add_image(cells(3, 40, 50), name="cells", scale=(1, 2, 3), translate=(0, 5, 7))
    follower = open_panel().preview
    follower.begin("samples", ((source, "TYX"),), source)
    follower.show(Preview(cells(20, 10), "YX"))
    assert follower.layer.ndim == 2
    assert follower.layer.scale.tolist() == [2, 3]
    assert follower.layer.translate.tolist() == [5, 7 + 1.05 * 50 * 3]


def test_colours_are_shown_as_such_and_channels_where_the_layer_has_them() -> None:
    colours = laid_out(Preview(np.full((4, 6, 3), 255.0, np.float32), "YXS", {"Y": 1, "X": 2}), "YX", 255.0)
    assert colours.rgb
    assert colours.pixels.max() == 1
    channels = laid_out(Preview(np.ones((4, 6, 3), np.float32), "YXS", {"Y": 1, "X": 2, "C": 1}), "CYX")
    assert not channels.rgb
    assert channels.pixels.shape == (3, 4, 6)
    assert channels.start == (0, 1, 2)


def test_previews_that_the_user_deleted_do_not_come_back(open_panel, viewer, cells) -> None:
    source = viewer.add_image(cells(32, 32), name="cells")
    panel = open_panel()
    panel.preview.begin("training", ((source, "YX"),), source)
    news = Progress(
        "Training", 1, 2, 1.0, event=TrainingUpdate(preview=Previewed(1, Preview(cells(8, 8), "YX", {"Y": 1, "X": 1})))
    )
    panel._on_progressed(news)
    first = panel.preview.layer
    panel._on_progressed(news)
    assert panel.preview.layer is first
    viewer.layers.remove(first)
    panel._on_progressed(news)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_examples_are_put_side_by_side() -> None:
    patches = np.ones((5, 2, 4, 6, 3), np.float32)
    assert side_by_side(patches, colours=True).shape == (2, 12, 24, 3)
    assert side_by_side(patches[..., 0], colours=False).shape == (2, 12, 24)
