from __future__ import annotations

import numpy as np
import pytest

from napari_synth.core.errors import RecipeError
from napari_synth.core.image import Image
from napari_synth.core.recipe import Recipe, Source

RECIPE = Recipe(generator="denoise/blind", params={"strength": 1.5, "ensemble": True}, axes="ZYX", seed=3, device="cpu")


def test_yaml_round_trip() -> None:
    assert Recipe.from_yaml(RECIPE.to_yaml()) == RECIPE


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "just words\n",
        "{}\n",
        "generator: x\nformat: 99\n",
        "generator: x\nseed: many\n",
        "generator: x\nodd: 1\n",
    ],
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_yaml(text)


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="check the path"):
        Recipe.from_file(tmp_path / "none.yaml")


def test_python_call_runs_as_it_is_written() -> None:
    code = RECIPE.to_python()
    compile(code, "recipe", "exec")
    assert "strength=1.5" in code
    assert "axes='ZYX'" in code


def test_command_line_has_every_choice() -> None:
    words = RECIPE.to_command("a.tif", "b.tif").split()
    assert words[:4] == ["napari-synth", "denoise", "a.tif", "b.tif"]
    assert words[words.index("--generator") + 1] == "blind"
    assert words[words.index("--strength") + 1] == "1.5"
    assert "--ensemble" in words


def test_fingerprint_tells_images_apart() -> None:
    image = np.random.default_rng(0).random((30, 40))
    changed = image.copy()
    changed[3, 4] += 1
    same, other = Source.of(Image(image, "YX")), Source.of(Image(changed, "YX"))
    assert same == Source.of(Image(image.copy(), "YX"))
    assert same.fingerprint != other.fingerprint
