"""Few counts come back as floats, everything else in the dtype of its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_synth
from napari_synth.cli.app import main
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare


def photons(mean: float, seed: int = 0) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(7).normal(size=(128, 128)), 5)
    signal = np.maximum(smooth, 0) + 0.1 * smooth.std()
    return np.random.default_rng(seed).poisson(signal / signal.mean() * mean).astype(np.uint16)


@pytest.mark.parametrize("mean", [0.03, 0.1, 0.3, 1.0])
def test_the_total_of_few_photons_is_kept(mean: float) -> None:
    image = photons(mean)
    run = prepare("denoise/blind", Image(image, "YX"))
    result = run.compute()
    assert result.dtype == np.float32
    assert abs(result.sum() / image.sum() - 1) < 0.01
    assert run.recipe.dtype == "float32"
    assert any("float32" in note and "few counts" in note for note in run.notes)
    again = napari_synth.run(Recipe.from_yaml(run.recipe.to_yaml()), image)
    np.testing.assert_array_equal(again, result)


@pytest.mark.parametrize("mean", [0.03, 0.1, 0.3])
def test_a_finer_image_of_few_photons_is_as_bright(mean: float) -> None:
    image = photons(mean)
    finer = napari_synth.upscale(image, 2)
    assert abs(finer.mean() / image.mean() - 1) < 0.01
    tiled = napari_synth.upscale(image, 2, tile=64)
    np.testing.assert_allclose(tiled, finer, atol=1e-3 * np.ptp(finer))


def test_the_user_decides() -> None:
    image = photons(0.3)
    assert napari_synth.denoise(image, dtype="source").dtype == np.uint16
    assert napari_synth.denoise(photons(200.0), dtype="float32").dtype == np.float32
    assert napari_synth.upscale(image, 2, "lanczos").dtype == np.float32


def test_counts_that_are_many_and_colours_stay_as_they_are() -> None:
    run = prepare("denoise/blind", Image(photons(200.0), "YX"))
    assert (run.dtype, run.recipe.dtype) == (np.uint16, "auto")
    colours = np.stack([photons(0.3).astype(np.uint8)] * 3, -1)
    assert napari_synth.denoise(colours, axes="YXS").dtype == np.uint8


def test_frames_of_few_photons() -> None:
    movie = np.stack([photons(0.3, seed) for seed in range(4)])
    made = napari_synth.predict_frames(movie, 1, "linear")
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[:4], movie)
    assert napari_synth.predict_frames(movie, 1, "linear", dtype="source").dtype == np.uint16


def test_a_batch_takes_one_decision(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, mean in (("a", 0.3), ("b", 200.0)):
        write_image(source / f"{name}.tif", Image(photons(mean), "YX"))
    assert main(["denoise", str(source), str(tmp_path / "out"), "--quiet"]) == 0
    assert {read_image(path).dtype for path in (tmp_path / "out").glob("*.tif")} == {np.dtype(np.float32)}
    assert main(["denoise", str(source), str(tmp_path / "whole"), "--dtype", "source", "--quiet"]) == 0
    assert {read_image(path).dtype for path in (tmp_path / "whole").glob("*.tif")} == {np.dtype(np.uint16)}
