from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest

import napari_synth
from napari_synth.cli import main
from napari_synth.core.errors import RecipeError
from napari_synth.engine.recipe import Recipe, Source
from napari_synth.imaging.image import Image
from napari_synth.registry import generator as registered
from napari_synth.registry import generators
from napari_synth.spelling import as_command, as_python

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
    code = as_python(RECIPE)
    compile(code, "recipe", "exec")
    assert "strength=1.5" in code
    assert "axes='ZYX'" in code


def test_command_line_has_every_choice() -> None:
    words = as_command(RECIPE, "a.tif", "b.tif").split()
    assert words[:4] == ["napari-synth", "denoise", "a.tif", "b.tif"]
    assert words[words.index("--generator") + 1] == "blind"
    assert words[words.index("--strength") + 1] == "1.5"
    assert "--ensemble" in words


def test_settings_at_their_defaults_are_left_out_of_calls() -> None:
    recipe = Recipe(generator="denoise/blind", params={"strength": 1.0, "sigma": None, "ensemble": True})
    assert as_command(recipe) == "napari-synth denoise IN.tif OUT.tif --generator blind --ensemble"
    assert as_python(recipe).endswith("napari_synth.run('denoise/blind', image, ensemble=True)\n")


def test_settings_of_a_generator_that_is_not_here_are_all_told() -> None:
    recipe = Recipe(generator="denoise/elsewhere", params={"strength": 1.0})
    assert "--strength 1.0" in as_command(recipe)
    assert "strength=1.0" in as_python(recipe)


def _choices() -> Iterator[tuple[str, str, Any]]:
    """Yield every choice that a setting offers, and other numbers than its default."""
    for found in generators():
        for name, field in found.params_type.model_fields.items():
            kinds = get_args(field.annotation) if get_origin(field.annotation) is UnionType else (field.annotation,)
            for kind in kinds:
                if get_origin(kind) is Literal:
                    yield from ((found.info.id, name, value) for value in get_args(kind))
                elif kind is bool:
                    yield from ((found.info.id, name, value) for value in (True, False))
                elif kind in (int, float):
                    bounds = [rule.ge for rule in field.metadata if hasattr(rule, "ge")]
                    bounds += [rule.gt + 1 for rule in field.metadata if hasattr(rule, "gt")]
                    yield found.info.id, name, kind(bounds[0] if bounds else 1)


@pytest.mark.parametrize(("generator", "name", "value"), list(_choices()))
def test_calls_that_are_copied_do_what_was_done(
    monkeypatch: pytest.MonkeyPatch, generator: str, name: str, value: Any
) -> None:
    recipe = Recipe(generator=generator, params={name: value}, seed=3, device="cpu", axes="ZYX", tile=64)
    seen: list[tuple[str, str, Recipe, str | None]] = []

    def process(source: str, target: Path, asked: Recipe, output: Any, how: Any, *_: Any, **__: Any) -> int:
        seen.append((source, str(target), asked, how.axes))
        return 0

    monkeypatch.setattr("napari_synth.cli.app._process", process)
    words = shlex.split(as_command(recipe, "my file.tif", "out put.tif"))
    assert main(words[1:]) == 0
    [(source, target, asked, axes)] = seen
    assert (source, target, axes) == ("my file.tif", "out put.tif", "ZYX")
    settings = registered(generator).params_type
    assert settings.parse(asked.params) == settings.parse(recipe.params)
    assert asked.model_copy(update={"params": {}}) == recipe.model_copy(update={"params": {}})

    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(napari_synth, "run", lambda *given, **options: calls.append({"given": given, **options}))
    exec(as_python(recipe), {"image": "pixels"})
    [call] = calls
    plain = {"given": (generator, "pixels"), "seed": 3, "device": "cpu", "axes": "ZYX", "tile": 64}
    assert {key: call.pop(key) for key in plain} == plain
    assert settings.parse(call) == settings.parse(recipe.params)


def test_other_weights_of_the_same_name_are_told_of() -> None:
    made = Recipe(generator="denoise/blind", weights={"a": "1", "b": "2"})
    assert made.differing_weights(made) is None
    assert made.differing_weights(Recipe(generator="denoise/blind", weights={"c": "3"})) is None
    sentence = made.differing_weights(made.model_copy(update={"weights": {"a": "1", "b": "3"}}))
    assert sentence is not None
    assert sentence.startswith("The weights of b differ")


def test_fingerprint_tells_images_apart() -> None:
    image = np.random.default_rng(0).random((30, 40))
    changed = image.copy()
    changed[3, 4] += 1
    same, other = Source.of(Image(image, "YX")), Source.of(Image(changed, "YX"))
    assert same == Source.of(Image(image.copy(), "YX"))
    assert same.fingerprint != other.fingerprint
