"""What cannot be done says so before the click, and one click is the next step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_synth.gui.commands import AugmentPanel, DenoisePanel, InpaintPanel, PredictFramesPanel
from napari_synth.gui.panels import base
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets.hint import Hint


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def press(qtbot: Any, button: QWidget) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def opened(qtbot: Any, kind: Any, viewer: ViewerModel) -> Any:
    panel = kind(viewer)
    qtbot.addWidget(panel)
    return panel


def said(hint: Hint) -> str:
    return "" if hint.isHidden() else hint.words.text()


@pytest.mark.parametrize("kind", [DenoisePanel, AugmentPanel])
def test_a_preview_of_a_volume_shows_the_plane_after_one_click(viewer, qtbot, kind) -> None:
    viewer.add_image(np.random.default_rng(0).poisson(50, (4, 40, 48)).astype(np.uint16), name="cells")
    panel = opened(qtbot, kind, viewer)
    button = panel.preview_button if kind is DenoisePanel else panel.actions_box.preview
    tooltip = button.toolTip()
    press(qtbot, button)
    assert button.isChecked()
    viewer.dims.ndisplay = 3
    assert not button.isEnabled()
    assert not button.isChecked()
    assert said(panel.preview_hint) == button.toolTip() == "The preview shows a plane, and the viewer shows a volume."
    press(qtbot, panel.preview_hint.button)
    assert viewer.dims.ndisplay == 2
    assert said(panel.preview_hint) == ""
    assert button.isEnabled()
    assert button.toolTip() == tooltip


def test_frames_of_a_still_image_cannot_be_predicted_until_it_is_a_movie(viewer, qtbot) -> None:
    viewer.add_image(np.zeros((40, 48), np.uint16), name="still")
    panel = opened(qtbot, PredictFramesPanel, viewer)
    assert not panel.run_button.isEnabled()
    assert "no time axis" in said(panel.time_hint)
    assert panel.time_hint.button.isHidden()
    viewer.add_image(np.zeros((5, 40, 48), np.uint16), name="stack", axis_labels=("z", "y", "x"))
    viewer.layers.selection.active = viewer.layers["stack"]
    assert not panel.run_button.isEnabled()
    press(qtbot, panel.time_hint.button)
    assert panel.source.roles == "TYX"
    assert panel.run_button.isEnabled()
    assert said(panel.time_hint) == ""


def test_a_mask_that_was_hidden_by_the_run_is_shown_again_by_one_click(viewer, qtbot) -> None:
    pixels = np.add.outer(np.arange(40.0), np.arange(48.0)).astype(np.float32)
    viewer.add_image(pixels, name="cells")
    marked = np.zeros((40, 48), np.uint8)
    marked[10:14, 20:24] = 1
    mask = viewer.add_labels(marked, name="mask")
    panel = opened(qtbot, InpaintPanel, viewer)
    panel.choose_method("inpaint/biharmonic")
    press(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert viewer.layers[1].name.startswith("cells inpainted"), panel.messages.error.text()
    assert not mask.visible
    assert "The mask is hidden" in said(panel.mask_picker.hidden)
    press(qtbot, panel.mask_picker.hidden.button)
    assert mask.visible
    assert said(panel.mask_picker.hidden) == ""
