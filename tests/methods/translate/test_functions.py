"""The algorithms as functions of arrays do what the verb does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

import napari_synth
from napari_synth.core.errors import ReferenceImageError, SynthError
from napari_synth.methods.translate import matching, stains


def slides() -> tuple[np.ndarray, np.ndarray]:
    slide = data.immunohistochemistry()
    return slide[:96, :112], slide[300:400, 200:320]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (stains.macenko, "macenko"),
        (stains.vahadane, "vahadane"),
        (stains.reinhard, "reinhard"),
        (matching.transfer_colours, "colour-transfer"),
    ],
)
def test_functions_of_slides_are_the_methods(function: Callable[..., np.ndarray], name: str) -> None:
    slide, reference = slides()
    made = function(slide, reference, strength=0.7)
    np.testing.assert_array_equal(made, napari_synth.translate(slide, reference, name, strength=0.7))
    assert np.abs(made.astype(float) - slide).max() > 5


def test_quantiles_are_those_of_the_reference() -> None:
    camera, coins = data.camera()[:128, :128], data.coins()[:140, :150]
    made = matching.match_quantiles(camera, coins)
    shares = (0.1, 0.5, 0.9)
    np.testing.assert_allclose(np.quantile(made, shares), np.quantile(coins, shares), atol=6)


def test_what_does_not_fit_is_one_sentence() -> None:
    slide, _ = slides()
    with pytest.raises(SynthError):
        stains.macenko(slide[..., 0])
    with pytest.raises(ReferenceImageError):
        stains.macenko(slide, np.full_like(slide, 255))
