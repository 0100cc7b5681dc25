"""Methods are compared on the visible field; a blend is kept; contrast is linked; a run is removed with all that belongs to it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

import napari_synth
from napari_synth.contract.generator import Task
from napari_synth.gui.layers.results import recipe_of, said_of
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.panels.restore import RestorePanel


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, control, qtbot) -> RestorePanel:
    made = RestorePanel(viewer, Task.DENOISE)
    qtbot.addWidget(made)
    made.show()
    return made


def finish(qtbot, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None)


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def tick(panel: RestorePanel, *titles: str) -> None:
    items = [panel.comparison.methods.item(row) for row in range(panel.comparison.methods.count())]
    for item in items:
        item.setCheckState(Qt.CheckState.Checked if item.text() in titles else Qt.CheckState.Unchecked)


def test_methods_are_compared_and_one_is_taken(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(2, 64, 64), name="cells", axis_labels=("t", "y", "x"), scale=(1.0, 0.5, 0.5))
    box = panel.comparison
    click(qtbot, box.fold)
    assert not box.compare.isEnabled()
    tick(panel, "Fake", "Inventing", "Learning")
    panel.form.set_values({"gain": 1.0})
    click(qtbot, box.compare)
    finish(qtbot, panel)
    assert [box.table.item(row, 0).text() for row in range(3)] == ["Fake", "Learning", "Inventing"]
    for name in ("cells Fake", "cells Learning", "cells Inventing"):
        assert name in viewer.layers
    assert grid_of(viewer).enabled
    assert viewer.layers["cells Fake"].data.shape == (1, 64, 64)
    assert viewer.layers["cells Inventing"].data.shape == (1, 128, 128)
    assert viewer.layers["cells Inventing"].scale[-1] == 0.25
    # The chosen method leaves the pixels as they are: what was hidden from it is guessed from the neighbours, as well as can be.
    errors = [box.table.item(row, 1).text() for row in range(3)]
    assert 0.9 < float(errors[0]) < 1.6
    assert float(errors[1]) > 3.0
    assert errors[2] == "-"
    assert box.table.currentRow() == 0
    box.table.selectRow(2)
    click(qtbot, box.take)
    assert panel.method.info.id == "denoise/inventing"
    assert len(viewer.layers) == 1
    assert not grid_of(viewer).enabled


def test_one_that_fails_is_said_and_the_others_are_shown(viewer, panel, control, qtbot, noisy) -> None:
    viewer.add_image(noisy(32, 32), name="cells")
    tick(panel, "Fake", "Learning")
    control.fail_in_apply = ValueError("no")
    click(qtbot, panel.comparison.fold)
    click(qtbot, panel.comparison.compare)
    finish(qtbot, panel)
    assert [panel.comparison.table.item(row, 1).text() for row in range(2)] == ["failed", "failed"]
    assert not panel.comparison.take.isEnabled()
    assert "no" in panel.comparison.verdict.text()


def test_a_hidden_pixel_is_judged_as_a_better_method_deserves(qtbot) -> None:
    from napari_synth.core.progress import CancelToken
    from napari_synth.gui.jobs.comparison import compare
    from napari_synth.gui.jobs.requests import RestoreRequest
    from napari_synth.gui.settings import read_settings
    from napari_synth.imaging.image import Image

    y, x = np.mgrid[:96, :96]
    clean = 400 + 200 * np.sin(y / 9) * np.cos(x / 7)
    image = Image(np.random.default_rng(0).poisson(clean).astype(np.uint16), "YX")
    requests = [
        RestoreRequest(name, image, params, read_settings())
        for name, params in (
            ("denoise/median", {"radius": 1}),
            ("denoise/median", {"radius": 9}),
            ("denoise/blind", {}),
        )
    ]
    small, large, network = compare(requests, lambda _: None, CancelToken())
    assert 0.9 < network.error < small.error < large.error
    assert network.verdict
    assert network.seconds > 0


def test_a_blend_is_a_layer_of_its_own_that_its_recipe_repeats(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(32, 32), name="cells")
    click(qtbot, panel.run_button)
    finish(qtbot, panel)
    result = viewer.layers["cells denoised"]
    assert not panel.result_actions.blend.isEnabled()
    panel.result.fade.setFocus()
    for _ in range(4):
        qtbot.keyClick(panel.result.fade, Qt.Key.Key_PageDown)
    assert panel.result.fade.value() == 60
    click(qtbot, panel.result_actions.blend)
    finish(qtbot, panel)
    blend = viewer.layers["cells denoised 60%"]
    expected = np.round(0.4 * cells.data + 0.6 * result.data)
    assert np.array_equal(blend.data, expected)
    assert recipe_of(blend).blend == pytest.approx(0.6)
    assert said_of(blend) == ("A mixture: 60% of 'cells denoised' and 40% of 'cells'.",)
    assert result.opacity == 1.0
    assert panel.result.finished.result is blend
    assert np.array_equal(napari_synth.run(recipe_of(blend), cells.data), blend.data)


def test_contrast_is_linked_on_request(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(32, 32), name="cells")
    click(qtbot, panel.run_button)
    finish(qtbot, panel)
    result = viewer.layers["cells denoised"]
    cells.contrast_limits = (10, 300)
    assert tuple(result.contrast_limits) != (10, 300)
    click(qtbot, panel.result_actions.link)
    assert tuple(result.contrast_limits) == (10, 300)
    result.contrast_limits = (20, 250)
    assert tuple(cells.contrast_limits) == (20, 250)
    click(qtbot, panel.result_actions.link)
    result.contrast_limits = (0, 100)
    assert tuple(cells.contrast_limits) == (20, 250)


def test_a_run_is_removed_with_what_belongs_to_it_and_its_source_is_seen_again(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(64, 64), name="cells", blending="additive")
    other = viewer.add_image(noisy(64, 64), name="other", blending="additive")
    for layer in (cells, other):
        panel.source.choose(layer)
        click(qtbot, panel.run_button)
        finish(qtbot, panel)
    assert not cells.visible
    assert not other.visible
    panel.result.choice.setCurrentText("cells denoised")
    panel.result.removed.click()
    finish(qtbot, panel)
    assert "cells removed signal" in viewer.layers
    cells.visible = False
    click(qtbot, panel.result_actions.remove)
    assert {layer.name for layer in viewer.layers} == {"cells", "other", "other denoised"}
    assert cells.visible
    assert not other.visible
    viewer.layers.remove("other denoised")
    assert other.visible
