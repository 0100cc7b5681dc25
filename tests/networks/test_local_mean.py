from __future__ import annotations

import pytest
import torch

from napari_synth.networks.local_mean import CELL, local_mean, local_mean_reach


def test_the_mean_of_a_constant_is_the_constant():
    image = torch.full((2, 1, 24, 40), 0.7)
    torch.testing.assert_close(local_mean(image, 3.0), image)


def test_a_slow_slope_is_followed_away_from_the_borders():
    slope = torch.arange(256.0).expand(1, 1, 256, 256) / 256
    inner = (..., slice(104, 152))
    torch.testing.assert_close(local_mean(slope, 3.0)[inner], slope[inner], rtol=0, atol=2e-3)


def test_noise_is_averaged_away():
    noise = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    assert float(local_mean(noise, 3.0).std()) < 0.03


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_the_reach_is_the_largest_distance_of_any_pixel(spread):
    reach = local_mean_reach(spread)
    size = 2 * (reach // CELL + 3) * CELL
    found = 0
    for offset in range(CELL):
        at = size // 2 + offset
        image = torch.zeros(1, 1, 1 * CELL, size, requires_grad=True)
        local_mean(image, spread)[0, 0, 0, at].backward()
        assert image.grad is not None
        found = max(found, int((image.grad[0, 0].nonzero()[:, 1] - at).abs().max()))
    assert found == reach


def test_no_mean_has_no_reach():
    assert local_mean_reach(0.0) == 0


def test_a_part_on_the_grid_of_the_image_has_the_mean_of_the_whole():
    image = torch.rand(1, 1, 64, 160, generator=torch.Generator().manual_seed(0))
    spread = 1.0
    far = -(-local_mean_reach(spread) // CELL) * CELL
    part = local_mean(image[..., 3 * CELL :], spread)
    torch.testing.assert_close(part[..., far:], local_mean(image, spread)[..., 3 * CELL + far :])


def test_half_precision_of_the_network_is_not_that_of_the_mean():
    image = 100.0 + torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        half = local_mean(image, 1.0)
    assert torch.equal(half, local_mean(image, 1.0))
