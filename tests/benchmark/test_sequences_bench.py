from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from benchmark.movies import bouncing_digits, moving_blobs
from benchmark.sequences import bench_predict_frames


def test_networks_stand_beside_what_needs_no_training(tmp_path: Path) -> None:
    said: list[str] = []
    report = bench_predict_frames(quick=True, device="cpu", pictures=tmp_path, say=said.append)
    (table,) = report.tables
    errors = {str(row[0]): row[1:5] for row in table.rows}
    assert list(errors)[-2:] == ["SimVP", "ConvLSTM"]
    assert all(isinstance(error, float) and error > 0 for row in errors.values() for error in row)
    for name in ("optical flow", "optical flow, TV-L1"):
        # Blobs move straight on: what does not see that is worse.
        assert errors[name][0] < errors["copy of the last frame"][0]  # type: ignore[operator]
    assert "times that of a copy" in said[-1]
    picture = iio.imread(tmp_path / "moving-blobs.png")
    assert picture.shape == (2 * 7 * 32, 2 * 6 * 32)


@pytest.mark.parametrize("draw", [moving_blobs, bouncing_digits])
def test_movies_are_the_same_for_a_seed_and_keep_what_they_show(draw) -> None:
    movie = draw(12, 48, seed=3)
    np.testing.assert_array_equal(movie, draw(12, 48, seed=3))
    assert not np.array_equal(movie, draw(12, 48, seed=4))
    change = [np.abs(b.astype(float) - a).mean() for a, b in pairwise(movie)]
    assert min(change) > 0
    brightness = movie.reshape(12, -1).astype(float).mean(axis=1)
    assert brightness.max() < 1.6 * brightness.min()
