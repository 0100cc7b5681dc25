from __future__ import annotations

import pytest

import napari_synth
from napari_synth.core.errors import InvalidParameterError, UnknownGeneratorError
from napari_synth.engine.recipe import Recipe
from napari_synth.registry import generator, trainable


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("translate/cyclegan", "cycle", "cycle_weight"),
        ("translate/cyclegan", "game", "gan_loss"),
        ("denoise/supervised", "start", "initial_weights"),
        ("translate/cut", "places", "num_patches"),
    ],
)
def test_an_old_name_says_how_the_setting_is_called_now(method: str, old: str, new: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"{old!r} is called {new!r} now"):
        trainable(method).params_type.parse({old: 1})


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(InvalidParameterError, match=r"There is no parameter 'start': this generator has .*strength"):
        generator("denoise/wavelet").params_type.parse({"start": 1})


def test_an_old_method_in_a_recipe_says_how_it_is_called_now() -> None:
    with pytest.raises(UnknownGeneratorError, match="denoise/adapted"):
        napari_synth.run(Recipe(generator="denoise/adapt"), [[1.0, 2.0], [3.0, 4.0]])
