from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import shift
from skimage import data

import napari_synth
from napari_synth import verbs
from napari_synth.core.errors import AxesError, InvalidParameterError
from napari_synth.imaging.image import Image

SHIFTS = np.array([(0.0, 0.0), (2.3, -1.0), (-4.2, 3.6), (1.0, 6.0)])


def movie() -> np.ndarray:
    scene = data.camera()[100:300, 100:300].astype("f8")
    frames = np.stack([shift(scene, s, order=3, mode="reflect") for s in SHIFTS])[:, 30:-30, 30:-30]
    return (frames * 10).clip(0, 65535).astype("u2")


def test_every_frame_is_moved_back_to_where_the_first_is() -> None:
    source = movie()
    run = verbs.prepare("correct/drift", Image(source, "TYX"))
    np.testing.assert_allclose(run.recipe.params["shifts"], SHIFTS, atol=0.05)
    result = run.compute()
    inner = np.s_[12:-12, 12:-12]
    for frame, before in zip(result[1:], source[1:], strict=True):
        left = np.abs(frame[inner].astype("f8") - source[0][inner]).mean()
        assert left < 0.25 * np.abs(before[inner].astype("f8") - source[0][inner]).mean()
    assert result.dtype == np.uint16
    assert not result[2, :4].any()
    assert not result[3, :, -6:].any()
    assert "at most 4.2 along Y, 6.0 along X" in run.notes[0]


def test_a_tile_and_a_frame_alone_are_the_same_as_in_the_whole() -> None:
    source = movie()
    run = verbs.prepare("correct/drift", Image(source, "TYX"), tile=32)
    whole = verbs.prepare(run.recipe, Image(source, "TYX"), tile=1000).compute()
    np.testing.assert_array_equal(run.compute(), whole)
    np.testing.assert_array_equal(run.lazy()[2].compute(), whole[2])


def test_the_recipe_moves_another_channel_alike() -> None:
    source = movie()
    run = verbs.prepare("correct/drift", Image(source, "TYX"))
    other = np.random.default_rng(0).integers(0, 1000, source.shape).astype("u2")
    pair = napari_synth.run(run.recipe, np.stack([source, other], 1), axes="TCYX")
    np.testing.assert_allclose(pair[:, 0].astype("f8"), run.compute(), atol=1.0)
    alone = verbs.prepare(run.recipe, Image(other, "TYX"))
    assert alone.recipe.params["shifts"] == run.recipe.params["shifts"]
    np.testing.assert_allclose(alone.compute().astype("f8"), pair[:, 1], atol=1.0)


def test_volumes_are_moved_in_space() -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 200, (8, 24, 24)).repeat(3, 0).repeat(3, 1).repeat(3, 2)[:, :64, :64]
    moved = np.stack([volume, np.roll(volume, (2, -3, 4), (0, 1, 2))]).astype("u2")
    run = verbs.prepare("correct/drift", Image(moved, "TZYX"))
    np.testing.assert_allclose(run.recipe.params["shifts"][1], (2, -3, 4), atol=0.05)
    inner = np.s_[4:-4, 6:-6, 6:-6]
    np.testing.assert_allclose(run.compute()[1][inner].astype("f8"), volume[inner], atol=25)


def test_an_image_without_frames_stays_as_it_is() -> None:
    image = movie()[0]
    run = verbs.prepare("correct/drift", Image(image, "YX"))
    np.testing.assert_array_equal(run.compute(), image)
    assert any("nothing drifts" in note for note in run.notes)


def test_shifts_of_another_movie_are_refused_in_words() -> None:
    recipe = verbs.prepare("correct/drift", Image(movie(), "TYX")).recipe
    with pytest.raises(InvalidParameterError, match="shifts of 4 frames, and a movie of 3"):
        verbs.prepare(recipe, Image(movie()[:3], "TYX"))
    with pytest.raises(AxesError, match="need the axis T"):
        verbs.prepare(recipe, Image(movie()[0], "YX"))
    with pytest.raises(InvalidParameterError, match="no frame 9"):
        verbs.prepare("correct/drift", Image(movie(), "TYX"), {"still_frame": 9})
