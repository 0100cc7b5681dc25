"""What each rule marks, in every kind of array and with colours; hot pixels are found, and noise and small spots are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_synth import samples
from napari_synth.core.errors import MaskError
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import RULES, mask_by_rule, saturation_level


def marked(image: Image, rule: str) -> np.ndarray:
    mask = mask_by_rule(image, rule)
    assert mask.axes == image.axes.replace("S", "")
    assert (mask.dtype, mask.rule) == (np.uint8, rule)
    return np.asarray(mask.data)


def photons(shape: tuple[int, ...], mean: float = 30.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.uint16)


def test_not_finite_pixels() -> None:
    pixels = np.ones((2, 8, 9), np.float32)
    pixels[0, 2, 3], pixels[1, 4, 5], pixels[1, 0, 0] = np.nan, np.inf, -np.inf
    found = marked(Image(pixels, "ZYX"), "nan")
    assert sorted(map(tuple, np.argwhere(found))) == [(0, 2, 3), (1, 0, 0), (1, 4, 5)]
    assert not marked(Image(np.ones((8, 9), np.uint8), "YX"), "nan").any()


@pytest.mark.parametrize("rule", ["zero", "saturated"])
def test_colours_are_judged_together_and_alpha_is_left_out(rule: str) -> None:
    value = 0 if rule == "zero" else 255
    pixels = np.full((8, 9, 4), 100, np.uint8)
    pixels[..., 3] = 255 - value
    pixels[2, 3, :3] = value
    pixels[5, 5, 0] = value
    found = marked(Image(pixels, "YXS"), rule)
    assert list(map(tuple, np.argwhere(found))) == [(2, 3)]


def test_one_colour_that_is_not_finite_is_enough() -> None:
    pixels = np.ones((8, 9, 3), np.float32)
    pixels[2, 3, 1] = np.nan
    assert marked(Image(pixels, "YXS"), "nan").sum() == 1


def test_saturation_is_where_pixels_pile_up() -> None:
    camera = np.minimum(photons((128, 128), 4050, 1), 4095)
    assert saturation_level(Image(camera, "YX")) == 4095
    assert np.array_equal(marked(Image(camera, "YX"), "saturated"), camera == 4095)
    assert not marked(Image(photons((128, 128), 3000), "YX"), "saturated").any()
    assert saturation_level(Image(np.full((16, 16), 7, np.uint8), "YX")) == 255
    clipped = np.minimum(np.random.default_rng(0).normal(0, 1, (64, 64)), 1).astype(np.float32)
    assert np.array_equal(marked(Image(clipped, "YX"), "saturated"), clipped == 1)


@pytest.mark.parametrize("mean", [0.2, 1.0, 5.0, 50.0, 5000.0])
def test_shot_noise_has_no_hot_pixel(mean: float) -> None:
    assert not marked(Image(photons((512, 512), mean), "YX"), "hot").any()


@pytest.mark.parametrize("name", ["actin", "neuron", "retina", "tissue"])
def test_real_images_have_next_to_no_hot_pixel(name: str) -> None:
    assert marked(samples.load(name), "hot").mean() < 1e-5


def test_small_spots_are_no_hot_pixels() -> None:
    y, x = np.mgrid[:256, :256]
    spots = 300.0 * sum(np.exp(-((y % 16 - 8 - s) ** 2 + (x % 16 - 8) ** 2) / (2 * 0.9**2)) for s in (0.0, 0.3))
    assert not marked(Image(photons((256, 256), 5.0 + spots), "YX"), "hot").any()  # type: ignore[arg-type]


def test_hot_and_dead_pixels_are_found_alone_in_pairs_and_at_the_border() -> None:
    pixels = photons((200, 200), 200.0)
    hot = [(10, 10), (10, 11), (50, 60), (0, 30), (199, 199)]
    dead = [(100, 100), (150, 151), (151, 151), (77, 0)]
    for at in hot:
        pixels[at] = 900
    for at in dead:
        pixels[at] = 0
    found = marked(Image(pixels, "YX"), "hot")
    assert set(map(tuple, np.argwhere(found))) == set(hot + dead)


def test_dead_pixels_below_the_offset_of_a_dim_image() -> None:
    pixels = photons((200, 200), 2.0) * 2 + 100
    pixels[50, 60] = 0
    assert list(map(tuple, np.argwhere(marked(Image(pixels, "YX"), "hot")))) == [(50, 60)]


def test_each_channel_has_its_own_noise() -> None:
    pixels = np.stack([photons((96, 96), 100.0), photons((96, 96), 10_000.0, 1)])
    pixels[0, 20, 20] += 200
    pixels[1, 20, 20] += 200
    assert list(map(tuple, np.argwhere(marked(Image(pixels, "CYX"), "hot")))) == [(0, 20, 20)]


def test_not_finite_neighbours_do_not_hide_a_hot_pixel() -> None:
    pixels = photons((64, 64)).astype(np.float32)
    pixels[30, 30], pixels[30, 31] = 500, np.nan
    assert list(map(tuple, np.argwhere(marked(Image(pixels, "YX"), "hot")))) == [(30, 30)]


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize(
    ("axes", "shape", "chunks"),
    [("ZYX", (3, 60, 70), (1, 20, 32)), ("YXS", (60, 70, 3), (25, 30, 1)), ("CYX", (2, 60, 70), (2, 30, 70))],
)
@pytest.mark.parametrize("store", [da.from_array, zarr.array])
def test_lazy_images_have_the_same_mask(
    rule: str, axes: str, shape: tuple[int, ...], chunks: tuple[int, ...], store: Callable[..., Any]
) -> None:
    pixels = photons(shape, 60.0).astype(np.float32)
    flat = pixels.reshape(-1)
    for value in (0, np.nan, 250, 251):
        flat[np.random.default_rng(int(value == 0)).choice(flat.size, 20)] = value
    flat[:12] = 400
    lazy = mask_by_rule(Image(store(pixels, chunks=chunks), axes), rule)
    assert lazy.is_lazy
    assert np.array_equal(np.asarray(lazy.data), marked(Image(pixels, axes), rule))


def test_an_unknown_rule_is_told() -> None:
    with pytest.raises(MaskError, match="use nan, zero, saturated, hot"):
        mask_by_rule(Image(np.ones((8, 8)), "YX"), "bright")


@pytest.mark.parametrize("shape", [(1, 1), (2, 30), (3, 3)])
def test_tiny_images(shape: tuple[int, ...]) -> None:
    for rule in RULES:
        assert not marked(Image(np.full(shape, 5, np.uint16), "YX"), rule).any()
