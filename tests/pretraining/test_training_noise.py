from __future__ import annotations

import math

import imageio.v3 as iio
import pytest
import torch

from napari_synth.networks.sigma_map import gaussian_blur
from pretraining.compression import compress
from pretraining.noise import NoiseSettings, add_noise, correlated_noise, lag_one, striped_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(**changes: float) -> NoiseSettings:
    still = {"sigma_jitter": 0.0, "correlation_jitter": 0.0, "signal_dependent": 0.0, "correlated": 0.0}
    still |= {"striped": 0.0, "compressed": 0.0}
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
    for make in (correlated_noise, striped_noise):
        noise = make(6, 40, 56, generator())
        assert noise.shape == (6, 1, 40, 56)
        torch.testing.assert_close(noise.std(dim=(1, 2, 3)), torch.ones(6), rtol=0, atol=1e-4)


def test_correlated_noise_is_of_every_kind():
    rho = lag_one(correlated_noise(200, 64, 64, generator()))
    along_y, along_x = rho.T
    assert int(((along_y > 0.5) & (along_x < 0.2)).sum()) > 5
    assert int(((along_x > 0.5) & (along_y < 0.2)).sum()) > 5
    assert int(((along_x > 0.5) & (along_y > 0.5)).sum()) > 50


def test_stripes_are_whole_rows_or_columns():
    noise = striped_noise(40, 64, 64, generator())
    rows, columns = noise.mean(3).std(dim=(1, 2)), noise.mean(2).std(dim=(1, 2))
    # White noise alone would leave 1/8 of its strength in the mean of 64 pixels.
    assert ((rows > 0.25) != (columns > 0.25)).all()


def test_what_compression_leaves_is_told():
    ramp = torch.linspace(0.2, 0.8, 64).expand(16, 1, 64, 64)
    batch = add_noise(ramp, settings(compressed=1.0), generator())
    left = batch.noisy - batch.clean
    torch.testing.assert_close(batch.sigma[:, 0, 0, 0], left.square().mean(dim=(1, 2, 3)).sqrt())
    torch.testing.assert_close(lag_one(left), batch.correlation, rtol=0, atol=1e-3)


@pytest.mark.parametrize("quality", [60, 90])
def test_compression_is_that_of_a_jpeg_file(quality):
    image = gaussian_blur(torch.rand(1, 1, 64, 64, generator=generator()), 1.5)
    image = (image - image.min()) / (image.max() - image.min())
    counts = (255 * image[0, 0]).round().to(torch.uint8).numpy()
    encoded = iio.imwrite("<bytes>", counts, extension=".jpg", quality=quality, subsampling=0)
    file = torch.from_numpy(iio.imread(encoded, extension=".jpg").astype("float32") / 255)
    given, chosen = torch.from_numpy(counts)[None, None] / 255, torch.full((1, 1, 1, 1), float(quality))
    inner = (..., slice(8, -8), slice(8, -8))
    # Where the grid of blocks begins is drawn: among some draws is the one that a file has.
    errors = [
        float((compress(given, chosen, generator(seed))[inner] - file[None, None][inner]).square().mean().sqrt())
        for seed in range(300)
    ]
    # A file's values are rounded; those of another grid are wrong by what the compression loses.
    assert min(errors) < 0.7 / 255
    assert min(errors) < 0.5 * sorted(errors)[150]


def test_good_quality_changes_less():
    image = torch.rand(4, 1, 48, 48, generator=generator())
    qualities = torch.tensor([30.0, 60.0, 90.0, 100.0]).reshape(4, 1, 1, 1)
    changed = (compress(image, qualities, generator()) - image).square().mean(dim=(1, 2, 3))
    assert (changed[1:] < changed[:-1]).all()
    assert float(changed[-1].sqrt()) < 1.5 / 255


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
