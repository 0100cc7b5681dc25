"""Reference images on the command line."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from skimage import data

import napari_synth
from napari_synth.cli import main


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name, start in (("a", 0), ("b", 100)):
        iio.imwrite(tmp_path / "in" / f"{name}.png", data.camera()[start : start + 48, :48])
    iio.imwrite(tmp_path / "reference.png", data.coins()[:60, :40])
    return tmp_path


def test_a_folder_is_matched_to_one_reference(files: Path) -> None:
    words = ["translate", str(files / "in"), str(files / "out"), "--reference", str(files / "reference.png"), "--quiet"]
    assert main(words) == 0
    for name in "ab":
        expected = napari_synth.translate(iio.imread(files / "in" / f"{name}.png"), data.coins()[:60, :40])
        np.testing.assert_array_equal(iio.imread(files / "out" / f"{name}.png"), expected)


def test_a_recipe_repeats_the_run_without_the_reference(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, first, again = (str(files / name) for name in ("in/a.png", "first.png", "again.png"))
    assert main(["translate", source, first, "--reference", str(files / "reference.png")]) == 0
    assert "oise" not in capsys.readouterr().err
    (files / "reference.png").unlink()
    assert main(["run", f"{first}.recipe.yaml", source, again, "--quiet"]) == 0
    np.testing.assert_array_equal(iio.imread(first), iio.imread(again))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--reference", "missing.png"], "There is no reference image"),
        (["--generator", "patch-style"], "needs a reference image"),
        (["--generator", "macenko"], "needs colours"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    files: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", str(files / "in" / "a.png"), str(files / "out.png"), *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (files / "out.png").exists()
