from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates, shift
from skimage import data

import napari_synth
from napari_synth import verbs
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.imaging.image import Image

SHIFT = (1.7, -2.3)
SLOPE = (2e-3, 6e-4, -6e-4, 2e-3)


def warped(image: np.ndarray, moved: tuple[float, float] = SHIFT, slope: tuple[float, ...] = (0.0,) * 4) -> np.ndarray:
    """What a channel shows that is displaced by so much."""
    y, x = np.indices(image.shape).astype("f8")
    cy, cx = (size / 2 - 0.5 for size in image.shape)
    at_y, at_x = y, x
    for _ in range(10):
        at_y, at_x = (
            y - moved[0] - slope[0] * (at_y - cy) - slope[1] * (at_x - cx),
            x - moved[1] - slope[2] * (at_y - cy) - slope[3] * (at_x - cx),
        )
    return np.asarray(map_coordinates(image, (at_y, at_x), order=3, mode="reflect"))


def beads(size: int = 320, count: int = 90) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = np.zeros((size, size))
    image[tuple(rng.integers(8, size - 8, (2, count)))] = rng.uniform(5e3, 2e4, count)
    return np.asarray(gaussian_filter(image, 1.5))


def noisy(*channels: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([rng.poisson(np.clip(one, 0, None) + 5) for one in channels]).astype("u2")


def camera() -> np.ndarray:
    return data.camera()[100:356, 100:356].astype("f8")


def test_channels_are_moved_onto_the_first_to_a_twentieth_of_a_pixel() -> None:
    source = noisy(camera(), 0.4 * warped(camera()))
    run = verbs.prepare("correct/chromatic-shift", Image(source, "CYX"))
    first, second = run.recipe.params["fitted"]
    assert not any((*first["shift"], *first["slope"]))
    np.testing.assert_allclose(second["shift"], SHIFT, atol=0.05)
    assert not any(second["slope"])
    result = run.compute()
    np.testing.assert_array_equal(result[0], source[0])
    assert result.dtype == np.uint16
    inner = np.s_[6:-6, 6:-6]
    off, before = (np.corrcoef(camera()[inner].ravel(), one[1][inner].ravel())[0, 1] for one in (result, source))
    assert off > 0.98 > before
    assert not result[1, :, :2].any()
    assert "Channel 1 was displaced against channel 0 by +1.68 px along Y, -2.30 px along X" in run.notes[0]


def test_edges_tell_what_intensities_do_not() -> None:
    run = verbs.prepare("correct/chromatic-shift", Image(noisy(camera(), 300 - warped(camera())), "CYX"))
    np.testing.assert_allclose(run.recipe.params["fitted"][1]["shift"], SHIFT, atol=0.05)


def test_beads_tell_the_magnification_that_a_recipe_keeps_for_other_images() -> None:
    seen = noisy(beads(), 0.5 * warped(beads(), SHIFT, SLOPE))
    other = camera()[:, :, None].repeat(2, 2)[:, :, 0]
    picture = np.pad(other, 32, mode="reflect")
    source = np.stack([picture, warped(picture, SHIFT, SLOPE)]).astype("f4")
    run = verbs.prepare("correct/chromatic-shift", Image(source, "CYX"), reference=Image(seen, "CYX"))
    fit = run.recipe.params["fitted"][1]
    np.testing.assert_allclose(fit["shift"], SHIFT, atol=0.05)
    np.testing.assert_allclose(fit["slope"], SLOPE, atol=2e-4)
    result = run.compute()
    inner = np.s_[12:-12, 12:-12]
    left = np.abs(result[1][inner] - picture[inner]).mean()
    assert left < 0.2 * np.abs(source[1][inner] - picture[inner]).mean()
    again = napari_synth.run(run.recipe, source, axes="CYX")
    np.testing.assert_allclose(again, result, atol=1e-3)
    tiled = verbs.prepare(run.recipe, Image(source, "CYX"), tile=64).compute()
    np.testing.assert_allclose(tiled, result, atol=1e-3 * 255)
    with pytest.raises(InvalidParameterError, match="320 by 320 pixels, and the image has 200 by 200"):
        napari_synth.run(run.recipe, source[:, :200, :200], axes="CYX")
    with pytest.raises(InvalidParameterError, match="of 2 channels, and the image has 3"):
        napari_synth.run(run.recipe, source[[0, 1, 1]], axes="CYX")


def test_colours_and_volumes() -> None:
    slide = data.immunohistochemistry()[100:300, 100:300]
    green = np.clip(warped(slide[..., 1].astype("f8"), (0.8, -1.1)), 0, 255).astype("u1")
    shown = np.stack([slide[..., 0], green, slide[..., 2]], -1)
    run = verbs.prepare("correct/chromatic-shift", Image(shown, "YXS"))
    np.testing.assert_allclose(run.recipe.params["fitted"][1]["shift"], (0.8, -1.1), atol=0.05)
    result = run.compute()
    assert np.abs(result[5:-5, 5:-5].astype("f8") - slide[5:-5, 5:-5]).mean() < 2.0
    assert result[:, -1, 1].min() > 0

    volume = gaussian_filter(np.random.default_rng(0).random((16, 120, 120)) ** 30, (1, 1.5, 1.5)) * 5000
    moved = shift(volume, (1.4, 0.6, -2.3), order=3, mode="reflect")
    source = noisy(volume, moved)
    run = verbs.prepare("correct/chromatic-shift", Image(source, "CZYX"))
    np.testing.assert_allclose(run.recipe.params["fitted"][1]["shift"], (1.4, 0.6, -2.3), atol=0.1)
    found = run.compute()
    inner = np.s_[3:-3, 4:-4, 4:-4]
    assert np.corrcoef(found[1][inner].ravel(), source[0][inner].ravel())[0, 1] > 0.95


def test_channels_that_share_nothing_are_not_moved_by_chance() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidImageError, match="Channel 1 has too little in common"):
        verbs.prepare("correct/chromatic-shift", Image(rng.poisson(100.0, (2, 256, 256)).astype("u2"), "CYX"))
    with pytest.raises(InvalidImageError, match="give an image of beads"):
        verbs.prepare("correct/chromatic-shift", Image(noisy(camera(), data.brick()[:256, :256].astype("f8")), "CYX"))
    alone = camera().astype("f4")
    run = verbs.prepare("correct/chromatic-shift", Image(alone, "YX"))
    np.testing.assert_array_equal(run.compute(), alone)
    assert "one channel alone" in run.notes[0]
    with pytest.raises(InvalidParameterError, match="no channel 5"):
        verbs.prepare("correct/chromatic-shift", Image(noisy(alone, alone), "CYX"), {"reference_channel": 5})
