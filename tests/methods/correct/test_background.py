"""What runs below the structures is found, and nothing but it is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import napari_synth
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.imaging.image import Image

Y, X = np.mgrid[:128, :128]
LIGHT = 100 + 60 * X / 128 + 30 * np.exp(-((Y - 64) ** 2 + (X - 50) ** 2) / 2 / 60**2)


def cells() -> npt.NDArray[np.float64]:
    draws = np.random.default_rng(0)
    image = np.zeros(LIGHT.shape)
    for y, x, height in zip(*draws.integers(8, 120, (2, 10)), draws.uniform(100, 300, 10), strict=True):
        image += height * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / 2 / 3**2)
    return image


CELLS = cells()
NOISY = np.random.default_rng(1).poisson(LIGHT + CELLS)


def corrected(image: Any, **params: Any) -> npt.NDArray[Any]:
    return np.asarray(napari_synth.correct(image, "background", device="cpu", **params))


@pytest.mark.parametrize(("shape", "error"), [("rolling ball", 4.0), ("opening", 4.0), ("smooth surface", 2.0)])
def test_the_background_is_found_below_the_cells(shape: str, error: float) -> None:
    result = corrected(NOISY.astype("f4"), shape=shape, radius=16)
    found = NOISY - result
    assert abs(np.median(found - LIGHT)) < error / 2
    assert np.std((found - LIGHT)[8:-8, 8:-8]) < error
    assert result.sum() == pytest.approx(CELLS.sum(), rel=0.2)


def test_a_quotient_is_even_and_keeps_the_level() -> None:
    image = (LIGHT * (1 + 0.5 * CELLS / CELLS.max())).astype("f4")
    result = corrected(image, shape="smooth surface", operation="divide")
    empty = CELLS < 0.5
    assert np.std(result[empty]) < 0.02 * np.mean(result[empty])
    assert np.median(result) == pytest.approx(np.median(LIGHT), rel=0.02)


def test_the_level_is_kept_where_it_is_asked_for() -> None:
    result = corrected(NOISY.astype("u2"), shape="smooth surface", level="keep")
    assert np.median(result) == pytest.approx(np.median(NOISY), rel=0.03)
    run = napari_synth.prepare(
        "correct/background", NOISY.astype("u2"), {"shape": "smooth surface"}, device="cpu", dtype="source"
    )
    assert any("come out below 0, which uint16 cannot hold" in note for note in run.notes)


def test_a_volume_is_opened_through_its_planes() -> None:
    volume = np.zeros((9, 40, 40), "f4")
    volume[4, 10:30, 10:30] = 50
    image = Image(volume, "ZYX")
    together, apart = (
        napari_synth.correct(image, "background", shape="opening", radius=2, volume=volume_, device="cpu").data
        for volume_ in (True, False)
    )
    assert together[4, 20, 20] == pytest.approx(50, abs=1)
    assert apart[4, 20, 20] == pytest.approx(0, abs=1)


def test_a_field_full_of_structure_is_told_of() -> None:
    pits = np.exp(-((Y % 32 - 16) ** 2 + (X % 32 - 16) ** 2) / 32)
    run = napari_synth.prepare("correct/background", (1000 - 600 * pits).astype("f4"), {"radius": 50}, device="cpu")
    assert any("of the pixels lie near this background" in note for note in run.notes)


def test_what_cannot_be_is_one_sentence() -> None:
    with pytest.raises(InvalidParameterError, match="axes TYX: set the axes, or leave volume off"):
        corrected(np.stack([NOISY] * 3).astype("u2"), axes="TYX", volume=True)
    with pytest.raises(InvalidImageError, match="no brighter than the dark level"):
        corrected(NOISY.astype("f4"), operation="divide", dark=1e4)
