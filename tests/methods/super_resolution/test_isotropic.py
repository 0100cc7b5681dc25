from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch

import napari_synth
from napari_synth.core import errors
from napari_synth.core.device import Device
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.methods.super_resolution.isotropic import Enlargement
from napari_synth.verbs import prepare

ID = "super-resolution/isotropic"


@functools.cache
def balls(size: int = 48) -> np.ndarray:
    """Balls of all sizes and brightnesses with soft edges, 0 to about 200 counts."""
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:size, :size, :size].astype("f4")
    volume = np.full((size,) * 3, 20.0, "f4")
    for _ in range(60):
        centre, radius = rng.uniform(0, size, 3), rng.uniform(2.0, 8.0)
        distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        volume += rng.uniform(10, 60) / (1.0 + np.exp(2.0 * (distance - radius)))
    return volume.astype("f4")


def thick(volume: np.ndarray, count: int = 4) -> np.ndarray:
    return volume.reshape(-1, count, *volume.shape[1:]).mean(1)


def psnr(truth: np.ndarray, result: np.ndarray) -> float:
    return float(10.0 * np.log10(np.ptp(truth) ** 2 / np.mean((truth - result.astype("f8")) ** 2)))


def cubic(volume: np.ndarray, planes: int) -> np.ndarray:
    return resized(torch.from_numpy(volume), (planes, *volume.shape[1:])).numpy()


def isotropic(volume: Any, **params: Any) -> Any:
    return napari_synth.make_isotropic(volume, **({"factor": 4, "steps": 5} | params))


@pytest.mark.parametrize("slices", ["thick", "thin"])
def test_it_is_nearer_the_truth_than_cubic_interpolation(slices: str) -> None:
    truth = balls()
    low, factor = (thick(truth), 4) if slices == "thick" else (truth[1::3], 3)
    result = isotropic(low, factor=factor, slices=slices, steps=50)
    assert result.shape == truth.shape
    assert psnr(truth, result) > psnr(truth, cubic(low, 48)) + 1.0


def test_thick_slices_are_the_means_of_the_planes() -> None:
    low = thick(balls())
    result = isotropic(low, consistency="exact")
    np.testing.assert_allclose(thick(result), low, atol=1e-3)
    assert np.abs(thick(isotropic(low, consistency="off")) - low).max() > 0.1


def test_thin_slices_come_back_unchanged() -> None:
    low = balls()[1::3].astype("u2")
    np.testing.assert_array_equal(isotropic(low, factor=3, slices="thin")[1::3], low)


@pytest.mark.parametrize("slices", ["thick", "thin"])
@pytest.mark.parametrize("factor", [1.5, 2.0, 2.6, 4.0, 5.0])
def test_planes_lie_where_they_belong(slices: str, factor: float) -> None:
    ramp = np.arange(20.0, dtype="f4")[:, None, None] * 10 + balls(48)[:20] * 0.01
    result = isotropic(ramp, factor=factor, slices=slices, steps=1)
    planes = round(20 * factor)
    where = (np.arange(planes) + 0.5) * 20 / planes - 0.5
    assert result.shape == (planes, 48, 48)
    inner = slice(planes // 5, -planes // 5)
    np.testing.assert_allclose(result.mean((1, 2))[inner], (where * 10 + ramp[0].mean())[inner], atol=1.0)


def test_the_factor_comes_from_the_spacing_and_voxels_are_cubic() -> None:
    units = dict.fromkeys("ZYX", "micrometer")
    image = Image(balls()[:9], "ZYX", {"Z": 1.5, "Y": 0.6, "X": 0.6}, units)
    result = napari_synth.make_isotropic(image, steps=2)
    assert result.shape == (22, 48, 48)
    assert result.spacing["Z"] == pytest.approx(1.5 * 9 / 22)
    assert result.spacing["X"] == pytest.approx(0.6)
    assert result.units == units


@pytest.mark.parametrize("spacing", [(4, 1, 1), {"Z": 2.0, "Y": 0.5, "X": 0.5}])
def test_spacing_is_given_with_an_array(spacing: Any) -> None:
    assert isotropic(balls()[:4], factor=None, spacing=spacing).shape == (16, 48, 48)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f2", "f8", ">u2"])
def test_dtypes_are_kept(dtype: str) -> None:
    low = thick(balls()).astype(dtype)
    result = isotropic(low, factor=2.0)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    assert abs(result.astype("f8").mean() - low.astype("f8").mean()) < 1.0


def test_noise_is_not_amplified() -> None:
    clean = np.pad(thick(balls()), ((0, 0), (0, 0), (0, 48)), constant_values=20.0)
    noisy = clean + np.random.default_rng(0).normal(0, 8.0, clean.shape).astype("f4")
    result = isotropic(noisy, steps=60)
    empty = np.s_[8:-8, :, 60:]
    assert result[empty].std() < cubic(noisy, 48)[empty].std()


def test_movies_and_colours_are_mapped_over() -> None:
    low = thick(balls(32)).astype("u1")
    movie = np.stack([low, low[::-1]])
    assert isotropic(movie, axes="TZYX").shape == (2, 32, 32, 32)
    colours = np.stack([low, low // 2, 255 - low], -1)
    assert isotropic(colours, axes="ZYXS").shape == (32, 32, 32, 3)


def test_lazy_in_lazy_out() -> None:
    low = thick(balls())
    result = isotropic(da.from_array(low, chunks=8), axes="ZYX", seed=1)
    assert isinstance(result, da.Array)
    assert result.shape == (48, 48, 48)
    np.testing.assert_allclose(result.compute(), isotropic(low, seed=1), atol=1e-3)


def test_tile_equals_whole() -> None:
    low = np.tile(thick(balls()), (3, 1, 1))
    whole = prepare(ID, Image(low, "ZYX"), {"factor": 4, "steps": 10})
    assert np.abs(whole.compute() - cubic(low, 144)).max() > 0.05 * np.ptp(low)
    pieces = replace(whole, options=replace(whole.options, tile=18))
    assert np.abs(whole.compute() - pieces.compute()).max() < 1e-3 * np.ptp(low)


def test_the_confidence_has_the_size_of_the_result() -> None:
    run = prepare(ID, Image(thick(balls(32)), "ZYX"), {"factor": 4, "steps": 5})
    spread = run.spread().compute()
    assert spread.shape == (32, 32, 32)
    assert spread.min() >= 0


def test_the_seed_and_the_recipe_repeat_a_run() -> None:
    low = thick(balls(32))
    image = Image(low, "ZYX", {"Z": 4.0})
    first = prepare(ID, image, {"steps": 5}, seed=1)
    result = first.compute()
    again = napari_synth.run(first.recipe.to_yaml(), image)
    np.testing.assert_array_equal(again.data, result)
    other = prepare(ID, image, {"steps": 5}, seed=2).compute()
    assert np.abs(other - result).max() > 0


def test_minutes_become_steps_in_the_recipe() -> None:
    run = prepare(ID, Image(thick(balls(32)), "ZYX", {"Z": 4.0}), {"minutes": 0.01})
    assert run.recipe.params["steps"] >= 1
    assert any("steps to" in note for note in run.notes)


def test_nan_stays_where_it_was() -> None:
    low = thick(balls())
    low[3, 10:14, 20] = np.nan
    result = isotropic(low)
    lost = np.zeros(result.shape, bool)
    lost[12:16, 10:14, 20] = True
    np.testing.assert_array_equal(np.isnan(result), lost)


def test_a_volume_that_is_the_same_everywhere_stays_so() -> None:
    np.testing.assert_allclose(isotropic(np.full((4, 30, 30), 7.5, "f4")), 7.5, atol=1e-5)


def test_where_nothing_is_learnt_slices_are_interpolated_and_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Enlargement, "gain", lambda task, network: -0.1)
    low = thick(balls(32))
    run = prepare(ID, Image(low, "ZYX"), {"factor": 4, "steps": 5, "consistency": "off"})
    assert any("no nearer the truth" in note for note in run.notes)
    np.testing.assert_allclose(run.compute(), cubic(low, 32), atol=1e-2)


def test_the_gain_on_held_out_planes_is_told() -> None:
    run = prepare(ID, Image(thick(balls(32)), "ZYX"), {"factor": 4, "steps": 5})
    assert any("dB nearer the truth than cubic" in note for note in run.notes)


def test_nothing_is_called_held_out_that_was_learnt_from() -> None:
    run = prepare(ID, Image(thick(balls())[:, :24, :24], "ZYX"), {"factor": 4, "steps": 5})
    assert any("learnt from" in note for note in run.notes)
    assert not any("held-out" in note for note in run.notes)


@pytest.mark.parametrize("factor", [1.03, 1.5])
def test_tile_equals_whole_where_interpolation_is_resampled(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setattr(Enlargement, "gain", lambda task, network: -0.1)
    low = np.random.default_rng(0).normal(100, 20, (40, 32, 32)).astype("f4")
    whole = prepare(ID, Image(low, "ZYX"), {"factor": factor, "steps": 1, "consistency": "off"})
    pieces = replace(whole, options=replace(whole.options, tile=16))
    np.testing.assert_allclose(pieces.compute(), whole.compute(), atol=1e-5 * np.ptp(low))


@pytest.mark.parametrize("shape", [(2, 22, 22), (3, 5, 40), (7, 33, 17)])
def test_small_volumes(shape: tuple[int, int, int]) -> None:
    result = isotropic(np.random.default_rng(0).normal(100.0, 10.0, shape).astype("f4"))
    assert result.shape == (4 * shape[0], *shape[1:])
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("image", "params", "error", "message"),
    [
        (Image(balls()[0], "YX"), {"factor": 2}, errors.AxesError, "needs a Z axis"),
        (Image(balls()[:4], "ZYX"), {}, errors.InvalidParameterError, "not coarser along Z"),
        (Image(balls()[:4], "ZYX", {"Z": 0.5}), {}, errors.InvalidParameterError, "not coarser along Z"),
        (Image(balls()[:4], "ZYX", {"Z": 40.0}), {}, errors.InvalidParameterError, "16 is the most"),
        (Image(balls()[:4], "ZYX", {"Z": 4.0, "Y": 2.0}), {}, errors.InvalidParameterError, "Y and X"),
        (Image(balls()[:4], "ZYX", {"Z": float("nan")}), {}, errors.InvalidParameterError, "spacing"),
        (
            Image(balls()[:4], "ZYX", {"Z": 4.0}, {"Z": "micrometer", "X": "pixel"}),
            {},
            errors.InvalidParameterError,
            "different units",
        ),
        (Image(balls()[:4], "ZYX"), {"factor": 1.05}, errors.InvalidParameterError, "adds no plane"),
        (Image(balls()[:4], "ZYX"), {"factor": 1.0}, errors.InvalidParameterError, "factor"),
        (Image(balls()[:1], "ZYX"), {"factor": 4}, errors.InvalidImageError, "one slice"),
        (Image(balls()[:4, :12, :15], "ZYX"), {"factor": 4}, errors.InvalidImageError, "too small to learn"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_refused(image: Image, params: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(ID, image, params | {"steps": 1})


@pytest.mark.parametrize("spacing", [(4, 1), {"T": 2.0}])
def test_a_spacing_that_does_not_fit_is_refused(spacing: Any) -> None:
    with pytest.raises(errors.InvalidParameterError, match="spacing"):
        napari_synth.make_isotropic(balls()[:4], spacing)


@pytest.mark.parametrize("stage", ["Training", "Restoring"])
def test_a_cancel_takes_effect_within_one_step_or_block(stage: str) -> None:
    token, after = CancelToken(), []

    def watch(progress: Progress) -> None:
        if token.is_cancelled:
            after.append(progress)
        if progress.stage == stage and progress.done >= 1:
            token.cancel()

    with pytest.raises(errors.Cancelled):
        isotropic(np.tile(thick(balls(32)), (1, 2, 2)), steps=4, tile=32, progress=watch, cancel=token)
    assert not after


def test_the_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    isotropic(thick(balls(32)))
    assert torch.equal(torch.rand(3), expected)


def test_half_precision_of_the_network_changes_little() -> None:
    low = thick(balls(32))
    full = prepare(ID, Image(low, "ZYX"), {"factor": 4, "steps": 5})
    half = PreparedImage(
        **{name: getattr(full, name) for name in full.__dataclass_fields__}
        | {"device": Device("cpu", "CPU", "for the test", "bfloat16")}
    )
    assert np.abs(full.compute() - half.compute()).max() < 0.02 * np.ptp(low)
