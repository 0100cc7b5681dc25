"""The command predict-frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_synth
from benchmark.movies import moving_blobs
from napari_synth.cli import main
from napari_synth.engine.recipe import Recipe
from napari_synth.spelling import as_command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for seed, name in enumerate("ab"):
        movie = moving_blobs(6, 32, seed=seed)
        movie[3] = 0
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", movie)
    return tmp_path


def test_every_movie_of_a_folder_gets_its_frames_and_a_recipe_that_repeats_them(files: Path) -> None:
    words = ["predict-frames", str(files / "in"), str(files / "out"), "--count", "2", "--fill", "auto", "--quiet"]
    assert main(words) == 0
    for name in "ab":
        movie = tifffile.imread(files / "in" / f"{name}.tif")
        made = tifffile.imread(files / "out" / f"{name}.tif")
        np.testing.assert_array_equal(made, napari_synth.predict_frames(movie, 2, fill="auto"))
        recipe = Recipe.from_file(files / "out" / f"{name}.tif.recipe.yaml")
        assert recipe.frames is not None
        assert recipe.frames.invented == (3, 6, 7)
        again = str(files / f"{name}.tif")
        assert (
            main(["run", str(files / "out" / f"{name}.tif.recipe.yaml"), str(files / "in" / f"{name}.tif"), again]) == 0
        )
        np.testing.assert_array_equal(tifffile.imread(again), made)


def test_the_command_that_a_recipe_spells_does_the_same(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, first, again = (str(files / name) for name in ("in/a.tif", "first.tif", "again.tif"))
    words = ["predict-frames", source, first, "--generator", "linear", "--frames", "2", "--fill", "3", "--fill", "5"]
    assert main(words) == 0
    assert "Invented, not measured: frames 3, 5" in capsys.readouterr().err
    command = as_command(Recipe.from_file(f"{first}.recipe.yaml"), source, again).split()
    assert main(command[1:]) == 0
    np.testing.assert_array_equal(tifffile.imread(first), tifffile.imread(again))


def test_a_result_can_be_streamed_into_an_ome_zarr(files: Path) -> None:
    source, target = str(files / "in/a.tif"), files / "out.ome.zarr"
    assert main(["predict-frames", source, str(target), "--between", "1", "--quiet"]) == 0
    import zarr

    stored = np.asarray(zarr.open_group(str(target), mode="r")["0"])
    np.testing.assert_array_equal(stored, napari_synth.predict_frames(tifffile.imread(source), between=1))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "No frame is wanted"),
        (["--count", "-1"], "count cannot be -1"),
        (["--fill", "some"], "give 'auto' or the numbers of frames"),
        (["--fill", "6"], "the movie has the frames 0 to 5"),
        (["--between", "1", "--count", "1"], "a run of their own"),
        (["--count", "1", "--axes", "ZYX"], "Frames need a T axis"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    files: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict-frames", str(files / "in" / "a.tif"), str(files / "out.tif"), *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (files / "out.tif").exists()
