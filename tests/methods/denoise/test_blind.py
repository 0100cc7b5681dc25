from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth import models, verbs
from napari_synth.core.errors import InvalidImageError, ModelFileError
from napari_synth.imaging.image import Image
from napari_synth.methods import noise_conditioning as _conditioning


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth.astype("f8"), image.astype("f8"), data_range=255))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return data.camera()[100:292, 140:332].astype("f4")


def test_gaussian_noise_is_removed_without_being_told_its_strength(truth: np.ndarray) -> None:
    for sigma, gain in ((10, 3.0), (25, 6.0), (50, 8.0)):
        image = truth + np.random.default_rng(0).normal(0, sigma, truth.shape).astype("f4")
        assert psnr(truth, napari_synth.denoise(image)) > psnr(truth, image) + gain


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_an_image_with_next_to_no_noise_loses_nothing(sigma: float) -> None:
    truth = data.astronaut()[::2, ::2].mean(-1)
    image = truth + np.random.default_rng(0).normal(0, sigma, truth.shape)
    assert psnr(truth, napari_synth.denoise(image, sigma=sigma)) > psnr(truth, image) - 8.6
    assert np.abs(napari_synth.denoise(image, sigma=sigma) - image).max() <= 3.01 * sigma


@pytest.mark.parametrize("noise", [20, 600])
def test_half_precision_adds_no_noise_of_its_own(noise: float) -> None:
    truth = data.astronaut()[:128, 160:288].astype("f8") * 100
    image = (truth + np.random.default_rng(0).normal(0, noise, truth.shape)).clip(0).astype("u2")
    full = napari_synth.denoise(image).astype("f8")
    half = napari_synth.denoise(image, precision="bfloat16").astype("f8")
    assert np.abs(half - full).mean() < 0.1 * noise
    assert len(np.unique(half)) > 0.9 * len(np.unique(full))


def test_photon_noise_with_a_camera_s_offset_is_removed_in_counts(truth: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    counts = 2.0 * (rng.poisson(truth / 255 * 60) + rng.normal(0, 1.5, truth.shape)) + 100
    result = napari_synth.denoise(np.clip(counts, 0, 65535).astype("u2"))
    back = (result.astype("f8") - 100) / 2 / 60 * 255
    noisy = (counts - 100) / 2 / 60 * 255
    assert result.dtype == np.uint16
    assert psnr(truth, back) > psnr(truth, noisy) + 5


def test_alpha_is_no_intensity(truth: np.ndarray) -> None:
    colours = np.repeat(truth[..., None], 3, -1) * 0.5 + np.random.default_rng(0).normal(0, 10, (*truth.shape, 3))
    opaque = np.concatenate([colours, np.full((*truth.shape, 1), 255)], -1).clip(0, 255).astype("u1")
    with_alpha = verbs.prepare("denoise/blind", Image(opaque, "YXS"))
    without = verbs.prepare("denoise/blind", Image(opaque[..., :3], "YXS"))
    assert with_alpha.notes == without.notes
    np.testing.assert_array_equal(with_alpha.compute()[..., :3], without.compute())
    np.testing.assert_array_equal(with_alpha.compute()[..., 3], 255)


def test_correlated_noise_is_recognised_and_treated_as_such(truth: np.ndarray) -> None:
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, truth.shape), 1)
    image = (truth + 25 * noise / noise.std()).astype("f4")
    gated = napari_synth.denoise(image)
    ungated = napari_synth.denoise(image, noise="independent")
    assert psnr(truth, gated) > psnr(truth, ungated) + 1.5
    notes = verbs.prepare("denoise/blind", Image.from_array(image)).notes
    assert any("correlated" in note for note in notes)


def test_colours_are_better_together_than_apart() -> None:
    truth = data.astronaut()[:192, 160:352].astype("f4")
    image = truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")
    apart = np.stack([napari_synth.denoise(np.ascontiguousarray(image[..., i])) for i in range(3)], -1)
    assert psnr(truth, napari_synth.denoise(image)) > psnr(truth, apart) + 0.5


@pytest.mark.parametrize("step", [0.0, 3.0])
def test_neighbouring_frames_help_and_motion_does_no_harm(truth: np.ndarray, step: float) -> None:
    movie = np.stack([shift(truth, (0, step * i), order=3, mode="reflect") for i in range(6)])
    image = (movie + np.random.default_rng(0).normal(0, 40, movie.shape)).astype("f4")
    alone = psnr(movie, napari_synth.denoise(image, axes="TYX", neighbours="off"))
    together = psnr(movie, napari_synth.denoise(image, axes="TYX"))
    assert together > alone + (1.5 if step == 0 else -0.1)


def test_planes_that_show_different_things_are_not_merged() -> None:
    rng = np.random.default_rng(0)
    planes = np.stack([gaussian_filter(rng.normal(0, 1, (128, 128)), 3) for _ in range(5)])
    image = (200 * planes / planes.std() + rng.normal(0, 20, planes.shape)).astype("f4")
    prepared = verbs.prepare("denoise/blind", Image.from_array(image, "ZYX"))
    assert prepared.channels[0].prepared.spec.axes == "YX"


def test_strength_goes_from_nothing_to_smooth(truth: np.ndarray) -> None:
    image = truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")
    removed = [np.abs(napari_synth.denoise(image, strength=s) - image).mean() for s in (0.0, 0.5, 1.0, 2.0)]
    assert removed[0] < 1e-4
    assert removed == sorted(removed)


def test_a_known_noise_level_takes_the_place_of_the_measured_one(truth: np.ndarray) -> None:
    image = truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")
    known = psnr(truth, napari_synth.denoise(image, sigma=25.0))
    assert known > psnr(truth, napari_synth.denoise(image, sigma=5.0)) + 3


def test_averaging_over_rotations_is_no_worse(truth: np.ndarray) -> None:
    image = truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")
    assert psnr(truth, napari_synth.denoise(image, ensemble=True)) > psnr(truth, napari_synth.denoise(image))


def test_channels_have_their_own_noise_and_intensities(truth: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    bright = truth * 100 + rng.normal(0, 2500, truth.shape)
    dim = truth[::-1] + rng.normal(0, 25, truth.shape)
    image = np.stack([bright, dim]).astype("f4")
    prepared = verbs.prepare("denoise/blind", Image.from_array(image, "CYX"))
    assert prepared.noise[0].sigma_typical / prepared.noise[1].sigma_typical == pytest.approx(100, rel=0.2)
    result = prepared.compute()
    assert psnr(truth, result[0] / 100) > psnr(truth, bright / 100) + 5
    assert psnr(truth[::-1], result[1]) > psnr(truth[::-1], dim) + 5


def test_relative_confidence_ranks_the_error(truth: np.ndarray) -> None:
    image = truth + np.random.default_rng(0).normal(0, 25, truth.shape).astype("f4")
    prepared = verbs.prepare("denoise/blind", Image.from_array(image))
    spread, error = prepared.spread().compute(), np.abs(prepared.compute() - truth)
    unsure = spread > np.quantile(spread, 0.75)
    assert error[unsure].mean() > 1.5 * error[~unsure].mean()


def test_a_tile_is_exact_where_the_halo_covers_the_receptive_field(truth: np.ndarray) -> None:
    # Wide enough for tiles that do not see all of it.
    strip = np.pad(truth[:64], ((0, 0), (0, 512 - truth.shape[1])), mode="symmetric")
    image = strip + np.random.default_rng(0).normal(0, 25, strip.shape).astype("f4")
    prepared = verbs.prepare("denoise/blind", Image.from_array(image))
    conditioned = prepared.channels[0].prepared
    network, _ = _conditioning.bundled_network("denoise-blind", prepared.device)
    assert 64 + 2 * network.receptive_field < 512
    conditioned.spec = type(conditioned.spec).plane(network.receptive_field, multiple=8)
    pieces = replace(prepared, options=replace(prepared.options, tile=64))
    assert np.abs(prepared.compute() - pieces.compute()).max() <= 1e-5 * np.ptp(image)


@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_missing_and_corrupt_weights_are_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path, content) -> None:
    path = tmp_path / "denoise-blind.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(models, "bundled", lambda name: path)
    _conditioning._load.cache_clear()
    with pytest.raises(ModelFileError):
        napari_synth.denoise(np.random.default_rng(0).random((32, 32)))
    _conditioning._load.cache_clear()


@pytest.mark.parametrize(("looks", "psnr"), [(1, 21.2), (4, 25.3)])
def test_speckle_is_removed_on_the_logarithm(looks: int, psnr: float) -> None:
    clean = data.camera() + 1.0
    speckled = (clean * np.random.default_rng(0).gamma(looks, 1 / looks, clean.shape)).astype(np.float32)
    run = verbs.prepare("denoise/blind", Image(speckled, "YX"), {"noise": "multiplicative"})
    result = run.compute()
    assert 10 * np.log10(255**2 / np.mean((result - clean) ** 2)) > psnr
    assert abs(result.mean() / clean.mean() - 1) < 0.06
    assert any("multiplicative" in note for note in run.notes)
    assert run.recipe.params["noise"] == "multiplicative"
    whole = napari_synth.denoise(speckled, noise="multiplicative", tile=128)
    np.testing.assert_allclose(whole, result, atol=1e-3 * np.ptp(result))


def test_nothing_multiplies_what_is_never_above_zero() -> None:
    with pytest.raises(InvalidImageError, match="above 0"):
        napari_synth.denoise(np.zeros((32, 32), np.float32), noise="multiplicative")
