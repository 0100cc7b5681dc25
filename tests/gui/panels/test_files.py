"""Run on files: the batch of the command line from a panel, with real clicks in a real window."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.progress import progress as napari_progress
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_synth.batches.manifest import Status, read_manifest
from napari_synth.cli import main
from napari_synth.contract.generator import Task
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.layers.marks import RESULT, kind_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.frames import PredictFramesPanel
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_SYNTH_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", rng.poisson(60, (64, 64)).astype(np.uint16))
    return tmp_path


@pytest.fixture
def window(make_napari_viewer: Any) -> Any:
    return make_napari_viewer(show=True)


def docked(window: Any, qtbot: Any, folder: Path, task: Task = Task.DENOISE, method: str = "median") -> RestorePanel:
    panel = RestorePanel(window, task)
    window.window.add_dock_widget(panel, name=task.value)
    panel.choose_method(f"{task}/{method}")
    click(qtbot, panel.files_box.fold)
    QTest.keyClicks(panel.files_box.images.text, str(folder / "in"))
    QTest.keyClicks(panel.files_box.folder, str(folder / "out"))
    return panel


def click(qtbot: Any, button: Any) -> None:
    qtbot.waitUntil(button.isEnabled)
    if hasattr(button, "arrowType"):
        button.click()
        return
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def finished(qtbot: Any, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)


def listed(panel: RestorePanel) -> list[str]:
    return [panel.files_box.list.item(row).text() for row in range(panel.files_box.list.count())]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


def test_a_folder_is_worked_through_as_by_the_command(window: Any, qtbot: Any, folder: Path) -> None:
    (folder / "in" / "bad.tif").write_bytes(b"II*\0")
    panel = docked(window, qtbot, folder)
    click(qtbot, panel.files_box.start)
    qtbot.waitUntil(lambda: panel._job is not None)
    assert panel.progress.isVisible()
    assert [bar.desc for bar in napari_progress._all_instances if "Denoising files" in str(bar.desc)]
    assert not panel.files_box.start.isEnabled()
    finished(qtbot, panel)
    assert not panel.progress.isVisible()
    assert [text.split(" · ")[0] for text in listed(panel)] == [*(f"✓ {n}.tif" for n in range(4)), "✗ bad.tif"]
    assert "4 of 5 images are done" in panel.messages.notes.toPlainText()
    assert "1 could not be done" in panel.messages.error.toPlainText()
    assert "bad.tif: " in panel.messages.error.toPlainText()
    _, records = read_manifest(folder / "out")
    assert [records[f"{n}.tif"].status for n in range(4)] == [Status.DONE] * 4
    assert main(["denoise", str(folder / "in"), str(folder / "cli"), "--generator", "median", "--device", "cpu"]) == 1
    assert hashes(folder / "out") == hashes(folder / "cli")
    # The command goes on in the folder of the panel, since the settings are the same.
    before = hashes(folder / "out")
    assert main(["denoise", str(folder / "in"), str(folder / "out"), "--generator", "median", "--device", "cpu"]) == 1
    assert hashes(folder / "out") == before


def test_a_result_is_opened_and_all_are_curated(window: Any, qtbot: Any, folder: Path) -> None:
    panel = docked(window, qtbot, folder)
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    panel.files_box.list.setCurrentRow(2)
    click(qtbot, panel.files_box.open)
    qtbot.waitUntil(lambda: len(window.layers) == 1)
    layer = window.layers[0]
    assert (layer.name, kind_of(layer)) == ("2", RESULT)
    np.testing.assert_array_equal(layer.data, tifffile.imread(folder / "out" / "2.tif"))
    assert Recipe.from_dict(layer.metadata["napari_synth"]["recipe"]).generator == "denoise/median"
    finished(qtbot, panel)
    click(qtbot, panel.files_box.curate)
    board = next(dock.inner_widget() for name, dock in window.window._wrapped_dock_widgets.items() if "Curate" in name)
    qtbot.waitUntil(lambda: board._opened is not None, timeout=20_000)
    assert [image.path.name for image in board._opened.images.images] == [f"{n}.tif" for n in range(4)]
    assert "verdict" in board._opened.images.columns
    board.stop()


def test_what_was_stopped_goes_on_another_day(window: Any, qtbot: Any, folder: Path) -> None:
    panel = docked(window, qtbot, folder)
    click(qtbot, panel.files_box.start)
    qtbot.waitUntil(lambda: panel.files_box.list.count() >= 1, timeout=20_000)
    click(qtbot, panel.progress.cancel)
    finished(qtbot, panel)
    assert "what is done stays done" in panel.messages.notes.toPlainText()
    before = hashes(folder / "out")
    assert 1 <= len(before) < 4
    assert f"{len(before)} image" in panel.files_box.state.text()
    # Another day: a new panel shows the settings and the files of the last run.
    again = RestorePanel(window, Task.DENOISE)
    window.window.add_dock_widget(again, name="again")
    assert again.method.info.id == "denoise/median"
    assert again.files_box.images.files == (str(folder / "in"),)
    click(qtbot, again.files_box.fold)
    click(qtbot, again.files_box.start)
    finished(qtbot, again)
    assert len(listed(again)) == 4 - len(before)
    assert f"4 of 4 images are done, {len(before)} of them by an earlier run" in again.messages.notes.toPlainText()
    after = hashes(folder / "out")
    assert {name: after[name] for name in before} == before
    assert len(after) == 4


def test_other_settings_need_another_folder_and_it_is_said(window: Any, qtbot: Any, folder: Path) -> None:
    panel = docked(window, qtbot, folder)
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    before = hashes(folder / "out")
    panel.form.set_values({"radius": 1})
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    assert "results of other settings" in panel.messages.error.toPlainText()
    assert hashes(folder / "out") == before
    panel.files_box.params.set_values({"overwrite": True})
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    assert panel.messages.error.toPlainText() == ""
    assert hashes(folder / "out") != before


def test_a_drawn_mask_fills_every_file_and_lies_beside_the_results(window: Any, qtbot: Any, folder: Path) -> None:
    image = tifffile.imread(folder / "in" / "0.tif")
    source = window.add_image(image, name="cell")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:24, 30:34] = 1
    window.add_labels(mask, name="scratch")
    window.layers.selection.active = source
    panel = docked(window, qtbot, folder, Task.INPAINT, "biharmonic")
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    assert panel.messages.error.toPlainText() == ""
    np.testing.assert_array_equal(tifffile.imread(folder / "out" / "mask.ome.tif"), mask)
    for number in range(4):
        made, given = (tifffile.imread(folder / part / f"{number}.tif") for part in ("out", "in"))
        np.testing.assert_array_equal(made[mask == 0], given[mask == 0])
        assert (made[mask == 1] != given[mask == 1]).any()


def test_nothing_that_says_what_to_fill_is_one_sentence(window: Any, qtbot: Any, folder: Path) -> None:
    panel = docked(window, qtbot, folder, Task.INPAINT, "biharmonic")
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    assert "name a folder of masks" in panel.messages.error.toPlainText()
    assert not (folder / "out").exists()


def test_a_reference_layer_holds_for_all_files(window: Any, qtbot: Any, folder: Path) -> None:
    rng = np.random.default_rng(1)
    for path in (folder / "in").iterdir():
        tifffile.imwrite(path, rng.poisson(np.linspace(20, 200, 64), (64, 64)).astype(np.uint16))
    reference = rng.poisson(np.linspace(300, 700, 48), (48, 48)).astype(np.uint16)
    source = window.add_image(tifffile.imread(folder / "in" / "0.tif"), name="cell")
    target = window.add_image(reference, name="bright")
    window.layers.selection.active = source
    panel = docked(window, qtbot, folder, Task.TRANSLATE, "quantile-matching")
    panel.reference_picker.choose(target)
    click(qtbot, panel.files_box.start)
    finished(qtbot, panel)
    assert panel.messages.error.toPlainText() == ""
    np.testing.assert_array_equal(tifffile.imread(folder / "out" / "reference.ome.tif"), reference)
    means = [tifffile.imread(folder / "out" / f"{n}.tif").mean() for n in range(4)]
    assert means == pytest.approx([500] * 4, rel=0.1)


def test_frames_are_predicted_of_movies_in_files(window: Any, qtbot: Any, folder: Path) -> None:
    for path in (folder / "in").iterdir():
        frames = np.random.default_rng(0).poisson(60, (4, 32, 32)).astype(np.uint16)
        tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    panel = PredictFramesPanel(window)
    window.window.add_dock_widget(panel, name="frames")
    panel.choose_method("predict-frames/copy-last")
    panel.files_box.images.text.setText(str(folder / "in" / "[01].tif"))
    panel.files_box.folder.setText(str(folder / "out"))
    panel.run_on_files()
    finished(qtbot, panel)
    assert panel.messages.error.toPlainText() == ""
    assert sorted(path.name for path in (folder / "out").glob("*.tif")) == ["0.tif", "1.tif"]
    assert tifffile.imread(folder / "out" / "0.tif").shape[0] > 4


@pytest.mark.slow
def test_two_processes_do_what_one_does(window: Any, qtbot: Any, folder: Path) -> None:
    panel = docked(window, qtbot, folder)
    panel.files_box.params.set_values({"workers": 2})
    click(qtbot, panel.files_box.start)
    qtbot.waitUntil(lambda: panel._job is None, timeout=300_000)
    assert panel.messages.error.toPlainText() == ""
    assert len(listed(panel)) == 4
    assert len(hashes(folder / "out")) == 4
    assert main(["denoise", str(folder / "in"), str(folder / "cli"), "--generator", "median", "--device", "cpu"]) == 0
    assert hashes(folder / "out") == hashes(folder / "cli")
