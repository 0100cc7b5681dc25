"""From a movie to one with invented frames."""

from __future__ import annotations

from typing import Any, ClassVar

import dask.array as da
import numpy as np
import pytest
import torch
from torch import Tensor

import napari_synth
from benchmark.movies import moving_blobs
from napari_synth import registry
from napari_synth.contract.frames import FrameSpec, PreparedFrames
from napari_synth.contract.generator import Context, GeneratorInfo, Task
from napari_synth.contract.params import NoParams
from napari_synth.core.errors import (
    AxesError,
    Cancelled,
    GeneratorError,
    InvalidImageError,
    InvalidParameterError,
    OutOfMemoryError,
    SynthError,
    UnknownGeneratorError,
)
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.engine.frame_plan import FramePlan, FrameRequest, Gap, missing_frames
from napari_synth.engine.frame_run import PreparedMovie
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_python
from napari_synth.verbs import prepare

LINEAR = "predict-frames/linear"


class _Blurred(PreparedFrames):
    """Sees three frames and as many pixels around, and fails on large blocks where it is told to."""

    spec = FrameSpec(history=3, halo=2, multiple=4, bytes_per_pixel=8)
    most = 10**9
    blocks: ClassVar[list[tuple[int, ...]]] = []

    def predict(self, past: Tensor, count: int) -> Tensor:
        type(self).blocks.append(tuple(past.shape))
        if past.shape[-1] * past.shape[-2] > self.most:
            raise torch.OutOfMemoryError("too large")
        kernel = torch.ones(1, 1, 5, 5) / 25
        last = past.mean(1).flatten(0, 1)[:, None]
        mean = torch.nn.functional.conv2d(torch.nn.functional.pad(last, (2, 2, 2, 2), mode="reflect"), kernel)
        frame = mean.reshape(past.shape[0], 1, *past.shape[2:])
        return torch.cat([frame + 0.01 * i for i in range(count)], dim=1)


class _Blurring:
    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="predict-frames/test-blur", title="Blur", summary="Blurs.", task=Task.PREDICT_FRAMES
    )
    made: PreparedFrames

    def prepare(self, movie: Image, params: NoParams, context: Context) -> PreparedFrames:
        return type(self).made


@pytest.fixture
def blur(monkeypatch: pytest.MonkeyPatch) -> type[_Blurred]:
    class Fresh(_Blurred):
        blocks: ClassVar[list[tuple[int, ...]]] = []

    monkeypatch.setattr(_Blurring, "made", Fresh(), raising=False)
    monkeypatch.setattr(registry, "_of_session", {})
    registry.register(_Blurring())
    return Fresh


def _prepared(movie: Any, axes: str = "TYX", predictor: str = LINEAR, **request: Any) -> PreparedMovie:
    tile = request.pop("tile", None)
    return prepare(predictor, Image(movie, axes, {"T": 3.0}, {"T": "second"}), request, tile=tile)


# Plans


def test_a_plan_names_what_is_measured_and_what_lies_beside_each_gap() -> None:
    plan = FramePlan.of(6, FrameRequest(count=2, fill="auto"), (0, 3), history=2)
    assert plan.origins == (None, 1, 2, None, 4, 5, None, None)
    assert plan.gaps == (Gap(0, 1, (), (1, 2)), Gap(3, 1, (1, 2), (4, 5)), Gap(6, 2, (4, 5), ()))
    assert plan.invented == (0, 3, 6, 7)


def test_frames_beside_a_gap_have_no_missing_one_among_them() -> None:
    plan = FramePlan.of(7, FrameRequest(fill="auto"), (2, 4), history=3)
    assert [(gap.before, gap.after) for gap in plan.gaps] == [((0, 1), (3,)), ((3,), (5, 6))]


def test_frames_between_divide_the_steps() -> None:
    plan = FramePlan.of(3, FrameRequest(between=2), (), history=1)
    assert plan.origins == (0, None, None, 1, None, None, 2)
    assert [(gap.before, gap.after) for gap in plan.gaps] == [((0,), (1,)), ((1,), (2,))]


def test_missing_frames_are_found() -> None:
    movie = moving_blobs(8, 16).astype(np.float32)
    movie[0] = np.nan
    movie[2] = 0
    movie[5] = movie[4]
    movie[6, :4] = 0
    movie[7, :4] = np.nan
    assert missing_frames(Image(da.from_array(movie), "TYX"), "auto") == (0, 2, 5)
    assert missing_frames(Image(movie, "TYX"), (-1, 0, 0)) == (0, 7)


def test_a_movie_without_a_measured_frame_is_refused() -> None:
    with pytest.raises(InvalidImageError, match="Every frame is missing"):
        FramePlan.of(2, FrameRequest(fill="auto"), (0, 1), 1)


# Results


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("request_", [{"count": 3}, {"fill": [0, 2, -1]}, {"between": 2}])
def test_measured_frames_stay_bit_identical(dtype: str, request_: dict[str, Any]) -> None:
    movie = (moving_blobs(6, 24) // 16).astype(dtype)
    prepared = _prepared(movie, **request_)
    result = prepared.compute()
    assert result.dtype == movie.dtype
    assert result.shape == prepared.shape == prepared.result.shape
    for frame, origin in prepared.plan.measured:
        np.testing.assert_array_equal(result[frame], movie[origin])
    made = [frame for frame, origin in enumerate(prepared.plan.origins) if origin is None]
    assert prepared.invented == tuple(made) == prepared.recipe.frames.invented  # type: ignore[union-attr]
    for frame in made:
        assert movie.min() - 1e-3 <= result[frame].min() <= result[frame].max() <= movie.max() + 1e-3
        assert result[frame].std() > 0


@pytest.mark.parametrize("generator", ["optical-flow", "linear", "copy-last"])
@pytest.mark.parametrize(("axes", "order"), [("TCYX", "TCYX"), ("CTYX", "CTYX"), ("YXTC", "YXTC"), ("TZYXS", "TZYXS")])
def test_channels_planes_and_orders_of_axes_give_what_each_movie_gives_alone(
    generator: str, axes: str, order: str
) -> None:
    single = moving_blobs(4, 20)
    sizes = {"T": 4, "Y": 20, "X": 20, "C": 2, "Z": 2, "S": 3}
    spread = np.zeros([sizes[axis] for axis in axes], np.uint16)
    at = [slice(None) if axis in "TYX" else None for axis in sorted(axes, key="TCZYXS".index)]
    full = np.broadcast_to(single[tuple(at)], [sizes[axis] for axis in sorted(axes, key="TCZYXS".index)])
    spread[...] = full.transpose([sorted(axes, key="TCZYXS".index).index(axis) for axis in axes])
    result = napari_synth.predict_frames(spread, 2, generator, axes=order)
    expected = napari_synth.predict_frames(single, 2, generator, axes="TYX")
    back = result.transpose([axes.index(axis) for axis in sorted(axes, key="TCZYXS".index)])
    np.testing.assert_allclose(back.astype(float), np.broadcast_to(expected[tuple(at)], back.shape), atol=1)


def test_spacing_and_axes_follow(blur: type[_Blurred]) -> None:
    result = _prepared(moving_blobs(3, 20), between=3).result
    assert result.spacing["T"] == 0.75
    assert result.units["T"] == "second"
    assert _prepared(moving_blobs(3, 20), count=1).result.spacing["T"] == 3.0


@pytest.mark.parametrize("request_", [{"count": 2}, {"fill": [1]}, {"between": 1}])
def test_a_lazy_result_is_the_eager_one(request_: dict[str, Any]) -> None:
    movie = np.stack([moving_blobs(4, 20), moving_blobs(4, 20, seed=1)], axis=1)
    lazy = napari_synth.predict_frames(da.from_array(movie, chunks=(1, 1, 8, 8)), axes="TCYX", **request_)
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), napari_synth.predict_frames(movie, axes="TCYX", **request_))


def test_only_frames_beside_a_gap_are_read(blur: type[_Blurred]) -> None:
    seen: set[int] = set()

    def frame(block_info: Any = None) -> Any:
        seen.add(block_info[None]["array-location"][0][0])
        return np.full((1, 16, 16), 7, np.uint16) + np.arange(16, dtype=np.uint16)

    movie = da.map_blocks(
        frame, chunks=((1,) * 500, (16,), (16,)), dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16)
    )
    prepared = _prepared(movie, predictor="predict-frames/test-blur", count=2)
    seen.clear()
    prepared.result.data[-2:].compute()
    assert seen == {497, 498, 499}


def test_tiles_equal_the_whole(blur: type[_Blurred]) -> None:
    movie = moving_blobs(5, 50)[:, :, :41]
    whole = _prepared(movie, predictor="predict-frames/test-blur", fill=[2], count=2).compute()
    tiled = _prepared(movie, predictor="predict-frames/test-blur", fill=[2], count=2, tile=16).compute()
    assert max(shape[-1] for shape in blur.blocks) > 40 > min(shape[-1] for shape in blur.blocks)
    np.testing.assert_array_equal(whole, tiled)


def test_short_memory_halves_the_blocks(blur: type[_Blurred]) -> None:
    movie = moving_blobs(4, 160)
    whole = _prepared(movie, predictor="predict-frames/test-blur", count=1).compute()
    blur.most = 100 * 100
    said: list[str] = []
    prepared = _prepared(movie, predictor="predict-frames/test-blur", count=1)
    halved = prepared.compute(report=Reporter(lambda progress: said.append(progress.message)))
    np.testing.assert_array_equal(whole, halved)
    assert any("smaller blocks" in message for message in said)
    blur.most = 10
    with pytest.raises(OutOfMemoryError, match="smallest block"):
        prepared.compute()
    with pytest.raises(OutOfMemoryError, match="set a smaller tile"):
        _prepared(movie, predictor="predict-frames/test-blur", count=1, tile=64).compute()


def test_what_is_measured_nowhere_stays_nan_and_spreads_nowhere() -> None:
    movie = moving_blobs(6, 32).astype(np.float32)
    clean = napari_synth.predict_frames(movie, 2, "linear")
    movie[:, 5, 5] = np.nan
    movie[-1, 20, 20] = np.nan
    result = napari_synth.predict_frames(movie, 2, "linear")
    assert np.isnan(result[-2:]).sum() == 2
    assert np.isnan(result[-2:, 5, 5]).all()
    other = np.ones((32, 32), bool)
    other[5, 5] = other[20, 20] = False
    np.testing.assert_allclose(result[-1][other], clean[-1][other], rtol=1e-3, atol=1)


def test_missing_frames_say_nothing_of_what_is_put_there() -> None:
    movie = moving_blobs(7, 32).astype(np.float32)
    filled = napari_synth.predict_frames(movie, fill=[3])
    movie[3] = np.nan
    np.testing.assert_allclose(napari_synth.predict_frames(movie, fill="auto")[3], filled[3], atol=20)
    assert np.isfinite(napari_synth.predict_frames(movie, fill="auto")).all()


def test_the_spread_is_zero_where_frames_are_measured() -> None:
    spread = _prepared(moving_blobs(4, 32), predictor="predict-frames/optical-flow", count=2).spread()
    pixels = spread.compute()
    assert pixels.dtype == np.float32
    assert not pixels[:4].any()
    assert (pixels[4:] >= 0).all()
    np.testing.assert_array_equal(spread.lazy().compute(), pixels)


def test_a_run_can_be_cancelled() -> None:
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.stage == "Inventing frames" and progress.done:
            token.cancel()

    with pytest.raises(Cancelled):
        napari_synth.predict_frames(moving_blobs(9, 32), between=1, progress=stop, cancel=token)


def test_a_recipe_repeats_the_run() -> None:
    movie = moving_blobs(6, 32)
    prepared = _prepared(movie, fill=[2], count=2)
    text = prepared.recipe.to_yaml()
    np.testing.assert_array_equal(napari_synth.run(text, movie), prepared.compute())
    assert len(napari_synth.run(text, movie, count=4)) == 10
    assert "count=2, fill=[2]" in as_python(prepared.recipe)


@pytest.mark.parametrize(
    ("movie", "options", "error"),
    [
        (np.zeros((8, 8), np.uint8), {"count": 1}, AxesError),
        (moving_blobs(4, 16), {}, InvalidParameterError),
        (moving_blobs(4, 16), {"count": 1.5}, InvalidParameterError),
        (moving_blobs(4, 16), {"fill": "all"}, InvalidParameterError),
        (moving_blobs(1, 16), {"between": 1}, InvalidImageError),
        (np.zeros((4, 16, 16)), {"fill": "auto"}, InvalidImageError),
        (np.full((4, 16, 16), np.nan), {"count": 1}, InvalidImageError),
        (moving_blobs(4, 16), {"count": 1, "generator": "denoise/median"}, UnknownGeneratorError),
    ],
)
def test_what_is_wrong_is_said(movie: Any, options: dict[str, Any], error: type[SynthError]) -> None:
    with pytest.raises(error):
        napari_synth.predict_frames(movie, **options)


def test_a_failing_predictor_is_named(blur: type[_Blurred], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PreparedFrames, past: Tensor, count: int) -> Tensor:
        raise RuntimeError("broken")

    monkeypatch.setattr(blur, "predict", fail)
    with pytest.raises(GeneratorError, match="Blur failed"):
        _prepared(moving_blobs(4, 16), predictor="predict-frames/test-blur", count=1).compute()


def test_a_predictor_of_whole_steps_makes_no_frames_between(blur: type[_Blurred]) -> None:
    with pytest.raises(InvalidParameterError, match="whole steps"):
        _prepared(moving_blobs(4, 16), predictor="predict-frames/test-blur", between=1)
