"""The report on made images."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from napari_synth.core.device import resolve_device
from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.quality import (
    DISTANCE,
    HISTOGRAM,
    MADE,
    MEMORY,
    PRECISION,
    REAL,
    RECALL,
    SPECTRUM,
    TOLD,
    VARIETY,
    Quality,
    report_quality,
)

SOURCE = data.grass()[:256, :256]


def crops(pixels: np.ndarray, count: int = 32, edge: int = 32) -> np.ndarray:
    random = np.random.default_rng(3)
    at = random.integers(0, np.array(pixels.shape[:2]) - edge, (count, 2))
    return np.stack([pixels[y : y + edge, x : x + edge] for y, x in at])


def report(made: np.ndarray, axes: str = "TYX", real: np.ndarray = SOURCE) -> Quality:
    return report_quality(Image(made, axes), [Image(real, axes[1:])], resolve_device("cpu"))


def test_images_of_the_same_kind_are_good_and_no_copies() -> None:
    quality = report(crops(data.grass()[256:, 256:]))
    made, real = quality.figures[MADE], quality.figures[REAL]
    assert made[DISTANCE] < 0.3 * quality.figures["noise"][DISTANCE]
    assert made[TOLD] < 75
    assert made[PRECISION] > 0.15
    assert made[RECALL] > 0.5
    assert 60 < made[VARIETY] < 150
    assert made[SPECTRUM] < 3.0
    assert abs(made[HISTOGRAM] - real[HISTOGRAM]) < 30
    assert made[MEMORY] > 70
    assert quality.frequency[-1] == 0.5
    assert sum(quality.histograms[MADE]) == pytest.approx(1.0)
    assert set(quality.spectra) == {MADE, REAL}


def test_copies_are_found_whatever_their_orientation() -> None:
    copies = np.stack(
        [np.rot90(one, index % 4)[:, :: 1 - 2 * (index % 2)] for index, one in enumerate(crops(SOURCE[:160]))]
    )
    quality = report(copies)
    assert quality.figures[MADE][MEMORY] < 55
    assert any("repeat" in note for note in quality.notes)
    for pair in quality.pairs.data:
        assert np.corrcoef(pair[:, :32].ravel(), pair[:, 32:].ravel())[0, 1] > 0.6


def test_blur_noise_and_sameness_are_each_seen() -> None:
    from scipy.ndimage import gaussian_filter

    good = crops(data.grass()[256:, 256:])
    soft = report(gaussian_filter(good, (0, 2, 2))).figures[MADE]
    assert soft[SPECTRUM] > 8.0
    assert soft[TOLD] > 90
    assert soft[PRECISION] < 0.1
    shuffled = np.random.default_rng(0).permuted(good.reshape(len(good), -1), axis=1).reshape(good.shape)
    without_form = report(shuffled).figures[MADE]
    assert without_form[HISTOGRAM] < 30
    assert without_form[DISTANCE] > 5 * report(good).figures[MADE][DISTANCE]
    alike = report(np.repeat(good[:1], 32, 0))
    assert alike.figures[MADE][VARIETY] < 1
    assert alike.figures[MADE][RECALL] < 0.2
    assert any("alike" in note for note in alike.notes)


def test_colours_and_channels() -> None:
    real = data.immunohistochemistry()[:128, :128]
    quality = report(crops(real, 9), "TYXS", real)
    assert quality.pairs.data.shape == (9, 32, 64, 3)
    assert quality.pairs.data.dtype == np.uint8


@pytest.mark.parametrize(
    ("made", "axes", "words"),
    [
        (np.zeros((4, 32, 32), np.uint8), "TYX", "at least 8"),
        (np.zeros((9, 8, 8), np.uint8), "TYX", "make larger ones"),
        (np.zeros((9, 32, 32, 3), np.uint8), "TYXS", "trained on"),
    ],
)
def test_what_cannot_be_judged_is_said(made: np.ndarray, axes: str, words: str) -> None:
    with pytest.raises(InvalidImageError, match=words):
        report_quality(Image(made, axes), [Image(SOURCE, "YX")], resolve_device("cpu"))
