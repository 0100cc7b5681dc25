from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth.core import errors
from napari_synth.core.device import Device
from napari_synth.engine.resampling import resized
from napari_synth.imaging.image import Image
from napari_synth.methods.noise_conditioning import bundled_network
from napari_synth.methods.super_resolution.adapted import CoarserCopy
from napari_synth.methods.super_resolution.enlarged import MODEL, coarse, consistent
from napari_synth.networks.enlargers import enlarged
from napari_synth.training.loop import Budget, FitSettings, fit
from napari_synth.training.patches import PatchPool
from napari_synth.verbs import prepare

ALL = ("network", "lanczos", "bicubic")


def camera(size: int = 144) -> np.ndarray:
    return data.camera()[100 : 100 + size, 180 : 180 + size].astype("f4")


def reduced(image: np.ndarray, scale: int) -> np.ndarray:
    return resized(torch.from_numpy(image), [size // scale for size in image.shape]).numpy()


def psnr(truth: np.ndarray, result: np.ndarray, border: int = 4) -> float:
    inner = np.s_[border:-border, border:-border]
    return float(peak_signal_noise_ratio(truth[inner], result[inner], data_range=255))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_network_is_better_than_lanczos(scale: int) -> None:
    truth = camera()
    small = reduced(truth, scale)
    ours, lanczos = (psnr(truth, napari_synth.upscale(small, scale, name)) for name in ("network", "lanczos"))
    assert ours > lanczos + 0.5


@pytest.mark.parametrize("name", ["grass", "gravel", "immunohistochemistry"])
@pytest.mark.parametrize("sigma", [0, 5])
def test_texture_is_not_taken_for_noise(name: str, sigma: float) -> None:
    pixels = getattr(data, name)()
    truth = (pixels if pixels.ndim == 2 else pixels.mean(-1))[100:228, 100:228].astype("f4")
    small = reduced(truth, 2)
    small = small + np.random.default_rng(0).normal(0, sigma, small.shape).astype("f4")
    ours, lanczos = (psnr(truth, napari_synth.upscale(small, 2, name)) for name in ("network", "lanczos"))
    assert ours > lanczos - 0.1


def test_rounding_is_not_taken_for_detail() -> None:
    truth = data.cell()[100:300, 100:300].astype("f4")
    small = reduced(truth, 2).round().clip(0, 255).astype("u1")
    ours, lanczos = (psnr(truth, napari_synth.upscale(small, 2, name)) for name in ("network", "lanczos"))
    assert ours > lanczos - 0.1


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("factor", [1.5, 2, 2.7, 3, 5])
def test_any_factor_keeps_everything_in_its_place(name: str, factor: float) -> None:
    small = reduced(camera(), 2)
    result = napari_synth.upscale(small, factor, name)
    assert result.shape == (round(72 * factor), round(72 * factor))
    # A shift by a quarter of a measured pixel would cost more than the difference of the methods.
    back = resized(torch.from_numpy(np.asarray(result)), small.shape).numpy()
    assert psnr(small, back) > 34.0


@pytest.mark.parametrize("pixels", ["cubic", "area", "gaussian"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_consistent_result_gives_the_measured_image_back(pixels: Any, scale: int) -> None:
    measured = torch.from_numpy(reduced(camera(), scale) / 255.0)[None, None]
    start = 0.9 * enlarged(measured, scale)
    before = (coarse(start, scale, pixels) - measured).square().mean().sqrt()
    fine = consistent(start, measured, torch.zeros_like(measured), scale, pixels)
    after = (coarse(fine, scale, pixels) - measured).square().mean().sqrt()
    assert float(after) < 2e-3
    assert float(after) < 0.05 * float(before)


def test_what_noise_explains_is_not_put_back() -> None:
    measured = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    fine = torch.full((1, 1, 48, 48), 0.5)
    torch.testing.assert_close(consistent(fine, measured, torch.full_like(measured, 0.5), 2, "cubic"), fine)


@pytest.mark.parametrize("denoise", [True, False])
def test_rounding_is_not_put_back(denoise: bool) -> None:
    # All that Lanczos misses of an oversampled image is what its coarse pixels were rounded by.
    truth = gaussian_filter(camera(192), 2.0)
    small = reduced(truth, 2).round().astype(np.uint8)
    ours, lanczos = (
        psnr(truth, np.asarray(napari_synth.upscale(small, 2, name, **settings)), border=12)
        for name, settings in (("network", {"denoise": denoise}), ("lanczos", {}))
    )
    assert ours > lanczos


def test_noise_is_not_amplified() -> None:
    truth = camera(192)
    small = reduced(truth, 2) + np.random.default_rng(0).normal(0, 20, (96, 96)).astype("f4")
    ours, lanczos = (psnr(truth, napari_synth.upscale(small, 2, name)) for name in ("network", "lanczos"))
    assert ours > lanczos + 1.0


def test_noise_can_be_left_in() -> None:
    flat = 100 + np.random.default_rng(0).normal(0, 10, (96, 96)).astype("f4")
    removed, kept = (napari_synth.upscale(flat, 2, denoise=value).std() for value in (True, False))
    assert removed < 4.0
    assert kept > 7.0


def test_colours_are_enlarged_together() -> None:
    truth = data.astronaut()[:128, 160:288]
    small = np.stack([reduced(truth[..., i].astype("f4"), 2) for i in range(3)], -1).round().clip(0, 255).astype("u1")
    ours, lanczos = (
        psnr(255 * color.rgb2gray(truth), 255 * color.rgb2gray(napari_synth.upscale(small, 2, name, axes="YXS")))
        for name in ("network", "lanczos")
    )
    assert ours > lanczos + 0.5


def test_a_stack_is_enlarged_plane_by_plane_with_its_spacing() -> None:
    planes = np.stack([reduced(camera(), 2), reduced(camera()[::-1].copy(), 2)]).astype("u2")
    result = napari_synth.upscale(Image(planes, "ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5}), 2)
    assert result.shape == (2, 144, 144)
    assert dict(result.spacing) == {"Z": 2.0, "Y": 0.25, "X": 0.25}
    assert result.dtype == np.uint16


@pytest.mark.parametrize("factor", [2, 3, 4, 1.6])
def test_tiles_equal_the_whole_at_the_default_halo(factor: float) -> None:
    image = Image.from_array(data.camera()[:160, 100:260].astype("f4"))
    whole, tiles = (
        prepare("super-resolution/network", image, {"factor": factor}, tile=tile).compute() for tile in (None, 48)
    )
    assert np.abs(whole - tiles).max() < 1e-3 * 255


def test_more_than_the_network_can_is_said() -> None:
    run = prepare("super-resolution/network", Image.from_array(camera(32)), {"factor": 8})
    assert run.shape == (256, 256)
    assert any("4 times finer" in note for note in run.notes)


def test_the_spread_over_rotations_has_the_size_of_the_result() -> None:
    spread = (
        prepare("super-resolution/network", Image.from_array(reduced(camera(), 2)), {"factor": 2}).spread().compute()
    )
    assert spread.shape == (144, 144)
    assert spread.dtype == np.float32
    assert float(spread.max()) > 0.5


@pytest.mark.parametrize("factor", [0.5, 17, float("nan")])
def test_factors_that_make_no_sense_are_refused(factor: float) -> None:
    with pytest.raises(errors.InvalidParameterError, match="factor"):
        napari_synth.upscale(camera(16), factor)


def fabric(seed: int = 0) -> np.ndarray:
    """A texture of one kind all over, which the bundled network has never seen."""
    y, x = np.mgrid[:160, :160]
    phase = np.random.default_rng(seed).uniform(0, 6, 2)
    return (128 + 60 * np.sign(np.sin(0.9 * x + 0.25 * y + phase[0]) * np.sin(0.8 * y - 0.2 * x + phase[1]))).astype(
        "f4"
    )


def test_adapting_is_used_only_where_held_out_pixels_are_better() -> None:
    run = prepare("super-resolution/adapted", Image.from_array(camera()), {"steps": 20, "batch": 4, "patch": 16})
    assert any("held-out pixels" in note for note in run.notes)
    adapted, bundled = run.channels[0].prepared, bundled_network(MODEL, run.device)[0]
    used = any("so it is used" in note for note in run.notes)
    assert used == (adapted._network is not bundled)


def test_a_noisy_or_a_tiny_image_is_not_learnt_from() -> None:
    noisy = camera(96) + np.random.default_rng(0).normal(0, 25, (96, 96)).astype("f4")
    for image, reason in ((noisy, "noisy"), (camera(12), "too small")):
        run = prepare("super-resolution/adapted", Image.from_array(image))
        assert any(reason in note and "bundled network is used" in note for note in run.notes)


@pytest.mark.parametrize("shape", [(24, 200), (200, 24), (32, 16)])
def test_nothing_is_called_held_out_that_was_learnt_from(shape: tuple[int, int]) -> None:
    run = prepare("super-resolution/adapted", Image.from_array(camera(200)[: shape[0], : shape[1]]), {"steps": 1})
    assert any("too small to learn from" in note for note in run.notes)
    assert not any("held-out" in note for note in run.notes)


def test_noise_that_is_left_in_is_not_learnt_either() -> None:
    noisy = camera(96) + np.random.default_rng(0).normal(0, 25, (96, 96)).astype("f4")
    run = prepare("super-resolution/adapted", Image.from_array(noisy), {"denoise": False})
    assert any("would learn its noise" in note for note in run.notes)


def test_held_out_pixels_are_few_enough_for_a_cancel_to_take_effect() -> None:
    pool = PatchPool(torch.rand(7, 300, 2000))
    setup = CoarserCopy(pool, pool, 3, 16, "cubic")
    assert setup.validation.numel() <= 2**18
    assert setup.validation.shape[-2] % 6 == setup.validation.shape[-1] % 6 == 0


@pytest.mark.parametrize("name", ["network", "lanczos"])
def test_the_memory_of_a_block_is_that_of_its_colours_and_of_its_result(name: str) -> None:
    def needed(image: np.ndarray, axes: str, factor: float) -> int:
        prepared = prepare(f"super-resolution/{name}", Image(image, axes), {"factor": factor}).channels[0].prepared
        return prepared.spec.bytes_per_pixel

    gray = camera(32)
    assert needed(np.stack([gray] * 3, -1), "YXS", 2) == 3 * needed(gray, "YX", 2)
    assert needed(gray, "YX", 16) > 16 * 16 * 12


def test_adapting_lowers_the_error_of_held_out_pixels() -> None:
    pool = PatchPool(torch.from_numpy(fabric() / 255)[None])
    training, held_out = pool.split(1 / 6, least=16)
    setup = CoarserCopy(training, held_out, 2, 16, "cubic")
    network = copy.deepcopy(bundled_network(MODEL, Device("cpu", "CPU", ""))[0]).requires_grad_(True)
    before = setup.held_out(network)
    fit(
        network,
        setup,
        Budget(steps=60),
        Device("cpu", "CPU", ""),
        torch.Generator().manual_seed(0),
        settings=FitSettings(1e-3, 4),
    )
    assert setup.held_out(network) < 0.9 * before


def test_the_network_runs_in_bfloat16_on_a_cpu() -> None:
    image = camera(72)
    full, half = (
        napari_synth.upscale(image, device="cpu", precision=precision) for precision in ("float32", "bfloat16")
    )
    assert np.abs(full.astype(float) - half).max() < 0.05 * np.ptp(full)
