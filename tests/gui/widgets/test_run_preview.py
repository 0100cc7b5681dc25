from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_synth.contract.generator import Task
from napari_synth.core.errors import AxesError
from napari_synth.gui.layers.viewer_layers import camera_of
from napari_synth.gui.layers.visible_field import VisibleField, visible_field
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets import live_layer


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(live_layer, "DEBOUNCE_MS", 20)
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, control, noisy, qtbot) -> RestorePanel:
    viewer.add_image(noisy(40, 50), name="cells", scale=(2, 3), translate=(10, 20))
    made = RestorePanel(viewer, Task.DENOISE)
    qtbot.addWidget(made)
    return made


def looked_at(layer: Any, start: tuple[int, ...], stop: tuple[int, ...]) -> None:
    """Let a layer believe that the canvas shows this part of it."""
    layer.corner_pixels = np.array([start, np.array(stop) - 1])


def shown(qtbot, panel: RestorePanel) -> Any:
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=5000)
    settle(qtbot, panel)
    return panel.preview.layer


def settle(qtbot, panel: RestorePanel) -> None:
    qtbot.wait(60)
    qtbot.waitUntil(lambda: panel.preview._job is None and not panel.preview._timer.isActive(), timeout=5000)


# Which part


def test_the_visible_part_of_a_plane(viewer, noisy) -> None:
    layer = viewer.add_image(noisy(40, 50))
    looked_at(layer, (5, 6), (15, 30))
    assert visible_field(layer, viewer, "YX") == VisibleField((5, 6), (15, 30))


def test_before_anything_was_drawn_all_is_visible(viewer, noisy) -> None:
    layer = viewer.add_image(noisy(40, 50))
    looked_at(layer, (0, 0), (1, 1))
    assert visible_field(layer, viewer, "YX") == VisibleField((0, 0), (40, 50))


def test_a_wide_field_is_shown_at_its_centre(viewer, noisy) -> None:
    layer = viewer.add_image(noisy(40, 50))
    looked_at(layer, (0, 0), (40, 50))
    assert visible_field(layer, viewer, "YX", widest=20) == VisibleField((10, 15), (30, 35))


def test_only_the_current_slice(viewer, noisy) -> None:
    layer = viewer.add_image(noisy(3, 7, 40, 50), scale=(1, 0.5, 1, 1))
    viewer.dims.current_step = (2, 4, 0, 0)
    assert visible_field(layer, viewer, "TZYX") == VisibleField((2, 4, 0, 0), (3, 5, 40, 50))


def test_a_layer_with_fewer_dimensions_than_the_viewer(viewer, noisy) -> None:
    viewer.add_image(noisy(3, 7, 40, 50))
    layer = viewer.add_image(noisy(7, 40, 50))
    viewer.dims.current_step = (2, 4, 0, 0)
    assert visible_field(layer, viewer, "ZYX") == VisibleField((4, 0, 0), (5, 40, 50))


def test_a_coarse_level_is_counted_in_pixels_of_the_finest(viewer, noisy) -> None:
    layer = viewer.add_image([noisy(64, 64), noisy(32, 32)], multiscale=True)
    layer._data_level = 1
    looked_at(layer, (4, 4), (8, 9))
    field = visible_field(layer, viewer, "YX")
    assert field.start == (8, 8)
    assert field.stop in {(15, 17), (16, 18)}


@pytest.mark.parametrize(("axes", "ndisplay"), [("YXZ", 2), ("ZYX", 3)])
def test_without_a_plane_of_y_and_x_there_is_no_preview(viewer, noisy, axes, ndisplay) -> None:
    layer = viewer.add_image(noisy(7, 40, 50))
    viewer.dims.ndisplay = ndisplay
    with pytest.raises(AxesError, match="2D"):
        visible_field(layer, viewer, axes)


def test_fields_contain_their_parts() -> None:
    assert VisibleField((0, 0), (9, 9)).contains(VisibleField((1, 0), (9, 8)))
    assert not VisibleField((0, 0), (9, 9)).contains(VisibleField((1, 0), (10, 8)))
    assert VisibleField((1, 2), (3, 4)).region("YXS") == {"Y": slice(1, 3), "X": slice(2, 4)}


# What it shows


def test_the_preview_lies_on_the_field_and_the_whole_is_measured(panel, viewer, control, qtbot) -> None:
    source = viewer.layers["cells"]
    looked_at(source, (5, 6), (15, 30))
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    assert np.allclose(layer.data, source.data[5:15, 6:30] * 0.5, atol=1)
    assert np.allclose(layer.data_to_world((0, 0)), source.data_to_world((5, 6)))
    assert control.prepared == [(40, 50)]
    assert panel.source.layer is source
    assert viewer.layers.selection.active is source


def test_one_slice_of_a_stack(panel, viewer, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(5, 40, 50), name="stack")
    viewer.dims.current_step = (3, 0, 0)
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    assert layer.data.shape == (1, 40, 50)
    assert np.allclose(layer.data[0], source.data[3] * 0.5, atol=1)
    viewer.dims.current_step = (1, 0, 0)
    qtbot.waitUntil(lambda: np.allclose(layer.data[0], source.data[1] * 0.5, atol=1))
    assert layer.translate[0] == 1
    assert len(viewer.layers) == 3


def test_a_changed_setting_makes_a_new_preview_in_the_same_layer(panel, viewer, qtbot) -> None:
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    panel.form.set_values({"gain": 1.0})
    qtbot.waitUntil(lambda: np.allclose(layer.data, viewer.layers["cells"].data, atol=1))
    assert panel.preview.layer is layer


def test_what_takes_minutes_is_left_to_runs(panel, viewer, control, qtbot) -> None:
    panel.preview_button.click()
    shown(qtbot, panel)
    assert "Thorough" not in panel.messages.notes.text()
    panel.form.set_values({"thorough": True})
    qtbot.waitUntil(lambda: "Thorough: left out of the preview" in panel.messages.notes.text())
    panel.form.set_values({"gain": 1.0})
    qtbot.waitUntil(lambda: len(control.prepared) == 2)
    settle(qtbot, panel)
    assert "Thorough: left out of the preview" in panel.messages.notes.text()
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None)
    assert control.thorough == [False, False, True]


def test_moving_the_view_computes_but_does_not_prepare_again(panel, viewer, control, qtbot) -> None:
    source = viewer.layers["cells"]
    looked_at(source, (0, 0), (10, 10))
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    looked_at(source, (20, 20), (40, 50))
    camera_of(viewer).center = (0, 60, 90)
    qtbot.waitUntil(lambda: layer.data.shape == (20, 30))
    assert len(control.prepared) == 1


def test_zooming_into_what_is_shown_computes_nothing(panel, viewer, qtbot) -> None:
    source = viewer.layers["cells"]
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    began = []
    panel.preview.began.connect(lambda: began.append(1))
    looked_at(source, (10, 10), (20, 20))
    camera_of(viewer).zoom = 7
    settle(qtbot, panel)
    assert began == []
    assert layer.data.shape == (40, 50)


def test_one_that_learns_learns_from_the_field_only(panel, viewer, control, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(20, 40, 50), name="stack")
    viewer.dims.current_step = (10, 0, 0)
    looked_at(source, (0, 5, 6), (20, 15, 30))
    panel.methods.setCurrentIndex(1)
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    assert control.prepared == [(9, 10, 24)]
    assert np.allclose(layer.data, source.data[10:11, 5:15, 6:30] * 0.5, atol=1)


def test_what_training_has_come_to_is_shown_until_it_ends(panel, viewer, control, qtbot) -> None:
    panel.methods.setCurrentIndex(1)
    control.go_on.clear()
    control.so_far = 0.25
    panel.preview_button.click()
    layer = viewer.layers[0]
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=5000)
    assert panel.preview._job is not None
    assert np.allclose(panel.preview.layer.data, layer.data * 0.25, atol=1)
    assert np.allclose(panel.preview.layer.extent.world, layer.extent.world)
    assert "still learns" in panel.messages.notes.text()
    control.go_on.set()
    settle(qtbot, panel)
    assert np.allclose(panel.preview.layer.data, layer.data * 0.5, atol=1)
    assert "learnt from these alone" in panel.messages.notes.text()


def test_a_finer_result(panel, viewer, qtbot) -> None:
    source = viewer.layers["cells"]
    looked_at(source, (4, 4), (14, 14))
    panel.methods.setCurrentIndex(2)
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    assert layer.data.shape == (20, 20)
    assert np.allclose(layer.data_to_world((-0.5, -0.5)), source.data_to_world((3.5, 3.5)))


def test_colour(panel, viewer, qtbot) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8), rgb=True)
    panel.preview_button.click()
    layer = shown(qtbot, panel)
    assert layer.rgb
    assert layer.data.shape == (30, 30, 3)


# When it goes


def test_switched_off_it_is_gone(panel, viewer, qtbot) -> None:
    panel.preview_button.click()
    shown(qtbot, panel)
    panel.preview_button.click()
    assert [layer.name for layer in viewer.layers] == ["cells"]
    camera_of(viewer).zoom = 3
    settle(qtbot, panel)
    assert len(viewer.layers) == 1


def test_switched_off_while_it_computes(panel, viewer, control, qtbot) -> None:
    control.go_on.clear()
    panel.preview_button.click()
    qtbot.waitUntil(control.started.is_set)
    panel.preview_button.click()
    qtbot.waitUntil(control.stopped.is_set, timeout=1000)
    settle(qtbot, panel)
    assert len(viewer.layers) == 1
    assert panel.progress.isHidden()


def test_a_stale_preview_is_cancelled(panel, viewer, control, qtbot) -> None:
    control.go_on.clear()
    panel.preview_button.click()
    qtbot.waitUntil(control.started.is_set)
    control.started.clear()
    panel.form.set_values({"gain": 2.0})
    qtbot.waitUntil(control.started.is_set)
    control.go_on.set()
    layer = shown(qtbot, panel)
    assert np.allclose(layer.data, viewer.layers["cells"].data * 2.0, atol=1)
    assert len(control.prepared) == 2


def test_the_source_is_deleted(panel, viewer, qtbot) -> None:
    panel.preview_button.click()
    shown(qtbot, panel)
    viewer.layers.remove(viewer.layers["cells"])
    settle(qtbot, panel)
    assert len(viewer.layers) == 0
    assert not panel.preview_button.isChecked()


def test_the_source_is_deleted_while_it_computes(panel, viewer, control, qtbot) -> None:
    control.go_on.clear()
    panel.preview_button.click()
    qtbot.waitUntil(control.started.is_set)
    viewer.layers.remove(viewer.layers["cells"])
    control.go_on.set()
    settle(qtbot, panel)
    assert len(viewer.layers) == 0


def test_the_user_deletes_the_preview(panel, viewer, qtbot) -> None:
    panel.preview_button.click()
    viewer.layers.remove(shown(qtbot, panel))
    assert not panel.preview_button.isChecked()
    settle(qtbot, panel)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_another_source_gets_the_preview(panel, viewer, qtbot, noisy) -> None:
    panel.preview_button.click()
    shown(qtbot, panel)
    other = viewer.add_image(noisy(20, 20), name="other")
    qtbot.waitUntil(lambda: panel.preview.layer is not None and panel.preview.layer.data.shape == (20, 20))
    assert np.allclose(panel.preview.layer.data, other.data * 0.5, atol=1)
    assert panel.preview.layer.name == "other preview"
    assert len(viewer.layers) == 3


def test_a_run_takes_the_preview_away(panel, viewer, qtbot) -> None:
    panel.preview_button.click()
    shown(qtbot, panel)
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells denoised"]


def test_a_fault_is_said_and_the_next_change_tries_again(panel, viewer, control, qtbot) -> None:
    control.fail_in_prepare = ValueError("bad")
    panel.preview_button.click()
    qtbot.waitUntil(lambda: "bad" in panel.messages.error.text())
    control.fail_in_prepare = None
    panel.form.set_values({"gain": 1.0})
    shown(qtbot, panel)
    assert panel.messages.error.isHidden()


def test_wrong_axes_are_said(panel, viewer, qtbot) -> None:
    panel.source.axes.setCurrentText("QQ")
    panel.preview_button.click()
    qtbot.waitUntil(lambda: "Axes" in panel.messages.error.text())
    panel.source.axes.setCurrentText("YX")
    shown(qtbot, panel)


def test_the_viewer_is_closed_with_a_preview(make_napari_viewer, control, noisy, qtbot) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(noisy(40, 50))
    panel = RestorePanel(viewer, Task.DENOISE)
    viewer.window.add_dock_widget(panel)
    panel.preview_button.click()
    shown(qtbot, panel)
    control.go_on.clear()
    control.started.clear()
    panel.form.set_values({"gain": 1.5})
    qtbot.waitUntil(control.started.is_set)
    viewer.close()
    qtbot.waitUntil(control.stopped.is_set, timeout=2000)


def test_a_closed_dock_takes_its_preview_along(make_napari_viewer, control, noisy, qtbot) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(noisy(40, 50), name="cells")
    panel = RestorePanel(viewer, Task.DENOISE)
    viewer.window.add_dock_widget(panel)
    panel.preview_button.click()
    shown(qtbot, panel)
    viewer.window.remove_dock_widget(panel)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_two_panels_have_two_previews(panel, viewer, qtbot, noisy) -> None:
    other = viewer.add_image(noisy(20, 20), name="other")
    second: Callable[..., Any] = RestorePanel(viewer, Task.DENOISE)
    qtbot.addWidget(second)
    panel.source.choose(viewer.layers["cells"])
    second.source.choose(other)
    panel.preview_button.click()
    second.preview_button.click()
    one, two = shown(qtbot, panel), shown(qtbot, second)
    assert one is not two
    panel.preview_button.click()
    assert two in viewer.layers
    assert one not in viewer.layers


def test_a_preview_says_how_long_a_run_takes(viewer, panel, monkeypatch, qtbot) -> None:
    from napari_synth.gui.jobs import restore

    ticks = iter(range(0, 1000, 3))
    monkeypatch.setattr(restore, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    looked_at(viewer.layers["cells"], (0, 0), (10, 25))
    panel.preview_button.click()
    shown(qtbot, panel)
    # An eighth of the pixels took three seconds.
    assert "A run takes about 24 s, as fast as this was." in panel.messages.notes.text()
