"""Padding is told from few photons, clipped backgrounds, saturation and flat images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from napari_synth.imaging.no_data import constant_regions, no_data, no_data_values


def nuclei(mean: float, seed: int = 0, size: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    drawn = np.zeros((size, size))
    for _ in range(25):
        b, a = rng.integers(10, size - 10, 2)
        drawn[(y - b) ** 2 + (x - a) ** 2 < rng.integers(6, 14) ** 2] = 1
    blurred = gaussian_filter(drawn, 1.5) + 0.05
    return blurred / blurred.mean() * mean


def counted(mean: float) -> np.ndarray:
    return np.random.default_rng(1).poisson(nuclei(mean)).astype(np.uint16)


def added(signal: np.ndarray, sigma: float) -> np.ndarray:
    return signal + np.random.default_rng(2).normal(0, sigma, signal.shape)


def test_squares_of_equal_pixels_are_found_to_the_pixel() -> None:
    plane = np.random.default_rng(0).normal(size=(60, 70))
    plane[5:13, 20:28] = 1.0
    plane[30:37, 20:60] = 2.0
    plane[50:60, 60:70] = np.nan
    found = constant_regions(plane)
    assert found[5:13, 20:28].all()
    assert found.sum() == 64


@pytest.mark.parametrize("fill", [0, 65_535, None])
def test_a_border_of_nuclei(fill: int | None) -> None:
    plane = counted(50)
    fill = int(plane.max()) if fill is None else fill
    plane[:8] = fill
    values, noise = no_data_values([plane])
    assert values == (fill,)
    assert no_data(plane, values).sum() == 8 * 256
    assert noise is not None
    assert 2 < noise.sigma_typical < 6


def test_what_lies_outside_a_round_field_of_view() -> None:
    scan = added(1000 * nuclei(1) - 1000, 20).astype(np.int16)
    y, x = np.mgrid[:256, :256]
    scan[(y - 128) ** 2 + (x - 128) ** 2 > 120**2] = -2000
    assert no_data_values([scan])[0] == (-2000,)


def test_a_border_of_a_noisy_photograph() -> None:
    plane = added(data.camera().astype(float), 30).clip(0, 255).astype(np.uint8)
    plane[:, :87] = 0
    assert no_data_values([plane])[0] == (0,)


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.3, 1.0, 5.0])
def test_few_photons_are_data(mean: float) -> None:
    assert no_data_values([counted(mean)])[0] == ()


@pytest.mark.parametrize("below", [1, 2, 3, 4, 6])
def test_a_clipped_background_is_data(below: int) -> None:
    signal = nuclei(100)
    plane = added(signal - signal.min() - 10 * below, 10).clip(0).astype(np.uint16)
    assert no_data_values([plane])[0] == ()


def test_saturation_is_data() -> None:
    plane = added(nuclei(1000), 30).clip(0, 2000).astype(np.uint16)
    assert (plane == 2000).mean() > 0.01
    assert no_data_values([plane])[0] == ()


@pytest.mark.parametrize("name", ["camera", "coins", "moon", "cell", "page", "text"])
def test_flat_images_without_noise_are_data(name: str) -> None:
    assert no_data_values([getattr(data, name)()])[0] == ()
    assert no_data_values([(nuclei(1) > 1).astype(np.uint8) * 255])[0] == ()
