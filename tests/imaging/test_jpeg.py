"""Images that were compressed as JPEG are found by their blocks, and the noise that they had is measured."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image as Picture
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from napari_synth.imaging.image import Image
from napari_synth.imaging.jpeg import jpeg_grid, sigma_before_jpeg
from napari_synth.verbs import prepare


def added(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.rint(image + noise).clip(0, 255).astype(np.uint8)


@cache
def compressed(name: str, sigma: float, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Picture.fromarray(added(getattr(data, name)(), sigma)).save(stream, "JPEG", quality=quality)
    return np.array(Picture.open(stream))


@pytest.mark.parametrize("quality", [30, 50, 70])
@pytest.mark.parametrize("name", ["camera", "moon"])
def test_the_noise_before_compression(name: str, quality: int) -> None:
    image = compressed(name, 15, quality)
    assert jpeg_grid([image]) == (0, 0)
    assert jpeg_grid([image[3:, 5:]]) == (5, 3)
    found = sigma_before_jpeg([image], (0, 0))
    assert found is not None
    assert found[1]
    assert abs(found[0] / 15 - 1) < 0.15


@pytest.mark.parametrize("name", ["camera", "moon", "cell", "text", "brick"])
def test_what_was_never_compressed(name: str) -> None:
    image = getattr(data, name)()
    assert jpeg_grid([image]) is None
    assert jpeg_grid([added(image, 15)]) is None
    assert jpeg_grid([image.astype(np.uint16)]) is None


@pytest.mark.parametrize(("quality", "least"), [(30, 30.2), (50, 30.6), (70, 31.0)])
def test_a_jpeg_is_restored_by_the_noise_before_compression(quality: int, least: float) -> None:
    # By what is measured on its pixels it comes to 29.3, 26.9 and 30.7 dB.
    image, clean = compressed("camera", 15, quality), data.camera()
    run = prepare("denoise/blind", Image(image, "YX"))
    assert any("JPEG" in note and "estimated" in note for note in run.notes)
    assert peak_signal_noise_ratio(clean, run.compute()) > least


def test_a_colour_jpeg() -> None:
    image, clean = compressed("astronaut", 15, 70), data.astronaut()
    run = prepare("denoise/blind", Image(image, "YXS"))
    assert peak_signal_noise_ratio(clean, run.compute()) > 31.0
    # With stronger compression what is left may be texture: the level to try is told.
    run = prepare("denoise/blind", Image(compressed("astronaut", 15, 30), "YXS"))
    assert any("JPEG" in note and "set the noise level" in note for note in run.notes)


def test_texture_of_a_jpeg_is_not_taken_for_noise() -> None:
    image = data.coins()
    assert jpeg_grid([image]) is not None
    run = prepare("denoise/blind", Image(image, "YX"))
    assert run.noise[0] is not None
    assert run.noise[0].sigma_typical < 2
