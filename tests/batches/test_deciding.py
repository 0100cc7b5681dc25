"""What a method would decide for every image anew is decided once for a batch, so that its images stay comparable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import data

import napari_synth
from napari_synth.batches.deciding import MOST_LOOKED_AT
from napari_synth.engine.recipe import Recipe


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Three tiles of a stained slide, one of empty glass, and one whose middle is a fold as dark as none of a slide should be."""
    folder = tmp_path / "in"
    folder.mkdir()
    slide, rng = data.immunohistochemistry(), np.random.default_rng(0)
    glass = np.rint(242 + rng.normal(0, 1.7, (128, 128, 3))).clip(0, 255).astype(np.uint8)
    folded = slide[300:428, 300:428].copy()
    folded[8:120, 8:120] = folded[8:120, 8:120] // 12
    for name, tile in {
        "0-glass": glass,
        "1": slide[:128, :128],
        "2-folded": folded,
        "3": slide[128:256, 128:256],
    }.items():
        tifffile.imwrite(folder / f"{name}.tif", tile, photometric="rgb")
    return folder


def made(folder: Path) -> dict[str, Recipe]:
    return {path.name.split(".")[0]: Recipe.from_file(path) for path in sorted(folder.glob("*.yaml"))}


def test_a_batch_without_a_reference_goes_one_way(tiles: Path, tmp_path: Path) -> None:
    alone = {}
    for path in tiles.glob("*.tif"):
        run = napari_synth.verbs.prepare("translate/auto", napari_synth.files.read_image(path))
        alone[path.stem] = run.recipe.params["method"]
    # What shows nothing decides nothing.
    assert alone == {"0-glass": None, "1": "macenko", "2-folded": "contrast", "3": "macenko"}
    report = napari_synth.batch("translate/auto", tiles, tmp_path / "out")
    assert not report.failed
    recipes = made(tmp_path / "out")
    assert {name: recipe.params["method"] for name, recipe in recipes.items()} == dict.fromkeys(alone, "macenko")
    said = "All images of the batch go one way (method macenko), as 2 of 3 images that were looked at say."
    assert all(said in record.notes for record in report.done)
    assert all(said in recipe.notes for recipe in recipes.values())
    glass = tifffile.imread(tmp_path / "out" / "0-glass.tif")
    assert np.array_equal(glass, tifffile.imread(tiles / "0-glass.tif"))


def test_a_second_run_and_a_shard_decide_alike(tiles: Path, tmp_path: Path) -> None:
    # The part that has the fold alone looks at all images of the batch.
    napari_synth.batch("translate/auto", tiles, tmp_path / "out", shard="2/4")
    assert made(tmp_path / "out")["2-folded"].params["method"] == "macenko"
    whole = tmp_path / "whole"
    napari_synth.batch("translate/auto", tiles, whole)
    (tiles / "4.tif").write_bytes((tiles / "2-folded.tif").read_bytes())
    for name in ("1", "3"):
        (tiles / f"{name}.tif").unlink()
    report = napari_synth.batch("translate/auto", tiles, whole)
    assert [Path(record.target).name for record in report.done] == ["4.tif"]
    assert made(whole)["4"].params["method"] == "macenko"
    assert any("was made" in note for note in report.done[0].notes)


def test_few_images_of_many_are_looked_at(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_synth.methods.translate import selection

    asked: list[int] = []
    choose = selection.choose
    monkeypatch.setattr(selection, "choose", lambda *given: asked.append(1) or choose(*given))
    for number in range(10, 30):
        (tiles / f"{number}.tif").write_bytes((tiles / "1.tif").read_bytes())
    napari_synth.batch("translate/auto", tiles, tmp_path / "out")
    assert len(asked) <= MOST_LOOKED_AT


def test_what_is_set_is_not_decided(tiles: Path, tmp_path: Path) -> None:
    report = napari_synth.batch("translate/auto", tiles, tmp_path / "out", {"method": "contrast"})
    assert {recipe.params["method"] for recipe in made(tmp_path / "out").values()} == {"contrast"}
    assert not any("go one way" in note for record in report.done for note in record.notes)
