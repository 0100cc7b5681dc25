"""What holds for every predictor of frames that is built in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import napari_synth
from benchmark.movies import moving_blobs
from napari_synth import registry
from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Task
from napari_synth.methods.predict_frames.flow import Copied, Lines, Moved, warped

NAMES = ["optical-flow", "linear", "copy-last"]


def test_the_default_comes_first() -> None:
    found = [one.info.name for one in registry.listed(FramePredictor, Task.PREDICT_FRAMES)]
    assert found[: len(NAMES)] == NAMES
    assert all(one.info.invents for one in registry.listed(FramePredictor, Task.PREDICT_FRAMES))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 1, 1), (5, 3, 40), (4, 17, 23)])
def test_any_size_is_taken(name: str, shape: tuple[int, ...]) -> None:
    movie = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    for options in ({"count": 2}, *([{"between": 1}, {"fill": [0]}] if shape[0] > 1 else [])):
        result = napari_synth.predict_frames(movie, generator=name, axes="TYX", **options)
        assert result.dtype == np.uint16
        assert movie.min() - 1 <= result.min() <= result.max() <= movie.max() + 1
        np.testing.assert_array_equal(
            result, napari_synth.predict_frames(movie, generator=name, axes="TYX", seed=5, **options)
        )


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_change_is_predicted_as_it_is(name: str) -> None:
    still = np.broadcast_to(moving_blobs(1, 32), (4, 32, 32)).copy()
    result = napari_synth.predict_frames(still, 3, name)
    np.testing.assert_allclose(result[4:].astype(float), np.broadcast_to(still[:1], (3, 32, 32)), atol=8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_extreme_values_and_dtypes(name: str, dtype: str) -> None:
    movie = (moving_blobs(4, 16) // 16).astype(dtype)
    if movie.dtype.kind == "f":
        movie[1, 3, 3], movie[:, 5, 5] = np.inf, np.nan
    else:
        movie[:, 0, 0], movie[:, 1, 1] = np.iinfo(dtype).max, np.iinfo(dtype).min
    result: Any = napari_synth.predict_frames(movie, 2, name)
    assert result.dtype == movie.dtype
    assert np.isnan(result[4:].astype(float)).sum() == (2 if movie.dtype.kind == "f" else 0)


def test_lines_go_on_and_stay_within_what_was_seen() -> None:
    ramp = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 1, 2, 2).clone()
    ramp[..., 0, 0] = 10.0
    predicted = Lines(3).predict(ramp[:, 1:], 9)
    assert predicted[0, :3, 0, 1, 1].tolist() == [4.0, 5.0, 6.0]
    assert float(predicted.max()) == 10.0
    assert Lines(3).predict(ramp[:, -1:], 2)[0, :, 0, 1, 1].tolist() == [3.0, 3.0]
    halfway = Lines(3).fill(ramp[:, :1], ramp[:, 3:], 2)
    torch.testing.assert_close(halfway, ramp[:, 1:3])


def test_copies_are_of_the_nearest_frame() -> None:
    ramp = torch.arange(2.0).view(1, 2, 1, 1, 1)
    assert Copied().fill(ramp[:, :1], ramp[:, 1:], 3)[0, :, 0, 0, 0].tolist() == [0, 0, 1]


def test_flow_moves_on_what_moves() -> None:
    grid = torch.stack(torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij"))

    def spot(y: float, x: float) -> torch.Tensor:
        return torch.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / 30)[None]

    movie = torch.stack([spot(20 + t, 14 + 2 * t) for t in range(6)])[None]
    for flow in ("lucas-kanade", "tv-l1"):
        moved = Moved(flow, 7)
        predicted = moved.predict(movie[:, :2], 3)
        copied = Copied().predict(movie[:, 1:2], 3)
        truth = movie[:, 2:5]
        assert (predicted - truth).square().mean() < 0.1 * (copied - truth).square().mean()
        between = moved.fill(movie[:, 1:2], movie[:, 3:4], 1)
        blended = (movie[:, 1:2] + movie[:, 3:4]) / 2
        assert (between - movie[:, 2:3]).square().mean() < 0.2 * (blended - movie[:, 2:3]).square().mean()


def test_warping_takes_pixels_from_where_it_is_told() -> None:
    frame = torch.rand(1, 2, 6, 8)
    where = torch.zeros(1, 2, 6, 8)
    torch.testing.assert_close(warped(frame, where), frame)
    where[:, 0], where[:, 1] = 1, -2
    torch.testing.assert_close(warped(frame, where)[..., :5, 2:], frame[..., 1:, :6])
