"""The panel Correct: a result beside its source, and tiles that are never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

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
