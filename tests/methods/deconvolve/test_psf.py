"""Point spread functions: what is made of images of points and beads, and what models give."""

from __future__ import annotations

import numpy as np
import pytest

from napari_synth.core.errors import InvalidParameterError, PsfError
from napari_synth.imaging.image import Image
from napari_synth.methods.deconvolve.psf import (
    Microscope,
    Psf,
    averaged_beads,
    gaussian_psf,
    measured_psf,
    restored,
    stored,
)

MICROMETER = dict.fromkeys("ZYX", "micrometer")


def point(shape: tuple[int, int], at: tuple[float, float], sigma: float, ground: float = 0.0) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ground + 1000 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * sigma**2))


def image(pixels: np.ndarray, spacing: float | None = None) -> Image:
    axes = "ZYX"[-pixels.ndim :]
    if spacing is None:
        return Image(pixels, axes)
    return Image(pixels, axes, dict.fromkeys(axes, spacing), dict.fromkeys(axes, "micrometer"))


def test_a_point_off_centre_on_a_ground_is_centred_and_cleaned() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (40, 50))
    psf, _ = measured_psf(image(point((40, 50), (14.3, 22.7), 1.6, ground=200.0) + noise), None)
    y, x = (np.arange(-r, r + 1) for r in psf.radius)
    assert psf.pixels.sum() == pytest.approx(1.0, abs=1e-5)
    assert abs((psf.pixels.sum(1) * y).sum()) < 0.05
    assert abs((psf.pixels.sum(0) * x).sum()) < 0.05
    assert np.sqrt((psf.pixels.sum(0) * x**2).sum()) == pytest.approx(1.6, rel=0.06)


def test_another_spacing_is_resampled() -> None:
    psf, _ = measured_psf(image(point((61, 61), (30, 30), 4.0), 0.05), (0.1, 0.1))
    x = np.arange(-psf.radius[1], psf.radius[1] + 1)
    assert np.sqrt((psf.pixels.sum(0) * x**2).sum()) == pytest.approx(2.0, rel=0.05)


def test_a_clean_centred_one_stays_as_it_is() -> None:
    given = gaussian_psf((1.5, 2.0))
    psf, _ = measured_psf(image(given), None)
    margin = [(a - b) // 2 for a, b in zip(given.shape, psf.pixels.shape, strict=True)]
    middle = given[tuple(slice(m, m + size) for m, size in zip(margin, psf.pixels.shape, strict=True))]
    np.testing.assert_allclose(psf.pixels, middle / middle.sum(), atol=5e-5)
    assert middle.sum() > 0.998


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((9, 9)), "equal"),
        (np.where(np.eye(9) > 0, np.nan, 1.0), "NaN"),
        (-point((9, 9), (4, 4), 1.0), "negative"),
        (np.ones((3, 9, 9, 9)), "axis T"),
        (np.ones((1, 1)), "1 by 1 pixels in the plane"),
        (point((1, 9), (0, 4), 1.0), "1 by 9 pixels in the plane"),
        (np.broadcast_to(np.float32(1.0), (200_000, 200_000)), "crop it"),
    ],
)
def test_what_is_no_point_is_refused(pixels: np.ndarray, said: str) -> None:
    with pytest.raises(PsfError, match=said):
        measured_psf(Image(pixels, "TZYX"[-pixels.ndim :]), None)


def test_beads_are_averaged() -> None:
    random = np.random.default_rng(1)
    field = sum(
        point((160, 160), (20 + 40 * i + random.uniform(-1, 1), 20 + 40 * j + random.uniform(-1, 1)), 1.8)
        for i in range(4)
        for j in range(4)
    )
    psf, kept = averaged_beads(image(random.poisson(field + 50).astype(float)), None)
    assert "mean of 16 beads" in psf.said
    x = np.arange(-psf.radius[1], psf.radius[1] + 1)
    assert np.sqrt((psf.pixels.sum(0) * x**2).sum()) == pytest.approx(1.8, rel=0.08)
    assert kept.shape == psf.pixels.shape
    with pytest.raises(PsfError, match="beads"):
        averaged_beads(image(point((60, 60), (30, 30), 1.5)), None)


def test_a_recipe_gives_it_back() -> None:
    psf = Psf(gaussian_psf((1.0, 2.0, 2.0)), "")
    again = restored(stored(psf, (0.3, 0.1, 0.1)), None)
    np.testing.assert_allclose(again.pixels, psf.pixels, atol=2e-5 * psf.pixels.max())
    with pytest.raises(InvalidParameterError, match="damaged"):
        restored(stored(psf, None).model_copy(update={"values": "AAAA"}), None)


def test_models_have_the_widths_of_their_formulas() -> None:
    scope = Microscope(0.8, 1.0, 0.5, (0.2, 0.1, 0.1))
    plane = scope.wide_field(1)
    middle = plane[plane.shape[0] // 2].astype(float)
    half = np.interp(0.5, (middle / middle.max())[len(middle) // 2 :][::-1], np.arange(len(middle) // 2 + 1)[::-1])
    # Full width at half maximum of an Airy disc: 0.514 wavelengths over the aperture; pixels of 0.1 µm widen it a little.
    assert 2 * half * 0.1 == pytest.approx(0.514 * 0.5 / 0.8, rel=0.08)
    volume = scope.wide_field(21)
    energy = volume.sum(axis=(1, 2))
    # Wide-field light is not lost out of focus: a plane far away has as much, as far as it is in the window.
    assert energy[len(energy) // 2 + 3] == pytest.approx(energy.max(), rel=0.1)
    for narrower in (scope.confocal(21, 0.45, 1.0), scope.light_sheet(21, 1.0)):
        along = narrower.sum(axis=(1, 2))
        assert along[0] < 0.05 * along.max()
    assert scope.gaussian(1).ndim == 2
    with pytest.raises(InvalidParameterError, match="refractive index"):
        Microscope(1.2, 1.0, 0.5, (0.2, 0.1, 0.1)).wide_field(1)
