"""A batch is its items, and crops are what a sample's own crops are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.dot_images import distances, drawn, places
from napari_synth.augmentation import (
    PRESETS,
    AugmentedCrops,
    Brightness,
    Contrast,
    Crop,
    CutMix,
    Elastic,
    Flip,
    Frame,
    MixUp,
    Pipeline,
    Rotate,
    Sample,
)
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", ["light-microscopy", "electron-microscopy", "mri", "ct"])
@pytest.mark.parametrize("shape", [(3, 2, 40, 48), (2, 1, 8, 24, 28)])
def test_a_batch_is_its_items(name: str, shape: tuple[int, ...]) -> None:
    spatial = "ZYX"[5 - len(shape) :]
    images = RNG.uniform(-50.0, 500.0, shape).astype(np.float32)
    labels = RNG.integers(0, 2**40, (shape[0], *shape[2:]))
    points = [RNG.uniform(5, 20, (4 + i, len(spatial))) for i in range(shape[0])]
    points = [np.minimum(rows, np.array(shape[2:]) - 1) for rows in points]
    pipeline = PRESETS[name]
    samples = [
        Sample(image, "C" + spatial, labels=label, points=rows)
        for image, label, rows in zip(images, labels, points, strict=True)
    ]
    draws = [pipeline.draw(10 + i, sample) for i, sample in enumerate(samples)]
    batch = pipeline.apply_batch(torch.from_numpy(images), draws, labels=torch.from_numpy(labels), points=points)
    assert batch.labels is not None
    assert batch.points is not None
    for i, (sample, draw) in enumerate(zip(samples, draws, strict=True)):
        alone = pipeline.apply(sample, draw)
        # Rounding may turn one photon into two.
        assert (np.abs(batch.images[i].numpy() - alone.image) > 0.2).mean() < 0.01
        assert (batch.labels[i].numpy() != alone.labels).mean() < 1e-3
        np.testing.assert_allclose(batch.points[i], alone.points, atol=1e-3)


def test_mixing_takes_other_items_with_their_labels_and_points() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 32, 32).contiguous() + torch.rand(4, 1, 32, 32) * 0.1
    labels = torch.arange(4).view(4, 1, 1).expand(4, 32, 32).contiguous()
    pipeline = Pipeline(transforms=(CutMix(),))
    frame = Frame("YX", (32, 32), (1.0, 1.0))
    draws = [pipeline.draw_for(seed, frame, [(0.0, 1.0)]) for seed in range(4)]
    points = [np.argwhere(np.ones((32, 32))) for _ in range(4)]
    batch = pipeline.apply_batch(images, draws, labels=labels, points=points)
    assert batch.labels is not None
    assert batch.points is not None
    for i in range(4):
        assert len(batch.labels[i].unique()) == 2
        np.testing.assert_array_equal(batch.images[i, 0].floor(), batch.labels[i])
        assert len(batch.points[i]) == 32 * 32
    blend = Pipeline(transforms=(MixUp(),))
    draws = [blend.draw_for(seed, frame, [(0.0, 1.0)]) for seed in range(4)]
    mixed = blend.apply_batch(images, draws, labels=labels)
    assert mixed.labels is not None
    assert torch.equal(mixed.labels, labels)
    assert (mixed.images - images).abs().flatten(1).amax(1).min() > 0.01


def test_gradients_reach_a_batch() -> None:
    images = torch.rand(2, 1, 20, 20, requires_grad=True)
    pipeline = PRESETS["light-microscopy"]
    frame = Frame("YX", (20, 20), (1.0, 1.0))
    pipeline.apply_batch(images, [pipeline.draw_for(i, frame) for i in range(2)]).images.sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0


def test_bad_batches_are_refused() -> None:
    pipeline = Pipeline(transforms=(Flip(),))
    draw = pipeline.draw_for(0, Frame("YX", (20, 20), (1.0, 1.0)))
    with pytest.raises(AxesError, match="batch"):
        pipeline.apply_batch(torch.zeros(20, 20), [draw])
    with pytest.raises(InvalidParameterError, match="one for each"):
        pipeline.apply_batch(torch.zeros(2, 1, 20, 20), [draw])
    with pytest.raises(InvalidImageError, match="20 x 20"):
        pipeline.apply_batch(torch.zeros(1, 1, 20, 21), [draw])
    other = Pipeline(transforms=(Rotate(),)).draw_for(0, Frame("YX", (20, 20), (1.0, 1.0)))
    with pytest.raises(InvalidParameterError, match="different pipelines"):
        pipeline.apply_batch(torch.zeros(2, 1, 20, 20), [draw, other])


def sources() -> list[Sample]:
    samples = []
    for sizes in ((90, 120), (150, 80), (40, 44)):
        dots = places(sizes, 16, 8)
        image = drawn(sizes, dots) * 10
        samples.append(
            Sample(np.rint(image).astype(np.uint16), "YX", labels=(image > 300).astype(np.uint16), points=dots)
        )
    return samples


def test_crops_are_what_a_sample_s_crops_are() -> None:
    samples = sources()
    crops = AugmentedCrops(samples, PRESETS["light-microscopy"], crop=(64, 64), count=12, seed=3)
    by_size = {sample.image.shape: sample for sample in samples}
    batch = crops.batch(range(12))
    seen = set()
    for i, draw in enumerate(batch["draw"]):
        source = by_size[draw.sizes]
        seen.add(draw.sizes)
        alone = crops.pipeline.apply(
            Sample(source.image.astype(np.float32), "YX", labels=source.labels, points=source.points), draw
        )
        assert (np.abs(batch["image"][i, 0].numpy() - alone.image) > 1.0).mean() < 0.01
        assert (batch["labels"][i].numpy() != alone.labels).mean() < 1e-3
        np.testing.assert_allclose(batch["points"][i], alone.points, atol=1e-3)
        one = crops[i]
        assert ((one["image"] - batch["image"][i]).abs() > 1.0).float().mean() < 0.01
    assert len(seen) > 1


def test_dots_of_crops_agree_with_their_points() -> None:
    crops = AugmentedCrops(sources(), [Flip(), Rotate(), Elastic()], crop=(56, 60), count=8)
    for item in (crops[i] for i in range(8)):
        found = distances(item["image"][0].numpy(), item["points"].numpy())
        assert (found < 0.5).all()


def test_epochs_differ_and_repeat() -> None:
    def epochs() -> list[Any]:
        crops = AugmentedCrops(sources(), [Flip()], crop=(32, 32), count=8, seed=1)
        return [[batch["image"] for batch in crops.batches(4)] for _ in range(2)]

    first, again = epochs(), epochs()
    assert len(first[0]) == 2
    assert all(torch.equal(a, b) for a, b in zip(first[0] + first[1], again[0] + again[1], strict=True))
    assert not torch.equal(first[0][0], first[1][0])


def test_a_data_loader_takes_crops() -> None:
    volume = RNG.random((2, 12, 40, 40)).astype(np.float32)
    sample = Sample(volume, "TZYX", labels=(volume > 0.5).astype(np.uint8))
    crops = AugmentedCrops([sample], "mri", crop=(8, 24, 28), count=6)
    loader = torch.utils.data.DataLoader(
        crops, batch_size=3, collate_fn=lambda items: torch.stack([item["image"] for item in items])
    )
    assert [tuple(batch.shape) for batch in loader] == [(3, 1, 8, 24, 28)] * 2
    planes = AugmentedCrops([sample], [Flip()], crop=(24, 28), count=6)
    assert planes[0]["image"].shape == (1, 24, 28)
    assert planes[0]["labels"].shape == (24, 28)


def test_crops_need_sources_that_go_together() -> None:
    plane = Sample(np.zeros((20, 20), np.uint8), "YX")
    with pytest.raises(InvalidParameterError, match="at least one sample"):
        AugmentedCrops([], [], crop=(8, 8))
    with pytest.raises(InvalidParameterError, match="two or three sizes"):
        AugmentedCrops([plane], [], crop=(8,))
    with pytest.raises(AxesError, match="no Z"):
        AugmentedCrops([plane], [], crop=(4, 8, 8))
    with pytest.raises(InvalidImageError, match="different numbers of channels"):
        AugmentedCrops([plane, Sample(np.zeros((2, 20, 20), np.uint8), "CYX")], [], crop=(8, 8))
    assert AugmentedCrops([plane], [Crop(height=4, width=4)], crop=(8, 8))[0]["image"].shape == (1, 4, 4)


def _loaded(crops: AugmentedCrops, batch_size: int, **how: Any) -> list[Any]:
    return list(torch.utils.data.DataLoader(crops, batch_size=batch_size, **how))


@pytest.mark.parametrize("transforms", ["light-microscopy", [Flip(), MixUp(), CutMix()]])
def test_crops_are_the_same_whatever_the_batch_size_and_the_workers(transforms: Any) -> None:
    def fresh() -> AugmentedCrops:
        return AugmentedCrops(sources(), transforms, crop=(40, 44), count=8, seed=5)

    def images(batches: list[Any]) -> torch.Tensor:
        return torch.cat([batch["image"] for batch in batches])

    whole = _loaded(fresh(), 8)
    assert whole[0]["image"].shape == (8, 1, 40, 44)
    assert whole[0]["labels"].shape == (8, 40, 44)
    assert len(whole[0]["points"]) == len(whole[0]["draw"]) == 8
    assert all(type(points) is torch.Tensor for points in whole[0]["points"])
    for batch_size in (1, 3):
        assert torch.equal(images(_loaded(fresh(), batch_size)), images(whole))
    # Batches round otherwise, and noise is counted in whole photons: a few pixels may differ by one.
    for batch_size in (2, 8):
        made = torch.cat([batch["image"] for batch in fresh().batches(batch_size)])
        assert ((made - images(whole)).abs() > 1.0).float().mean() < 0.01
    dots = [points for batch in whole for points in batch["points"]]
    again = [points for batch in fresh().batches(4) for points in batch["points"]]
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(dots, again, strict=True))


def test_workers_make_the_same_crops_and_epochs_differ_with_them_too() -> None:
    def epochs(**how: Any) -> list[torch.Tensor]:
        crops = AugmentedCrops(sources(), [Flip()], crop=(32, 32), count=6, seed=1)
        loader = torch.utils.data.DataLoader(crops, batch_size=4, **how)
        return [torch.cat([batch["image"] for batch in loader]) for _ in range(2)]

    alone, helped = epochs(), epochs(num_workers=2)
    assert not torch.equal(alone[0], alone[1])
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_an_index_asked_for_again_is_of_the_next_epoch() -> None:
    def fresh() -> AugmentedCrops:
        return AugmentedCrops(sources(), [Flip()], crop=(32, 32), count=4, seed=1)

    crops, other = fresh(), fresh()
    first, second = crops[2]["image"], crops[2]["image"]
    assert not torch.equal(first, second)
    other.epoch = 1
    assert torch.equal(other[2]["image"], second)
    assert torch.equal(fresh()[-2]["image"], first)
    assert sum(1 for _ in fresh()) == 4
    with pytest.raises(IndexError, match="4 crops"):
        crops[4]


def test_a_draw_on_another_channel_is_in_parts_of_that_channel_s_range() -> None:
    faint = np.random.default_rng(0).normal(100, 10, (40, 44)).astype(np.float32)
    bright = 50 * faint + 3000
    pipeline = Pipeline.of([Brightness(strength=0.3), Contrast()])
    draw = pipeline.draw(3, Sample(faint, "YX"))
    changed = pipeline.apply(Sample(faint, "YX"), draw).image
    np.testing.assert_allclose(pipeline.apply(Sample(bright, "YX"), draw).image, 50 * changed + 3000, rtol=1e-4)
    # A part of the image is changed as it is in the whole.
    whole = pipeline.apply(Sample(bright, "YX"), draw, ranges=draw.ranges).image
    assert np.abs(whole - (50 * changed + 3000)).max() > 100
