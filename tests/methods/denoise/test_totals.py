"""Photons are neither made nor lost: what a method changes of local means is its own error, and is put right where they are few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_synth


def photons(mean: float, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(size, size)), 6)
    blobs = np.clip(smooth - smooth.min() - 0.5 * np.ptp(smooth), 0, None)
    truth = blobs / blobs.mean() * mean * 0.9 + 0.1 * mean
    return truth, np.random.default_rng(1).poisson(truth).astype(np.uint16)


@pytest.mark.parametrize("mean", [0.1, 1.0])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("non-local-means", {}),
        ("total-variation", {}),
        ("wavelet", {}),
        ("noise2void", {"steps": 20}),
        ("zero-shot-noise2noise", {"steps": 20}),
        ("auto", {}),
    ],
)
def test_few_photons_keep_their_total(name: str, settings: dict[str, Any], mean: float) -> None:
    # Without it, Noise2Void adds a quarter at 0.1 photons a pixel, and non-local means take 4 % away at 1.
    _, noisy = photons(mean)
    made = napari_synth.denoise(noisy, name, **settings).astype(np.float64)
    assert abs(made.mean() / noisy.mean() - 1) < 0.01
    halves = [(made[:80], noisy[:80]), (made[80:], noisy[80:])]
    assert all(abs(a.mean() / b.mean() - 1) < 0.05 for a, b in halves)


@pytest.mark.parametrize("name", ["non-local-means", "wavelet"])
def test_tiles_equal_the_whole_where_means_are_kept(name: str) -> None:
    _, noisy = photons(0.3)
    noisy = noisy.astype(np.float32)
    whole = napari_synth.denoise(noisy, name)
    tiled = napari_synth.denoise(noisy, name, tile=72)
    assert np.abs(whole - tiled).max() < 1e-3 * np.ptp(whole)


def test_bright_images_and_medians_are_left_as_they_are() -> None:
    from napari_synth.imaging.image import Image

    _, bright = photons(30.0)
    _, faint = photons(0.1)
    for image, name in ((bright, "non-local-means"), (faint, "median")):
        notes = napari_synth.verbs.prepare(f"denoise/{name}", Image(image, "YX")).notes
        assert not any("local means are put right" in note for note in notes)
    notes = napari_synth.verbs.prepare("denoise/non-local-means", Image(faint, "YX")).notes
    assert any("local means are put right" in note for note in notes)
