"""Images made of the patches of one image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

BRIEF = {"structure": 16, "steps": 2}


def made(image: Image, seed: int = 0, **params: object) -> np.ndarray:
    run = prepare("synthesize/patches", image, BRIEF | params, device="cpu", seed=seed)
    return np.asarray(run.compute())


def grass() -> Image:
    return Image(data.grass()[:64, :64].astype(np.uint16) * 100, "YX")


def test_it_has_the_texture_of_the_image_and_its_counts() -> None:
    image = grass()
    (result,) = made(image, structure=32, steps=4)
    assert result.dtype == np.uint16

    def alike(pixels: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(pixels[:, lag:].ravel(), pixels[:, :-lag].ravel())[0, 1])

    for lag in (1, 2, 4):
        assert alike(result, lag) == pytest.approx(alike(image.data, lag), abs=0.2)
    assert result.std() == pytest.approx(image.data.std(), rel=0.35)
    assert abs(float(result.mean()) - image.data.mean()) < 0.1 * image.data.mean()
    assert np.abs(np.corrcoef(result.ravel(), image.data.ravel())[0, 1]) < 0.3


def test_another_seed_gives_another_image_and_the_same_one_the_same() -> None:
    image = grass()
    first, again, other = made(image, 1, count=2), made(image, 1, count=2), made(image, 2)
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1] < 0.5
    assert np.corrcoef(first[0].ravel(), other[0].ravel())[0, 1] < 0.5


@pytest.mark.parametrize(
    ("pixels", "axes"),
    [(data.astronaut()[:40, :48], "YXS"), (np.moveaxis(data.astronaut()[:40, :48, :2], 2, 0), "CYX")],
)
def test_any_size_and_number_of_channels(pixels: np.ndarray, axes: str) -> None:
    result = made(Image(pixels, axes), size=37, width=51)
    sizes = dict(zip(axes, pixels.shape, strict=True)) | {"Y": 37, "X": 51}
    assert result.shape == (1, *(sizes[axis] for axis in axes))
    assert result.dtype == np.uint8


def test_an_image_smaller_than_a_patch_is_taken() -> None:
    assert made(Image(data.grass()[:5, :9], "YX"), size=16).shape == (1, 16, 16)


def test_a_flat_image_is_refused() -> None:
    with pytest.raises(InvalidImageError, match="one value"):
        made(Image(np.full((20, 20), 7, np.uint8), "YX"))
