from __future__ import annotations

import math

import pytest
import torch

from pretraining.noise import NoiseSettings, add_noise, correlated_noise, lag_one


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(**changes: float) -> NoiseSettings:
    still = {"sigma_jitter": 0.0, "correlation_jitter": 0.0, "signal_dependent": 0.0, "correlated": 0.0}
    return NoiseSettings(**(still | changes))


def test_white_noise_has_the_strength_that_is_told():
    batch = add_noise(torch.full((8, 1, 96, 96), 0.5), settings(), generator())
    measured = (batch.noisy - batch.clean).std(dim=(1, 2, 3))
    torch.testing.assert_close(measured, batch.sigma.mean(dim=(1, 2, 3)), rtol=0.05, atol=1e-4)
    assert batch.sigma.max() <= 75 / 255
    assert torch.equal(batch.correlation, torch.zeros(8, 2))


def test_signal_dependent_noise_has_the_strength_that_is_told():
    ramp = torch.linspace(0.05, 1.0, 96).expand(8, 1, 96, 96)
    batch = add_noise(ramp, settings(signal_dependent=1.0), generator())
    normalised = (batch.noisy - batch.clean) / batch.sigma
    assert 0.9 < float(normalised.std()) < 1.15
    bright, dark = batch.sigma[..., 80:].mean(), batch.sigma[..., :16].mean()
    assert bright > 1.2 * dark


def test_correlated_noise_is_told_as_such():
    batch = add_noise(torch.full((16, 1, 96, 96), 0.5), settings(correlated=1.0), generator())
    torch.testing.assert_close(lag_one(batch.noisy - batch.clean), batch.correlation, rtol=0, atol=1e-3)
    measured = (batch.noisy - batch.clean).std(dim=(1, 2, 3))
    torch.testing.assert_close(measured, batch.sigma.mean(dim=(1, 2, 3)), rtol=0.02, atol=1e-4)
    assert batch.correlation.min() >= 0
    assert batch.correlation.max() > 0.5
    assert (batch.correlation[:, 0] - batch.correlation[:, 1]).abs().max() > 0.3


def test_lag_one_of_a_known_filter():
    white = torch.randn(1, 1, 600, 600, generator=generator())
    rho = lag_one(white[:, :, 1:] + white[:, :, :-1])
    torch.testing.assert_close(rho, torch.tensor([[0.5, 0.0]]), rtol=0, atol=0.01)


def test_correlated_noise_has_unit_variance():
    for seed in range(6):
        noise = correlated_noise(40, 56, generator(seed))
        assert noise.shape == (1, 1, 40, 56)
        assert float(noise.std()) == pytest.approx(1, abs=1e-4)


def test_colour_differences_get_noise_that_does_not_depend_on_them():
    signed = torch.linspace(-0.5, 0.5, 64).expand(4, 1, 64, 64)
    batch = add_noise(signed, settings(signal_dependent=1.0), generator())
    assert torch.isfinite(batch.noisy).all()
    assert (batch.sigma.amax(dim=(1, 2, 3)) == batch.sigma.amin(dim=(1, 2, 3))).all()


def test_the_map_is_told_with_a_small_error():
    changes = settings(sigma_jitter=0.05, small_share=0.0)
    batch = add_noise(torch.full((32, 1, 64, 64), 0.5), changes, generator())
    ratio = batch.sigma.mean(dim=(1, 2, 3)) / (batch.noisy - batch.clean).std(dim=(1, 2, 3))
    assert 0.01 < float(ratio.std()) < 0.06
    assert math.isclose(float(ratio.mean()), 1, abs_tol=0.02)


def test_the_generator_decides_everything():
    clean = torch.rand(4, 1, 32, 32, generator=generator())
    first, again, other = (add_noise(clean, NoiseSettings(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.noisy, again.noisy)
    assert torch.equal(first.sigma, again.sigma)
    assert not torch.equal(first.noisy, other.noisy)
