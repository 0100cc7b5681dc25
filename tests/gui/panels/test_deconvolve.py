"""The panel Deconvolve: which layer is the point spread function, what is run, and what is added."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_synth
from napari_synth.contract.generator import Task
from napari_synth.core.texts import three_digits
from napari_synth.gui.layers.marks import METADATA_KEY, PSF, kind_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings
from napari_synth.methods.deconvolve.psf import gaussian_psf
from napari_synth.testing.subject import noisy


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def panel(qtbot) -> RestorePanel:
    viewer = ViewerModel()
    made = RestorePanel(viewer, Task.DECONVOLVE)
    qtbot.addWidget(made)
    return made


def test_a_layer_named_psf_is_taken_and_the_result_is_that_of_python(panel, qtbot) -> None:
    point = gaussian_psf((1.2, 1.2))
    pixels = noisy((48, 48), "f4")
    panel.viewer.add_image(np.zeros((48, 48)), name="other")
    layer = panel.viewer.add_image(point, name="my PSF")
    source = panel.viewer.add_image(pixels, name="cells")
    panel.viewer.layers.selection.active = source
    assert panel.reference_picker.layer is layer
    panel.methods.choose("deconvolve/wiener")
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    result = panel.viewer.layers["cells deconvolved"]
    np.testing.assert_allclose(result.data, napari_synth.deconvolve(pixels, point, "wiener", device="cpu"), atol=1e-3)
    assert result.metadata[METADATA_KEY]["recipe"]["params"]["fitted"][0]["psf"]["shape"]
    used = panel.viewer.layers["cells PSF"]
    assert kind_of(used) == PSF
    assert not used.visible
    assert used.data.sum() == pytest.approx(1.0, abs=1e-4)


def test_without_a_layer_the_settings_say_what_it_is(panel, qtbot) -> None:
    panel.viewer.add_image(noisy((48, 48), "f4"), name="cells")
    assert panel.reference_picker.layer is None
    panel.methods.choose("deconvolve/wiener")
    panel.form.set_values({"psf_model": "confocal"})
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert "numerical aperture" in panel.messages.error.text()
    assert len(panel.viewer.layers) == 1


def test_the_panel_shows_where_it_stopped_and_with_which_psf(panel, qtbot) -> None:
    panel.viewer.add_image(noisy((48, 48), "f4"), name="cells")
    panel.methods.choose("deconvolve/wiener")
    panel.form.set_values({"width": 1.2})
    assert panel.stop_box.isHidden()
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    fitted = panel.viewer.layers["cells deconvolved"].metadata[METADATA_KEY]["recipe"]["params"]["fitted"][0]
    box = panel.stop_box
    assert not box.isHidden()
    assert not box.curve.isHidden()
    assert not box.profile.isHidden()
    assert box.widths.isHidden()
    assert three_digits(fitted["stop"]) in box.curve_words.text()
    panel.viewer.layers.remove("cells deconvolved")
    assert box.isHidden()
