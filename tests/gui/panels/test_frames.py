"""The panel that invents frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from benchmark.movies import moving_blobs
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.layers.marks import METADATA_KEY
from napari_synth.gui.panels import base
from napari_synth.gui.panels.frames import PredictFramesPanel
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets.frames_choice import BETWEEN, MISSING, FramesChoice


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer: ViewerModel, qtbot: Any) -> PredictFramesPanel:
    made = PredictFramesPanel(viewer)
    qtbot.addWidget(made)
    return made


def finish(qtbot: Any, panel: PredictFramesPanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)


def test_next_frames_are_a_new_layer_in_place_and_marked(panel: PredictFramesPanel, viewer: ViewerModel, qtbot) -> None:
    movie = moving_blobs(5, 40)
    source = viewer.add_image(movie, name="cells", scale=(2, 0.5, 0.5), translate=(4, 0, 1), units=("s", "um", "um"))
    assert panel.source.roles == "TYX"
    panel.frames.count.setValue(3)
    panel.run()
    finish(qtbot, panel)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    _, result, rim = viewer.layers
    assert result.name == "cells predicted (synthetic)"
    assert result.data.shape == (8, 40, 40)
    np.testing.assert_array_equal(result.data[:5], movie)
    np.testing.assert_array_equal(source.data, movie)
    assert result.scale.tolist() == [2, 0.5, 0.5]
    assert result.translate.tolist() == [4, 0, 1]
    assert result.units == source.units
    meta = result.metadata[METADATA_KEY]
    assert meta["synthetic"]
    assert meta["invented"] == [5, 6, 7]
    assert Recipe(**meta["recipe"]).frames.count == 3  # type: ignore[union-attr]
    marked = np.asarray(rim.data).reshape(8, -1).any(axis=1)
    assert marked.tolist() == [False] * 5 + [True] * 3
    assert not np.asarray(rim.data)[7, 20, 20]
    assert viewer.dims.current_step[0] == 5


def test_frames_between_divide_the_scale(panel: PredictFramesPanel, viewer: ViewerModel, qtbot) -> None:
    viewer.add_image(moving_blobs(4, 24), scale=(3, 1, 1), translate=(6, 0, 0))
    panel.frames.what.setCurrentIndex(BETWEEN)
    panel.frames.between.setValue(2)
    panel.run()
    finish(qtbot, panel)
    result = viewer.layers[1]
    assert result.data.shape == (10, 24, 24)
    assert result.scale.tolist() == [1, 1, 1], panel.messages.error.text()
    assert result.translate.tolist() == [6, 0, 0]


def test_missing_frames_of_a_movie_with_channels_are_found(
    panel: PredictFramesPanel, viewer: ViewerModel, qtbot
) -> None:
    movie = np.stack([moving_blobs(5, 24), moving_blobs(5, 24, seed=1)], axis=1)
    movie[2] = 0
    viewer.add_image(movie, axis_labels=("t", "c", "y", "x"))
    panel.frames.what.setCurrentIndex(MISSING)
    panel.run()
    finish(qtbot, panel)
    _, result, rim = viewer.layers
    assert result.data[2].any()
    assert np.flatnonzero(np.asarray(rim.data).any(axis=(1, 2, 3))).tolist() == [2]
    panel.result.uncertainty.click()
    finish(qtbot, panel)
    assert viewer.layers[2].name.endswith("relative uncertainty")
    assert panel.messages.error.isHidden(), panel.messages.error.text()


def test_what_is_wrong_is_said(panel: PredictFramesPanel, viewer: ViewerModel, qtbot) -> None:
    viewer.add_image(moving_blobs(4, 24), axis_labels=("z", "y", "x"))
    assert panel.source.roles == "ZYX"
    panel.run()
    assert "need a T axis" in panel.messages.error.text()
    panel.source.axes.setCurrentText("TYX")
    panel.frames.what.setCurrentIndex(MISSING)
    panel.frames.missing.setText("2, x")
    panel.run()
    assert "'x' names no frame" in panel.messages.error.text()
    panel.frames.missing.setText("2, 7-9")
    panel.run()
    finish(qtbot, panel)
    assert "Frame 7 cannot be filled" in panel.messages.error.text()
    assert len(viewer.layers) == 1


def test_a_run_can_be_cancelled(panel: PredictFramesPanel, viewer: ViewerModel, qtbot) -> None:
    viewer.add_image(moving_blobs(40, 48))
    panel.frames.what.setCurrentIndex(BETWEEN)
    panel.run()
    panel.cancel()
    finish(qtbot, panel)
    assert len(viewer.layers) == 1


@pytest.mark.parametrize(("text", "frames"), [("", "auto"), ("3", (3,)), (" 1, 4-6 ,9", (1, 4, 5, 6, 9))])
def test_numbers_and_ranges_name_frames(qtbot, text: str, frames: Any) -> None:
    choice = FramesChoice()
    qtbot.addWidget(choice)
    choice.what.setCurrentIndex(MISSING)
    choice.missing.setText(text)
    assert choice.request().fill == frames
