from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from napari.components import ViewerModel
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QAbstractButton, QComboBox, QScrollArea, QSlider

from napari_synth.contract.generator import Task
from napari_synth.engine import verdict as judging
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs import restore, worker
from napari_synth.gui.jobs.result_store import free_path
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer without a window, for what does not depend on one."""
    return ViewerModel()


@pytest.fixture
def window(make_napari_viewer) -> Any:
    """A viewer with its window."""
    return make_napari_viewer()


@pytest.fixture
def settings(monkeypatch, tmp_path) -> Callable[..., None]:
    """Set what Preferences hold."""

    def put(**values: Any) -> None:
        made = RunSettings(
            **{"device": "cpu", "precision": "auto", "memory_budget": None, "folder": tmp_path, **values}
        )
        monkeypatch.setattr(base, "read_settings", lambda: made)

    put()
    return put


@pytest.fixture
def dock(viewer, control, settings, qtbot) -> Callable[..., RestorePanel]:
    """Return a way to make panels, docked where the viewer has a window."""

    def make(where: Any = None, name: str = "Denoise") -> RestorePanel:
        panel = RestorePanel(where or viewer, Task.DENOISE)
        if where is None:
            qtbot.addWidget(panel)
        else:
            where.window.add_dock_widget(panel, name=name)
        return panel

    return make


def finish(qtbot, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=10_000)


def run(qtbot, panel: RestorePanel) -> None:
    panel.run_button.click()
    finish(qtbot, panel)


def error(panel: RestorePanel) -> str:
    return panel.messages.error.text() if not panel.messages.error.isHidden() else ""


# A run


def test_a_run_adds_a_layer_beside_its_source(dock, window, qtbot, noisy) -> None:
    source = window.add_image(
        noisy(40, 50), name="cells", scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"), colormap="magma"
    )
    above = window.add_image(noisy(40, 50), name="above")
    before = source.data.copy()
    panel = dock(window)
    panel.source.choose(source)
    run(qtbot, panel)
    assert [layer.name for layer in window.layers] == ["cells", "cells denoised", "above"]
    result = window.layers["cells denoised"]
    assert np.allclose(result.data, before * 0.5, atol=1)
    assert result.data.dtype == np.uint16
    assert np.array_equal(source.data, before)
    assert np.allclose(result.extent.world, source.extent.world)
    assert result.units == source.units
    assert result.colormap.name == "magma"
    assert window.layers.selection.active is above
    assert error(panel) == ""


@pytest.mark.parametrize("generator", ["denoise/blind", "denoise/median"])
def test_real_generators_run_preview_and_are_judged(window, settings, qtbot, generator) -> None:
    """The generators that come with the package, not fakes."""
    truth = np.full((96, 96), 100.0)
    truth[30:60, 20:70] = 200
    pixels = np.random.default_rng(0).poisson(truth).astype(np.uint16)
    window.add_image(pixels, name="cells")
    panel = RestorePanel(window, Task.DENOISE)
    window.window.add_dock_widget(panel)
    panel.methods.choose(generator)
    panel.preview_button.click()
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=30_000)
    previewed = panel.preview.layer.data
    run(qtbot, panel)
    assert error(panel) == ""
    restored = window.layers["cells denoised"].data
    assert np.array_equal(restored, previewed)
    assert np.mean((restored - truth) ** 2) < 0.5 * np.mean((pixels - truth) ** 2)
    for action in (panel.result.trust.click, panel.result.uncertainty.click):
        action()
        finish(qtbot, panel)
    assert error(panel) == ""
    assert len(window.layers) == 4


def test_a_second_run_takes_a_fresh_name(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    run(qtbot, panel)
    first = viewer.layers["cells denoised"].data
    run(qtbot, panel)
    assert {layer.name for layer in viewer.layers} == {"cells", "cells denoised", "cells denoised 2"}
    assert viewer.layers["cells denoised"].data is first


def test_the_result_carries_a_recipe_that_can_be_repeated(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    panel.form.set_values({"gain": 0.25})
    run(qtbot, panel)
    carried = Recipe(**viewer.layers["cells denoised"].metadata["napari_synth"]["recipe"])
    assert carried.generator == "denoise/fake"
    assert carried.params["gain"] == 0.25
    assert carried.source.name == "cells"


def test_invented_content_is_marked_and_lies_on_its_source(dock, viewer, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(20, 30), name="cells", scale=(2, 3), rotate=20)
    panel = dock()
    panel.methods.setCurrentIndex(2)
    run(qtbot, panel)
    result = viewer.layers["cells denoised (synthetic)"]
    assert result.metadata["napari_synth"]["synthetic"] is True
    assert result.data.shape == (40, 60)
    assert np.allclose(result.data_to_world((39.5, 59.5)), source.data_to_world((19.5, 29.5)))


@pytest.mark.parametrize("shape", [(20, 20, 3), (4, 20, 20, 3)])
def test_colour_images(dock, viewer, qtbot, shape) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8), name="tissue", rgb=True)
    panel = dock()
    run(qtbot, panel)
    result = viewer.layers["tissue denoised"]
    assert result.rgb
    assert result.data.shape == shape
    for action in (panel.result.removed.click, panel.result.trust.click, panel.result.uncertainty.click):
        action()
        finish(qtbot, panel)
    assert error(panel) == ""
    assert viewer.layers["tissue removed signal"].data.shape == shape[:-1]
    assert viewer.layers["tissue trust"].data.shape == shape[:-1]
    assert viewer.layers["tissue relative uncertainty"].data.shape == shape[:-1]


def test_five_dimensions_multiscale_and_lazy_pixels(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(2, 2, 3, 16, 16), name="five")
    viewer.add_image([noisy(64, 64), noisy(32, 32)], name="pyramid", multiscale=True)
    viewer.add_image(da.from_array(noisy(3, 16, 16), chunks=(1, 16, 16)), name="lazy")
    panel = dock()
    for name, shape in {"five": (2, 2, 3, 16, 16), "pyramid": (64, 64), "lazy": (3, 16, 16)}.items():
        panel.source.choose(viewer.layers[name])
        run(qtbot, panel)
        assert error(panel) == ""
        assert viewer.layers[f"{name} denoised"].data.shape == shape


def test_a_lazy_image_is_never_computed_in_the_main_thread(dock, viewer, control, qtbot, noisy) -> None:
    import threading

    readers = set()

    def read(block):
        readers.add(threading.current_thread() is threading.main_thread())
        return block

    pixels = da.from_array(noisy(4, 16, 16), chunks=(1, 16, 16)).map_blocks(
        read, dtype="u2", meta=np.empty((0, 0, 0), "u2")
    )
    viewer.add_image(pixels, name="lazy", contrast_limits=(0, 500))
    panel = dock()
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    readers.clear()
    control.go_on.set()
    finish(qtbot, panel)
    assert readers == {False}


def test_a_result_larger_than_the_budget_goes_to_disk(dock, viewer, settings, qtbot, noisy, tmp_path) -> None:
    settings(memory_budget=2_000_000, folder=tmp_path / "large")
    pixels = noisy(1040, 1040)
    viewer.add_image(pixels, name="huge: one", contrast_limits=(0, 400))
    panel = dock()
    run(qtbot, panel)
    result = viewer.layers["huge: one denoised"]
    assert result.multiscale
    assert isinstance(result.data[0], da.Array)
    assert np.allclose(result.data[0], pixels * 0.5, atol=1)
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["huge__one.ome.zarr"]
    assert "huge__one.ome.zarr" in panel.messages.notes.text()
    panel.result.removed.click()
    finish(qtbot, panel)
    panel.result.trust.click()
    finish(qtbot, panel)
    assert error(panel) == ""
    panel.result.uncertainty.click()
    finish(qtbot, panel)
    assert error(panel) == ""
    kinds = ("removed signal", "trust", "relative uncertainty")
    layers = [viewer.layers[f"huge: one {kind}"] for kind in kinds]
    assert all(layer.multiscale for layer in layers)
    # Nothing but reading is left for the window to do.
    assert all(len(level.dask.layers) <= 4 for layer in layers for level in layer.data)
    assert len(list((tmp_path / "large").iterdir())) == 4
    removed, trust = (layer.data[0] for layer in layers[:2])
    assert np.asarray(trust[510:520]).mean() > 3
    assert np.allclose(removed[500:520], pixels[500:520] * 0.5, atol=1)


@pytest.mark.parametrize("shape", [(2, 3, 80, 90), (2, 80, 90, 3)])
def test_what_is_derived_from_a_large_image_is_that_of_a_small_one(
    dock, viewer, settings, qtbot, noisy, tmp_path, shape
) -> None:
    pixels = noisy(*shape)
    panel = dock()
    found: dict[str, list[np.ndarray]] = {"removed signal": [], "trust": []}
    for name, budget in (("small", None), ("large", 1000)):
        settings(memory_budget=budget, folder=tmp_path)
        lazy = da.from_array(pixels.astype("u1"), chunks=(1, 40, 40, 3) if shape[-1] == 3 else (1, 1, 40, 40))
        viewer.add_image(lazy, name=name, rgb=shape[-1] == 3)
        panel.source.axes.setCurrentText("ZYXS" if shape[-1] == 3 else "ZCYX")
        run(qtbot, panel)
        for add in (panel.result.removed.click, panel.result.trust.click):
            add()
            finish(qtbot, panel)
        assert error(panel) == ""
        for kind, arrays in found.items():
            arrays.append(np.asarray(viewer.layers[f"{name} {kind}"].data))
    for small, large in found.values():
        assert small.shape == large.shape
        assert np.allclose(small, large, atol=1e-4)


def test_blocks_on_disk_are_those_that_are_computed(
    dock, viewer, settings, qtbot, noisy, tmp_path, monkeypatch
) -> None:
    settings(memory_budget=300_000, folder=tmp_path)
    monkeypatch.setattr(PreparedImage, "chunks", property(lambda self: (300, 450)))
    viewer.add_image(noisy(600, 900), name="cells")
    panel = dock()
    run(qtbot, panel)
    stored = zarr.open_array(str(tmp_path / "cells.ome.zarr" / "0"), mode="r").chunks
    assert (300 % stored[0], 450 % stored[1]) == (0, 0)


def test_a_result_outlives_its_verdict(dock, viewer, settings, qtbot, noisy, tmp_path, monkeypatch) -> None:
    settings(memory_budget=1000, folder=tmp_path)

    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(judging, "assess", fail)
    viewer.add_image(noisy(64, 64), name="cells")
    panel = dock()
    run(qtbot, panel)
    assert "cells denoised" in viewer.layers
    assert "The verdict could not be made: no room" in panel.messages.notes.text()
    assert error(panel) == ""


def test_a_run_that_is_cancelled_at_its_end_leaves_no_file(
    dock, viewer, settings, qtbot, noisy, tmp_path, monkeypatch
) -> None:
    settings(memory_budget=1000, folder=tmp_path)
    viewer.add_image(noisy(64, 64), name="cells")
    panel = dock()
    monkeypatch.setattr(restore, "verdicts", lambda *_: panel._job.cancel() or ())
    run(qtbot, panel)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(dock, viewer, settings, qtbot, noisy, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    settings(memory_budget=1000, folder=tmp_path / "file" / "results")
    viewer.add_image(noisy(64, 64), name="cells")
    panel = dock()
    run(qtbot, panel)
    assert "set another in File &gt; Preferences" in error(panel)
    assert [layer.name for layer in viewer.layers] == ["cells"]


# While it runs


def test_progress_is_shown_and_cancel_stops(dock, window, control, qtbot, noisy) -> None:
    window.add_image(noisy(20, 20), name="cells")
    panel = dock(window)
    control.go_on.clear()
    panel.run_button.click()
    qtbot.waitUntil(lambda: "left" in panel.progress.text.text())
    assert panel.progress.text.text().startswith("Working")
    assert not panel.progress.isHidden()
    assert not panel.run_button.isEnabled()
    panel.progress.cancel.click()
    finish(qtbot, panel)
    assert control.stopped.is_set()
    assert not control.go_on.is_set()
    assert panel.progress.isHidden()
    assert panel.run_button.isEnabled()
    assert [layer.name for layer in window.layers] == ["cells"]
    assert error(panel) == ""
    control.go_on.set()
    run(qtbot, panel)
    assert "cells denoised" in window.layers


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.1])
def test_cancel_at_any_moment_leaves_nothing_or_everything(dock, viewer, qtbot, noisy, delay) -> None:
    viewer.add_image(noisy(256, 256), name="cells")
    panel = dock()
    panel.run()
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline:
        qtbot.wait(1)
    panel.cancel()
    finish(qtbot, panel)
    assert error(panel) == ""
    assert len(viewer.layers) in (1, 2)
    assert panel.run_button.isEnabled()


def test_work_is_done_in_another_thread(dock, viewer, control, qtbot, noisy) -> None:
    import threading

    viewer.add_image(noisy(20, 20))
    run(qtbot, dock())
    assert threading.get_ident() not in control.threads


def test_the_source_is_deleted_during_a_run(dock, window, control, qtbot, noisy) -> None:
    source = window.add_image(noisy(20, 20), name="cells", scale=(2, 3), translate=(5, 6))
    place = source.extent.world.copy()
    panel = dock(window)
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    window.layers.remove(source)
    control.go_on.set()
    finish(qtbot, panel)
    assert [layer.name for layer in window.layers] == ["cells denoised"]
    assert np.allclose(window.layers[0].extent.world, place)
    for action in (panel.result.removed.click, panel.result.trust.click):
        action()
        finish(qtbot, panel)
    assert error(panel) == ""


def test_the_source_is_renamed_and_moved_during_a_run(dock, window, control, qtbot, noisy) -> None:
    source = window.add_image(noisy(20, 20), name="cells")
    panel = dock(window)
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    source.name = "nuclei"
    source.translate = (100, 200)
    assert panel.source.layers.currentText() == "nuclei"
    control.go_on.set()
    finish(qtbot, panel)
    assert np.allclose(window.layers["nuclei denoised"].translate, (100, 200))


def test_the_sources_data_are_replaced_by_more_dimensions_during_a_run(dock, viewer, control, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(20, 20), name="cells", scale=(2, 2))
    panel = dock()
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    source.data = noisy(3, 20, 20)
    control.go_on.set()
    finish(qtbot, panel)
    result = viewer.layers["cells denoised"]
    assert result.data.shape == (20, 20)
    assert np.allclose(result.scale, (2, 2))


def test_the_viewer_is_closed_during_a_run(make_napari_viewer, control, settings, qtbot, noisy) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(noisy(20, 20))
    panel = RestorePanel(viewer, Task.DENOISE)
    viewer.window.add_dock_widget(panel)
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    viewer.close()
    qtbot.waitUntil(control.stopped.is_set)
    qtbot.waitUntil(lambda: not worker._running)


def test_the_dock_is_closed_during_a_run(dock, window, control, qtbot, noisy) -> None:
    window.add_image(noisy(20, 20), name="cells")
    panel = dock(window)
    control.go_on.clear()
    panel.run()
    qtbot.waitUntil(control.started.is_set)
    window.window.remove_dock_widget(panel)
    qtbot.waitUntil(control.stopped.is_set, timeout=2000)
    finish(qtbot, panel)
    assert [layer.name for layer in window.layers] == ["cells"]


def test_a_closed_panel_is_forgotten(dock, window, qtbot, noisy) -> None:
    window.add_image(noisy(20, 20))
    panel = dock(window)
    run(qtbot, panel)
    forgotten = weakref.ref(panel)
    window.window.remove_dock_widget(panel)
    panel.deleteLater()
    del panel
    qtbot.wait(50)
    gc.collect()
    assert forgotten() is None
    window.add_image(noisy(20, 20))


def test_two_panels_do_not_know_each_other(dock, window, control, qtbot, noisy) -> None:
    one = window.add_image(noisy(20, 20), name="one")
    two = window.add_image(noisy(30, 30), name="two")
    left, right = dock(window, "left"), dock(window, "right")
    left.source.choose(one)
    right.source.choose(two)
    left.form.set_values({"gain": 1.0})
    control.go_on.clear()
    left.run()
    right.run()
    qtbot.waitUntil(lambda: len(control.prepared) == 2)
    right.cancel()
    finish(qtbot, right)
    assert left._job is not None
    control.go_on.set()
    finish(qtbot, left)
    assert {layer.name for layer in window.layers} == {"one", "two", "one denoised"}
    assert left.result.finished.prepared is not None
    # Any result of this viewer can be judged from any panel of its task; what the run holds in memory is the other panel's own.
    assert right.result.finished.result is window.layers["one denoised"]
    assert right.result.finished.prepared is None
    assert right.form.params().gain == 0.5


def test_run_twice_in_a_row_is_one_run(dock, viewer, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    control.go_on.clear()
    panel.run()
    panel.run()
    control.go_on.set()
    finish(qtbot, panel)
    assert len(viewer.layers) == 2


# What goes wrong


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("CUDA error: device lost"), ValueError("bad"), MemoryError(), KeyError("x"), SystemExit(1)],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("where", ["fail_in_prepare", "fail_in_apply"])
def test_every_fault_is_one_sentence_in_the_panel(dock, viewer, control, qtbot, noisy, fault, where) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    setattr(control, where, fault)
    run(qtbot, panel)
    assert error(panel)
    assert error(panel).endswith(".")
    assert panel.progress.isHidden()
    assert panel.run_button.isEnabled()
    assert len(viewer.layers) == 1
    setattr(control, where, None)
    run(qtbot, panel)
    assert error(panel) == ""
    assert len(viewer.layers) == 2


def test_out_of_gpu_memory_says_what_to_do(dock, viewer, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    control.fail_in_apply = torch.OutOfMemoryError("CUDA out of memory")
    run(qtbot, panel)
    assert "memory" in error(panel)
    assert "cpu" in error(panel)


@pytest.mark.parametrize("axes", ["QQ", "YY", "ZYX", "", "ZT"])
def test_wrong_axes_are_said_at_once_and_on_run(dock, viewer, control, qtbot, noisy, axes) -> None:
    viewer.add_image(noisy(20, 20))
    panel = dock()
    panel.source.axes.setCurrentText(axes)
    assert "xes" in panel.source.description.text()
    panel.run_button.click()
    assert "xes" in error(panel)
    assert control.prepared == []


def test_axes_can_be_changed_and_are_remembered_for_the_layer(dock, viewer, control, qtbot, noisy) -> None:
    stack = viewer.add_image(noisy(9, 20, 20), name="stack")
    other = viewer.add_image(noisy(9, 20, 20), name="other")
    panel = dock()
    panel.source.choose(stack)
    assert panel.source.axes.currentText() == "ZYX"
    panel.source.axes.setCurrentText("tyx")
    panel.source.choose(other)
    assert panel.source.axes.currentText() == "ZYX"
    panel.source.choose(stack)
    assert panel.source.axes.currentText() == "tyx"
    run(qtbot, panel)
    assert viewer.layers["stack denoised"].metadata["napari_synth"]["recipe"]["axes"] == "TYX"


def test_an_empty_viewer_says_what_to_do(dock, viewer, qtbot, noisy) -> None:
    panel = dock()
    assert not panel.run_button.isEnabled()
    assert not panel.preview_button.isEnabled()
    assert "Open Sample" in panel.source.description.text()
    panel.run()
    assert "no image" in error(panel)
    viewer.add_image(noisy(20, 20))
    assert panel.run_button.isEnabled()
    viewer.layers.clear()
    assert not panel.run_button.isEnabled()


def test_a_labels_layer_is_no_source(dock, viewer, qtbot, noisy) -> None:
    panel = dock()
    viewer.add_labels(np.zeros((20, 20), int), name="masks")
    assert not panel.run_button.isEnabled()
    assert "Labels" in panel.source.description.text()
    image = viewer.add_image(noisy(20, 20), name="cells")
    viewer.layers.selection.active = viewer.layers["masks"]
    assert panel.source.layer is image


@pytest.mark.parametrize("pixels", [np.zeros((8, 8), bool), np.full((8, 8), np.nan)], ids=["bool", "nan"])
def test_images_that_cannot_be_restored(dock, viewer, qtbot, pixels) -> None:
    viewer.add_image(pixels, contrast_limits=(0, 1))
    panel = dock()
    run(qtbot, panel)
    assert error(panel)
    assert len(viewer.layers) == 1


def test_a_layer_of_torch_pixels_is_said_in_one_sentence(dock, viewer, qtbot) -> None:
    viewer.add_image(torch.rand(20, 30), name="tensor", contrast_limits=(0, 1))
    panel = dock()
    run(qtbot, panel)
    assert "holds a torch.Tensor" in error(panel)
    panel.messages.show_error("")
    panel.preview_button.click()
    qtbot.waitUntil(lambda: "holds a torch.Tensor" in error(panel))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_tiny_images(dock, viewer, qtbot, noisy, shape) -> None:
    viewer.add_image(noisy(*shape), name="tiny", contrast_limits=(0, 400))
    panel = dock()
    run(qtbot, panel)
    assert error(panel) == ""
    assert viewer.layers["tiny denoised"].data.shape == shape


# The source


def test_the_source_follows_the_active_layer(dock, viewer, noisy) -> None:
    one, two = viewer.add_image(noisy(20, 20), name="one"), viewer.add_image(noisy(20, 20), name="two")
    panel = dock()
    assert panel.source.layer is two
    viewer.layers.selection.active = one
    assert panel.source.layer is one
    assert panel.source.layers.currentText() == "one"


def test_layers_come_go_and_move(dock, viewer, noisy) -> None:
    one, two = viewer.add_image(noisy(20, 20), name="one"), viewer.add_image(noisy(20, 20), name="two")
    panel = dock()
    panel.source.choose(one)
    viewer.layers.move(0, 2)
    assert panel.source.layer is one
    viewer.layers.remove(one)
    assert panel.source.layer is two
    viewer.layers.remove(two)
    assert panel.source.layer is None


# After a run


def test_removed_signal_trust_and_uncertainty(dock, window, qtbot, noisy) -> None:
    source = window.add_image(noisy(2, 40, 40), name="cells", scale=(1, 0.5, 0.5))
    panel = dock(window)
    run(qtbot, panel)
    result = window.layers["cells denoised"]
    panel.result.removed.click()
    finish(qtbot, panel)
    removed = window.layers["cells removed signal"]
    assert np.array_equal(removed.data, source.data.astype("f4") - result.data)
    panel.result.trust.click()
    finish(qtbot, panel)
    assert not removed.visible
    trust = window.layers["cells trust"]
    assert trust.data.shape == source.data.shape
    assert trust.data.mean() > 3
    panel.result.uncertainty.click()
    finish(qtbot, panel)
    assert np.all(window.layers["cells relative uncertainty"].data == 0)
    assert window.layers["cells relative uncertainty"].contrast_limits[1] > 1e-3
    assert "same answer in all orientations" in panel.messages.notes.text()
    for layer in window.layers:
        assert np.allclose(layer.extent.world, source.extent.world)
    assert error(panel) == ""


def test_the_verdict_is_told_after_a_run(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(64, 64), name="cells")
    panel = dock()
    run(qtbot, panel)
    assert "Signal was removed" in panel.messages.notes.text() or "structure" in panel.messages.notes.text()
    assert "The fake multiplied." in panel.messages.notes.text()


def test_recipes_are_copied(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    panel.form.set_values({"gain": 0.25})
    run(qtbot, panel)
    copied = []
    for action in panel.result.recipe.menu().actions():
        action.trigger()
        copied.append(QGuiApplication.clipboard().text())
    assert Recipe.from_yaml(copied[0]).params["gain"] == 0.25
    assert copied[1].startswith("import napari_synth")
    assert copied[2].startswith("napari-synth denoise ")


def test_comparing_changes_only_what_is_seen_and_is_undone(dock, window, qtbot, noisy, monkeypatch) -> None:
    window.add_image(noisy(20, 20), name="cells")
    panel = dock(window)
    run(qtbot, panel)
    result = window.layers["cells denoised"]
    pixels = result.data.copy()
    panel.result.fade.setValue(25)
    assert result.opacity == pytest.approx(0.25)
    panel.result.fade.setValue(100)
    assert result.opacity == 1
    panel.result._timer.setInterval(10)
    panel.result.blink.setChecked(True)
    qtbot.waitUntil(lambda: not result.visible)
    qtbot.waitUntil(lambda: result.visible)
    panel.result.blink.setChecked(False)
    assert result.visible
    panel.result.beside.setChecked(True)
    assert grid_of(window).enabled
    panel.result.beside.setChecked(False)
    assert not grid_of(window).enabled
    assert np.array_equal(result.data, pixels)


def test_a_deleted_result_releases_its_run(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    run(qtbot, panel)
    held = weakref.ref(panel.result.finished.prepared)
    panel.result.blink.setChecked(True)
    viewer.layers.remove(viewer.layers["cells denoised"])
    assert panel.result.isHidden()
    assert panel.result.finished is None
    gc.collect()
    assert held() is None


# How it looks


def test_every_control_has_a_tooltip(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20))
    panel = dock()
    run(qtbot, panel)
    for kind in (QAbstractButton, QComboBox, QSlider):
        for control in panel.findChildren(kind):
            if control.window() is panel.window() and control.objectName() != "qt_toolbar_ext_button":
                assert control.toolTip() or control.parent().toolTip(), control


def test_it_fits_into_300_pixels(window, settings, qtbot, noisy) -> None:
    """With napari's style, for every generator that comes with the package."""
    window.add_image(noisy(20, 20), name="a very long name of a layer that nobody would want to read in full")
    panel = RestorePanel(window, Task.DENOISE)
    window.window.add_dock_widget(panel)
    panel.result.show()
    inner = panel.findChild(QScrollArea).widget()
    for index in range(panel.methods.count()):
        panel.methods.setCurrentIndex(index)
        panel.form.more.setChecked(True)
        qtbot.wait(20)
        assert panel.minimumSizeHint().width() <= 300
        assert inner.minimumSizeHint().width() <= 300, panel.method.info.id


def test_colours_follow_the_theme(dock, window, qtbot) -> None:
    panel = dock(window)
    dark = panel.messages.error.styleSheet()
    window.theme = "light"
    assert panel.messages.error.styleSheet() != dark


def test_the_device_is_named_with_its_reason(dock, viewer, qtbot) -> None:
    panel = dock()
    qtbot.waitUntil(lambda: "CPU" in panel.device.text(), timeout=10_000)
    assert "you chose it" in panel.device.toolTip()


def test_a_device_that_is_not_there_is_said(dock, viewer, settings, qtbot, noisy) -> None:
    settings(device="mps")
    viewer.add_image(noisy(20, 20))
    panel = dock()
    run(qtbot, panel)
    assert "MPS cannot be used" in error(panel)
    qtbot.waitUntil(lambda: "No device" in panel.device.text())


def test_paths_of_large_results_never_exist_yet(tmp_path) -> None:
    first = free_path(tmp_path / "new", "a/b: c")
    first.mkdir()
    second = free_path(tmp_path / "new", "a/b: c")
    assert (first.name, second.name) == ("a_b__c.ome.zarr", "a_b__c-2.ome.zarr")


def test_results_are_not_previews(dock, viewer, qtbot, noisy) -> None:
    viewer.add_image(noisy(20, 20), name="cells")
    panel = dock()
    run(qtbot, panel)
    assert kind_of(viewer.layers["cells denoised"]) == "result"
    viewer.layers.selection.active = viewer.layers["cells denoised"]
    assert panel.source.layer is viewer.layers["cells denoised"]
