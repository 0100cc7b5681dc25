"""Results are chosen and judged, also by a panel that did not make them; what is said goes with the layer that it is about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtGui import QImage

from napari_synth.contract.generator import Task
from napari_synth.gui.files import get_reader
from napari_synth.gui.layers.marks import REMOVED, TRUST, UNCERTAINTY, kind_of
from napari_synth.gui.layers.results import recipe_of, source_of
from napari_synth.gui.panels.restore import RestorePanel


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, control, qtbot) -> Callable[..., RestorePanel]:
    def make(task: Task = Task.DENOISE) -> RestorePanel:
        made = RestorePanel(viewer, task)
        qtbot.addWidget(made)
        return made

    return make


def finish(qtbot, panel: RestorePanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None)


def run(qtbot, panel: RestorePanel) -> None:
    panel.run_button.click()
    finish(qtbot, panel)


def notes(panel: RestorePanel) -> str:
    return panel.messages.notes.text()


def error(panel: RestorePanel) -> str:
    return "" if panel.messages.error.isHidden() else panel.messages.error.text()


def test_a_panel_that_is_opened_again_judges_the_results_that_are_there(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(64, 64), name="cells")
    first = panel()
    run(qtbot, first)
    first.stop()
    again = panel()
    assert again.result.finished.result is viewer.layers["cells denoised"]
    assert again.result.finished.prepared is None
    assert "The fake multiplied." in notes(again)
    for button, kind in (
        (again.result.removed, REMOVED),
        (again.result.trust, TRUST),
        (again.result.uncertainty, UNCERTAINTY),
    ):
        assert button.isEnabled()
        button.click()
        finish(qtbot, again)
        assert error(again) == ""
        assert kind in {kind_of(layer) for layer in viewer.layers}
    removed = viewer.layers["cells removed signal"]
    expected = viewer.layers["cells"].data.astype(float) - viewer.layers["cells denoised"].data
    assert np.allclose(removed.data, expected)


def test_an_earlier_result_can_be_chosen_and_says_what_was_said_of_it(viewer, panel, qtbot, noisy) -> None:
    one = viewer.add_image(noisy(32, 32), name="one")
    two = viewer.add_image(noisy(32, 32, seed=1), name="two")
    made = panel()
    for layer in (one, two):
        made.source.choose(layer)
        run(qtbot, made)
    assert made.result.finished.result.name == "two denoised"
    assert "two denoised" in notes(made)
    made.result.choice.setCurrentText("one denoised")
    assert made.result.finished.source is one
    assert "one denoised" in notes(made)
    made.result.removed.click()
    finish(qtbot, made)
    assert viewer.layers["one removed signal"].data.shape == one.data.shape


def test_what_was_said_goes_with_its_result(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(32, 32), name="cells")
    made = panel()
    run(qtbot, made)
    assert "cells denoised" in notes(made)
    viewer.layers.remove("cells denoised")
    assert made.messages.notes.isHidden()
    assert made.result.isHidden()


def test_nothing_compares_with_a_source_that_is_gone(viewer, panel, qtbot, noisy) -> None:
    source = viewer.add_image(noisy(32, 32), name="cells")
    made = panel()
    run(qtbot, made)
    made.result.blink.setChecked(True)
    viewer.layers.remove(source)
    box = made.result
    for control in (box.fade, box.blink, box.beside, box.removed, box.trust, box.uncertainty):
        assert not control.isEnabled()
        assert "source is not in this viewer" in control.toolTip()
    assert not box.blink.isChecked()
    assert box.recipe.isEnabled()


def test_a_source_is_found_by_name_and_shape_after_both_were_opened_from_files(viewer, panel, qtbot, noisy) -> None:
    pixels = noisy(32, 32)
    viewer.add_image(pixels, name="cells")
    run(qtbot, panel())
    result = viewer.layers["cells denoised"]
    viewer.layers.remove("cells")
    assert source_of(viewer, result) is None
    viewer.add_image(np.zeros((8, 8), np.uint16), name="cells")
    assert source_of(viewer, result) is None
    reopened = viewer.add_image(pixels, name="cells")
    reopened.name = "cells"
    viewer.layers.remove(viewer.layers[1])
    viewer.layers[-1].name = "cells"
    assert source_of(viewer, result) is reopened
    assert recipe_of(result).generator == "denoise/fake"


def test_maps_are_not_followed_but_can_be_chosen(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(32, 32), name="cells")
    made = panel()
    run(qtbot, made)
    made.result.removed.click()
    finish(qtbot, made)
    judging = viewer.layers["cells removed signal"]
    viewer.layers.selection.active = judging
    assert made.source.layer is cells
    made.source.choose(judging)
    assert made.source.layer is judging


def test_a_map_is_explained_as_long_as_it_is_there(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(64, 64), name="cells")
    made = panel()
    made.form.set_values({"gain": 1.0})
    run(qtbot, made)
    made.result.trust.click()
    finish(qtbot, made)
    legend = made.result.legend
    assert not legend.isHidden()
    assert "red where the result is darker" in legend.words.text()
    assert (legend.low.text(), legend.high.text()) == ("-8", "8 times the noise")
    assert "Nothing stands out" in notes(made)
    viewer.layers.remove("cells trust")
    assert legend.isHidden()


def test_several_selected_layers_are_several_runs(viewer, panel, qtbot, noisy) -> None:
    layers = [
        viewer.add_image(noisy(24, 24, seed=seed), name=f"channel {seed}", blending="additive") for seed in range(3)
    ]
    made = panel()
    viewer.layers.selection = set(layers)
    assert made.run_button.text() == "Denoise 3 layers"
    assert "3 layers are selected" in made.source.description.text().replace("\u200b", "")
    run(qtbot, made)
    for layer in layers:
        result = viewer.layers[f"{layer.name} denoised"]
        assert np.allclose(result.data, layer.data * 0.5, atol=1)
        assert result.visible
        assert result.blending == "additive"
        assert not layer.visible
    assert "3 of 3 layers are done" in notes(made)
    viewer.layers.selection = {layers[0]}
    assert made.run_button.text() == "Denoise"


def test_one_of_several_that_fails_keeps_none_of_the_others(viewer, panel, qtbot, noisy) -> None:
    good = viewer.add_image(noisy(24, 24), name="good")
    bad = viewer.add_image(np.zeros((24, 24), bool), name="bad")
    made = panel()
    made.source.choose(good)
    viewer.layers.selection = {good, bad}
    made.run_button.click()
    finish(qtbot, made)
    assert "good denoised" in viewer.layers
    assert "bad denoised" not in viewer.layers
    assert "bad" in error(made)


def test_an_error_goes_when_its_cause_may_have_gone(viewer, panel, qtbot, noisy) -> None:
    viewer.add_image(noisy(24, 24), name="cells")
    made = panel()
    made.source.axes.setCurrentText("QQ")
    made.run_button.click()
    assert error(made)
    made.source.axes.setCurrentText("YX")
    assert error(made) == ""
    made.source.axes.setCurrentText("QQ")
    made.run_button.click()
    viewer.add_image(noisy(8, 8), name="other")
    made.source.choose(viewer.layers["other"])
    assert error(made) == ""


def test_a_result_is_saved_from_the_panel_and_judged_the_next_day(viewer, panel, qtbot, noisy, tmp_path) -> None:
    pixels = noisy(48, 48)
    viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units=("um", "um"))
    made = panel()
    run(qtbot, made)
    made.result.save_wanted.emit(tmp_path / "today.ome.tif")
    finish(qtbot, made)
    assert "today.ome.tif" in notes(made)
    reader = get_reader(str(tmp_path / "today.ome.tif"))
    viewer.layers.clear()
    viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units=("um", "um"))
    for data, meta, kind in reader(""):
        getattr(viewer, f"add_{kind}")(data, **meta)
    assert made.result.finished.result.name == "cells denoised"
    assert "The fake multiplied." in notes(made)
    made.result.removed.click()
    finish(qtbot, made)
    assert "cells removed signal" in viewer.layers


@pytest.mark.parametrize("suffix", [".html", ".pdf", ".png"])
def test_a_report_is_one_page_with_all_that_a_reader_asks(viewer, panel, qtbot, noisy, tmp_path, suffix) -> None:
    viewer.add_image(noisy(3, 64, 64), name="cells <1>")
    made = panel()
    run(qtbot, made)
    path = tmp_path / f"report{suffix}"
    made.result.report_wanted.emit(path)
    finish(qtbot, made)
    assert error(made) == ""
    assert path.stat().st_size > 3000
    if suffix == ".html":
        page = path.read_text(encoding="utf-8")
        titles = ("Source", "Result", "Removed signal", "Trust", "For the section on methods", "Settings", "Versions")
        assert [title for title in titles if title not in page] == []
        assert "cells &lt;1&gt; denoised" in page
        assert "Images were denoised with the method “Fake” (denoise/fake)" in page
        assert page.count("data:image/png") == 4
    if suffix == ".png":
        picture = QImage(str(path))
        assert picture.width() == 1588
        colours = {picture.pixelColor(x, y).name() for x in range(0, 1588, 7) for y in range(0, picture.height(), 7)}
        assert len(colours) > 50


def test_a_report_that_cannot_be_written_is_said(viewer, panel, qtbot, noisy, tmp_path) -> None:
    viewer.add_image(noisy(32, 32), name="cells")
    made = panel()
    run(qtbot, made)
    for path in (tmp_path / "report.docx", tmp_path / "nowhere" / "report.html", tmp_path / "nowhere" / "report.png"):
        made.result.report_wanted.emit(path)
        finish(qtbot, made)
        assert "report" in error(made)
