"""Chains on the command line: one recipe of steps, on one image and on many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_synth
from napari_synth.cli import main
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_command, as_python

CHAIN = """
steps:
- generator: correct/flat-field
- generator: denoise/median
  params: {radius: 2}
"""
SHADING = 0.5 + np.linspace(0, 1, 48)[None] * np.ones((40, 1))
TILES = np.stack([np.random.default_rng(i).poisson((30 + 4 * i) * SHADING) for i in range(8)]).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiles").mkdir()
    for number, tile in enumerate(TILES):
        write_image(tmp_path / "tiles" / f"tile{number}.tif", Image(tile, "YX"))
    (tmp_path / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    return tmp_path


def command(*words: object) -> int:
    return main([*map(str, words), "--device", "cpu", "--quiet"])


def test_a_chain_runs_on_a_file_as_in_python_and_its_record_repeats_it(folder: Path) -> None:
    source, made, again = folder / "tiles" / "tile3.tif", folder / "made.tif", folder / "again.tif"
    assert command("run", folder / "chain.yaml", source, made, "--from", folder / "tiles" / "*.tif") == 0
    steps = ["correct/flat-field", ("denoise/median", {"radius": 2})]
    expected = napari_synth.run(steps, TILES[3], reference=TILES, axes="YX")
    np.testing.assert_array_equal(read_image(made).read(), expected)
    record = Recipe.from_file(folder / "made.tif.recipe.yaml")
    assert [step.generator for step in record.steps] == ["correct/flat-field", "denoise/median"]
    assert command("run", folder / "made.tif.recipe.yaml", source, again) == 0
    np.testing.assert_array_equal(read_image(again).read(), expected)


def test_a_batch_of_a_chain_goes_on_where_it_was_and_never_mixes_with_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder / "chain.yaml", folder / "tiles", folder / "out"]
    assert command("run", *words) == 1
    assert "Step 1 of the chain (Flat field): There is one plane" in " ".join(capsys.readouterr().err.split())
    fitted = Recipe.from_yaml(CHAIN)
    learnt = napari_synth.prepare(CHAIN, TILES[0], reference=TILES, axes="YX").recipe
    fitted = fitted.model_copy(update={"before": (learnt.steps[0].model_copy(update={"reference": None, "grid": {}}),)})
    (folder / "chain.yaml").write_text(fitted.to_yaml(), encoding="utf-8")
    words = [folder / "chain.yaml", folder / "tiles", folder / "other"]
    assert command("run", *words) == 0
    lines = [json.loads(line) for line in (folder / "other" / "manifest.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["done"] * 8
    assert main(["run", *map(str, words), "--device", "cpu"]) == 0
    assert "8 of 8 images are done by an earlier run" in capsys.readouterr().err
    changed = fitted.before[0].model_copy(update={"params": fitted.before[0].params | {"dark": 5.0}})
    (folder / "chain.yaml").write_text(fitted.model_copy(update={"before": (changed,)}).to_yaml(), encoding="utf-8")
    assert command("run", *words) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []\n", "The recipe has no steps"),
        ("steps:\n- generator: denoise/none\n- generator: denoise/median\n", "Step 1 of the chain: There is no"),
        ("steps:\n- generator: super-resolution/bicubic\n- generator: denoise/median\n", "put it last"),
        ("steps:\n- generator: denoise/median\n  params: {radius: -1}\n- generator: denoise/median\n", "radius"),
    ],
)
def test_a_bad_chain_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    (folder / "bad.yaml").write_text(text, encoding="utf-8")
    assert command("run", folder / "bad.yaml", folder / "tiles" / "tile0.tif", folder / "made.tif") == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (folder / "made.tif").exists()


def test_a_chain_is_spelt_as_python_that_makes_the_same(folder: Path) -> None:
    run = napari_synth.prepare(CHAIN, TILES[3], reference=TILES, axes="YX")
    names = {"image": TILES[3], "reference": TILES}
    text = as_python(run.recipe)
    assert "'fitted'" not in text
    exec(text, names)
    np.testing.assert_array_equal(names["result"], run.compute())
    assert as_command(run.recipe, file="chain.yaml") == "napari-synth run chain.yaml IN.tif OUT.tif"
