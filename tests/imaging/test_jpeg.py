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
from napari_synth.imaging.jpeg import BRIGHTNESS, jpeg_grid, sigma_before_jpeg
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


@pytest.mark.parametrize(
    ("name", "quality", "least"),
    [
        ("astronaut", 30, 30.7),
        ("astronaut", 50, 31.5),
        ("astronaut", 70, 32.0),
        ("chelsea", 30, 30.4),
        ("chelsea", 50, 31.0),
    ],
)
def test_a_colour_jpeg(name: str, quality: int, least: float) -> None:
    # By what is measured on its pixels the first two come to 28.9 and 29.0 dB, with the true noise to 31.0 and 31.9.
    image, clean = compressed(name, 15, quality)[:256, :256], getattr(data, name)()[:256, :256]
    run = prepare("denoise/blind", Image(image, "YXS"))
    assert any("JPEG" in note and "estimated" in note for note in run.notes)
    assert peak_signal_noise_ratio(clean, run.compute()) > least


@pytest.mark.parametrize("quality", [30, 50, 70])
@pytest.mark.parametrize("name", ["immunohistochemistry", "chelsea", "coffee", "gravel", "grass"])
def test_texture_without_noise_is_never_certain_to_be_noise(name: str, quality: int) -> None:
    image = compressed(name, 0, quality)
    bright = image @ BRIGHTNESS if image.ndim == 3 else image
    found = sigma_before_jpeg([bright], (0, 0))
    assert found is None or not found[1]


def test_texture_of_a_jpeg_is_not_taken_for_noise() -> None:
    image = data.coins()
    assert jpeg_grid([image]) is not None
    run = prepare("denoise/blind", Image(image, "YX"))
    assert run.noise[0] is not None
    assert run.noise[0].sigma_typical < 3.3
