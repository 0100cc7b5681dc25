"""The board in a real window: keys decide, nothing is lost, and what was accepted goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_synth.augmentation.pipeline import Pipeline
from napari_synth.batches.manifest import JobRecord, Manifest, Status
from napari_synth.core.progress import CancelToken
from napari_synth.curation import Journal, Verdict
from napari_synth.curation.images import MEASURED
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.layers.augmentation_layers import SampleLayers
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.panels.curate import CuratePanel
from napari_synth.gui.widgets.dataset_box import DatasetBox
from napari_synth.samples import copy_curation

Key = Qt.Key


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def images_in(folder: Path, count: int, level: int = 100) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"cell_{number:03d}.tif" for number in range(count)]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((16, 16), level + number, np.uint16))
    return paths


def table_of(folder: Path, paths: list[Path]) -> Path:
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "focus", "outlier", "error"])
        writer.writerows([path.relative_to(folder), n / len(paths), n % 7, ""] for n, path in enumerate(paths))
    return folder / "table.csv"


@pytest.fixture
def board(make_napari_viewer: Any, qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    panel = CuratePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Curate")
    yield panel
    panel.stop()


def opened(panel: CuratePanel, qtbot: Any, *sources: Path) -> CuratePanel:
    panel.open(*map(str, sources))
    qtbot.waitUntil(lambda: panel._job is None and panel._opened is not None)
    panel.viewer.window._qt_window.activateWindow()
    qtbot.waitUntil(lambda: panel.views.has_focus)
    return panel


def press(panel: CuratePanel, *keys: Any) -> None:
    for key in keys:
        QTest.keyClick(QApplication.focusWidget(), key)


def shown(panel: CuratePanel, qtbot: Any, value: int) -> None:
    qtbot.waitUntil(lambda: panel.layers.layer is not None and int(panel.layers.layer.data[0, 0]) == value)


def test_keys_go_through_two_hundred_images(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    paths = images_in(tmp_path / "in", 200)
    opened(board, qtbot, tmp_path / "in")
    shown(board, qtbot, 100)
    layer = board.layers.layer
    assert layer is not None
    layer.contrast_limits = (50, 400)
    slowest = 0.0
    for number in range(200):
        begin = time.perf_counter()
        shown(board, qtbot, 100 + number)
        slowest = max(slowest, time.perf_counter() - begin)
        press(board, getattr(Key, f"Key_{number % 5 + 1}"))
        press(board, (Key.Key_A, Key.Key_R, Key.Key_F)[number % 3])
    # One layer is used again, with the contrast that was set; reading ahead keeps the wait short even on a busy machine.
    assert board.viewer.layers == [layer]
    assert tuple(layer.contrast_limits) == (50, 400)
    assert slowest < 5
    journal = Journal(tmp_path / "in" / "decisions.jsonl")
    found = {one.image: (one.verdict, one.grade) for one in journal.last()}
    wanted = [Verdict.ACCEPT, Verdict.REJECT, Verdict.FLAG]
    assert found == {path.name: (wanted[n % 3], n % 5 + 1) for n, path in enumerate(paths)}
    assert board.filters.chips["accepted"].text() == "✓ 67"
    assert board.export_box.button.text() == "Export 67 accepted…"


def test_other_keys(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    images_in(tmp_path / "in", 4)
    opened(board, qtbot, tmp_path / "in")
    press(board, Key.Key_A, Key.Key_R)
    assert board.views.row == 2
    press(board, Key.Key_U)
    journal = board._opened.journal
    assert board.views.row == 1
    assert journal.of("cell_001.tif") is None
    press(board, Key.Key_P)
    assert board.views.row == 0
    press(board, Key.Key_C)
    assert board.comment.hasFocus()
    # Letters are letters now.
    QTest.keyClicks(board.comment, "rather far out")
    assert journal.of("cell_000.tif").verdict == "accept"
    press(board, Key.Key_Return)
    assert journal.of("cell_000.tif").comment == "rather far out"
    assert board.views.has_focus
    press(board, Key.Key_N, Key.Key_Right, Key.Key_Space, Key.Key_Space)
    assert board.views.row == 3
    # Without the focus nothing is decided, and with Ctrl neither.
    QTest.keyClick(board.views.table, Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    board.files.text.setFocus()
    QTest.keyClick(board.files.text, Key.Key_R)
    assert journal.of("cell_003.tif") is None
    board.views.take_focus()
    QTest.keyClick(board.views.table, Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert journal.of("cell_000.tif").comment == ""
    board.as_grid.click()
    assert board.views.currentWidget() is board.views.grid
    press(board, Key.Key_F)
    assert journal.of("cell_000.tif").verdict == "flag"


def test_keys_do_not_reach_the_window(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    images_in(tmp_path / "in", 2)
    opened(board, qtbot, tmp_path / "in")
    heard: list[str] = []
    board.viewer.bind_key("R", lambda _: heard.append("viewer"))
    from qtpy.QtGui import QKeySequence
    from qtpy.QtWidgets import QShortcut

    shortcut = QShortcut(QKeySequence("R"), board.viewer.window._qt_window)
    shortcut.activated.connect(lambda: heard.append("window"))
    press(board, Key.Key_R)
    assert heard == []
    assert board._opened.journal.of("cell_000.tif").verdict == "reject"
    shortcut.setParent(None)


def test_filters_and_order(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    paths = images_in(tmp_path / "in", 20)
    opened(board, qtbot, table_of(tmp_path, paths))
    model = board.views.model
    assert model.columns == ("image", "decision", "grade", "comment", "look", "focus", "outlier")
    board.filters.limit("focus", 0.5, 0.7)
    assert [image.name for image in model.shown] == [f"cell_{n:03d}.tif" for n in range(10, 15)]
    assert "0.5 ≤ focus ≤ 0.7" in board.filters.range.toolTip()
    board.rank()
    assert [model.number(image, "outlier") for image in model.shown] == [6, 5, 4, 3, 0]
    board.filters.words.setText("_012")
    assert [image.name for image in model.shown] == ["cell_012.tif"]
    press(board, Key.Key_R)
    board.filters.show_all()
    assert model.rowCount() == 20
    board.filters.chips["rejected"].click()
    assert [image.name for image in model.shown] == ["cell_012.tif"]
    board.filters.chips["rejected"].click()
    board.views.table.sortByColumn(model.columns.index("focus"), Qt.SortOrder.DescendingOrder)
    assert model.shown[0].name == "cell_019.tif"
    board.views.table.sortByColumn(model.columns.index("decision"), Qt.SortOrder.AscendingOrder)
    assert model.shown[0].name == "cell_012.tif"
    # The histogram itself is dragged: its line is moved as a mouse does.
    board.filters.column.setCurrentText("focus")
    board.filters.histogram.region.setRegion((0.0, 0.21))
    assert model.rowCount() == 5


def test_blind_grading_shows_neither_names_nor_order(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    paths = images_in(tmp_path / "in", 30)
    opened(board, qtbot, table_of(tmp_path, paths))
    board.blind.click()
    model = board.views.model
    assert model.columns == ("image", "decision", "grade", "comment")
    names = [image.name for image in model.shown]
    assert sorted(names) == sorted(path.name for path in paths) != names
    words = [model.data(model.index(row, 0)) for row in range(30)]
    assert words == [f"image {row + 1}" for row in range(30)]
    shown(board, qtbot, 100 + int(names[0][5:8]))
    assert board.layers.layer.name == "image 1"
    assert "cell" not in board.name.toolTip()
    press(board, Key.Key_4)
    assert board._opened.journal.of(names[0]).blind
    board.blind.click()
    assert [image.name for image in model.shown] == [path.name for path in paths]


def results_of(folder: Path, sources: list[Path], name: str, level: int) -> Path:
    made = folder / name
    paths = images_in(made, len(sources), level)
    manifest = Manifest(made)
    for source, path in zip(sources, paths, strict=True):
        record = JobRecord(manifest.name_of(source), path.name, Status.DONE, chi2=1.0, verdict="honest")
        manifest.append(record)
    return made


def test_before_is_shown_while_the_key_is_held_and_pairs_side_by_side(
    board: CuratePanel, qtbot: Any, tmp_path: Path
) -> None:
    sources = images_in(tmp_path / "in", 3)
    first, second = (results_of(tmp_path, sources, f"out{n}", 1000 * n) for n in (1, 2))
    opened(board, qtbot, first, second)
    assert board.views.model.rowCount() == 6
    shown(board, qtbot, 1000)
    QTest.keyPress(board.views.table, Key.Key_B)
    shown(board, qtbot, 100)
    assert board.layers.layer.name.endswith("before")
    QTest.keyRelease(board.views.table, Key.Key_B)
    shown(board, qtbot, 1000)
    board.pairs.click()
    qtbot.waitUntil(lambda: len(board.viewer.layers) == 2)
    assert grid_of(board.viewer).enabled
    assert sorted(int(layer.data[0, 0]) for layer in board.viewer.layers) == [1000, 2000]
    press(board, Key.Key_K)
    better = board._opened.journal.of("out2/cell_000.tif")
    assert (better.verdict, better.better_than) == ("accept", "out1/cell_000.tif")
    assert board.views.row == 1
    board.pairs.click()
    assert len(board.viewer.layers) == 1
    assert not grid_of(board.viewer).enabled


def test_a_broken_file_is_told_and_passed(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    paths = images_in(tmp_path / "in", 3)
    paths[0].write_bytes(b"II*\0nothing")
    opened(board, qtbot, tmp_path / "in")
    qtbot.waitUntil(lambda: "cell_000.tif" in board.messages.error.text())
    press(board, Key.Key_R)
    shown(board, qtbot, 101)
    assert board.messages.error.text() == ""


def test_pictures_are_made_in_the_background_and_kept(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    images_in(tmp_path / "in", 5)
    opened(board, qtbot, tmp_path / "in")
    model = board.views.model
    role = Qt.ItemDataRole.DecorationRole
    qtbot.waitUntil(lambda: all(model.data(model.index(row, 0), role) is not None for row in range(5)))
    assert len(list(board.thumbnails.folder.rglob("*.npy"))) == 5


def test_another_persons_journal_is_merged(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    images_in(tmp_path / "in", 3)
    other = Journal(tmp_path / "bert.jsonl", by="bert")
    for name, verdict in (("cell_000.tif", "accept"), ("cell_001.tif", "reject"), ("cell_002.tif", "accept")):
        other.decide(name, verdict=verdict)
    opened(board, qtbot, tmp_path / "in")
    board.decide_as("anna")
    press(board, Key.Key_A, Key.Key_R, Key.Key_R)
    board.merge(other.path)
    assert "3 decisions taken over" in board.messages.notes.text()
    assert "kappa is 0.40" in board.messages.notes.text()
    assert board.filters.chips["disputed"].text() == "≠ 1"
    assert board.export_box.button.text() == "Export 1 accepted…"


def test_what_was_accepted_is_exported_and_trained_on(
    board: CuratePanel, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = images_in(tmp_path / "in", 10)
    opened(board, qtbot, tmp_path / "in")
    board.train()
    assert "No image is accepted" in board.messages.error.text()
    press(board, *[Key.Key_A] * 10)
    assert board._accepted_files() == tuple(map(str, paths))
    board.export_box.form.set_values({"split": True, "validation": 0.2, "test": 0.0})
    board.export(tmp_path / "set")
    qtbot.waitUntil(lambda: board._exported is not None and board._job is None)
    assert board._exported.parts == {"train": 8, "validation": 2}
    assert "10 images (8 for train, 2 for validation)" in board.messages.notes.text()
    assert board._accepted_files() == (str(tmp_path / "set" / "train"),)
    assert (tmp_path / "set" / "ro-crate-metadata.json").is_file()
    board.export(tmp_path / "set")
    qtbot.waitUntil(lambda: board._job is None)
    assert "exists already" in board.messages.error.text()


def test_what_cannot_be_read_has_a_picture_that_says_so(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    paths = images_in(tmp_path / "in", 2)
    paths[1].write_bytes(b"II*")
    opened(board, qtbot, tmp_path / "in")
    board.measure()
    qtbot.waitUntil(lambda: board._job is None and len(board._opened.images.columns) > 3, timeout=60_000)
    assert "1 cannot be read: it comes first when you rank." in board.messages.notes.toPlainText()
    model = board.views.model
    row = model.row_of(paths[1].name)
    icon = model.data(model.index(row, 0), Qt.ItemDataRole.DecorationRole)
    shown = icon.pixmap(64, 64).toImage()
    assert shown.pixelColor(32, 32).red() > shown.pixelColor(5, 32).red() + 50


def test_measures_and_a_recipe_come_back_to_the_board(board: CuratePanel, qtbot: Any, tmp_path: Path) -> None:
    folder = copy_curation(tmp_path / "plate")
    opened(board, qtbot, folder)
    board.measure()
    qtbot.waitUntil(lambda: "focus" in board.views.model.columns and board._job is None)
    board.rank()
    shown_first = [image.name[:3] for image in board.views.model.shown[:3]]
    assert shown_first[0] == "D04"
    assert set(shown_first) <= {"D04", "C01", "C02"}
    of = {image.name[:3]: image.values for image in board._opened.images.images}
    assert (of["D01"]["duplicate"], of["D01"]["duplicate_of"]) == ("exact", "A01_good.ome.tif")
    assert of["D02"]["duplicate"] == "near"
    assert (tmp_path / "plate" / MEASURED).is_file()
    board.views.show_sorted(None, descending=False)
    board.views.go_to(0)
    press(board, Key.Key_A, Key.Key_A)
    recipe = tmp_path / "median.yaml"
    recipe.write_text(Recipe(generator="denoise/median", device="cpu").to_yaml())
    board.run_on_accepted(recipe, tmp_path / "out")
    qtbot.waitUntil(lambda: board._opened.images.folder == tmp_path / "out" and board._job is None)
    assert [image.name for image in board.views.model.shown] == ["A01_good.ome.tif", "A02_good.ome.tif"]
    assert board.views.model.images.images[0].before == folder / "A01_good.ome.tif"
    assert "verdict" in board.views.model.images.columns


def test_a_data_set_is_made_of_accepted_files(qtbot: Any, tmp_path: Path) -> None:
    box = DatasetBox()
    qtbot.addWidget(box)
    box.show_files(images_in(tmp_path / "in", 4))
    assert box.from_files.text() == "✗ Of 4 accepted images"
    box.form.set_values({"count": 3, "crop": 8, "validation": 0.25})
    layers = SampleLayers.__new__(SampleLayers)
    written = box.work(layers, Pipeline(transforms=()), 0, tmp_path)(lambda _: None, CancelToken())
    made = list((tmp_path / "accepted augmented").rglob("*.tif"))
    assert written is not None
    assert len([path for path in made if "train" in path.as_posix()]) == 3
    box.show_files(())
    assert box.from_files.isHidden()


def test_open_layers_are_curated_those_of_no_file_too(
    board: CuratePanel, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    board.open_layers()
    assert "There is no image layer" in board.messages.error.text()
    drawn = np.random.default_rng(0).poisson(100, (8, 8)).astype(np.uint16)
    for _ in range(2):
        board.viewer.add_image(drawn, name="a/b")
    paths = images_in(tmp_path / "in", 2)
    board.viewer.open(paths, plugin="napari")
    board.open_layers()
    qtbot.waitUntil(lambda: board._opened is not None)
    opened = [image.path for image in board._opened.images.images]
    assert opened[:2] == paths
    assert len(opened) == 4
    assert opened[2].parent.parent == tmp_path / "data" / "curation layers"
    assert len({path.name for path in opened[2:]}) == 2
    for path in opened[2:]:
        np.testing.assert_array_equal(tifffile.imread(path), drawn)


GRADER = """
import sys
from pathlib import Path
import napari
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from napari_synth.gui.panels.curate import CuratePanel

viewer = napari.Viewer()
panel = CuratePanel(viewer)
viewer.window.add_dock_widget(panel)
panel.open(sys.argv[1])

def go_on():
    if panel._opened is None:
        return
    name = panel.views.current.name
    QTest.keyClick(panel.views.table, Qt.Key.Key_3)
    QTest.keyClick(panel.views.table, Qt.Key.Key_A)
    print(name, flush=True)

timer = QTimer()
timer.timeout.connect(go_on)
timer.start(5)
napari.run()
"""


def test_a_killed_napari_loses_no_decision(display: None, tmp_path: Path) -> None:
    images_in(tmp_path / "in", 60)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-W", "ignore", "-c", GRADER, str(tmp_path / "in")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    assert said == [f"cell_{number:03d}.tif" for number in range(25)]
    journal = tmp_path / "in" / "decisions.jsonl"
    assert all(json.loads(line) for line in journal.read_text().splitlines()[:50])
    known = {one.image: (one.verdict, one.grade) for one in Journal(journal).last()}
    assert known.items() >= dict.fromkeys(said, (Verdict.ACCEPT, 3)).items()
