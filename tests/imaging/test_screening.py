"""Outliers and regions without data change nothing else, in the whole and in parts, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

import napari_synth
from napari_synth.engine.verdict import verdicts
from napari_synth.imaging.image import Image
from napari_synth.imaging.screening import screened
from napari_synth.spelling import as_command, as_python
from napari_synth.verbs import prepare

SIGMA = 25.0
CENTRE = (64, 64)


@cache
def truth(size: int = 128) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(3).normal(size=(size, size)), 6)
    return 100 + 800 * (smooth - smooth.min()) / np.ptp(smooth)


@cache
def noisy(size: int = 128) -> np.ndarray:
    return np.rint(truth(size) + np.random.default_rng(4).normal(0, SIGMA, (size, size))).clip(0).astype(np.uint16)


def with_outlier(value: int, at: tuple[int, int] = CENTRE) -> np.ndarray:
    image = noisy().copy()
    image[at] = value
    return image


def far(shape: tuple[int, ...], finer: int, at: tuple[int, int], pixels: float) -> np.ndarray:
    elsewhere = np.ones(shape, bool)
    elsewhere[tuple(slice(i * finer, (i + 1) * finer) for i in at)] = False
    return np.asarray(distance_transform_edt(elsewhere) > pixels * finer)


METHODS: dict[str, Callable[[np.ndarray], Any]] = {
    "blind": napari_synth.denoise,
    "adapted": lambda image: napari_synth.denoise(image, "adapted", steps=3),
    "noise2void": lambda image: napari_synth.denoise(image, "noise2void", steps=3, patch=32, batch=2),
    "zero-shot": lambda image: napari_synth.denoise(image, "zero-shot-noise2noise", steps=3, patch=32, batch=2),
    "wavelet": lambda image: napari_synth.denoise(image, "wavelet"),
    "upscale": lambda image: napari_synth.upscale(image, 2),
    "upscale-adapted": lambda image: napari_synth.upscale(image, 2, "adapted", steps=2, patch=16, batch=2),
    "inpaint": lambda image: napari_synth.inpaint(image, far(image.shape, 1, (90, 40), 6) == 0, "network"),
    "unsharp": lambda image: napari_synth.translate(image, generator="unsharp"),
    "frames": lambda image: napari_synth.predict_frames(np.stack([image] * 4), 1, "optical-flow")[-1],
}


@pytest.mark.parametrize("method", METHODS)
def test_one_outlier_changes_nothing_far_from_it(method: str) -> None:
    clean, changed = (np.asarray(METHODS[method](image), float) for image in (noisy(), with_outlier(16_000)))
    finer = clean.shape[0] // 128
    assert np.abs(changed - clean)[far(clean.shape, finer, CENTRE, 8)].max() <= 0.15 * SIGMA


@pytest.mark.parametrize("value", [0, 1_200, 2_000, 4_000, 65_535])
def test_an_outlier_of_any_value(value: int) -> None:
    changed = np.abs(napari_synth.denoise(with_outlier(value)).astype(float) - napari_synth.denoise(noisy()))
    assert changed[far(changed.shape, 1, CENTRE, 8)].max() <= 0.15 * SIGMA


def test_an_outlier_at_an_edge() -> None:
    step = np.where(np.arange(128) < 64, 100.0, 900.0) * np.ones((128, 1))
    image = np.rint(step + np.random.default_rng(1).normal(0, SIGMA, step.shape)).astype(np.uint16)
    for column in (63, 64):
        changed = image.copy()
        changed[64, column] = 2_500
        assert screened(Image(changed, "YX")).read()[64, column] < 1_100


@pytest.mark.parametrize("generator", ["patches", "auto", "biharmonic", "network"])
def test_an_outlier_beside_a_hole_counts_as_the_median_around_it(generator: str) -> None:
    hole, at = far(noisy().shape, 1, (90, 40), 6) == 0, (100, 52)
    middle = noisy().copy()
    around = noisy()[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2].ravel()
    middle[at] = np.rint(np.median(np.delete(around, 4)))
    expected, found = (napari_synth.inpaint(image, hole, generator) for image in (middle, with_outlier(16_000, at)))
    assert (found[hole] == expected[hole]).all()


DECONVOLVED = {"network": 8, "gradient-consensus": 36}


@pytest.mark.parametrize("generator", DECONVOLVED)
def test_a_bright_bead_does_not_ring_in_what_is_deconvolved(generator: str) -> None:
    bead = np.zeros(noisy().shape)
    bead[40:49, 60:69] = 200_000
    bead = gaussian_filter(bead, 2.0)
    image = np.clip(noisy() + bead, 0, 65_535).astype(np.uint16)
    result, clean = (
        napari_synth.deconvolve(one, None, generator, width=1.5, iterations=DECONVOLVED[generator]).astype(float)
        for one in (image, noisy())
    )
    assert np.abs(result - clean)[distance_transform_edt(bead < 50) > 10].max() < SIGMA


def test_many_hot_pixels_leave_the_error_of_the_others() -> None:
    image, clean = noisy().copy(), napari_synth.denoise(noisy()).astype(float)
    hot = np.random.default_rng(5).random(image.shape) < 5e-4
    image[hot] = 65_535
    run = prepare("denoise/blind", Image(image, "YX"))
    result = run.compute()
    errors = [np.sqrt(np.mean((found - truth())[~hot] ** 2)) for found in (clean, result.astype(float))]
    assert errors[1] < 1.1 * errors[0]
    assert (result[hot] == 65_535).all()
    assert any(note.startswith(f"{hot.sum()} of 16384 pixels looked at are outliers") for note in run.notes)


def test_outliers_are_kept_or_replaced() -> None:
    image = with_outlier(16_000)
    assert napari_synth.denoise(image)[CENTRE] == 16_000
    replaced = napari_synth.denoise(image, outliers="replace")
    assert abs(replaced[CENTRE] - truth()[CENTRE]) < SIGMA
    assert (napari_synth.upscale(image, 2)[128:130, 128:130] == 16_000).all()
    # Those who choose the median want them gone.
    assert napari_synth.denoise(image, "median")[CENTRE] < 1_000


def test_bright_beads_and_saturated_blocks_do_not_ring() -> None:
    clean = napari_synth.denoise(noisy()).astype(float)
    bead = np.zeros(noisy().shape)
    bead[40:49, 60:69] = 200_000
    bead = gaussian_filter(bead, 2.0)
    image = np.clip(noisy() + bead, 0, 65_535).astype(np.uint16)
    result = napari_synth.denoise(image).astype(float)
    away = distance_transform_edt(bead < 50) > 10
    assert np.abs(result - clean)[away].max() < SIGMA
    image = noisy().copy()
    image[40:60, 60:80] = 65_535
    result = napari_synth.denoise(image).astype(float)
    assert (result[40:60, 60:80] == 65_535).all()
    away = distance_transform_edt(image < 65_535) > 10
    assert np.abs(result - clean)[away].max() < SIGMA


@pytest.mark.parametrize(("width", "least"), [(1.0, 60), (0.7, 58)])
def test_real_spots_are_no_outliers(width: float, least: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:256, :256]
        background, read = 50.0, 3.0
        places = [np.array([16 + k // 8 * 30, 16 + k % 8 * 30]) + rng.uniform(-0.5, 0.5, 2) for k in range(60)]
        strong = 8 * np.sqrt(background + read**2)
        spots = sum(strong * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * width**2)) for a, b in places)
        image = np.rint(rng.poisson(background + spots) + rng.normal(0, read, y.shape)).clip(0).astype(np.uint16)
        outliers = screened(Image(image, "YX")).screened().outliers
        taken = np.zeros(image.shape, bool) if outliers is None else outliers
        kept = sum(not taken[round(a) - 1 : round(a) + 2, round(b) - 1 : round(b) + 2].any() for a, b in places)
        assert kept >= least


def test_a_part_is_screened_like_the_whole() -> None:
    image = noisy(256).copy()
    image[:20, :] = 0
    image[np.random.default_rng(0).random(image.shape) < 1e-3] = 9_000
    whole = screened(Image(image, "YX"))
    lazy = screened(Image(da.from_array(image, chunks=(50, 60)), "YX"))
    assert whole.screens == lazy.screens
    for part in ({"Y": slice(0, 31), "X": slice(40, 99)}, {"Y": slice(17, 200, 3), "X": 7}, {"Y": 12}):
        one, other = whole.screened(**part), lazy.screened(**part)
        for name in ("pixels", "source", "outliers", "no_data"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("tile", [48])
def test_tiles_equal_the_whole(tile: int) -> None:
    image = noisy(256).copy()
    image[:, :24] = 0
    image[np.random.default_rng(0).random(image.shape) < 1e-3] = 9_000
    whole, tiled = napari_synth.denoise(image), napari_synth.denoise(image, tile=tile)
    assert np.abs(whole.astype(float) - tiled).max() <= 1


@pytest.mark.parametrize("fill", [0, 65_535])
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int32"])
def test_padding_takes_no_part_and_comes_back_bit_by_bit(fill: int, dtype: str) -> None:
    inner = noisy().astype(dtype)
    # By so much that the network cuts both in the same places.
    image = np.full((128, 152), fill, dtype)
    image[:, 24:] = inner
    run = prepare("denoise/blind", Image(image, "YX"))
    result = run.compute()
    assert result.dtype == image.dtype
    np.testing.assert_array_equal(result[:, :24], image[:, :24])
    noise = run.noise[0]
    assert noise is not None
    assert abs(noise.sigma_typical - SIGMA) < 0.1 * SIGMA
    assert run.statistics[0].maximum < 2_000
    assert run.statistics[0].minimum > 0
    assert any(note.startswith(f"{24 * 128} of {152 * 128} pixels") and "no data" in note for note in run.notes)
    clean = napari_synth.denoise(inner)
    assert np.sqrt(np.mean((result[:, 32:] - clean[:, 8:].astype(float)) ** 2)) < 0.05 * SIGMA
    # The verdict is about what was measured.
    assert "looks like the measured noise" in verdicts(run, result)[0]


def test_padding_of_colours_and_of_volumes() -> None:
    colours = np.stack([noisy()] * 3, -1)
    colours[:, :16] = 0
    np.testing.assert_array_equal(napari_synth.denoise(colours)[:, :16], 0)
    volume = np.stack([noisy()[:64, :64], np.roll(noisy()[:64, :64], 1)] * 2)
    volume[:, :, :10] = 0
    finer = napari_synth.make_isotropic(volume, {"Z": 2.0, "Y": 1.0, "X": 1.0}, steps=1)
    assert np.isfinite(finer).all()
    assert (finer[:, :, :8] == 0).all()


def test_frames_have_no_data_where_the_movie_has_none() -> None:
    movie = np.stack([noisy()] * 3)
    movie[:, :, :12] = 0
    made = napari_synth.predict_frames(movie, 1, "linear")
    assert (made[-1][:, :12] == 0).all()
    assert (made[-1][:, 14:] > 0).all()


def test_the_settings_are_in_the_recipe() -> None:
    run = prepare("denoise/blind", Image(with_outlier(16_000), "YX"), {"outliers": "replace"})
    assert run.recipe.params["outliers"] == "replace"
    assert "outliers='replace'" in as_python(run.recipe)
    assert "--outliers replace" in as_command(run.recipe)
