from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import napari_synth
from napari_synth.augmentation import CutMix, Flip, MixUp, Pipeline, Resize, Rotate, Sample, StainJitter
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError, SynthError
from napari_synth.imaging.image import Image

PLANE = np.random.default_rng(0).integers(0, 1000, (40, 50)).astype(np.uint16)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"image": np.zeros((0, 5))}, InvalidImageError, "empty"),
        ({"image": np.zeros((5, 5), complex)}, InvalidImageError, "intensities"),
        ({"image": PLANE, "axes": "YQ"}, AxesError, "unknown role"),
        ({"image": PLANE, "labels": np.zeros((40, 50), np.float32)}, InvalidImageError, "ids"),
        ({"image": PLANE, "labels": np.zeros((40, 49), np.uint8)}, InvalidImageError, "same size"),
        ({"image": PLANE, "points": np.zeros((3, 4))}, AxesError, "4 dimensions"),
        ({"image": PLANE, "points": np.zeros(3)}, AxesError, "shape"),
        ({"image": PLANE, "points": [[1.0, np.nan]]}, InvalidImageError, "finite"),
        ({"image": PLANE, "vectors": np.zeros((3, 3, 2))}, AxesError, "direction"),
        ({"image": PLANE, "shapes": [np.zeros((3, 2)), np.zeros((3, 1))]}, AxesError, "shape"),
    ],
)
def test_what_does_not_fit_is_refused_with_one_sentence(
    given: dict[str, Any], error: type[SynthError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        Sample(**given)
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((40, 50), "YX"),
        ((50, 40), "XY"),
        ((3, 40, 50), "TYX"),
        ((2, 40, 50), "CYX"),
        ((5, 40, 50), "ZYX"),
        ((40, 50, 3), "YXS"),
        ((40, 50, 4), "YXS"),
        ((3, 2, 5, 20, 30), "TCZYX"),
        ((2, 3, 20, 30, 3), "TZYXS"),
        ((2, 20, 30, 3), "CYXS"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64])
def test_any_axes_keep_their_shape_and_dtype(shape: tuple[int, ...], axes: str, dtype: Any) -> None:
    pixels = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    result = napari_synth.augment(pixels, axes=axes, transforms="light-microscopy", seed=3)
    assert result.shape == shape
    assert result.dtype == dtype
    assert not np.array_equal(result, pixels)


def test_channels_times_and_colours_are_moved_alike() -> None:
    pixels = np.stack([PLANE, PLANE + 1000, PLANE + 2000])
    for axes in ("CYX", "TYX"):
        moved = napari_synth.augment(pixels.astype(np.float32), axes=axes, transforms=[Rotate()], seed=1)
        inner = np.s_[15:25, 20:30]
        np.testing.assert_allclose(moved[1][inner] - moved[0][inner], 1000, atol=1e-2)
        np.testing.assert_allclose(moved[2][inner] - moved[0][inner], 2000, atol=1e-2)


def test_transposed_axes_give_the_transposed_result() -> None:
    pipeline = Pipeline(transforms=(Rotate(),))
    upright = Sample(PLANE, "YX")
    draw = pipeline.draw(0, upright)
    turned = pipeline.apply(Sample(PLANE.T, "XY"), draw)
    np.testing.assert_array_equal(turned.image.T, pipeline.apply(upright, draw).image)


def test_alpha_is_moved_and_not_shaded() -> None:
    pixels = np.full((40, 50, 4), 100, np.uint8)
    pixels[..., 3] = 255
    moved = napari_synth.augment(pixels, axes="YXS", transforms="light-microscopy", seed=5)
    assert set(np.unique(moved[15:25, 20:30, 3])) == {255}


def test_the_verb_returns_what_it_was_given() -> None:
    assert isinstance(napari_synth.augment(PLANE), np.ndarray)
    image = napari_synth.augment(Image(PLANE, "YX", {"Y": 2.0, "X": 2.0}), transforms=[Resize(height=20, width=25)])
    assert isinstance(image, Image)
    assert image.spacing == {"Y": 4.0, "X": 4.0}
    assert isinstance(napari_synth.augment(torch.from_numpy(PLANE.astype(np.float32))), torch.Tensor)
    sample = napari_synth.augment(PLANE, labels=(PLANE > 500).astype(np.uint8), points=[[3, 4]], transforms=[Flip()])
    assert sample.image.shape == sample.labels.shape
    np.testing.assert_array_equal(sample.labels, sample.image > 500)
    with pytest.raises(InvalidParameterError, match="no augmentation 'x-ray'"):
        napari_synth.augment(PLANE, transforms="x-ray")
    with pytest.raises(InvalidParameterError, match="seed"):
        napari_synth.augment(PLANE, seed="one")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="no transform"):
        napari_synth.augment(PLANE, transforms=[3])  # type: ignore[list-item]


def test_a_stain_needs_colours() -> None:
    with pytest.raises(AxesError, match="RGB"):
        napari_synth.augment(PLANE, transforms=[StainJitter()])


def test_a_draw_is_replayed_on_another_layer() -> None:
    pipeline = Pipeline.of("light-microscopy")
    first = Sample(PLANE, "YX", points=[[20, 25]])
    draw = pipeline.draw(3, first)
    labels = (PLANE > 500).astype(np.uint64) << 62
    alone = pipeline.apply(Sample(labels=labels), draw)
    together = pipeline.apply(Sample(PLANE, "YX", labels=labels), draw)
    np.testing.assert_array_equal(alone.labels, together.labels)
    points = pipeline.apply(Sample(points=[[20.0, 25.0]]), draw).points
    np.testing.assert_array_equal(points, pipeline.apply(first, draw).points)
    dim = pipeline.apply(Sample(PLANE / 1e4, "YX"), draw.for_another()).image
    bright = pipeline.apply(Sample(PLANE.astype(np.float64), "YX"), draw.for_another()).image
    np.testing.assert_allclose(dim * 1e4, bright, rtol=1e-3, atol=0.5)
    with pytest.raises(InvalidImageError, match="draw anew"):
        pipeline.apply(Sample(PLANE[:-1], "YX"), draw)


def test_mixing_brings_in_a_partner() -> None:
    labels = np.ones_like(PLANE)
    sample = Sample(np.full_like(PLANE, 100), "YX", labels=labels, points=np.argwhere(PLANE > 900))
    partner = Sample(PLANE, "YX", labels=labels * 7, points=np.argwhere(PLANE < 30))
    blend = Pipeline(transforms=(MixUp(),))
    mixed = blend.apply(sample, blend.draw(0, sample), partner=partner)
    assert np.unique(mixed.image).size > 1
    assert (mixed.labels == 1).all()
    paste = Pipeline(transforms=(CutMix(),))
    pasted = paste.apply(sample, paste.draw(0, sample), partner=partner)
    box = pasted.labels == 7
    assert 0 < box.sum() < box.size
    own, foreign = pasted.origin["points"] >= 0, pasted.origin["points"] < 0
    assert foreign.any()
    at = np.asarray(pasted.points).astype(int)
    assert not box[tuple(at[own].T)].any()
    assert box[tuple(at[foreign].T)].all()
    with pytest.raises(InvalidImageError, match="augment it first"):
        paste.apply(sample, paste.draw(0, sample), partner=Sample(PLANE[:-1], "YX"))


def test_tensors_and_arrays_give_the_same() -> None:
    pipeline = Pipeline.of("light-microscopy")
    pixels = PLANE.astype(np.float32)
    draw = pipeline.draw(1, Sample(pixels, "YX"))
    array = pipeline.apply(Sample(pixels, "YX"), draw).image
    tensor = pipeline.apply(Sample(torch.from_numpy(pixels), "YX"), draw).image
    np.testing.assert_array_equal(tensor.numpy(), array)
