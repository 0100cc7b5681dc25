"""Movies fade no more, what flashes in them stays, and what is measured stays measurable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import napari_synth
from napari_synth.core.errors import InvalidImageError
from napari_synth.engine.prepared import PreparedRun

FRAMES, SIZE, DARK = 40, 48, 100.0
TIME = np.arange(FRAMES)
Y, X = np.mgrid[:SIZE, :SIZE]
CELLS = 400.0 * (np.sin(X / 5) * np.sin(Y / 7) > 0.3)
FADING = 0.7 * np.exp(-TIME / 12) + 0.3


def movie(fading: npt.NDArray[Any] = FADING, *, flash: bool = False) -> npt.NDArray[np.uint16]:
    still = np.repeat(CELLS[None], FRAMES, 0)
    if flash:
        still[18:22, 20:26, 20:26] *= 2
    draws = np.random.default_rng(0)
    return np.rint(draws.poisson(still * fading[:, None, None]) + draws.normal(DARK, 2, still.shape)).astype(np.uint16)


def prepared(image: npt.NDArray[Any], **params: Any) -> PreparedRun:
    return napari_synth.prepare("correct/bleaching", image, params, axes="TYX", device="cpu")


@pytest.mark.parametrize("model", ["exponential", "two exponentials"])
def test_the_curve_is_found(model: str) -> None:
    run = prepared(movie(), model=model)
    gains = np.asarray(run.recipe.params["fitted"][0]["gains"])
    np.testing.assert_allclose(1 / gains, FADING, rtol=0.01)
    assert "half of it is gone at frame" in run.notes[0]
    result = np.asarray(run.compute(), float)
    bright = CELLS > 0
    np.testing.assert_allclose(result[:, bright].mean(1), 500, rtol=0.02)
    np.testing.assert_allclose(result[:, ~bright].mean(1), DARK, atol=2)


def test_a_flash_stays() -> None:
    inside = (slice(20, 26), slice(20, 26))
    with_flash, without = (np.asarray(prepared(movie(flash=flash)).compute(), float) - DARK for flash in (True, False))
    ratio = with_flash[18:22][:, *inside].mean() / without[18:22][:, *inside].mean()
    assert ratio == pytest.approx(2, rel=0.03)


def test_flicker_goes_and_a_flash_stays() -> None:
    lamp = 1 + 0.1 * np.random.default_rng(1).normal(size=FRAMES)
    result = np.asarray(prepared(movie(FADING * lamp, flash=True), flicker=True).compute(), float) - DARK
    away = (CELLS > 0) & (Y > 30)
    assert np.std(result[:, away].mean(1)) / np.mean(result[:, away]) < 0.03
    before = np.asarray(prepared(movie(FADING * lamp)).compute(), float) - DARK
    assert np.std(before[:, away].mean(1)) / np.mean(before[:, away]) > 0.05


def test_frames_are_made_alike_by_ratio_and_by_histogram() -> None:
    ratio = np.asarray(prepared(movie(), model="ratio").compute(), float)
    np.testing.assert_allclose(ratio.mean((1, 2)), ratio[0].mean(), rtol=0.005)
    run = prepared(movie(), model="histogram")
    result = np.asarray(run.compute(), float)
    for share in (25, 50, 75, 95):
        levels = np.percentile(result, share, axis=(1, 2))
        np.testing.assert_allclose(levels, levels[0], rtol=0.03, atol=2)
    assert "no longer be measured" in run.notes[0]


def test_the_recipe_holds_the_curve_for_a_part_of_the_field() -> None:
    run = prepared(movie())
    part = movie()[:, :20, 30:]
    again = napari_synth.run(run.recipe, part)
    np.testing.assert_array_equal(again, np.asarray(run.compute())[:, :20, 30:])


def test_what_is_odd_is_one_sentence() -> None:
    pair = prepared(movie()[:2])
    assert any("2 frames are too few for a curve" in note for note in pair.notes)
    single = napari_synth.prepare("correct/bleaching", movie()[0], axes="YX", device="cpu")
    np.testing.assert_array_equal(single.compute(), movie()[0])
    assert "There is one frame" in single.notes[0]
    bright = np.random.default_rng(0).poisson(100, (4, 48, 48)).astype(np.uint16)
    assert any("No pixel is dark enough" in note for note in prepared(bright).notes)
    with pytest.raises(InvalidImageError, match="without signal above the dark level of 900 counts"):
        prepared(movie(), dark=900.0)
