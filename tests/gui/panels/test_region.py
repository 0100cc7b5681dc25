"""A run is limited to what is drawn, seen or set; the rest of the result is the source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_synth.contract.generator import Task
from napari_synth.gui.layers.results import recipe_of, said_of
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.widgets.region_picker import FIELD, FIELD_HERE, HERE, WHOLE


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


def run(qtbot, panel: RestorePanel) -> None:
    panel.run_button.click()
    qtbot.waitUntil(lambda: panel._job is None)


def halved(source: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.where(inside, np.round(source * 0.5), source)


def test_a_shape_limits_a_run_and_the_rest_is_the_source(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(40, 50), name="cells", scale=(0.5, 0.5))
    drawn = viewer.add_shapes([[[5, 10], [5, 20], [15, 20], [15, 10]]], name="roi", scale=(0.5, 0.5))
    viewer.layers.selection.active = cells
    made = panel()
    made.region.choose(drawn)
    run(qtbot, made)
    result = viewer.layers["cells denoised"]
    inside = np.zeros((40, 50), bool)
    inside[5:16, 10:21] = True
    changed = result.data != cells.data
    assert changed.any()
    assert not changed[~inside].any()
    assert changed[6:15, 11:20].mean() > 0.9
    recipe = recipe_of(result)
    assert recipe.region.is_drawn
    assert recipe.region.bounds["Y"][0] == 5
    assert any("Only a region was worked on" in sentence for sentence in said_of(result))


def test_labels_limit_a_run_along_all_frames_that_they_lack(viewer, panel, qtbot, noisy) -> None:
    movie = viewer.add_image(noisy(3, 24, 24), name="movie", axis_labels=("t", "y", "x"))
    marked = np.zeros((24, 24), np.uint8)
    marked[4:9, 6:20] = 2
    labels = viewer.add_labels(marked, name="cells")
    viewer.layers.selection.active = movie
    made = panel()
    made.region.choose(labels)
    run(qtbot, made)
    result = viewer.layers["movie denoised"].data
    assert np.allclose(result, halved(movie.data, marked > 0), atol=1)
    assert np.array_equal(result[:, marked == 0], movie.data[:, marked == 0])


def test_frames_and_this_slice_limit_a_run_and_the_recipe_repeats_it(viewer, panel, qtbot, noisy) -> None:
    movie = viewer.add_image(noisy(5, 16, 16), name="movie", axis_labels=("t", "y", "x"))
    made = panel()
    made.region.choose("T")
    assert made.region.last.value() == 4
    made.region.first.setValue(1)
    made.region.last.setValue(2)
    run(qtbot, made)
    first = viewer.layers["movie denoised"]
    touched = [bool((first.data[t] != movie.data[t]).any()) for t in range(5)]
    assert touched == [False, True, True, False, False]
    assert recipe_of(first).region.bounds == {"T": (1, 3)}

    made.region.choose(HERE)
    viewer.dims.set_point(0, 3)
    run(qtbot, made)
    second = viewer.layers["movie denoised 2"]
    assert recipe_of(second).region.bounds == {"T": (3, 4)}
    assert [bool((second.data[t] != movie.data[t]).any()) for t in range(5)] == [False, False, False, True, False]

    made.region.take(recipe_of(first).region)
    assert made.region.choice.currentText() == "As in the recipe: T 1 to 2"
    run(qtbot, made)
    assert np.array_equal(viewer.layers["movie denoised 3"].data, first.data)


def test_a_result_of_another_size_is_cropped_to_the_region_and_lies_there(viewer, panel, qtbot, noisy) -> None:
    movie = viewer.add_image(noisy(4, 16, 16), name="movie", axis_labels=("t", "y", "x"), scale=(2.0, 0.5, 0.5))
    made = panel()
    made.choose_method("denoise/inventing")
    made.region.choose("T")
    made.region.first.setValue(1)
    made.region.last.setValue(2)
    run(qtbot, made)
    result = viewer.layers["movie denoised (synthetic)"]
    assert result.data.shape == (2, 32, 32)
    assert result.translate[0] == movie.translate[0] + 2.0
    assert tuple(result.scale) == (2.0, 0.25, 0.25)
    assert any("cropped" in sentence for sentence in said_of(result))


def test_the_region_is_offered_as_the_layer_has_axes(viewer, panel, noisy) -> None:
    flat = viewer.add_image(noisy(16, 16), name="flat")
    made = panel()
    assert made.region._choices == [WHOLE, FIELD]
    assert made.region._range.isHidden()
    viewer.add_image(noisy(3, 4, 16, 16), name="deep", axis_labels=("t", "z", "y", "x"))
    made.source.choose(viewer.layers["deep"])
    assert made.region._choices == [WHOLE, FIELD, FIELD_HERE, HERE, "T", "Z"]
    made.region.choose("Z")
    assert not made.region._range.isHidden()
    made.source.choose(flat)
    assert made.region.chosen == WHOLE
    assert made.region._range.isHidden()


def test_the_preview_shows_the_region_alone(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(24, 24), name="cells")
    marked = np.zeros((24, 24), np.uint8)
    marked[4:9, 6:20] = 1
    labels = viewer.add_labels(marked, name="roi")
    viewer.layers.selection.active = cells
    for method in ("denoise/fake", "denoise/learning"):
        made = panel()
        made.choose_method(method)
        made.region.choose(labels)
        made.preview_button.click()
        qtbot.waitUntil(lambda: "cells preview" in viewer.layers)
        shown = viewer.layers["cells preview"].data
        assert np.allclose(shown, halved(cells.data, marked > 0), atol=1)
        made.preview_button.click()


def test_the_region_that_was_drawn_anew_is_used_the_next_time(viewer, panel, qtbot, noisy) -> None:
    cells = viewer.add_image(noisy(24, 24), name="cells")
    labels = viewer.add_labels(np.zeros((24, 24), np.uint8), name="roi")
    viewer.layers.selection.active = cells
    made = panel()
    made.region.choose(labels)
    run(qtbot, made)
    assert "roi" in made.messages.error.text()
    labels.data_setitem((np.array([3, 4]), np.array([5, 5])), 1)
    run(qtbot, made)
    changed = np.argwhere(viewer.layers["cells denoised"].data != cells.data)
    assert changed.tolist() == [[3, 5], [4, 5]]
