from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_synth.networks import gaussian_blur, sigma_map


@pytest.mark.parametrize("std", [0.5, 1.5, (2.0, 0.0), (0.0, 0.7)])
def test_blur_equals_scipy(std):
    image = np.random.default_rng(0).random((20, 33))
    stds = (std, std) if isinstance(std, float) else std
    expected = ndimage.gaussian_filter(image, stds, mode="nearest", radius=[int(np.ceil(3 * s)) for s in stds])
    blurred = gaussian_blur(torch.from_numpy(image)[None, None], std)
    np.testing.assert_allclose(blurred[0, 0].numpy(), expected, atol=1e-12)


def test_blur_takes_images_smaller_than_its_kernel():
    assert gaussian_blur(torch.ones(1, 2, 1, 3), 4.0).allclose(torch.ones(1, 2, 1, 3))


def test_map_finds_the_noise_of_a_poisson_gaussian_image():
    rng = np.random.default_rng(0)
    gain, read = 2.0, 3.0
    signal = np.repeat(np.linspace(5, 200, 64), 64).reshape(64, 64)
    noisy = gain * rng.poisson(signal / gain) + rng.normal(0, read, signal.shape)
    found = sigma_map(torch.from_numpy(noisy)[None, None], gain, read**2)[0, 0].numpy()
    assert np.abs(found / np.sqrt(gain * signal + read**2) - 1).mean() < 0.06


def test_map_without_gain_is_constant():
    assert torch.equal(sigma_map(torch.randn(1, 1, 8, 8), 0.0, 0.25), torch.full((1, 1, 8, 8), 0.5))


def test_map_never_falls_below_the_floor_nor_becomes_nan():
    dark = sigma_map(torch.full((1, 1, 8, 8), -5.0), 1.0, -2.0, floor=0.1)
    assert torch.allclose(dark, torch.tensor(0.1))


def test_map_takes_one_noise_model_an_image():
    image = torch.ones(2, 1, 8, 8)
    spread = sigma_map(image, torch.tensor([1.0, 4.0]).reshape(2, 1, 1, 1), 0.0)
    assert spread[:, 0, 4, 4].tolist() == [1.0, 2.0]
