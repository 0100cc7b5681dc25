from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth.core.errors import InvalidParameterError
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel
from napari_synth.methods.denoise.classical import VarianceStabilisation, sample_windows
from napari_synth.methods.denoise.filters import median, non_local_means, reach, shrink, total_variation
from napari_synth.methods.denoise.hidden_pixels import hold_out
from napari_synth.verbs import prepare

CLASSICAL = ["non-local-means", "total-variation", "wavelet", "median"]
OPEN = {"non-local-means": "strength", "total-variation": "weight", "wavelet": "strength", "median": "radius"}


def camera(size: int = 192) -> np.ndarray:
    return data.camera()[100 : 100 + size, 150 : 150 + size].astype(np.float32)


def noisy(clean: np.ndarray, sigma: float = 20.0, seed: int = 0) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def psnr(clean: np.ndarray, restored: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(clean, restored, data_range=255))


@pytest.mark.parametrize(
    ("name", "gain"), [("non-local-means", 7), ("total-variation", 7), ("wavelet", 7), ("median", 4)]
)
def test_removes_gaussian_noise(name: str, gain: float) -> None:
    clean = camera()
    source = noisy(clean)
    assert psnr(clean, napari_synth.denoise(source, name)) > psnr(clean, source) + gain


@pytest.mark.parametrize("name", ["non-local-means", "total-variation", "wavelet"])
def test_chosen_setting_is_near_the_best(name: str) -> None:
    clean = camera()
    source = noisy(clean)
    chosen = psnr(clean, napari_synth.denoise(source, name))
    settings = (0.3, 0.45, 0.6, 0.8, 1.0, 1.2, 1.5)
    best = max(psnr(clean, napari_synth.denoise(source, name, **{OPEN[name]: value})) for value in settings)
    assert chosen > best - 0.6


@pytest.mark.parametrize("name", ["non-local-means", "total-variation", "wavelet"])
def test_weak_noise_costs_no_detail(name: str) -> None:
    clean = data.gravel()[:192, :192].astype(np.float32)
    source = noisy(clean, 6.0)
    run = prepare(f"denoise/{name}", Image.from_array(source))
    assert any("too weak to choose by" in note for note in run.notes)
    assert psnr(clean, run.compute()) > psnr(clean, source)


@pytest.mark.parametrize("name", ["non-local-means", "total-variation", "wavelet"])
def test_photon_noise_is_treated_as_such(name: str) -> None:
    clean = camera()
    rng = np.random.default_rng(0)
    source = (rng.poisson(clean / 255 * 30) + rng.normal(0, 1, clean.shape)) / 30 * 255
    restored = napari_synth.denoise(source.astype(np.float32), name)
    dark, bright = clean < np.percentile(clean, 15), clean > np.percentile(clean, 70)
    for part in (dark, bright):
        assert np.mean((restored - clean)[part] ** 2) < 0.5 * np.mean((source - clean)[part] ** 2)
    assert abs(restored.mean() - clean.mean()) < 0.01 * clean.mean()


@pytest.mark.parametrize("name", CLASSICAL)
def test_note_says_what_was_chosen(name: str) -> None:
    run = prepare(f"denoise/{name}", Image.from_array(noisy(camera())))
    notes = [note for note in run.notes if OPEN[name] in note.lower()]
    assert len(notes) == 1
    assert any(character.isdigit() for character in notes[0])
    given = prepare(f"denoise/{name}", Image.from_array(noisy(camera())), {OPEN[name]: 1})
    assert not [note for note in given.notes if OPEN[name] in note.lower()]


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("counts", ["gauss", "photons"])
def test_tile_equals_whole(name: str, counts: str) -> None:
    clean = camera(256)
    source = noisy(clean) if counts == "gauss" else np.random.default_rng(0).poisson(clean).astype(np.float32)
    whole = napari_synth.denoise(source, name)
    tiled = napari_synth.denoise(source, name, tile=64)
    assert np.abs(whole - tiled).max() <= 1e-3 * np.ptp(source)
    if name != "total-variation":
        assert np.abs(whole - tiled).max() <= 1e-5 * np.ptp(source)


@pytest.mark.parametrize("name", ["non-local-means", "total-variation", "median"])
def test_volume_tile_equals_whole(name: str) -> None:
    source = noisy(np.stack([camera(48)] * 44), 20.0)
    whole = napari_synth.denoise(source, name, axes="ZYX", neighbours="use", **{OPEN[name]: 1})
    tiled = napari_synth.denoise(source, name, axes="ZYX", neighbours="use", tile=24, **{OPEN[name]: 1})
    assert np.abs(whole - tiled).max() <= 1e-3 * np.ptp(source)


@pytest.mark.parametrize("name", ["non-local-means", "total-variation", "median"])
def test_planes_of_a_volume_help_each_other(name: str) -> None:
    clean = np.stack([camera(96)] * 6)
    source = noisy(clean)
    apart = psnr(clean, napari_synth.denoise(source, name, axes="ZYX", neighbours="ignore"))
    together = psnr(clean, napari_synth.denoise(source, name, axes="ZYX"))
    assert together > apart + 0.7


def test_planes_that_differ_are_kept_apart() -> None:
    rng = np.random.default_rng(0)
    clean = np.stack([gaussian_filter(rng.normal(0, 1, (96, 96)), 2) for _ in range(5)])
    clean *= 60 / clean.std()
    run = prepare("denoise/total-variation", Image(noisy(clean), "ZYX"))
    assert run.channels[0].prepared.spec.axes == "YX"
    assert any("each plane on its own" in note for note in run.notes)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float16", "float64"])
def test_keeps_dtype_and_range(name: str, dtype: str) -> None:
    source = np.clip(noisy(camera(64)), 0, 255).astype(dtype)
    restored = napari_synth.denoise(source, name)
    assert restored.dtype == source.dtype
    assert abs(float(restored.astype(float).mean()) - float(source.astype(float).mean())) < 4


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 7), (1, 1, 30, 30), (3, 9, 9)])
def test_any_size(name: str, shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(0).random(shape).astype(np.float32)
    restored = napari_synth.denoise(source, name, axes="TZYX"[-len(shape) :])
    assert restored.shape == shape
    assert np.isfinite(restored).all()


@pytest.mark.parametrize("name", CLASSICAL)
def test_constant_image_stays(name: str) -> None:
    source = np.full((70, 70), 37, np.uint16)
    np.testing.assert_array_equal(napari_synth.denoise(source, name), source)


@pytest.mark.parametrize("name", CLASSICAL)
def test_nan_does_not_spread(name: str) -> None:
    source = noisy(camera(96))
    hurt = source.copy()
    hurt[40:43, 40:43] = np.nan
    restored = napari_synth.denoise(hurt, name)
    np.testing.assert_array_equal(np.isnan(restored), np.isnan(hurt))


@pytest.mark.parametrize("name", CLASSICAL)
def test_colour_is_kept(name: str) -> None:
    source = data.astronaut()[:96, :96]
    restored = napari_synth.denoise(source, name)
    assert restored.shape == source.shape
    assert np.abs(restored.astype(float).mean((0, 1)) - source.astype(float).mean((0, 1))).max() < 2


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("median", {"radius": 0}),
        ("total-variation", {"weight": -1.0}),
        ("wavelet", {"levels": 9}),
        ("median", {"size": 3}),
    ],
)
def test_wrong_settings_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError):
        napari_synth.denoise(camera(32), name, **params)


@pytest.mark.parametrize(("gain", "read_noise"), [(1.0, 0.0), (1.0, 2.0), (0.04, 0.02), (0.0, 3.0)])
def test_stabilised_noise_is_one_unit(gain: float, read_noise: float) -> None:
    model = NoiseModel(gain=gain, offset=5 * gain, read_noise=read_noise)
    stabilise = VarianceStabilisation.of(model)
    rng = np.random.default_rng(0)
    for photons in (5, 20, 500):
        signal = rng.poisson(photons, 200_000) * gain if gain else np.full(200_000, float(photons))
        values = torch.from_numpy(signal + 5 * gain + rng.normal(0, 1, 200_000) * read_noise).float()
        stabilised = stabilise.forward(values)
        assert float(stabilised.std()) == pytest.approx(1.0, abs=0.06)
        # The mean in the stabilised domain comes back as the mean in counts.
        expected = (photons * gain if gain else photons) + 5 * gain
        assert float(stabilise.inverse(stabilised.mean())) == pytest.approx(expected, rel=0.01)


def test_held_out_pixels_are_not_shown() -> None:
    x = torch.rand(2, 1, 3, 40, 40)
    held_out = hold_out(x, (0, 0))
    other = x + 100.0 * held_out.where
    assert torch.equal(hold_out(other, (0, 0)).filled, held_out.filled)
    assert held_out.where.any(dim=(-1, -2)).all()
    # Interpolated from around, within what is there.
    assert float(held_out.filled.max()) <= 1.0


def test_correlated_neighbours_are_hidden_too() -> None:
    x = torch.rand(1, 1, 1, 64, 64)
    held_out = hold_out(x, (2, 1))
    y, column = (int(i) for i in held_out.where[0, 0, 0].nonzero()[5])
    changed = x.clone()
    changed[..., y - 2 : y + 3, column - 1 : column + 2] += 100.0
    assert torch.equal(hold_out(changed, (2, 1)).filled, held_out.filled)


def test_held_out_error_ranks_as_the_true_error() -> None:
    clean = torch.from_numpy(camera())[None, None, None] / 20
    x = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    held_out = hold_out(x, (0, 0))
    settings = (0.1, 0.8, 4.0)
    guessed = [float(held_out.errors(total_variation(held_out.filled, value)).mean()) for value in settings]
    true = [float((total_variation(x, value) - clean).square().mean()) for value in settings]
    assert np.argsort(guessed)[0] == np.argsort(true)[0] == 1


def test_windows_are_spread_and_keep_their_place() -> None:
    from napari_synth.contract.generator import Context
    from napari_synth.core.device import resolve_device
    from napari_synth.imaging.intensity import IntensityTransform, measure_statistics

    z, y, x = np.meshgrid(np.arange(20), np.arange(300), np.arange(400), indexing="ij")
    image = Image((z * 1e6 + y * 1e3 + x).astype(np.float64), "ZYX")
    context = Context(resolve_device("cpu"), IntensityTransform(0.0, 1.0), measure_statistics(image))
    windows = sample_windows(image, "YX", (64, 64), 8, context)
    corners = np.array([[float(w[0, 0, 0]) // 1e6, float(w[0, 0, 0]) % 1e6 // 1e3] for w in windows])
    assert [w.shape for w in windows] == [(1, 64, 64)] * 8
    assert len(set(corners[:, 0])) >= 6
    assert np.ptp(corners[:, 1]) > 120


def test_median_is_the_median() -> None:
    x = torch.rand(1, 1, 1, 20, 20)
    assert float(median(x, 1)[0, 0, 0, 10, 10]) == float(x[0, 0, 0, 9:12, 9:12].median())


def test_wavelets_without_shrinkage_give_the_image_back() -> None:
    x = torch.rand(2, 1, 3, 33, 50)
    torch.testing.assert_close(shrink(x, 1e-6), x, atol=1e-5, rtol=0)


def test_wavelets_do_not_depend_on_the_grid() -> None:
    x = torch.randn(1, 1, 1, 160, 160, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    margin = reach(3) + 1
    moved = shrink(x[..., 1:, 1:], 1.0, levels=3)[..., margin:-margin, margin:-margin]
    torch.testing.assert_close(
        moved, shrink(x, 1.0, levels=3)[..., margin + 1 : -margin, margin + 1 : -margin], atol=1e-4, rtol=0
    )


def test_total_variation_of_a_step_lowers_the_step_only() -> None:
    x = torch.zeros(1, 1, 1, 8, 64)
    x[..., 32:] = 10.0
    smooth = total_variation(x, 1.0, iterations=500)
    # Each side of 32 pixels moves by the weight over its width.
    assert float(smooth[..., :32].mean()) == pytest.approx(1 / 32, abs=0.01)
    assert float(smooth[..., 31].max()) < 0.1
    assert float(smooth[..., 32].min()) > 9.9


def test_non_local_means_averages_what_repeats() -> None:
    pattern = torch.tensor([0.0, 0.0, 30.0, 30.0]).repeat(1, 1, 1, 48, 12)
    x = pattern + torch.randn(pattern.shape, generator=torch.Generator().manual_seed(0))
    error = (non_local_means(x, 0.8) - pattern)[..., 8:-8, 8:-8].std()
    assert float(error) < 0.3
