"""Everything that is moved goes to the same place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.augmentation_cases import PLANES, VOLUMES
from benchmark.dot_images import distances, drawn, places
from napari_synth.augmentation import (
    Crop,
    Elastic,
    Fisheye,
    Flip,
    Perspective,
    Pipeline,
    QuarterTurn,
    Resize,
    Rotate,
    Sample,
    Sampling,
    Scale,
    ThinPlate,
    Transform,
    Translate,
)

CASES = [pytest.param((140, 150), t, id=f"2D {name}") for name, t in PLANES.items()] + [
    pytest.param((44, 52, 56), t, id=f"3D {name}") for name, t in VOLUMES.items()
]


def dotted(sizes: tuple[int, ...], **other: Any) -> Sample:
    dots = places(sizes, 18 if len(sizes) == 2 else 14, 10)
    return Sample(drawn(sizes, dots), "ZYX"[3 - len(sizes) :], points=dots, **other)


@pytest.mark.parametrize(("sizes", "transforms"), CASES)
def test_dots_and_their_points_agree(sizes: tuple[int, ...], transforms: tuple[Transform, ...]) -> None:
    sample, pipeline = dotted(sizes), Pipeline(transforms=transforms)
    checked = 0
    for seed in range(3):
        moved = pipeline.apply(sample, pipeline.draw(seed, sample))
        found = distances(moved.image, moved.points)
        checked += len(found)
        assert (found < 0.5).all(), found.max()
    assert checked > 10


@pytest.mark.parametrize(("sizes", "transforms"), CASES)
def test_points_come_back(sizes: tuple[int, ...], transforms: tuple[Transform, ...]) -> None:
    sample = dotted(sizes)
    pipeline = Pipeline(transforms=transforms, sampling=Sampling(leaving="mark"))
    draw = pipeline.draw(5, sample)
    moved = pipeline.apply(sample, draw)
    back = pipeline.invert(moved, draw)
    inside = moved.inside["points"]
    assert inside.any()
    np.testing.assert_allclose(np.asarray(back.points)[inside], np.asarray(sample.points)[inside], atol=2e-3)
    assert back.image.shape == sample.image.shape


def test_cubic_interpolation_keeps_more_of_a_dot_than_linear() -> None:
    sample = dotted((140, 150))
    heights = {}
    for interpolation in ("linear", "cubic"):
        pipeline = Pipeline(transforms=(Rotate(),), sampling=Sampling(interpolation=interpolation))
        moved = pipeline.apply(sample, pipeline.draw(0, sample))
        assert (distances(moved.image, moved.points) < 0.1).all()
        at = np.asarray(moved.points).round().astype(int)
        heights[interpolation] = moved.image[tuple(at.T)].mean()
    assert heights["cubic"] > heights["linear"]


def test_flips_turns_and_crops_are_exact() -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (40, 40), dtype=np.uint16)
    pipeline = Pipeline(transforms=(Flip(along_x=True, along_y=False), QuarterTurn(), Crop(height=20, width=30)))
    seen = set()
    for seed in range(12):
        sample = Sample(pixels, "YX")
        draw = pipeline.draw(seed, sample)
        moved = pipeline.apply(sample, draw).image
        values = {step.kind: step.values for step in draw.steps}
        expected = pixels[:, ::-1] if values["flip"]["signs"] == (1.0, -1.0) else pixels
        turns = int(values["quarter-turn"]["turns"])  # type: ignore[arg-type]
        y, x = (int(start) for start in values["crop"]["starts"])  # type: ignore[union-attr]
        candidates = [np.rot90(expected, k)[y : y + 20, x : x + 30] for k in (turns, -turns)]
        assert moved.dtype == np.uint16
        assert any(np.array_equal(moved, candidate) for candidate in candidates)
        seen.add(turns)
    assert len(seen) > 2


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, bool]
)
def test_labels_keep_their_ids(dtype: type) -> None:
    top = min(2**63, np.iinfo(dtype).max) if dtype is not bool else 1
    ids = [1, top] if dtype is bool else [1, 2, top - 1, top]
    labels = np.zeros((90, 90), dtype)
    for i, value in enumerate(ids):
        labels[30 + 8 * i : 36 + 8 * i, 30:60] = value
    sample = Sample(labels=labels)
    transforms = (Flip(), Rotate(), Scale(smallest=0.9, largest=1.1), Elastic(most=4.0), Fisheye(least=0.0, most=0.1))
    pipeline = Pipeline(transforms=transforms)
    for seed in range(4):
        moved = pipeline.apply(sample, pipeline.draw(seed, sample)).labels
        assert moved.dtype == labels.dtype
        assert set(np.unique(moved).tolist()) == set(np.unique(labels).tolist())


def test_labels_move_with_the_image() -> None:
    y, x = np.mgrid[:120, :130]
    disc = (y - 60) ** 2 + (x - 65) ** 2 < 30**2
    sample = Sample(disc.astype(np.float32) * 100, "YX", labels=disc.astype(np.int32))
    pipeline = Pipeline(transforms=(Rotate(), Elastic(), Perspective(), Translate()))
    moved = pipeline.apply(sample, pipeline.draw(1, sample))
    assert ((moved.image > 50) != (moved.labels > 0)).mean() < 2e-3


def test_shapes_vectors_and_tracks_move_like_points() -> None:
    dots = places((100, 110), 20, 15)
    sample = Sample(
        np.zeros((4, 100, 110), np.uint8),
        "TYX",
        points=np.insert(dots, 0, 2.0, axis=1),
        shapes=[np.insert(dots[:3], 0, 1.0, axis=1), dots[3:7]][:1],
        vectors=np.stack([dots, np.full_like(dots, 3.0)], 1),
        tracks=np.column_stack([np.arange(len(dots)), np.zeros(len(dots)), dots]),
    )
    pipeline = Pipeline(transforms=(Rotate(), Elastic()), sampling=Sampling(leaving="mark"))
    moved = pipeline.apply(sample, pipeline.draw(2, sample))
    points = np.asarray(moved.points)
    assert (points[:, 0] == 2.0).all()
    assert np.abs(points[:, 1:] - dots).max() > 5
    np.testing.assert_allclose(moved.shapes[0][:, 1:], points[:3, 1:])
    np.testing.assert_allclose(np.asarray(moved.vectors)[:, 0], points[:, 1:])
    np.testing.assert_allclose(np.asarray(moved.tracks)[:, 2:], points[:, 1:])
    np.testing.assert_array_equal(np.asarray(moved.tracks)[:, 0], np.arange(len(dots)))
    tips = Sample(np.zeros((100, 110), np.uint8), "YX", points=dots + 3.0)
    ends = np.asarray(pipeline.apply(tips, pipeline.draw(2, tips)).points)
    np.testing.assert_allclose(np.asarray(moved.vectors).sum(1), ends)


def test_what_leaves_is_dropped_or_marked() -> None:
    sample = dotted((100, 100))
    count = len(np.asarray(sample.points))
    transforms = (Translate(fraction=0.5),)
    dropping = Pipeline(transforms=transforms)
    marking = Pipeline(transforms=transforms, sampling=Sampling(leaving="mark"))
    draw = dropping.draw(3, sample)
    dropped, marked = dropping.apply(sample, draw), marking.apply(sample, draw)
    assert 0 < len(np.asarray(dropped.points)) < count
    assert len(np.asarray(marked.points)) == count
    np.testing.assert_array_equal(dropped.origin["points"], np.flatnonzero(marked.inside["points"]))
    np.testing.assert_array_equal(dropped.points, np.asarray(marked.points)[marked.inside["points"]])


def test_a_shape_is_in_view_where_its_box_is() -> None:
    around = np.array([[-20.0, -20.0], [-20.0, 70.0], [70.0, 70.0], [70.0, -20.0]])
    sample = Sample(np.zeros((50, 50), np.uint8), "YX", shapes=[around, around + 100.0, around[:3] / 10])
    pipeline = Pipeline(transforms=(QuarterTurn(),))
    moved = pipeline.apply(sample, pipeline.draw(0, sample))
    np.testing.assert_array_equal(moved.origin["shapes"], [0, 2])
    assert [len(np.asarray(shape)) for shape in moved.shapes] == [4, 3]


def test_the_field_says_where_pixels_come_from() -> None:
    y, x = np.mgrid[:80, :90].astype(np.float32)
    pipeline = Pipeline(
        transforms=(Rotate(degrees=20.0), Elastic(most=5.0)), sampling=Sampling(outside="edge", antialias=False)
    )
    draw = pipeline.draw(0, Sample(x, "YX"))
    field = pipeline.displacement(draw)
    for image, axis, top in ((y, 0, 79), (x, 1, 89)):
        place = (np.mgrid[:80, :90][axis] + field[axis]).clip(0, top)
        moved = pipeline.apply(Sample(image, "YX"), draw).image
        np.testing.assert_allclose(moved, place, atol=2e-3)


def test_the_image_comes_back() -> None:
    y, x = np.mgrid[:100, :100]
    smooth = (50 + 50 * np.sin(y / 9) * np.cos(x / 11)).astype(np.float32)
    sample = Sample(smooth, "YX")
    pipeline = Pipeline(transforms=(Rotate(degrees=30.0), Elastic(most=5.0)), sampling=Sampling(interpolation="cubic"))
    draw = pipeline.draw(4, sample)
    back = pipeline.invert(pipeline.apply(sample, draw), draw).image
    inner = np.s_[25:75, 25:75]
    np.testing.assert_allclose(back[inner], smooth[inner], atol=0.5)


@pytest.mark.parametrize("outside", ["background", "edge", "mirror"])
def test_what_lies_beyond_the_image(outside: Any) -> None:
    pixels = np.random.default_rng(0).uniform(10.0, 20.0, (40, 40)).astype(np.float32)
    pixels[:, -4:] = np.arange(4) + 100
    labels = (pixels >= 100).astype(np.uint8)
    pipeline = Pipeline(transforms=(Crop(height=40, width=60, position="centre"),), sampling=Sampling(outside=outside))
    sample = Sample(pixels, "YX", labels=labels)
    moved = pipeline.apply(sample, pipeline.draw(0, sample))
    np.testing.assert_array_equal(moved.image[:, 10:50], pixels)
    right = moved.image[:, 50:]
    if outside == "background":
        assert (right < 11).all()
        assert (right == right[0, 0]).all()
        assert not moved.labels[:, 50:].any()
    elif outside == "edge":
        assert (right == 103).all()
        assert moved.labels[:, 50:].all()
    else:
        np.testing.assert_array_equal(right, pixels[:, :-11:-1])
        np.testing.assert_array_equal(moved.labels[:, 50:], labels[:, :-11:-1])


def test_volumes_turn_in_units_of_distance() -> None:
    # A ball of 12 units, with planes 3 units apart, is still a ball after a tilt.
    z, y, x = np.mgrid[:21, :61, :61]
    ball = ((3 * (z - 10)) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 24**2).astype(np.float32)
    sample = Sample(ball, "ZYX", spacing={"Z": 3.0})
    pipeline = Pipeline(transforms=(Rotate(depth=90.0),))
    moved = pipeline.apply(sample, pipeline.draw(1, sample)).image
    assert np.abs(moved - ball).mean() < 0.03
    unaware = Sample(ball, "ZYX")
    assert np.abs(pipeline.apply(unaware, pipeline.draw(1, unaware)).image - ball).mean() > 0.05


def test_planes_move_alike_unless_depth_is_asked_for() -> None:
    plane = np.random.default_rng(0).random((50, 60)).astype(np.float32)
    volume = Sample(np.stack([plane] * 5), "ZYX")
    pipeline = Pipeline(transforms=(Rotate(), Elastic(), ThinPlate(), Fisheye()))
    draw = pipeline.draw(0, volume)
    assert draw.axes == "YX"
    moved = pipeline.apply(volume, draw).image
    np.testing.assert_array_equal(moved, np.broadcast_to(moved[0], moved.shape))


def test_strong_fields_do_not_fold() -> None:
    sample = Sample(np.zeros((80, 80), np.uint8), "YX")
    for transform in (Elastic(grid=8.0, least=100.0, most=100.0), ThinPlate(landmarks=5, fraction=0.5)):
        pipeline = Pipeline(transforms=(transform,))
        field = pipeline.displacement(pipeline.draw(0, sample)).astype(np.float64)
        dy = np.stack(np.gradient(field[0])) + np.array([1.0, 0.0])[:, None, None]
        dx = np.stack(np.gradient(field[1])) + np.array([0.0, 1.0])[:, None, None]
        assert (dy[0] * dx[1] - dy[1] * dx[0] > 0).all()


def test_what_shrinks_is_smoothed() -> None:
    stripes = np.zeros((64, 64), np.float32)
    stripes[:, ::2] = 100.0
    transforms = (Resize(height=16, width=16),)
    spread = {}
    for antialias in (True, False):
        pipeline = Pipeline(transforms=transforms, sampling=Sampling(antialias=antialias, outside="edge"))
        sample = Sample(stripes[:, :61], "YX")
        spread[antialias] = pipeline.apply(sample, pipeline.draw(0, sample)).image[:, 2:-2].std()
    assert spread[True] < 5 < spread[False]


def test_lazy_images_are_read_where_they_are_shown() -> None:
    da = pytest.importorskip("dask.array")
    read = []

    def block(block_info: Any = None) -> np.ndarray[Any, Any]:
        where = block_info[None]["array-location"]
        read.append(where)
        return np.full([b - a for a, b in where], 7, np.uint16)

    lazy = da.map_blocks(block, chunks=((100,) * 20, (100,) * 20), dtype=np.uint16)
    pipeline = Pipeline(transforms=(Crop(height=64, width=64), Rotate()))
    draw = pipeline.draw_for(0, Sample(lazy, "YX").frame("YX"), [(0.0, 10.0)])
    moved = pipeline.apply(Sample(lazy, "YX"), draw)
    assert moved.image.shape == (64, 64)
    assert len(read) <= 9


def test_gradients_reach_pixels() -> None:
    image = torch.rand(5, 6, dtype=torch.float64, requires_grad=True)
    for interpolation in ("linear", "cubic"):
        pipeline = Pipeline(
            transforms=(Rotate(degrees=20.0), Elastic(grid=5.0, most=1.0, least=1.0)),
            sampling=Sampling(interpolation=interpolation),  # type: ignore[arg-type]
        )
        draw = pipeline.draw(0, Sample(image.detach(), "YX"))

        def moved(pixels: torch.Tensor, pipeline: Pipeline = pipeline, draw: Any = draw) -> torch.Tensor:
            result: torch.Tensor = pipeline.apply(Sample(pixels, "YX"), draw).image
            return result

        assert torch.autograd.gradcheck(moved, (image,), eps=1e-4, atol=1e-4)


@pytest.mark.parametrize(("sizes", "transforms"), [((12, 13), PLANES["all"][1:-1]), ((6, 12, 13), VOLUMES["all"])])
def test_gradients_reach_parameters(sizes: tuple[int, ...], transforms: tuple[Transform, ...]) -> None:
    from napari_synth.augmentation.batch import warped
    from napari_synth.augmentation.plan import Plan
    from napari_synth.augmentation.sampling import Windows

    torch.manual_seed(0)
    # Linear in its pixels, so that the slope does not jump between them.
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in sizes), indexing="ij")).double()
    image = (grid * torch.rand(len(sizes), *(1 for _ in sizes)).double()).sum(0)[None, None]
    pipeline = Pipeline(transforms=transforms, sampling=Sampling(outside="edge", antialias=False))
    sample = Sample(image[0, 0], "ZYX"[3 - len(sizes) :])
    plan = Plan.of([pipeline.draw(0, sample)])
    windows = Windows.whole(image)
    names = {
        "rotate": "degrees",
        "scale": "factors",
        "shear": "degrees",
        "perspective": "tilts",
        "elastic": "pixels",
        "thin-plate": "fraction",
        "fisheye": "strength",
    }
    inner = tuple(slice(size // 3, 2 * size // 3) for size in sizes)
    for step in plan.steps:
        if step.kind not in names:
            continue
        value = step.values[names[step.kind]]

        def brightness(free: torch.Tensor, step: Any = step) -> torch.Tensor:
            kept = step.values[names[step.kind]]
            step.values[names[step.kind]] = free
            warp = plan.map()
            step.values[names[step.kind]] = kept
            moved = warped(windows, warp, warp.coordinates(image), pipeline.sampling, image.new_zeros(1, 1))
            return moved[(0, 0, *inner)].mean()

        free = value.clone().requires_grad_()
        (slope,) = torch.autograd.grad(brightness(free), free)
        step_size = 1e-5
        for index in np.ndindex(*value.shape):
            up, down = value.clone(), value.clone()
            up[index] += step_size
            down[index] -= step_size
            expected = (brightness(up) - brightness(down)) / (2 * step_size)
            assert slope[index].item() == pytest.approx(expected.item(), rel=1e-2, abs=1e-4), step.kind
