from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_synth.contract.generator import Task
from napari_synth.gui import commands
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings

ISOTROPIC = "super-resolution/isotropic"
NETWORK = "super-resolution/network"
LANCZOS = "super-resolution/lanczos"


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, qtbot) -> RestorePanel:
    made = RestorePanel(viewer, Task.SUPER_RESOLUTION)
    qtbot.addWidget(made)
    return made


def texture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)


def item(panel: RestorePanel, identifier: str) -> Any:
    index = [method.info.id for method in panel.methods._methods].index(identifier)
    return panel.methods.model().item(index)


def finish(qtbot, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()


# What can be chosen


def test_what_needs_z_is_grey_without_it_and_says_why(panel, viewer) -> None:
    viewer.add_image(texture(20, 20))
    assert not item(panel, ISOTROPIC).isEnabled()
    assert "needs a Z axis, the image has YX" in item(panel, ISOTROPIC).toolTip()
    assert item(panel, NETWORK).isEnabled()
    viewer.add_image(texture(5, 20, 20))
    assert item(panel, ISOTROPIC).isEnabled()
    assert "Z axis" not in item(panel, ISOTROPIC).toolTip()


def test_axes_decide_not_the_number_of_dimensions(panel, viewer) -> None:
    viewer.add_image(texture(5, 20, 20))
    panel.methods.choose(ISOTROPIC)
    panel.source.axes.setCurrentText("TYX")
    assert not item(panel, ISOTROPIC).isEnabled()
    assert panel.method.info.id == NETWORK
    panel.source.axes.setCurrentText("ZYX")
    assert panel.method.info.id == ISOTROPIC


def test_axes_that_are_still_being_typed_change_nothing(panel, viewer) -> None:
    viewer.add_image(texture(5, 20, 20))
    panel.methods.choose(ISOTROPIC)
    panel.source.axes.setCurrentText("ZY")
    assert panel.method.info.id == ISOTROPIC


def test_the_method_gives_way_to_a_plane_and_comes_back_with_a_volume(panel, viewer) -> None:
    volume, plane = viewer.add_image(texture(5, 20, 20)), viewer.add_image(texture(20, 20))
    panel.source.choose(volume)
    panel.methods.choose(ISOTROPIC)
    panel.source.choose(plane)
    assert panel.method.info.id == NETWORK
    assert panel.form.params_type is panel.method.params_type
    assert "comes with the plugin" in panel.summary.text()
    panel.source.choose(volume)
    assert panel.method.info.id == ISOTROPIC
    panel.source.choose(plane)
    panel.methods.choose(LANCZOS)
    panel.source.choose(volume)
    assert panel.method.info.id == LANCZOS


def test_methods_are_compared_at_the_same_factor(panel, viewer) -> None:
    viewer.add_image(texture(5, 20, 20))
    panel.form.set_values({"factor": 3.0, "pixels": "area"})
    panel.methods.choose(LANCZOS)
    assert panel.form.values() == {"factor": 3.0, "outliers": "keep"}
    panel.methods.choose(ISOTROPIC)
    assert panel.form.values()["factor"] is None


# The result


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"rotate": 30.0},
        {"shear": [0.3]},
        {"rotate": 20.0, "shear": [0.2], "affine": [[1.1, 0.2, 5.0], [0.0, 0.9, -3.0], [0.0, 0.0, 1.0]]},
    ],
)
@pytest.mark.parametrize("factor", [2.0, 2.7])
def test_outer_edges_stay_in_the_world(panel, viewer, qtbot, where: dict[str, Any], factor: float) -> None:
    source = viewer.add_image(
        texture(21, 30), name="cells", scale=(0.5, 0.25), translate=(7, -4), units=("um", "um"), **where
    )
    panel.methods.choose(LANCZOS)
    panel.form.set_values({"factor": factor})
    panel.run()
    finish(qtbot, panel)
    result = viewer.layers["cells upscaled"]
    assert result.data.shape == (round(21 * factor), round(30 * factor))
    assert result.units == source.units
    for corner in np.ndindex(2, 2):
        edges = [np.array(corner) * layer.data.shape - 0.5 for layer in (source, result)]
        np.testing.assert_allclose(result.data_to_world(edges[1]), source.data_to_world(edges[0]), atol=1e-9)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_an_isotropic_volume_has_cubic_voxels_in_the_same_place(panel, viewer, qtbot) -> None:
    source = viewer.add_image(
        texture(6, 32, 32),
        name="cells",
        scale=(1.5, 0.5, 0.5),
        translate=(3, 4, 5),
        rotate=[[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]],
        shear=(0.1, 0.0, 0.2),
        units=("um",) * 3,
        axis_labels=("z", "y", "x"),
    )
    panel.methods.choose(ISOTROPIC)
    panel.form.set_values({"steps": 2})
    panel.run()
    finish(qtbot, panel)
    result = viewer.layers["cells upscaled"]
    assert result.data.shape == (18, 32, 32)
    np.testing.assert_allclose(result.scale, 0.5)
    assert (result.units, result.axis_labels) == (source.units, source.axis_labels)
    for corner in np.ndindex(2, 2, 2):
        edges = [np.array(corner) * layer.data.shape - 0.5 for layer in (source, result)]
        np.testing.assert_allclose(result.data_to_world(edges[1]), source.data_to_world(edges[0]), atol=1e-9)


# Layers > Transform


def test_the_menu_makes_twice_as_fine_whatever_the_panel_was_used_for(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(texture(5, 20, 20), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Upscale")
    panel.form.set_values({"factor": 3.0})
    panel.methods.choose(ISOTROPIC)
    commands.upscale_active_layer()
    finish(qtbot, panel)
    assert viewer.layers["cells upscaled"].data.shape == (5, 40, 40)


def test_the_menu_says_that_a_plane_cannot_be_made_isotropic(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(texture(20, 20), name="cells")
    commands.make_active_layer_isotropic()
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Upscale")
    assert "needs a Z axis" in panel.messages.error.text()
    assert panel.method.info.id == NETWORK
    assert len(viewer.layers) == 1


def test_the_menu_says_that_the_panel_is_at_work(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer()
    layer = viewer.add_image(texture(20, 20), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Upscale")
    panel.show_and_run(layer, LANCZOS)
    panel.show_and_run(layer, NETWORK)
    assert "at work" in panel.messages.error.text()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert len(viewer.layers) == 2
