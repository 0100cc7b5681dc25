"""Steps behind the method of a panel: one run, one layer, one recipe."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_synth
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.history import history_of
from napari_synth.gui.layers.results import recipe_of, said_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import CorrectPanel
from napari_synth.gui.settings import RunSettings

NOISY = np.random.default_rng(0).poisson(60 + 40 * np.linspace(0, 1, 72)[None] * np.ones((72, 1))).astype(np.uint16)


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    made = ViewerModel()
    made.add_image(NOISY, name="cells")
    return made


@pytest.fixture
def panel(viewer, qtbot) -> CorrectPanel:
    made = CorrectPanel(viewer)
    qtbot.addWidget(made)
    made.form.set_values({"radius": 20, "level": "keep"})
    return made


def finished(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()


def test_a_step_is_added_set_run_and_kept_in_the_recipe(panel, viewer, qtbot) -> None:
    row = panel.then.add("denoise/median")
    assert row.form.isHidden()
    row.fold.setChecked(True)
    assert not row.form.isHidden()
    row.form.set_values({"radius": 2})
    panel.run()
    finished(panel, qtbot)
    layer = viewer.layers[-1]
    assert layer.name == "cells corrected, denoised"
    recipe = recipe_of(layer)
    assert [step.generator for step in recipe.steps] == ["correct/background", "denoise/median"]
    assert recipe.steps[0].params["radius"] == 20
    assert recipe.steps[1].params["radius"] == 2
    steps = [("correct/background", {"radius": 20, "level": "keep"}), ("denoise/median", {"radius": 2})]
    np.testing.assert_array_equal(np.asarray(layer.data), napari_synth.run(steps, NOISY))
    assert any(sentence.startswith("Background: ") for sentence in said_of(layer))
    # It is one of the results of this panel, and its settings can be had again.
    assert panel.result.finished.result is layer
    assert panel.result.finished.refusal("trust")
    panel.then.set_steps(())
    panel.form.set_values({"radius": 5})
    panel.use_again(history_of(viewer).runs("correct")[0])
    assert panel.form.values()["radius"] == 20
    assert [(step.generator, step.params["radius"]) for step in panel.then.steps] == [("denoise/median", 2)]


def test_a_step_is_left_out_again(panel, viewer, qtbot) -> None:
    row = panel.then.add("denoise/median")
    panel.then.add("translate/gamma")
    row.remove.click()
    assert [step.generator for step in panel.then.steps] == ["translate/gamma"]
    panel.reset()
    assert panel.then.steps == ()
    panel.run()
    finished(panel, qtbot)
    assert viewer.layers[-1].name == "cells corrected"
    assert recipe_of(viewer.layers[-1]).before == ()


def test_the_recipe_of_a_chain_is_taken_back(panel, qtbot) -> None:
    steps = [{"generator": "correct/stripes", "params": {"width": 4}}, {"generator": "denoise/blind"}]
    panel.apply_recipe(Recipe.from_dict({"steps": steps}))
    assert panel.method.info.id == "correct/stripes"
    assert panel.form.values()["width"] == 4
    assert [step.generator for step in panel.then.steps] == ["denoise/blind"]
    panel.apply_recipe(Recipe.from_dict({"steps": [{"generator": "denoise/blind"}, *steps]}))
    assert "another task" in panel.messages.error.text()


def test_what_cannot_follow_is_not_offered_and_a_bad_chain_is_a_sentence(panel, viewer, qtbot) -> None:
    panel.then._fill_menu()
    tasks = {action.text(): action.menu() for action in panel.then.menu.actions()}
    assert list(tasks) == ["Correct", "Denoise", "Deconvolve", "Upscale", "Translate"]
    titles = {action.text(): action for action in tasks["Upscale"].actions()}
    assert not titles["Isotropic volume"].isEnabled() if "Isotropic volume" in titles else True
    panel.then.add("super-resolution/bicubic")
    panel.then.add("denoise/median")
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert "put it last" in panel.messages.error.text()
    assert len(viewer.layers) == 1
