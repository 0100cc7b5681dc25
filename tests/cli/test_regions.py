"""A region on the command line: bounds, or what was drawn in a file, for one image and for many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_synth
from napari_synth.batches.inputs import Drawn
from napari_synth.cli import main
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image
from napari_synth.spelling import as_command

MEDIAN = ["--generator", "median", "--radius", "1", "--device", "cpu", "--quiet"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the images a and b, and with what was drawn on each of them."""
    rng = np.random.default_rng(0)
    for number, name in enumerate("ab"):
        labels = np.zeros((48, 40), np.uint8)
        labels[10 + number : 30, 5:20] = 3
        for sub, pixels in (("in", rng.poisson(100, (48, 40)).astype(np.uint16)), ("drawn", labels)):
            (tmp_path / sub).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / sub / f"{name}.tif", pixels)
    return tmp_path


def expected(folder: Path, name: str, drawn: str) -> np.ndarray:
    """Return what Python makes of an image with the labels that were drawn on another one."""
    image, labels = (tifffile.imread(folder / path) for path in (f"in/{name}.tif", f"drawn/{drawn}.tif"))
    whole = napari_synth.denoise(image, "median", radius=1, device="cpu")
    return np.where(labels > 0, whole, image)


def test_a_drawing_is_a_region_and_the_recipe_asks_for_it_again(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target, labels = (str(folder / name) for name in ("in/a.tif", "a.tif", "drawn/a.tif"))
    assert main(["denoise", source, target, "--region", labels, *MEDIAN]) == 0
    np.testing.assert_array_equal(read_image(target).read(), expected(folder, "a", "a"))
    recipe = Recipe.from_file(f"{target}.recipe.yaml")
    assert recipe.region.is_drawn

    again = str(folder / "again.tif")
    assert main(["run", f"{target}.recipe.yaml", source, again]) == 2
    assert "add --region with an image" in capfd.readouterr().err
    assert main(["run", f"{target}.recipe.yaml", source, again, "--region", labels, "--quiet"]) == 0
    np.testing.assert_array_equal(read_image(again).read(), expected(folder, "a", "a"))
    whole = str(folder / "whole.tif")
    assert main(["run", f"{target}.recipe.yaml", source, whole, "--region", "all", "--quiet"]) == 0
    assert (read_image(whole).read() != expected(folder, "a", "a")).any()


def test_the_copied_command_repeats_a_run_of_a_drawn_region(folder: Path) -> None:
    image, labels = (tifffile.imread(folder / sub / "a.tif") for sub in ("in", "drawn"))
    run = napari_synth.prepare("denoise/median", image, {"radius": 1}, region=labels, device="cpu")
    source, target, region = (str(folder / name) for name in ("in/a.tif", "out.tif", "drawn/a.tif"))
    words = as_command(run.recipe, source, target, region=region).split()
    assert main([*words[1:], "--quiet"]) == 0
    np.testing.assert_array_equal(read_image(target).read(), run.compute())
    mixed = as_command(run.recipe.model_copy(update={"blend": 0.5}), file="R.yaml")
    assert mixed == "napari-synth run R.yaml IN.tif OUT.tif --region REGION.tif"


@pytest.mark.parametrize("region", ["drawn", "drawn/*.tif", "drawn/a.tif"])
def test_each_of_many_images_has_its_region_or_all_have_one(folder: Path, region: str) -> None:
    assert main(["denoise", str(folder / "in"), str(folder / "out"), "--region", str(folder / region), *MEDIAN]) == 0
    for name in "ab":
        drawn = "a" if region.endswith("a.tif") else name
        np.testing.assert_array_equal(read_image(folder / "out" / f"{name}.tif").read(), expected(folder, name, drawn))


def test_python_takes_the_same_and_another_region_is_another_batch(folder: Path) -> None:
    def batch(region: str | None) -> tuple[int, int]:
        done = napari_synth.batch(
            "denoise/median", folder / "in", folder / "out", {"radius": 1}, region=region, device="cpu", overwrite=True
        )
        return len(done.done), len(done.kept)

    assert batch("Y=10:30,X=5:20") == (2, 0)
    assert batch("Y=10:30,X=5:20") == (0, 2)
    np.testing.assert_array_equal(read_image(folder / "out/a.tif").read(), expected(folder, "a", "a"))
    assert batch("Y=11:30,X=5:20") == (2, 0)
    assert batch(str(folder / "drawn")) == (2, 0)
    np.testing.assert_array_equal(read_image(folder / "out/b.tif").read(), expected(folder, "b", "b"))
    assert batch(None) == (2, 0)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("gone.tif", "There is no region 'gone.tif'"),
        ("Y=5", None),
        ("Y=a:b", "write START:STOP in pixels"),
        ("Y=90:95", "does not lie in the image"),
    ],
)
def test_what_is_no_region_is_one_sentence(
    folder: Path, region: str, said: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["denoise", str(folder / "in/a.tif"), str(folder / "a.tif"), "--region", region, *MEDIAN])
    assert code == (0 if said is None else 2)
    assert (said or "") in " ".join(capfd.readouterr().err.split())


def test_a_file_whose_name_looks_like_bounds_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Drawn.parse("Y=1:2")[1] == Drawn()
    Path("Y=1.tif").touch()
    assert Drawn.parse("Y=1.tif") == (None, Drawn("Y=1.tif"))
