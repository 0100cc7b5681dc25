from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from skimage import data

from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.noise import NoiseModel, NoiseReport, estimate_noise


def _natural(name: str) -> np.ndarray:
    image = getattr(data, name)()
    if image.ndim == 3:
        image = image.mean(axis=2)
    return image[:512, :512].astype(np.float64)


def _correlated(kind: str, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=shape)
    way, _, amount = kind.partition(" ")
    if way == "upsampled":
        noise = np.kron(noise[: shape[0] // 2, : shape[1] // 2], np.ones((2, 2)))
    elif way == "along-x":
        noise = gaussian_filter1d(noise, float(amount), axis=1)
    else:
        noise = gaussian_filter(noise, float(amount))
    return noise / noise.std()


def _lag_one(noise: np.ndarray) -> tuple[float, float]:
    return float((noise[1:] * noise[:-1]).mean()), float((noise[:, 1:] * noise[:, :-1]).mean())


def _error(report: NoiseReport, signal: np.ndarray, sigma: np.ndarray | float) -> float:
    return float(np.sqrt(np.mean((report.model.sigma(signal) / sigma - 1.0) ** 2)))


class TestModel:
    def test_variance_grows_from_the_offset_and_is_never_negative(self) -> None:
        model = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)
        np.testing.assert_allclose(model.variance([0.0, 100.0, 150.0]), [9.0, 9.0, 109.0])
        np.testing.assert_allclose(model.sigma(150.0), np.sqrt(109.0))

    def test_scaled_model_describes_the_scaled_image(self) -> None:
        model = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)
        signal = np.array([90.0, 120.0, 4000.0])
        scaled = model.scaled(50.0, 20.0)
        np.testing.assert_allclose(scaled.sigma((signal - 20.0) / 50.0), model.sigma(signal) / 50.0)


class TestGaussian:
    @pytest.mark.parametrize("sigma", [5.0, 15.0, 25.0, 50.0])
    @pytest.mark.parametrize("name", ["camera", "coins", "moon", "immunohistochemistry"])
    def test_sigma_on_photographs_and_microscopy(self, name: str, sigma: float) -> None:
        clean = _natural(name)
        report = estimate_noise([clean + np.random.default_rng(0).normal(0, sigma, clean.shape)])
        # Coins and camera carry noise of their own, which shows where little is added.
        assert _error(report, clean, sigma) < (0.08 if sigma == 5.0 else 0.03)
        assert report.correlation == (0.0, 0.0)
        assert not report.correlated

    @pytest.mark.parametrize("name", ["brick", "grass", "page", "coffee"])
    def test_texture_is_not_called_correlated_noise(self, name: str) -> None:
        clean = _natural(name)
        report = estimate_noise([clean + np.random.default_rng(0).normal(0, 25, clean.shape)])
        assert report.correlation == (0.0, 0.0)
        assert _error(report, clean, 25.0) < 0.1

    def test_clipping_at_eight_bits_does_not_bias_the_estimate(self) -> None:
        clean = _natural("camera")
        noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
        report = estimate_noise([np.clip(np.rint(noisy), 0, 255).astype(np.uint8)])
        assert _error(report, clean, 25.0) < 0.05
        assert any("cut off" in note for note in report.notes)

    def test_mostly_clipped_background_is_left_out(self) -> None:
        yy, xx = np.mgrid[:256, :256]
        clean = 180.0 * np.exp(-((yy - 128.0) ** 2 + (xx - 128.0) ** 2) / 2 / 50.0**2)
        noisy = clean + np.random.default_rng(0).normal(0, 12, clean.shape)
        clipped = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        bright = clean > 40.0
        left_out = estimate_noise([clipped])
        taken_in = estimate_noise([clipped], mask_saturated=False)
        assert _error(left_out, clean[bright], 12.0) < 0.1
        assert _error(left_out, clean[clean > 12.0], 12.0) < _error(taken_in, clean[clean > 12.0], 12.0)


class TestPoisson:
    @pytest.mark.parametrize("peak", [10.0, 30.0, 100.0])
    @pytest.mark.parametrize("name", ["camera", "astronaut", "cell"])
    def test_photons_with_read_noise(self, name: str, peak: float) -> None:
        clean = _natural(name)
        clean *= peak / clean.max()
        rng = np.random.default_rng(0)
        report = estimate_noise([rng.poisson(clean) + rng.normal(0, 1, clean.shape)])
        assert _error(report, clean, np.sqrt(clean + 1)) < 0.05
        assert report.model.gain == pytest.approx(1.0, rel=0.2)

    def test_camera_counts_with_offset(self) -> None:
        photons = _natural("camera") / 255 * 30
        rng = np.random.default_rng(0)
        counts = 2.1 * (rng.poisson(photons) + rng.normal(0, 1, photons.shape)) + 100
        report = estimate_noise([np.rint(counts).astype(np.uint16)])
        assert report.model.gain == pytest.approx(2.1, rel=0.1)
        assert report.model.offset == pytest.approx(100.0, abs=3.0)
        assert report.model.read_noise == pytest.approx(2.1, rel=0.3)
        assert report.sentences()[0].startswith("Gain 2.")
        assert " counts at the median signal." in report.sentences()[0]

    def test_large_numbers_are_plain_and_floats_are_no_counts(self) -> None:
        report = estimate_noise([np.random.default_rng(0).normal(0, 2440, (128, 128))])
        (said, *_) = report.sentences("grey values")
        assert re.fullmatch(r"Noise of 2[34]\d\d grey values, the same in dark and bright places\.", said)

    def test_estimate_follows_scale_and_offset_of_the_image(self) -> None:
        photons = _natural("astronaut") / 255 * 30
        rng = np.random.default_rng(0)
        noisy = rng.poisson(photons) + rng.normal(0, 1, photons.shape)
        plain = estimate_noise([noisy]).model
        scaled = estimate_noise([noisy * 1e-4 + 1e3]).model
        np.testing.assert_allclose(scaled.sigma(photons * 1e-4 + 1e3), plain.sigma(photons) * 1e-4, rtol=0.05)


class TestCorrelated:
    @pytest.mark.parametrize("name", ["camera", "cell"])
    @pytest.mark.parametrize(
        "kind",
        ["blur 0.5", "blur 0.7", "blur 1.0", "blur 1.5", "along-x 0.7", "along-x 1.0", "along-x 1.5", "upsampled"],
    )
    def test_marginal_sigma_and_correlation(self, name: str, kind: str) -> None:
        clean = _natural(name)
        noise = _correlated(kind, clean.shape if kind != "upsampled" else (512, 512))
        clean = clean[: noise.shape[0], : noise.shape[1]]
        noise = noise[: clean.shape[0], : clean.shape[1]]
        report = estimate_noise([clean + 25 * noise])
        np.testing.assert_allclose(report.correlation, _lag_one(noise), atol=0.1)
        assert _error(report, clean, 25.0) < 0.2
        assert report.correlated
        assert any("correlated" in sentence for sentence in report.sentences())

    def test_stronger_blur_gives_more_correlation(self) -> None:
        clean = _natural("moon")
        seen = [
            estimate_noise([clean + 20 * _correlated(f"blur {blur}", clean.shape)]).correlation[0]
            for blur in (0.5, 0.7, 1.0, 1.5)
        ]
        assert all(less < more for less, more in pairwise(seen))


class TestAnyImage:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (7, 300), (9, 9), (30, 30)])
    def test_tiny_images(self, shape: tuple[int, int]) -> None:
        report = estimate_noise([np.random.default_rng(0).normal(10, 2, shape)])
        assert np.isfinite(report.model.read_noise)
        if min(shape) * max(shape) >= 40:
            assert report.model.read_noise == pytest.approx(2.0, rel=0.5)
        if shape == (1, 1):
            assert report.model == NoiseModel(0.0, 0.0, 0.0)
            assert report.notes

    @pytest.mark.parametrize("planes", [[], [np.zeros((0, 0))], [np.full((64, 64), np.nan)]])
    def test_nothing_to_measure(self, planes: list[np.ndarray]) -> None:
        report = estimate_noise(planes)
        assert report.model == NoiseModel(0.0, 0.0, 0.0)
        assert report.notes

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
    def test_constant_image_has_no_noise(self, dtype: type) -> None:
        report = estimate_noise([np.full((64, 80), 7, dtype)])
        assert report.model.sigma(7.0) == 0.0
        assert report.sentences()[0] == "No noise was found."

    def test_nan_and_inf_are_ignored(self) -> None:
        rng = np.random.default_rng(0)
        image = _natural("camera") + rng.normal(0, 20, (512, 512))
        image[100:140, 200:300] = np.nan
        image[rng.integers(0, 512, 200), rng.integers(0, 512, 200)] = np.inf
        report = estimate_noise([image])
        assert _error(report, _natural("camera"), 20.0) < 0.05

    def test_nan_in_every_block_still_gives_a_value(self) -> None:
        image = np.random.default_rng(0).normal(0, 3, (128, 128))
        image[::6, ::6] = np.nan
        assert estimate_noise([image]).model.sigma(0.0) == pytest.approx(3.0, rel=0.1)

    def test_absurd_pixels_do_not_matter(self) -> None:
        image = np.random.default_rng(0).normal(0, 3, (256, 256))
        image[17, 30], image[90, 200] = 1e30, -1e300
        assert estimate_noise([image]).model.sigma(0.0) == pytest.approx(3.0, rel=0.05)

    def test_large_offset_keeps_its_precision(self) -> None:
        image = (1_000_000_000 + np.random.default_rng(0).normal(0, 8, (256, 256))).astype(np.int32)
        assert estimate_noise([image]).model.sigma(1e9) == pytest.approx(8.0, rel=0.05)

    def test_coarse_quantisation(self) -> None:
        smooth = np.add.outer(np.linspace(0, 40, 256), np.linspace(0, 40, 256))
        noisy = np.rint(smooth + np.random.default_rng(0).normal(0, 1.5, smooth.shape)).astype(np.uint8)
        assert _error(estimate_noise([noisy]), smooth, 1.5) < 0.1

    @pytest.mark.parametrize("name", ["camera", "moon", "retina"])
    def test_clean_images_get_little_noise(self, name: str) -> None:
        assert estimate_noise([_natural(name).astype(np.uint8)]).sigma_typical < 1.0

    def test_views_of_any_layout_and_byte_order(self) -> None:
        image = (_natural("camera") + np.random.default_rng(0).normal(100, 20, (512, 512))).astype(np.uint16)
        expected = estimate_noise([image])
        swapped = image.astype(">u2")
        swapped.flags.writeable = False
        assert estimate_noise([swapped]) == expected
        assert estimate_noise([np.asfortranarray(image)]) == expected

    def test_many_and_large_planes_are_sampled(self) -> None:
        rng = np.random.default_rng(0)
        ramp = np.add.outer(np.linspace(0, 50, 1500), np.linspace(0, 50, 1400))
        report = estimate_noise([ramp + rng.normal(0, 4, ramp.shape) for _ in range(3)])
        assert report.n_pixels < 3 * ramp.size / 4
        assert _error(report, ramp, 4.0) < 0.05
        assert estimate_noise([rng.normal(0, 4, (16, 16)) for _ in range(500)]).model.sigma(0.0) == pytest.approx(
            4.0, rel=0.1
        )


def test_repeats_exactly() -> None:
    planes = [np.random.default_rng(0).normal(0, 4, (1200, 900)) for _ in range(2)]
    assert estimate_noise(planes) == estimate_noise(planes)


def test_signal_to_noise_of_a_known_image() -> None:
    clean = _natural("camera")
    report = estimate_noise([clean + np.random.default_rng(0).normal(0, 25, clean.shape)])
    assert report.snr_db == pytest.approx(10 * np.log10(clean.var() / 25**2), abs=0.7)


def test_import_brings_no_torch() -> None:
    code = "import sys, napari_synth.imaging.noise, napari_synth.imaging.trust; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("looks", [1, 4, 16])
@pytest.mark.parametrize("name", ["camera", "moon", "coins"])
def test_speckle_is_named(name: str, looks: int) -> None:
    signal = getattr(data, name)() + 5.0
    speckled = signal * np.random.default_rng(0).gamma(looks, 1 / looks, signal.shape)
    assert any("multiplicative" in note for note in estimate_noise([speckled]).notes)


@pytest.mark.parametrize("name", ["camera", "moon", "coins", "brick"])
def test_shot_noise_and_added_noise_are_no_speckle_and_have_no_stripes(name: str) -> None:
    signal, rng = getattr(data, name)().astype(float), np.random.default_rng(0)
    for image in (rng.poisson(signal), rng.poisson(signal / 10), signal + rng.normal(0, 15, signal.shape), signal):
        notes = estimate_noise([image.astype(float)]).notes
        assert not any("multiplicative" in note or "all along" in note for note in notes)


@pytest.mark.parametrize("along", ["rows", "columns"])
@pytest.mark.parametrize("name", ["camera", "moon", "cell"])
def test_the_share_of_rows_and_columns(name: str, along: str) -> None:
    signal, rng = getattr(data, name)()[:400, :400].astype(float), np.random.default_rng(0)
    shape = (400, 1) if along == "rows" else (1, 400)
    notes = estimate_noise([signal + rng.normal(0, 15, signal.shape) + rng.normal(0, 8, shape)]).notes
    (said,) = [note for note in notes if "all along" in note]
    assert f"along {along}" in said
    share = int(said.split("%")[0]) / 100
    assert abs(share - 64 / (64 + 225)) < 0.06


@pytest.mark.parametrize("along", ["rows", "columns"])
@pytest.mark.parametrize(("name", "share"), [("coins", 0.39), ("gravel", 0.36), ("grass", 0.34)])
def test_stripes_on_texture_are_named(name: str, along: str, share: float) -> None:
    # On grass some texture is taken for noise, of which the rows have a smaller share than the true 0.39.
    signal, rng = getattr(data, name)().astype(float), np.random.default_rng(0)
    shape = (signal.shape[0], 1) if along == "rows" else (1, signal.shape[1])
    noisy = signal + rng.normal(0, 10, signal.shape)
    assert not any("all along" in note for note in estimate_noise([noisy]).notes)
    (said,) = [note for note in estimate_noise([noisy + rng.normal(0, 8, shape)]).notes if "all along" in note]
    assert f"along {along}" in said
    assert abs(int(said.split("%")[0]) / 100 - share) < 0.06


def sparse(kind: str) -> np.ndarray:
    """Return a field of spots or lines, 0 to 1, which hardly any pixel belongs to."""
    rng = np.random.default_rng(5)
    field = np.zeros((300, 300))
    y, x = np.ogrid[:300, :300]
    for _ in range(60 if kind == "spots" else 30):
        (up, left), angle = rng.uniform(10, 290, 2), rng.uniform(0, np.pi)
        across = (y - up) * np.cos(angle) - (x - left) * np.sin(angle)
        away = across**2 if kind == "lines" else (y - up) ** 2 + (x - left) ** 2
        near = np.abs((y - up) * np.sin(angle) + (x - left) * np.cos(angle)) < 60 if kind == "lines" else 1.0
        field += rng.uniform(0.3, 1.0) * np.exp(-away / 8.0) * near
    return np.asarray(field / field.max())


@pytest.mark.parametrize("photons", [100, 1000])
@pytest.mark.parametrize("kind", ["spots", "lines"])
def test_few_bright_structures_on_black_tell_their_gain(kind: str, photons: float) -> None:
    truth = sparse(kind) * photons
    rng = np.random.default_rng(0)
    model = estimate_noise((rng.poisson(truth) + rng.normal(0, 1, truth.shape)).astype("f4")).model
    bright = truth > 0.3 * photons
    ratio = model.sigma(truth) / np.sqrt(truth + 1.0)
    assert 0.75 < float(np.median(ratio[bright])) < 1.25
    assert 0.9 < float(np.median(ratio)) < 1.1


@pytest.mark.parametrize("gain", [1.0, 5.0])
@pytest.mark.parametrize(("mean", "read"), [(1, 2), (3, 2), (3, 4)])
def test_read_noise_that_was_cut_off_at_zero_hides_no_gain(mean: float, read: float, gain: float) -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(_blobs(mean)) * gain + rng.normal(0, read * gain, (256, 256))
    model = estimate_noise([np.rint(counts.clip(0)).astype(np.uint16)]).model
    # Of what is left of it, the gain was 0 or three times too large.
    assert 0.65 < model.gain / gain < 1.45
    assert 0.75 < model.read_noise / gain / read < 1.45


@pytest.mark.parametrize("mean", [1, 3, 10])
def test_photons_without_read_noise_are_not_taken_for_cut_off(mean: float) -> None:
    counts = np.random.default_rng(1).poisson(_blobs(mean)) * 5
    model = estimate_noise([counts.astype(np.uint16)]).model
    assert 0.8 < model.gain / 5 < 1.2


def test_two_classes_of_intensity_are_not_dropped_for_those_that_are_cut_off() -> None:
    rng = np.random.default_rng(0)
    image = np.full((128, 128), 0.0)
    image[:, 64:] = np.where(np.arange(128) < 64, 300.0, 500.0)[:, None] + rng.normal(0, 20, (128, 64))
    assert abs(estimate_noise([image]).sigma_typical - 20) < 4


def _blobs(mean: float) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(256, 256)), 6)
    blobs = np.clip(smooth - smooth.min() - 0.5 * np.ptp(smooth), 0, None)
    return blobs / blobs.mean() * mean * 0.9 + 0.1 * mean


@pytest.mark.parametrize("mean", [0.03, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_single_photons_are_counted(mean: float, dtype: str) -> None:
    report = estimate_noise([np.random.default_rng(1).poisson(_blobs(mean)).astype(dtype)])
    assert (report.model.gain, report.model.offset, report.model.read_noise) == (1.0, 0.0, 0.0)
    assert any("photon" in note for note in report.notes)


def test_what_is_cut_off_smoothed_or_doubled_are_no_single_photons() -> None:
    rng = np.random.default_rng(0)
    photons = rng.poisson(_blobs(1.0)).astype(float)
    bright = np.where(_blobs(1.0) > 1, 0.2 * rng.poisson(50 * _blobs(1.0)), 0.0)
    for image in (
        np.rint(gaussian_filter(photons, 0.7)),
        np.kron(photons, np.ones((2, 2))),
        (_blobs(1.0) > 1).astype(float),
        np.clip(np.rint(rng.normal(0.5, 1.0, bright.shape) + bright), 0, None),
    ):
        assert not any("photon" in note for note in estimate_noise([image]).notes)


def test_one_plane_and_a_stack_are_taken_as_they_are() -> None:
    stack = np.random.default_rng(0).normal(100, 7, (3, 64, 64))
    assert estimate_noise(stack).model == estimate_noise(list(stack)).model
    assert abs(estimate_noise(stack[0]).model.read_noise - 7) < 1
    for wrong in (stack[0, 0], [stack[0], np.arange(9)], np.zeros((8, 8), complex)):
        with pytest.raises(InvalidImageError, match="Noise is measured in planes"):
            estimate_noise(wrong)


def test_few_small_planes_of_photons_are_seldom_taken_for_speckle() -> None:
    y, x = np.mgrid[:96, :96]
    rates = np.broadcast_to(200 + 100 * np.sin(y / 6) * np.cos(x / 9), (4, 96, 96))
    wrong = 0
    for seed in range(20):
        notes = estimate_noise(np.random.default_rng(seed).poisson(rates).astype(np.uint16)).notes
        wrong += any("multiplicative" in note for note in notes)
    assert wrong <= 1
