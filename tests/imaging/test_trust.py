from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter
from skimage import data

from napari_synth.core.errors import InvalidImageError
from napari_synth.core.texts import three_digits
from napari_synth.imaging.noise import NoiseModel, NoiseReport, estimate_noise
from napari_synth.imaging.trust import Verdict, assess, residual_z_map

SIGMA = 25.0


def _report(correlation: tuple[float, float] = (0.0, 0.0), sigma: float = SIGMA) -> NoiseReport:
    model = NoiseModel(0.0, 0.0, sigma)
    return NoiseReport(model, correlation, max(correlation) > 0.2, (0.0, 255.0), sigma, 10.0, 20.0, 1)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return data.camera()[100:356, 100:356].astype(np.float64)


@pytest.fixture(scope="module")
def noisy(clean: np.ndarray) -> np.ndarray:
    return clean + np.random.default_rng(0).normal(0, SIGMA, clean.shape)


class TestVerdicts:
    def test_the_truth_is_honest(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        report = assess(noisy, clean, estimate_noise([noisy]))
        assert report.verdict is Verdict.HONEST
        assert report.chi2 == pytest.approx(1.0, abs=0.1)
        assert report.flagged_fraction < 5e-4
        assert abs(report.residual_correlation) < 0.02

    def test_photons_behind_a_camera_are_honest(self, clean: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        signal = clean / 255 * 30
        counts = rng.poisson(signal) + rng.normal(0, 1, clean.shape)
        assert assess(counts, signal, estimate_noise([counts])).verdict is Verdict.HONEST

    def test_noise_left_in(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        report = assess(noisy, clean + 0.4 * (noisy - clean), _report())
        assert report.verdict is Verdict.UNDER_DENOISED
        assert report.chi2 == pytest.approx(0.36, abs=0.03)
        assert "Noise was left in" in report.sentence

    def test_nothing_done_is_under_denoised(self, noisy: np.ndarray) -> None:
        assert assess(noisy, noisy, _report()).verdict is Verdict.UNDER_DENOISED

    @pytest.mark.parametrize("way", ["gauss", "median"])
    def test_smoothing_over_edges(self, noisy: np.ndarray, way: str) -> None:
        restored = gaussian_filter(noisy, 2.0) if way == "gauss" else median_filter(noisy, 7)
        report = assess(noisy, restored, estimate_noise([noisy]))
        assert report.verdict is Verdict.OVER_SMOOTHED
        assert report.flagged_fraction > 0.01

    def test_made_up_spots(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        yy, xx = np.mgrid[:256, :256]
        restored = clean.copy()
        for y, x in ((40, 60), (200, 70), (120, 210)):
            restored += 60 * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 2 / 4**2)
        report = assess(noisy, restored, _report())
        assert report.verdict is Verdict.INVENTED
        assert 0 < report.invented_fraction <= report.flagged_fraction < 0.02

    def test_lost_spots_are_not_made_up(self, clean: np.ndarray) -> None:
        yy, xx = np.mgrid[:256, :256]
        spots = sum(
            60 * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 2 / 4**2) for y, x in ((40, 60), (200, 70), (120, 210))
        )
        source = clean + spots + np.random.default_rng(0).normal(0, SIGMA, clean.shape)
        assert assess(source, clean, _report()).verdict is Verdict.OVER_SMOOTHED


class TestMap:
    @pytest.mark.parametrize(
        ("blur", "correlation"), [((0, 0), (0.0, 0.0)), ((0.7, 0.7), (0.58, 0.58)), ((0, 1.0), (0.0, 0.78))]
    )
    def test_noise_gives_unit_deviations_whatever_its_correlation(
        self, blur: tuple[float, float], correlation: tuple[float, float]
    ) -> None:
        noise = np.random.default_rng(0).normal(size=(300, 300))
        noise = gaussian_filter(noise, blur)
        noise *= SIGMA / noise.std()
        z = residual_z_map(noise, np.zeros_like(noise), NoiseModel(0.0, 0.0, SIGMA), correlation)
        assert z.dtype == np.float32
        assert z.std() == pytest.approx(1.0, abs=0.08)
        assert z[0].std() == pytest.approx(1.0, abs=0.2)

    def test_sign_and_place(self, clean: np.ndarray) -> None:
        restored = clean.copy()
        restored[100:110, 50:60] -= 3 * SIGMA
        z = residual_z_map(clean, restored, NoiseModel(0.0, 0.0, SIGMA))
        assert z[105, 55] == pytest.approx(9.0)
        assert z[20, 20] == 0.0

    def test_leading_axes_are_mapped_over(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        model = NoiseModel(0.0, 0.0, SIGMA)
        stack = residual_z_map(np.stack([[noisy, clean]]), np.stack([[clean, clean]]), model)
        assert stack.shape == (1, 2, 256, 256)
        np.testing.assert_array_equal(stack[0, 0], residual_z_map(noisy, clean, model))

    def test_nan_stays_where_it_is(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        source = noisy.copy()
        source[50, 60] = np.nan
        source[80, 90] = np.inf
        z = residual_z_map(source, clean, NoiseModel(0.0, 0.0, SIGMA))
        assert np.isnan(z[[50, 80], [60, 90]]).all()
        assert np.isfinite(z).sum() == z.size - 2


class TestAnyImage:
    def test_nan_is_ignored(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        source, restored = noisy.copy(), clean.copy()
        source[10:30, 10:30] = np.nan
        restored[100:120, 40:90] = np.nan
        report = assess(source, restored, _report())
        assert report.verdict is Verdict.HONEST
        assert abs(report.drift) < 1.0

    def test_clipped_background_does_not_look_under_denoised(self) -> None:
        yy, xx = np.mgrid[:256, :256]
        clean = 200 * np.exp(-((yy - 128) ** 2 + (xx - 128) ** 2) / 2 / 60**2)
        noisy = clean + np.random.default_rng(0).normal(0, 15, clean.shape)
        source = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        assert assess(source, np.rint(clean).astype(np.uint8), _report(sigma=15)).verdict is Verdict.HONEST

    def test_image_without_noise(self) -> None:
        flat = np.full((32, 32), 9, np.uint8)
        flat[10:20] = 80
        silent = _report(sigma=0.0)
        changed = flat.copy()
        changed[5:12, 5:25] += 20
        assert assess(flat, flat, silent).verdict is Verdict.HONEST
        assert assess(flat, changed, silent).verdict in (Verdict.OVER_SMOOTHED, Verdict.INVENTED)

    def test_drift_in_counts_and_of_the_spread(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        report = assess(noisy, clean + 5, _report())
        assert report.drift == pytest.approx(5 + (clean - noisy).mean())
        assert report.relative_drift == pytest.approx(report.drift / noisy.std())
        assert f"The mean rose by {three_digits(report.drift)} grey values." in report.sentence
        assert "The mean" not in assess(noisy, clean, _report()).sentence
        darker = assess(np.rint(noisy).astype(np.int32), np.rint(clean - 5).astype(np.int32), _report())
        assert darker.sentence.endswith(" counts.")
        assert "The mean fell by" in darker.sentence

    def test_nothing_but_clipped_pixels(self) -> None:
        source = np.zeros((20, 20), np.uint8)
        source[:10] = 255
        assert "Nothing could be judged" in assess(source, source, _report(sigma=30.0)).sentence

    def test_large_stacks_are_sampled_alike_every_time(self) -> None:
        rng = np.random.default_rng(0)
        source = rng.normal(0, SIGMA, (3, 900, 1300)).astype(np.float32)
        restored = np.zeros_like(source)
        first = assess(source, restored, _report())
        assert first.verdict is Verdict.HONEST
        assert first == assess(source, restored, _report())

    @pytest.mark.parametrize("shape", [(1, 1), (1, 20), (2, 3, 4, 5)])
    def test_tiny(self, shape: tuple[int, ...]) -> None:
        source = np.random.default_rng(0).normal(0, SIGMA, shape)
        assert np.isfinite(assess(source, np.zeros(shape), _report()).chi2)

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(InvalidImageError, match="same shape"):
            assess(np.zeros((4, 4)), np.zeros((4, 5)), _report())
        with pytest.raises(InvalidImageError, match="same shape"):
            residual_z_map(np.zeros(4), np.zeros(4), NoiseModel(0, 0, 1))

    def test_nothing_finite(self) -> None:
        with pytest.raises(InvalidImageError, match="finite"):
            assess(np.full((4, 4), np.nan), np.zeros((4, 4)), _report())
