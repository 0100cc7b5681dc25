"""The panel that inpaints: where the mask comes from, what a look at it shows, what a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtCore import Qt

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.commands import inpaint_active_layer
from napari_synth.gui.layers.marks import PREVIEW, kind_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import InpaintPanel, RestorePanel
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_command, as_python


class Flat(Prepared):
    """Fills with more than the image has anywhere, whole planes at a time."""

    spec = BlockSpec.plane(0, whole=True)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return torch.full_like(block[:, :-1], 1.3)


class Fill:
    info = GeneratorInfo("inpaint/fake", "Fake", "Fills.", Task.INPAINT, colour="joint", invents=True)

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
        self.shapes.append(image.shape)
        return Flat()


class Learning(Fill):
    info = GeneratorInfo("inpaint/learning", "Learning", "Learns.", Task.INPAINT, colour="joint", trains=True)


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> dict[str, Any]:
    values: dict[str, Any] = {"device": "cpu", "precision": "auto", "memory_budget": None, "folder": tmp_path}
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings(**values))
    return values


@pytest.fixture(autouse=True)
def fakes(monkeypatch) -> dict[str, Fill]:
    made = {"inpaint/fake": Fill(), "inpaint/learning": Learning()}
    monkeypatch.setattr(registry, "_registered", lambda: {name: registry.adopted(one) for name, one in made.items()})
    return made


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(viewer, qtbot) -> Callable[[], RestorePanel]:
    def make() -> RestorePanel:
        panel = InpaintPanel(viewer)
        qtbot.addWidget(panel)
        return panel

    return make


def cells(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(50, 200, shape).astype(np.uint16)


def box(*shape: int, label: int = 1) -> np.ndarray:
    drawn = np.zeros(shape, np.uint8)
    drawn[..., 4:8, 5:10] = label
    return drawn


def run(qtbot, panel: RestorePanel) -> None:
    panel.run_button.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=20_000)


def error(panel: RestorePanel) -> str:
    return panel.messages.error.text() if not panel.messages.error.isHidden() else ""


def picker(panel: RestorePanel) -> Any:
    assert panel.mask_picker is not None
    return panel.mask_picker


def listed(panel: RestorePanel) -> list[str]:
    choice = picker(panel).choice
    return [choice.itemText(index) for index in range(choice.count()) if choice.itemText(index)]


# A run


def test_a_run_fills_the_mask_and_tells_where(dock, viewer, qtbot) -> None:
    source = viewer.add_image(cells(20, 24), name="cells", scale=(2, 3), rotate=20)
    mask = viewer.add_labels(box(20, 24), name="dust", scale=(2, 3), rotate=20)
    panel = dock()
    run(qtbot, panel)
    assert error(panel) == ""
    result, filled = viewer.layers["cells inpainted (synthetic)"], viewer.layers["cells filled pixels"]
    assert np.array_equal(result.data != source.data, box(20, 24) > 0)
    assert np.array_equal(filled.data, box(20, 24))
    assert np.allclose(filled.extent.world, source.extent.world)
    assert (filled.visible, mask.visible) == (False, False)
    assert "The mask marks 20 pixels" in panel.messages.notes.text()
    assert "cells filled pixels" in panel.messages.notes.text()
    carried = Recipe(**result.metadata["napari_synth"]["recipe"]).mask
    assert carried is not None
    assert (carried.rule, carried.pixels) == (None, 20)
    assert (panel.result.removed.isEnabled(), panel.result.trust.isEnabled()) == (False, False)
    assert panel.result.uncertainty.isEnabled()


def test_the_uncertainty_is_that_of_the_filled_pixels(dock, viewer, qtbot) -> None:
    viewer.add_image(cells(20, 24), name="cells")
    viewer.add_labels(box(20, 24), name="dust")
    panel = dock()
    run(qtbot, panel)
    panel.result.uncertainty.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=20_000)
    assert error(panel) == ""
    assert (viewer.layers["cells relative uncertainty"].data[box(20, 24) == 0] == 0).all()


def test_the_layers_menu_opens_the_panel_for_the_active_image(npe2pm, plugin_settings, make_napari_viewer) -> None:
    npe2pm.register(PluginManifest.from_file(Path(napari_synth.__file__).parent / "napari.yaml"))
    window = make_napari_viewer()
    active = window.add_image(cells(20, 24), name="cells")
    window.add_image(cells(20, 24), name="other")
    window.layers.selection.active = active
    inpaint_active_layer()
    _, panel = window.window.add_plugin_dock_widget("napari-synth", "Inpaint")
    assert isinstance(panel, InpaintPanel)
    assert panel.source.layer is active
    assert panel._job is None


def test_the_source_and_the_mask_stay_chosen_after_a_run(dock, viewer, qtbot) -> None:
    source = viewer.add_image(cells(20, 24), name="cells")
    viewer.add_labels(box(20, 24), name="dust")
    panel = dock()
    run(qtbot, panel)
    assert panel.source.layer is source
    assert picker(panel).choice.currentText() == "dust"
    assert listed(panel)[0:2] == ["dust", "NaN pixels"]


def test_chosen_labels_and_growth(dock, viewer, qtbot) -> None:
    source = viewer.add_image(cells(20, 24), name="cells")
    drawn = box(20, 24)
    drawn[15, 15] = 3
    viewer.add_labels(drawn, name="dust")
    panel = dock()
    picker(panel).ids.setText("3")
    picker(panel).grow.setValue(1)
    run(qtbot, panel)
    assert (viewer.layers["cells inpainted (synthetic)"].data != source.data).sum() == 5
    assert "mask_ids=[3], grow=1" in as_python(panel.result.finished.prepared.recipe)
    picker(panel).ids.setText("three")
    run(qtbot, panel)
    assert "no list of numbers" in error(panel)


@pytest.mark.parametrize("shape", [(20, 24, 3), (3, 20, 24), (2, 3, 20, 24)])
def test_colours_and_stacks_are_filled_through(dock, viewer, qtbot, shape) -> None:
    pixels = cells(*shape).astype(np.uint8)
    viewer.add_image(pixels, name="cells", rgb=shape[-1] == 3)
    viewer.add_labels(box(20, 24), name="dust")
    panel = dock()
    run(qtbot, panel)
    assert error(panel) == ""
    changed = viewer.layers["cells inpainted (synthetic)"].data != pixels
    hole = box(20, 24)[..., None] if shape[-1] == 3 else box(20, 24)
    assert not changed[np.broadcast_to(hole, shape) == 0].any()
    filled = viewer.layers["cells filled pixels"].data
    assert filled.shape == (shape[:-1] if shape[-1] == 3 else shape)
    assert filled.mean() == pytest.approx(20 / 480)


def test_shapes_and_points_and_rules(dock, viewer, qtbot) -> None:
    pixels = cells(20, 24).astype(np.float32)
    pixels[18, 3] = np.nan
    viewer.add_image(pixels, name="cells")
    viewer.add_shapes([[[4, 5], [4, 9], [7, 9], [7, 5]]], shape_type="polygon", name="outline")
    viewer.add_points([[10, 10]], size=1, name="spots")
    panel = dock()
    for choice, marked in (("outline", 20), ("spots", 13), ("nan", 1)):
        picker(panel).choose(viewer.layers[choice] if choice != "nan" else choice)
        assert picker(panel).radius.isHidden() == (choice != "spots")
        picker(panel).radius.setValue(2)
        run(qtbot, panel)
        assert error(panel) == ""
        filled = [layer for layer in viewer.layers if kind_of(layer) == "filled"]
        assert sorted(int(layer.data.sum()) for layer in filled)[-1] >= marked
        assert panel.result.finished.prepared.recipe.mask.pixels == marked
    assert as_command(panel.result.finished.prepared.recipe).endswith("--mask-from nan")


def test_a_result_on_disk_has_its_filled_pixels_there(dock, viewer, qtbot, settings) -> None:
    settings["memory_budget"] = 1000
    pixels = cells(2, 40, 50)
    pixels[1, 20, 20] = 0
    viewer.add_image(da.from_array(pixels, chunks=(1, 20, 50)), name="large", contrast_limits=(0, 255))
    panel = dock()
    picker(panel).choose("zero")
    run(qtbot, panel)
    assert error(panel) == ""
    filled = viewer.layers["large filled pixels"].data
    assert not isinstance(filled, np.ndarray)
    assert np.argwhere(np.asarray(filled)).tolist() == [[1, 20, 20]]


def test_what_is_painted_counts_at_the_next_run(dock, viewer, qtbot) -> None:
    source = viewer.add_image(cells(20, 24), name="cells")
    mask = viewer.add_labels(box(20, 24), name="dust")
    panel = dock()
    run(qtbot, panel)
    # As numpy does it, without an event.
    mask.data[15, 15] = 1
    run(qtbot, panel)
    assert (viewer.layers["cells inpainted (synthetic) 2"].data != source.data).sum() == 21


@pytest.mark.parametrize(
    ("place", "said"),
    [({"translate": (500, 0)}, "'dust' marks no pixel of 'cells'"), ({"opacity": 0.5}, "'dust' is empty")],
)
def test_a_mask_that_cannot_be_used_is_told(dock, viewer, qtbot, place, said) -> None:
    viewer.add_image(cells(20, 24), name="cells")
    viewer.add_labels(box(20, 24) * ("translate" in place), name="dust", **place)
    panel = dock()
    run(qtbot, panel)
    assert said in error(panel).replace("&#x27;", "'")
    assert len(viewer.layers) == 2


def test_without_a_mask_it_says_what_to_do(dock, viewer, qtbot) -> None:
    viewer.add_image(cells(20, 24), name="cells")
    panel = dock()
    assert not panel.run_button.isEnabled()
    assert not panel.preview_button.isEnabled()
    assert "Nothing is marked" in panel.mask_hint.words.text()
    qtbot.mouseClick(panel.mask_hint.button, Qt.MouseButton.LeftButton)
    assert viewer.layers["cells mask"].mode == "paint"
    assert panel.mask_hint.isHidden()
    assert panel.run_button.isEnabled()
    run(qtbot, panel)
    assert "is empty: draw on it" in error(panel)
    picker(panel).choose("nan")
    run(qtbot, panel)
    assert "marks no pixel" in error(panel)


# The list of masks


def test_the_list_follows_layers_that_are_added_selected_renamed_and_removed(dock, viewer) -> None:
    image = viewer.add_image(cells(20, 24), name="cells")
    panel = dock()
    assert listed(panel)[0] == "none yet"
    first = viewer.add_labels(box(20, 24), name="first")
    second = viewer.add_points(ndim=2, name="second")
    assert listed(panel)[:2] == ["second", "first"]
    assert picker(panel).choice.currentText() == "second"
    viewer.layers.selection.active = first
    assert picker(panel).choice.currentText() == "first"
    assert panel.source.layer is image
    first.name = "other"
    assert picker(panel).choice.currentText() == "other"
    viewer.layers.remove(first)
    assert picker(panel).choice.currentText() == "second"
    viewer.layers.remove(second)
    assert picker(panel).choice.currentText() == "none yet"


def test_a_rule_stays_chosen_while_layers_go(dock, viewer) -> None:
    viewer.add_image(cells(20, 24), name="cells")
    labels = viewer.add_labels(box(20, 24))
    panel = dock()
    picker(panel).choose("hot")
    viewer.layers.remove(labels)
    assert picker(panel).choice.currentText() == "Hot and dead pixels"


def test_draw_adds_a_layer_on_the_image_and_takes_the_brush(dock, viewer, qtbot) -> None:
    panel = dock()
    assert not picker(panel).draw.isEnabled()
    source = viewer.add_image(cells(6, 20, 24), name="cells", scale=(1, 2, 3), translate=(0, 5, 6))
    picker(panel).draw.click()
    drawn = viewer.layers["cells mask"]
    assert viewer.layers.selection.active is drawn
    assert drawn.mode == "paint"
    assert drawn.data.shape == source.data.shape
    assert np.allclose(drawn.extent.world, source.extent.world)
    assert picker(panel).choice.currentText() == "cells mask"
    assert panel.source.layer is source
    drawn.paint((1, 10, 10), 1)
    run(qtbot, panel)
    assert error(panel) == ""
    changed = viewer.layers["cells inpainted (synthetic)"].data != source.data
    assert changed[1].any()
    assert not changed[0].any()


def test_what_is_drawn_holds_for_every_channel(dock, viewer, qtbot) -> None:
    source = viewer.add_image(cells(5, 3, 20, 24), name="cells")
    panel = dock()
    panel.source.axes.setCurrentText("TCYX")
    picker(panel).draw.click()
    drawn = viewer.layers["cells mask"]
    assert drawn.data.shape == (5, 1, 20, 24)
    assert np.allclose(drawn.data_to_world((0, -0.5, 0, 0)), source.data_to_world((0, -0.5, 0, 0)))
    assert np.allclose(drawn.data_to_world((0, 0.5, 0, 0)), source.data_to_world((0, 2.5, 0, 0)))
    drawn.data[2, 0, 4:8, 5:10] = 1
    run(qtbot, panel)
    changed = viewer.layers["cells inpainted (synthetic)"].data != source.data
    assert changed.any(axis=(2, 3)).tolist() == [[frame == 2] * 3 for frame in range(5)]


# Looks


def test_a_look_shows_the_mask_and_follows_it(dock, viewer, qtbot) -> None:
    viewer.add_image(cells(3, 20, 24), name="cells", scale=(1, 2, 2))
    mask = viewer.add_labels(box(3, 20, 24), name="dust", scale=(1, 2, 2))
    panel = dock()
    picker(panel).preview_button.click()
    look = picker(panel).preview
    qtbot.waitUntil(lambda: look.layer is not None, timeout=10_000)
    assert kind_of(look.layer) == PREVIEW
    assert look.layer.data.sum() == 20
    assert np.allclose(look.layer.scale, mask.scale)
    assert "20 of the 480 pixels in sight" in panel.messages.notes.text()
    assert panel.source.layer.name == "cells"
    picker(panel).grow.setValue(1)
    qtbot.waitUntil(lambda: look.layer.data.sum() == 20 + 18, timeout=10_000)
    mask.paint((int(viewer.dims.point[0]), 15, 15), 1)
    qtbot.waitUntil(lambda: look.layer.data.sum() > 20 + 18, timeout=10_000)
    picker(panel).preview_button.click()
    assert [layer.name for layer in viewer.layers] == ["cells", "dust"]


def test_an_error_of_a_look_is_told_and_goes(dock, viewer, qtbot) -> None:
    viewer.add_image(cells(20, 24), name="cells")
    mask = viewer.add_labels(np.zeros((20, 24), int), name="dust")
    panel = dock()
    picker(panel).preview_button.click()
    qtbot.waitUntil(lambda: "is empty" in error(panel), timeout=10_000)
    mask.paint((10, 10), 1)
    qtbot.waitUntil(lambda: picker(panel).preview.layer is not None, timeout=10_000)
    assert error(panel) == ""
    panel.stop()
    assert len(viewer.layers) == 2


def test_the_preview_of_a_method_that_takes_whole_planes_is_the_result(dock, viewer, qtbot, fakes) -> None:
    source = viewer.add_image(cells(6, 20, 24), name="cells")
    mask = viewer.add_labels(box(6, 20, 24), name="dust")
    panel = dock()
    panel.preview_button.click()
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=10_000)
    assert fakes["inpaint/fake"].shapes == [(6, 20, 24)]
    at = int(viewer.dims.current_step[0])
    previewed = panel.preview.layer.data.copy()
    assert np.array_equal(previewed[0] != source.data[at], box(20, 24) > 0)
    mask.paint((at, 15, 15), 1)
    qtbot.waitUntil(lambda: (panel.preview.layer.data != previewed).any(), timeout=10_000)
    previewed = panel.preview.layer.data.copy()
    run(qtbot, panel)
    assert np.array_equal(viewer.layers["cells inpainted (synthetic)"].data[at], previewed[0])
    assert panel.preview.layer is None


def test_the_preview_of_a_method_that_learns_takes_the_mask_along(dock, viewer, qtbot, fakes) -> None:
    source = viewer.add_image(cells(20, 20, 24), name="cells")
    viewer.add_labels(box(20, 24), name="dust")
    panel = dock()
    panel.methods.choose("inpaint/learning")
    panel.preview_button.click()
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=10_000)
    assert fakes["inpaint/learning"].shapes[0][0] < 20
    at = int(viewer.dims.current_step[0])
    assert np.array_equal(panel.preview.layer.data[0] != source.data[at], box(20, 24) > 0)


def test_other_panels_have_no_mask(viewer, qtbot, control) -> None:
    panel = RestorePanel(viewer, Task.DENOISE)
    qtbot.addWidget(panel)
    assert panel.mask_picker is None
