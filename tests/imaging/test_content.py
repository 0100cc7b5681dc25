"""Masks, labels and constant images are said to be such; few photons and flat pictures are not."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data, measure

from napari_synth.imaging.content import said_of_content
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

BLOBS = data.binary_blobs(128, rng=0)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((40, 40), 7, np.uint8), "constant"),
        (BLOBS.astype(np.uint8) * 255, "mask"),
        (BLOBS.astype(np.float32), "mask"),
        (measure.label(BLOBS).astype(np.uint16), "labels"),
    ],
)
def test_what_was_not_measured(pixels: np.ndarray, word: str) -> None:
    (said,) = said_of_content(Image(pixels, "YX"))
    assert word in said
    assert said in prepare("denoise/blind", Image(pixels, "YX")).notes


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.5, 3.0])
def test_photons(mean: float) -> None:
    assert said_of_content(Image(np.random.default_rng(0).poisson(mean, (128, 128)).astype(np.uint16), "YX")) == ()


@pytest.mark.parametrize("name", ["camera", "page", "text", "moon", "coins"])
def test_pictures(name: str) -> None:
    assert said_of_content(Image(getattr(data, name)(), "YX")) == ()
