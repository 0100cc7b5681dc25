"""Recipes, augmentations, cards and descriptions of models with any content: each is read, or is one of our errors."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

import napari_synth
from napari_synth.augmentation import Pipeline, preset
from napari_synth.augmentation.draws import Draw
from napari_synth.core.errors import GeneratorError, SynthError, UnforeseenError
from napari_synth.core.texts import TextError, read_json, read_yaml, shown
from napari_synth.engine.recipe import Recipe
from napari_synth.models import ModelCard, load_model
from napari_synth.models.card import ModelDescription
from napari_synth.spelling import as_command, as_python

BOUNDED = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PLANE = np.arange(12 * 13, dtype="u2").reshape(12, 13)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**18, 2**63, 2**64, -(10**400), 10**5, 16, 17]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["YX", "ZYX", "auto", "cpu", "cuda:99999999999", "../../x", "/", "denoise/median", "float64"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=5), SCALARS), inner, max_size=3)
    ),
    max_leaves=6,
)


def _changed(usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(usual)), VALUES, max_size=3).map(lambda new: usual | new)


def _ended(call: Callable[[], Any]) -> Any:
    """Return what a call returned, or None where it ended in one of our errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except SynthError as error:
        ended = error
    assert not isinstance(ended, (GeneratorError, UnforeseenError)), ended
    assert 0 < len(str(ended)) < 1000
    return None


RECIPES = [
    Recipe(generator="denoise/median", axes="YX", device="cpu").model_dump(mode="json"),
    Recipe(generator="translate/quantile-matching", params={"fitted": [{"levels": [1.0, 2.0]}]}).model_dump(
        mode="json"
    ),
    Recipe(generator="inpaint/biharmonic").model_dump(mode="json") | {"mask": {"rule": "zero", "ids": [], "grow": 0}},
    Recipe(generator="predict-frames/copy-last").model_dump(mode="json") | {"frames": {"count": 1, "fill": [0]}},
]


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_recipe_of_any_content_is_read_and_run_or_refused(number: int) -> None:
    usual = RECIPES[number]

    @BOUNDED
    @given(_changed(usual), _changed(usual["params"] or {"radius": 1}))
    def check(content: dict[str, Any], params: dict[str, Any]) -> None:
        if content["params"] == usual["params"]:
            content = content | {"params": params}
        recipe = _ended(lambda: Recipe.from_yaml(yaml.safe_dump(content)))
        if recipe is not None:
            assert Recipe.from_yaml(recipe.to_yaml()) == recipe
            _ended(lambda: napari_synth.run(recipe, PLANE if number < 3 else np.stack([PLANE] * 3)))
            as_python(recipe), as_command(recipe)

    check()


@BOUNDED
@given(st.one_of(st.text(), st.binary(max_size=50).map(lambda raw: raw.decode("latin1")), VALUES.map(repr)))
def test_any_text_is_plain_values_or_refused(text: str) -> None:
    for read in (read_yaml, read_json):
        with contextlib.suppress(TextError):
            read(text)
    for parse in (Recipe.from_yaml, Pipeline.from_yaml, Draw.from_yaml):
        _ended(lambda parse=parse: parse(text))
    assert len(shown(text)) <= 120


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3_000,
        "{a: " * 3_000,
        "generator: denoise/median\nseed: " + "9" * 5_000,
        "generator: denoise/median\nseed: " + "9" * 4_000,
        "generator: denoise/median\n1: 2\n",
        "generator: denoise/median\nparams: {1: 2}\n",
        "generator: denoise/median\nnotes: 2001-99-99\n",
        "generator: &a [*a]\n",
        "generator: denoise/median\nparams: &a {b: *a}\n",
        "generator: denoise/median\nparams: !!python/object:os.system {}\n",
        "generator: denoise/median\ntile: .nan\n",
        "generator: [denoise]\n",
        "generator: median\n",
        # Ten lists that hold the one before ten times stand for ten thousand million values.
        "generator: denoise/median\na0: &a0 [x]\n"
        + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(10)),
    ],
)
def test_texts_made_to_harm_are_one_sentence(text: str) -> None:
    assert _ended(lambda: Recipe.from_yaml(text)) is None
    assert _ended(lambda: Pipeline.from_yaml(text)) is None
    assert _ended(lambda: Draw.from_yaml(text)) is None


@BOUNDED
@given(_changed(preset("light-microscopy").to_dict()), VALUES)
def test_an_augmentation_of_any_content_is_read_or_refused(content: dict[str, Any], entry: Any) -> None:
    _ended(lambda: Pipeline.from_yaml(yaml.safe_dump(content)))
    _ended(lambda: Pipeline.from_dict(content | {"transforms": [{"kind": "rotate", "degrees": entry}, entry]}))


SMALL = {"widths": [4, 6, 8], "encoder_blocks": [1, 1], "decoder_blocks": [1, 1], "bottom_blocks": 1}
CARD = ModelCard(
    name="small", title="Small", task="denoise", architecture="noise-conditioned-unet", config=SMALL
).model_dump(mode="json")


@BOUNDED
@given(_changed(CARD), _changed(SMALL))
def test_a_card_of_any_content_is_read_or_refused(content: dict[str, Any], config: dict[str, Any]) -> None:
    content = content | ({"config": config} if content["config"] == SMALL else {})
    raw = save({"weight": torch.zeros(2)}, metadata={"napari_synth": json.dumps(content, skipkeys=True)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(raw)
        assert _ended(lambda: load_model(path)) is None
        assert _ended(lambda: napari_synth.load_model(path)) is None


DESCRIPTION = ModelDescription(
    name="mine", title="", summary="", task="denoise", kind="napari-synth", architecture="x", file="a", sha256="0"
).model_dump(mode="json")


@BOUNDED
@given(_changed(DESCRIPTION))
def test_a_library_with_any_description_is_listed(content: dict[str, Any]) -> None:
    from napari_synth import registry
    from napari_synth.models import library

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, folder)
        entry = Path(folder) / "denoise" / "mine"
        entry.mkdir(parents=True)
        (entry / "a").write_bytes(b"")
        (entry / "description.json").write_text(json.dumps(content, skipkeys=True))
        registry.refresh()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert "denoise/blind" in [one.info.id for one in registry.generators()]
    registry.refresh()
