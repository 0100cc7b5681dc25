from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from skimage import data

from napari_synth.contract.generator import Task
from napari_synth.gui.layers.marks import METADATA_KEY
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, qtbot) -> RestorePanel:
    made = RestorePanel(viewer, Task.TRANSLATE)
    qtbot.addWidget(made)
    return made


def gray(seed: int = 0, low: int = 0, high: int = 4000) -> np.ndarray:
    # A slope with a little noise: noise alone shows nothing that could be brought to a reference.
    slope = np.linspace(low, high - 1, 24 * 32).reshape(24, 32)
    noise = np.random.default_rng(seed).normal(0, (high - low) / 200, slope.shape)
    return np.clip(slope + noise, low, high - 1).astype(np.uint16)


def slide() -> np.ndarray:
    return data.immunohistochemistry()[:48, :64]


def finish(qtbot, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()


def test_the_reference_is_offered_where_the_method_takes_one(panel, viewer) -> None:
    viewer.add_image(slide(), rgb=True)
    picker = panel.reference_picker
    panel.methods.choose("translate/macenko")
    assert not picker.choice.isHidden()
    panel.methods.choose("translate/gamma")
    assert picker.choice.isHidden()
    assert picker.layer is None


def test_a_layer_like_the_source_is_taken_until_the_user_says_otherwise(panel, viewer) -> None:
    first = viewer.add_image(slide(), rgb=True, name="first")
    other, plain = viewer.add_image(slide(), rgb=True, name="other"), viewer.add_image(gray(), name="plain")
    panel.source.choose(first)
    assert panel.reference_picker.layer is other
    panel.source.choose(other)
    assert panel.reference_picker.layer is first
    panel.reference_picker.choose(None)
    panel.source.choose(first)
    assert panel.reference_picker.layer is None
    panel.reference_picker.choose(plain)
    viewer.layers.remove(plain)
    assert panel.reference_picker.layer is other


def test_an_image_gets_the_intensities_of_the_reference_and_is_shown_with_its_limits(panel, viewer, qtbot) -> None:
    reference = viewer.add_image(gray(1, 20_000, 30_000), name="reference")
    source = viewer.add_image(gray(), name="source")
    panel.methods.choose("translate/quantile-matching")
    panel.run()
    finish(qtbot, panel)
    result = viewer.layers["source translated"]
    assert result.data.min() >= 19_900
    assert result.data.max() <= 30_100
    assert result.contrast_limits == reference.contrast_limits
    assert panel.source.layer is source
    assert result.metadata[METADATA_KEY]["recipe"]["params"]["fitted"]
    assert not panel.result.removed.isEnabled()


def test_a_missing_reference_is_said_and_nothing_is_run(panel, viewer) -> None:
    viewer.add_image(gray())
    panel.methods.choose("translate/patch-style")
    panel.run()
    assert panel._job is None
    assert "needs a reference image" in panel.messages.error.text()


def test_a_reference_with_colours_for_a_gray_image_is_refused(panel, viewer, qtbot) -> None:
    colours = viewer.add_image(slide(), rgb=True)
    viewer.add_image(gray())
    panel.methods.choose("translate/quantile-matching")
    panel.reference_picker.choose(colours)
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert "colours" in panel.messages.error.text()
    assert len(viewer.layers) == 2


def test_another_reference_gives_another_preview(panel, viewer, qtbot) -> None:
    bright, dark = viewer.add_image(gray(1, 30_000, 40_000)), viewer.add_image(gray(2, 0, 100))
    viewer.add_image(gray(), name="source")
    panel.methods.choose("translate/quantile-matching")
    panel.reference_picker.choose(bright)
    with qtbot.waitSignal(panel.preview.updated, timeout=60_000):
        panel.preview_button.setChecked(True)
    assert viewer.layers["source preview"].data.min() > 20_000
    with qtbot.waitSignal(panel.preview.updated, timeout=60_000):
        panel.reference_picker.choose(dark)
    assert viewer.layers["source preview"].data.max() < 1000
