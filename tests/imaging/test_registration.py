from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from skimage import data

from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError
from napari_synth.imaging.image import Image
from napari_synth.imaging.registration import (
    Drift,
    estimate_drift,
    estimate_shift,
    mean_shift,
    stabilised,
    stabilised_points,
)


def scene() -> np.ndarray:
    return data.camera()[100:260, 140:300].astype("f8")


def movie(shifts: np.ndarray, photons: float = 30.0) -> np.ndarray:
    frames = np.stack([shift(scene(), s, order=3, mode="reflect") for s in shifts])[:, 24:-24, 24:-24]
    return np.random.default_rng(0).poisson((frames / 255 * photons).clip(0)).astype("u2")


def shaking(frames: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    shifts = np.cumsum(rng.normal(0, 0.5, (frames, 2)), 0) + rng.normal(0, 0.7, (frames, 2))
    return np.asarray(shifts - shifts[0])


def test_a_shift_is_told_to_a_fraction_of_a_pixel() -> None:
    for true in ((0.0, 0.0), (0.4, -0.3), (3.25, -7.6)):
        found = estimate_shift(scene(), shift(scene(), true, order=3, mode="reflect"))
        np.testing.assert_allclose(found.displacement, true, atol=0.05)
        assert found.correlation > 0.95


def test_images_of_different_size_have_no_shift() -> None:
    with pytest.raises(InvalidImageError, match="give two of one size"):
        estimate_shift(np.zeros((8, 8)), np.zeros((8, 9)))


def test_the_mean_counts_what_is_certain() -> None:
    stripes = np.tile(np.sin(np.arange(64) / 3), (64, 1))
    along_x = estimate_shift(stripes, shift(stripes, (0, 0.5), mode="wrap"))
    both = estimate_shift(scene(), shift(scene(), (1.0, 0.5), order=3, mode="reflect"))
    np.testing.assert_allclose(mean_shift([along_x, both]), (1.0, 0.5), atol=0.05)


def test_drift_and_jitter_are_measured_through_photon_noise() -> None:
    true = shaking()
    drift = estimate_drift(Image(movie(true), "TYX"))
    error = np.asarray(drift.displacements) - true
    assert np.sqrt((error**2).mean()) < 0.08
    again = estimate_drift(Image(movie(true), "TYX"), reference=4)
    np.testing.assert_allclose(again.displacements[4], 0.0, atol=1e-9)


def test_a_volume_drifts_in_three_dimensions_and_any_channel_tells() -> None:
    volume = gaussian_filter(np.random.default_rng(0).normal(0, 1, (16, 48, 48)), 2)
    volume = (volume / volume.std() + 3).clip(0)
    true = np.array([(0.0, 0.0, 0.0), (0.5, -1.2, 2.3), (1.4, -2.0, 0.6)])
    bright = np.stack([shift(volume, s, order=3, mode="nearest") for s in true])
    dark = np.random.default_rng(1).normal(0, 1, bright.shape)
    image = Image(np.stack([dark, bright], 1), "TCZYX")
    for channel in (None, 1):
        drift = estimate_drift(image, channel=channel)
        assert drift.axes == "ZYX"
        np.testing.assert_allclose(drift.displacements, true, atol=0.15)
    with pytest.raises(InvalidParameterError, match="no channel 2"):
        estimate_drift(image, channel=2)


def test_a_still_image_is_no_movie() -> None:
    with pytest.raises(AxesError, match="needs a T axis"):
        estimate_drift(Image(scene(), "YX"))


def test_shifts_are_a_table_that_can_be_kept(tmp_path: Path) -> None:
    drift = Drift("YX", ((0.0, 0.0), (1.5, -0.25)))
    assert drift.rows()[1] == {"frame": 1, "y": 1.5, "x": -0.25}
    drift.write(tmp_path / "shifts.csv")
    assert Drift.read(tmp_path / "shifts.csv") == drift
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidParameterError, match="no table of shifts"):
        Drift.read(tmp_path / "other.csv")
    with pytest.raises(InvalidParameterError, match="finite"):
        Drift("YX", ((0.0, float("nan")),))


def test_slow_drift_is_told_from_jitter() -> None:
    slow = np.linspace(0, 10, 40)
    jitter = np.where(np.arange(40) % 2, 0.5, -0.5)
    smooth = np.asarray(
        Drift("YX", tuple((a + b, 0.0) for a, b in zip(slow, jitter, strict=True))).slow(3).displacements
    )
    assert np.abs(smooth[8:-8, 0] - slow[8:-8]).max() < 0.05


def test_labels_and_points_are_moved_as_the_movie() -> None:
    labels = np.zeros((2, 12, 12), "u4")
    labels[0, 4:7, 4:7], labels[1, 6:9, 3:6] = 70_000, 70_000
    drift = Drift("YX", ((0.0, 0.0), (2.0, -1.0)))
    held = stabilised(Image(labels, "TYX"), drift, labels=True)
    np.testing.assert_array_equal(held.data[1], labels[0])
    assert held.dtype == np.uint32
    points = stabilised_points(np.array([[0, 5, 5], [1, 7, 4]]), "TYX", drift)
    np.testing.assert_allclose(points, [[0, 5, 5], [1, 5, 5]])
    with pytest.raises(InvalidParameterError, match="movie has 2"):
        stabilised_points(np.array([[2, 5, 5]]), "TYX", drift)
    with pytest.raises(InvalidParameterError, match="movie of 3"):
        stabilised(Image(np.zeros((3, 8, 8)), "TYX"), drift)


def test_intensities_are_moved_and_stay_in_their_dtype() -> None:
    true = shaking(4)
    held = stabilised(Image(movie(true, 200.0), "TYX"), Drift("YX", tuple(map(tuple, true.tolist()))))
    inner = held.data[:, 16:-16, 16:-16].astype("f8")
    assert held.dtype == np.uint16
    assert all(np.corrcoef(inner[0].ravel(), frame.ravel())[0, 1] > 0.95 for frame in inner)
