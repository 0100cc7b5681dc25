"""Learning from time-lapses: what is held out, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_synth
from benchmark.movies import moving_blobs
from napari_synth import registry
from napari_synth.contract.frames import FramePredictor
from napari_synth.core.errors import AxesError, InvalidParameterError, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.trained import OverTime, neighbours_of
from napari_synth.networks.frame_predictors import SimVP
from napari_synth.training.clips import draw_clips, held_out_clips, read_movies, split_clips
from napari_synth.training.events import Previewed, Validated
from napari_synth.training.patches import PatchSampler

TINY: dict[str, Any] = {"patch": 16, "batch": 2, "past": 2, "future": 2, "width": 8}


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NAPARI_SYNTH_MODELS", str(tmp_path / "models"))
    registry.refresh()
    yield
    registry.refresh()


def _counting(frames: int, edge: int = 32, name: str = "movie") -> Image:
    """Return a movie whose pixels say in which frame they are."""
    movie = np.arange(frames, dtype=np.float32)[:, None, None] + np.zeros((frames, edge, edge), np.float32)
    return Image(movie, "TYX", name=name)


def test_the_end_of_a_movie_is_held_out() -> None:
    fields, normalisation = read_movies([_counting(30)], 4)
    training, held_out = split_clips(fields, 4)
    frames = [
        np.unique(np.concatenate([normalisation.transforms[0][0].inverse(f.pixels).round().ravel() for f in part]))
        for part in (training, held_out)
    ]
    assert frames[0].tolist() == list(range(25))
    assert frames[1].tolist() == list(range(25, 30))
    for clip in held_out_clips(held_out, 4, 4):
        assert clip.place[0] >= 25
        first = normalisation.transforms[0][0].inverse(clip.pixels)[0, 0, 0, 0]
        assert round(float(first)) == clip.place[0]


def test_of_a_short_movie_a_band_of_rows_is_held_out() -> None:
    movie = np.broadcast_to(np.arange(64, dtype=np.float32)[None, :, None], (5, 64, 64)).copy()
    fields, _ = read_movies([Image(movie, "TYX")], 4)
    training, held_out = split_clips(fields, 4)
    assert not set(np.unique(training[0].pixels)) & set(np.unique(held_out[0].pixels))
    assert training[0].spatial[0] == held_out[0].spatial[0] == 5


def test_clips_run_forwards_unless_backwards_is_wanted() -> None:
    fields, _ = read_movies([_counting(12)], 4)
    pool = PatchSampler(fields, (4, 16, 16), "cpu")
    for backwards in (False, True):
        clips = draw_clips(pool, 32, torch.Generator().manual_seed(0), backwards=backwards)
        assert clips.shape == (32, 4, 1, 16, 16)
        steps = clips[:, 1:, 0, 0, 0] - clips[:, :-1, 0, 0, 0]
        assert bool((steps > 0).all()) is not backwards
        assert (steps[:, :1].sign() == steps.sign()).all()


def test_joint_channels_are_normalised_each_by_itself() -> None:
    movie = np.stack([moving_blobs(6, 32), 10 * moving_blobs(6, 32).astype(np.uint32) + 500], axis=1)
    fields, _ = read_movies([Image(movie, "TCYX")], 4, channels="joint")
    assert fields[0].pixels.shape == (2, 6, 32, 32)
    np.testing.assert_allclose(fields[0].pixels[0], fields[0].pixels[1], atol=2e-3)
    assert len(read_movies([Image(movie, "TCYX")], 4)[0]) == 2


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ([Image(np.zeros((9, 16, 16), np.uint8), "ZYX")], "no T axis"),
        ([_counting(3)], "shorter clips"),
        ([_counting(9), Image(np.ones((9, 16, 16, 3), np.uint8), "TYXS")], "different channels"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(images: list[Image], match: str) -> None:
    with pytest.raises(TrainingDataError, match=match):
        read_movies(images, 4)


@pytest.mark.parametrize("method", ["simvp", "convlstm"])
def test_a_model_is_trained_beside_the_baselines_and_predicts(method: str) -> None:
    movie = Image(moving_blobs(24, 32), "TYX", name="blobs")
    news: list[object] = []

    def told(progress: Progress) -> None:
        if progress.event is not None:
            news.append(progress.event)

    trained = napari_synth.train(f"predict-frames/{method}", movie, steps=12, progress=told, **TINY)
    validated = [item for item in news if isinstance(item, Validated)]
    assert min(found.score for found in validated) < validated[0].score
    assert set(validated[0].baselines) == {"a copy of the last frame", "lines", "optical flow"}
    assert set(validated[0].metrics) == set(validated[0].baselines["optical flow"])
    preview = next(item.preview for item in news if isinstance(item, Previewed))
    assert preview.axes == "TYX"
    assert preview.pixels.shape[0] == 2
    assert isinstance(trained, FramePredictor)

    result = napari_synth.predict_frames(movie, 3, trained, fill=[5])
    assert result.shape == (27, 32, 32)
    np.testing.assert_array_equal(result.data[:5], movie.data[:5])
    assert result.data[24:].std() > 0
    by_id = napari_synth.run(trained.info.id, movie.data, axes="TYX", count=3)
    np.testing.assert_array_equal(by_id[24:], napari_synth.predict_frames(movie.data, 3, trained)[24:])
    tiled = napari_synth.predict_frames(movie.data, 3, trained, tile=16, axes="TYX")
    np.testing.assert_allclose(tiled[24:].astype(float), by_id[24:].astype(float), atol=3)
    with pytest.raises(InvalidParameterError, match="whole steps"):
        napari_synth.predict_frames(movie.data, between=1, generator=trained)


def test_a_model_of_colours_takes_nothing_else() -> None:
    movie = np.stack([moving_blobs(12, 24, seed=seed) // 16 for seed in range(3)], axis=-1).astype(np.uint8)
    trained = napari_synth.train("predict-frames/simvp", Image(movie, "TYXS", name="rgb"), steps=2, **TINY)
    assert napari_synth.predict_frames(movie, 1, trained, axes="TYXS").shape == (13, 24, 24, 3)
    with pytest.raises(AxesError, match="3 channels"):
        napari_synth.predict_frames(movie[..., 0], 1, trained)


def test_denoising_over_time_does_not_look_at_the_frame_that_it_restores() -> None:
    prepared = OverTime(SimVP(1, history=4, horizon=1, width=8, mixed=8, blocks=1, base="none"), {})
    block = torch.rand(1, 1, 9, 16, 16)
    changed = block.clone()
    changed[:, :, 4] += 1.0
    with torch.no_grad():
        moved = (prepared.apply(changed) - prepared.apply(block)).abs().amax((0, 1, 3, 4))
    assert torch.nonzero(moved > 1e-6)[:, 0].tolist() == [2, 3, 5, 6]


def test_a_movie_is_denoised_over_time() -> None:
    movie = moving_blobs(20, 32, noise=200)
    trained: Any = napari_synth.train(
        "denoise/deep-interpolation", Image(movie, "TYX", name="noisy"), steps=4, patch=16, batch=2, reach=2, width=8
    )
    restored = napari_synth.denoise(movie, trained, axes="TYX")
    assert restored.shape == movie.shape
    with pytest.raises(AxesError):
        napari_synth.denoise(movie, trained, axes="ZYX")


@pytest.mark.parametrize(
    ("frame", "frames", "expected"),
    [(5, 9, [3, 4, 6, 7]), (0, 9, [2, 1, 1, 2]), (8, 9, [6, 7, 7, 6]), (1, 2, [0, 0, 0, 0]), (0, 1, [0, 0, 0, 0])],
)
def test_neighbours_are_mirrored_at_the_ends(frame: int, frames: int, expected: list[int]) -> None:
    assert neighbours_of(frame, frames, 2) == expected
