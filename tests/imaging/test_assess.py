"""Quality without a truth: each measure tells what it says it tells, at any noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

import napari_synth
from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.assess import Quality, assess
from napari_synth.imaging.image import Image

Pixels = npt.NDArray[Any]


def texture(seed: int, size: int = 192, fineness: float = 1.0) -> Pixels:
    """Return a scene between 0 and 1 with structure of all sizes, and edges."""
    rng = np.random.default_rng(seed)
    field = sum(gaussian_filter(rng.normal(size=(size, size)), s) * s for s in (fineness, 2, 4, 8, 16))
    return np.asarray((field - field.min()) / np.ptp(field))


def counts(field: Pixels, photons: float, seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.poisson(field * photons + 5) * 2.0 + 100 + rng.normal(0, 3, field.shape)).astype(np.uint16)


def of(pixels: Pixels) -> Quality:
    return assess(Image(pixels, "YX"))


def test_focus_tells_blurred_from_sharp_at_unknown_noise() -> None:
    rng = np.random.default_rng(0)
    sharp, blurred = [], []
    for seed in range(24):
        field = texture(seed)
        for found, seen in ((sharp, field), (blurred, gaussian_filter(field, 2))):
            found.append(of(counts(seen, 10 ** rng.uniform(1.3, 3.5), seed)).focus)
    area = np.mean([a > b for a in np.nan_to_num(sharp) for b in np.nan_to_num(blurred)])
    assert area >= 0.95


def test_noise_gain_and_signal_are_those_of_the_camera() -> None:
    quality = of(counts(texture(1), 300))
    assert quality.gain == pytest.approx(2.0, rel=0.2)
    assert quality.noise == pytest.approx(2.0 * np.sqrt(300 * 0.5), rel=0.25)
    assert quality.snr > 5
    assert quality.correlation == 0.0
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(192, 192)), 0.8) * 40 + 500
    assert of(smooth.astype(np.float32)).correlation > 0.2


def test_saturated_and_clipped_are_where_pixels_pile_up() -> None:
    pixels = counts(texture(2), 300)
    level = int(np.quantile(pixels, 0.9))
    quality = of(np.minimum(pixels, level))
    assert quality.saturated == pytest.approx(0.1, abs=0.02)
    assert quality.clipped == 0.0
    quality = of(np.maximum(pixels, int(np.quantile(pixels, 0.2))))
    assert quality.clipped == pytest.approx(0.2, abs=0.02)
    assert quality.saturated == 0.0
    assert of(pixels).saturated == 0.0


def test_uneven_light_is_told_from_even() -> None:
    field = texture(3) * 0.2
    field[::16, ::16] = 1.0
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, 192)], indexing="ij")
    even, uneven = of(counts(field, 300)), of(counts(field + 0.5 * (1 - 0.5 * (x**2 + y**2)), 300))
    assert even.unevenness < 0.1
    assert uneven.unevenness > 0.3
    assert even.background == pytest.approx(np.sort(counts(field, 300).ravel())[: 192 * 48].mean(), rel=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_are_measured_in_the_noise(axis: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 10, (192, 192))
    added = np.expand_dims(rng.normal(0, 5, 192), 1 - axis)
    assert of((pixels + added).astype(np.float32)).stripes == pytest.approx(0.5, rel=0.3)
    assert of(pixels.astype(np.float32)).stripes == 0.0
    assert of(counts(texture(4), 500)).stripes < 0.1


def test_hot_pixels_are_counted() -> None:
    pixels = counts(gaussian_filter(texture(5), 2), 300)
    at = np.random.default_rng(0).choice(pixels.size, 40, replace=False)
    pixels.ravel()[at] += 5000
    assert of(pixels).hot_pixels == pytest.approx(40 / pixels.size, rel=0.15)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    pixels = counts(texture(6), 300).astype(np.float32)
    clean = of(pixels)
    pixels[:20, :20] = np.nan
    quality = of(pixels)
    assert quality.nonfinite == pytest.approx(400 / pixels.size)
    assert quality.noise == pytest.approx(clean.noise, rel=0.1)
    with pytest.raises(InvalidImageError, match="no finite pixel"):
        of(np.full((32, 32), np.nan))


def test_shape_axes_and_spacing_are_described() -> None:
    pixels = np.stack([counts(texture(seed, 64), 300, seed) for seed in range(6)]).reshape(3, 2, 64, 64)
    quality = assess(Image(pixels, "ZCYX", {"Z": 1.0, "Y": 0.25, "X": 0.25}, dict.fromkeys("ZYX", "micrometer")))
    assert (quality.shape, quality.axes, quality.dtype) == ((3, 2, 64, 64), "ZCYX", "uint16")
    assert quality.spacing == "Z 1 micrometer, Y 0.25 micrometer, X 0.25 micrometer"


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 3), (20, 20, 3)])
def test_tiny_and_coloured_images_are_measured_too(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert napari_synth.assess(pixels).mean == pytest.approx(pixels.mean())
