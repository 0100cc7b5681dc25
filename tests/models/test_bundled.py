from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from napari_synth.models import bundled, load_model, read_card
from napari_synth.networks.gated_inpainter import smooth_fill

FREE = {
    "BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "GPL-2.0-or-later",
    "LGPL-3.0-only",
    "Public domain",
}


@pytest.fixture(scope="module")
def denoiser():
    return load_model(bundled("denoise-blind"))[0]


def denoised(network, noisy, sigma, correlation=None):
    with torch.inference_mode():
        image = torch.from_numpy(noisy.astype(np.float32))[None, None]
        return network(image, torch.full((1, 1, 1, 1), sigma), correlation)[0, 0].numpy()


def psnr(clean, result):
    return -10 * np.log10(np.mean((clean - result) ** 2))


@pytest.fixture(scope="module")
def clean():
    return data.camera()[128:384, 128:384] / 255.0


def test_file_is_small():
    assert bundled("denoise-blind").stat().st_size <= 3_000_000


def test_card_tells_where_the_weights_come_from():
    card = read_card(bundled("denoise-blind"))
    assert card.training_command.startswith("python -m pretraining denoise")
    assert card.limits
    assert card.weights_licence
    assert {entry.licence for entry in card.training_data} <= FREE
    assert all(row["mean"] > 30 for row in card.metrics.values())


@pytest.mark.parametrize(("sigma", "gain"), [(15 / 255, 5.8), (25 / 255, 8.0), (50 / 255, 11.0)])
def test_white_noise_is_removed(denoiser, clean, sigma, gain):
    noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
    assert psnr(clean, denoised(denoiser, noisy, sigma)) > psnr(clean, noisy) + gain


def test_an_image_without_noise_is_kept(denoiser, clean):
    assert psnr(clean, denoised(denoiser, clean, 0.0)) > 45


def test_counts_of_a_camera_need_no_other_range(denoiser, clean):
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    small, large = denoised(denoiser, noisy, 0.1), denoised(denoiser, 6000 * noisy, 600.0)
    np.testing.assert_allclose(large / 6000, small, atol=1e-4)


def test_mean_is_kept(denoiser, clean):
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    assert abs(denoised(denoiser, noisy, 0.1).mean() - noisy.mean()) < 2e-3


def test_telling_the_correlation_helps(denoiser, clean):
    noise = np.random.default_rng(0).normal(0, 1, (258, 258))
    noise = noise[:-2, 1:-1] + 2 * noise[1:-1, 1:-1] + noise[2:, 1:-1]
    noisy = clean + 0.1 * noise / noise.std()
    # Lag-1 correlation of the kernel (1, 2, 1) along y.
    told = denoised(denoiser, noisy, 0.1, torch.tensor([[2 / 3, 0.0]]))
    assert psnr(clean, told) > psnr(clean, denoised(denoiser, noisy, 0.1)) + 0.5


def test_no_checkerboard_on_a_flat_noisy_field(denoiser):
    noisy = 0.5 + np.random.default_rng(0).normal(0, 0.1, (256, 256))
    result = denoised(denoiser, noisy, 0.1)[16:-16, 16:-16]
    parity = np.array([[result[i::2, j::2].mean() for j in range(2)] for i in range(2)])
    assert np.ptp(parity) < 2e-3


class TestInpainter:
    def test_file_is_small_and_its_card_tells_where_the_weights_come_from(self):
        assert bundled("inpaint").stat().st_size <= 3_000_000
        card = read_card(bundled("inpaint"))
        assert (card.task, card.architecture) == ("inpaint", "gated-inpainter")
        assert card.training_command.startswith("python -m pretraining inpaint")
        assert {entry.licence for entry in card.training_data} <= FREE
        # What the bench shows was not trained on.
        assert not any("brick" in entry.name or "coffee" in entry.name for entry in card.training_data)

    def test_holes_are_filled_better_than_by_smooth_surfaces(self, clean):
        network = load_model(bundled("inpaint"))[0]
        y, x = np.ogrid[:256, :256]
        errors = []
        for top, left in ((60, 70), (100, 180), (190, 60), (150, 130)):
            holes = torch.from_numpy((y - top) ** 2 + (x - left) ** 2 < 12**2).float()[None, None]
            image = torch.from_numpy(clean).float()[None, None]
            with torch.inference_mode():
                found, smooth = network(image, holes), smooth_fill(image, holes)
            errors.append([float(((part - image) * holes).square().sum()) for part in (found, smooth)])
        mine, usual = np.sum(errors, 0)
        assert mine < usual
