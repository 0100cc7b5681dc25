from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from benchmark.metrics import psnr
from benchmark.scenes import (
    CORRELATED,
    GAUSSIAN_25,
    PHOTONS_30,
    SIX,
    folder_images,
    gaussian,
    six_images,
)
from napari_synth.core.errors import ImageFileError


def test_six_gray_images_in_their_full_range() -> None:
    scenes = six_images()
    assert tuple(scene.name for scene in scenes) == SIX
    for scene in scenes:
        assert scene.clean.ndim == 2
        assert 0 <= scene.clean.min() < 100 < scene.clean.max() <= 255


def test_noise_has_the_strength_that_is_published() -> None:
    scenes = six_images()
    assert np.mean([psnr(s.clean, GAUSSIAN_25.added(s.clean, 0)) for s in scenes]) == pytest.approx(20.42, abs=0.02)
    assert np.mean([psnr(s.clean, PHOTONS_30.added(s.clean, 0)) for s in scenes]) == pytest.approx(18.46, abs=0.02)


def test_photon_noise_grows_with_the_signal() -> None:
    dark, bright = np.full((200, 200), 10.0), np.full((200, 200), 250.0)
    for level in (dark, bright):
        expected = np.sqrt(level.mean() / 255 * 30 + 1) / 30 * 255
        assert (PHOTONS_30.added(level, 0) - level).std() == pytest.approx(expected, rel=0.02)


def test_blurred_noise_is_as_strong_and_goes_together() -> None:
    noise = CORRELATED.added(np.zeros((256, 256)), 0).astype(float)
    assert noise.std() == pytest.approx(25.0, rel=0.01)
    # A Gaussian of one pixel.
    assert np.mean(noise[1:] * noise[:-1]) / noise.var() == pytest.approx(np.exp(-0.25), abs=0.03)


def test_same_seed_same_noise() -> None:
    clean = six_images(quick=True)[0].clean
    np.testing.assert_array_equal(GAUSSIAN_25.added(clean, 3), GAUSSIAN_25.added(clean, 3))
    assert not np.array_equal(GAUSSIAN_25.added(clean, 3), GAUSSIAN_25.added(clean, 4))


def test_several_strengths() -> None:
    assert [noise.sigma for noise in gaussian((15.0, 50.0))] == [15.0, 50.0]


def test_folder_of_gray_images(tmp_path: Path) -> None:
    for name, level in (("02", 20), ("01", 10)):
        imageio.imwrite(tmp_path / f"{name}.png", np.full((8, 9), level, np.uint8))
    scenes = folder_images(tmp_path)
    assert [(scene.name, scene.clean[0, 0]) for scene in scenes] == [("01", 10.0), ("02", 20.0)]


def test_folder_without_gray_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="no PNG"):
        folder_images(tmp_path)
    imageio.imwrite(tmp_path / "01.png", np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ImageFileError, match="not gray"):
        folder_images(tmp_path)
