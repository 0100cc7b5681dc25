"""The panel Correct: a result beside its source, and tiles that are never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import CorrectPanel
from napari_synth.gui.settings import RunSettings


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, qtbot) -> CorrectPanel:
    made = CorrectPanel(viewer)
    qtbot.addWidget(made)
    return made


def test_a_background_goes_into_a_layer_beside(panel, viewer, qtbot) -> None:
    slope = 100 + np.linspace(0, 200, 64)[None] + np.zeros((64, 1))
    viewer.add_image(slope.astype(np.float32), name="slope")
    assert panel.method.info.id == "correct/background"
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    assert [layer.name for layer in viewer.layers] == ["slope", "slope corrected"]
    assert np.ptp(np.asarray(viewer.layers[1].data)[:, 30:34]) < np.ptp(slope[:, 30:34])
    assert viewer.layers[1].metadata["napari_synth"]


def test_tiles_are_offered_and_never_guessed(panel, viewer) -> None:
    viewer.add_image(np.ones((8, 8), np.float32))
    viewer.add_image(np.ones((8, 8), np.float32))
    panel.methods.choose("correct/flat-field")
    assert not panel.reference_picker.choice.isHidden()
    assert panel.reference_picker.layer is None
    panel.methods.choose("correct/stripes")
    assert panel.reference_picker.choice.isHidden()


def test_the_light_that_was_learnt_is_in_hidden_layers(panel, viewer, qtbot) -> None:
    light = 1.5 - 0.5 * np.linspace(-1, 1, 40)[None] ** 2 * np.ones((32, 1))
    tiles = np.stack([(30 + 5 * i) * light for i in range(6)])
    viewer.add_image(np.random.default_rng(0).poisson(tiles).astype(np.float32), name="tiles", scale=(1, 0.5, 0.5))
    panel.methods.choose("correct/flat-field")
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    shading, dark = viewer.layers["tiles shading"], viewer.layers["tiles dark field"]
    assert not shading.visible
    assert not dark.visible
    assert np.corrcoef(np.ravel(shading.data), light.ravel())[0, 1] > 0.95
    assert np.mean(shading.data) == pytest.approx(1, abs=0.01)
    assert tuple(shading.scale) == (0.5, 0.5)
    assert panel.source.layer is viewer.layers["tiles"]


def test_the_curve_of_bleaching_is_drawn_and_saved(panel, viewer, qtbot, monkeypatch, tmp_path) -> None:
    fading = np.exp(-np.arange(9) / 6)
    movie = np.random.default_rng(0).poisson(400 * fading[:, None, None] * np.ones((32, 32))).astype(np.uint16)
    viewer.add_image(movie, name="movie", axis_labels=("t", "y", "x"))
    assert panel.curves_box.isHidden()
    panel.methods.choose("correct/bleaching")
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    assert not panel.curves_box.isHidden()
    assert "multiplied" in panel.curves_box.words.text()
    table = tmp_path / "curve.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(table), ""))
    panel.curves_box.save.click()
    gains = [float(line.split(",")[1]) for line in table.read_text().splitlines()[1:]]
    assert gains[-1] == pytest.approx(1 / fading[-1], rel=0.1)
    panel.methods.choose("correct/background")
    viewer.layers.remove("movie corrected")
    assert panel.curves_box.isHidden()
