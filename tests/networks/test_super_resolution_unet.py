from __future__ import annotations

import pytest
import torch

from napari_synth.networks import SuperResolutionUNet
from napari_synth.networks.enlargers import enlarged
from napari_synth.networks.local_mean import CELL

SMALL = {"widths": (4, 6), "encoder_blocks": 1, "bottom_blocks": 1, "decoder_blocks": 1}
WITHOUT_MEAN = SMALL | {"slope": -1.0, "mean_spread": 1.0}


@pytest.fixture(scope="module", params=[SMALL, WITHOUT_MEAN], ids=["mean seen", "mean taken out"])
def network(request) -> SuperResolutionUNet:
    torch.manual_seed(0)
    return SuperResolutionUNet(**request.param).eval()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_results_are_as_many_times_finer_as_asked(network, scale):
    image = torch.rand(2, 1, 16, 24)
    assert network(image, torch.zeros(1, 1, 1, 1), None, scale).shape == (2, 1, 16 * scale, 24 * scale)


@pytest.mark.parametrize("factor", [1e-3, 4000.0])
def test_scaling_image_and_noise_scales_the_result(network, factor):
    image, sigma = torch.rand(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.1)
    expected = factor * network(image, sigma)
    torch.testing.assert_close(network(factor * image, factor * sigma), expected, rtol=1e-4, atol=1e-5 * factor)


@pytest.mark.parametrize("offset", [-3.0, 100.0])
def test_a_constant_more_in_the_image_is_one_more_in_the_result_where_the_mean_is_taken_out(offset):
    torch.manual_seed(0)
    network = SuperResolutionUNet(**WITHOUT_MEAN).eval()
    image, sigma = torch.rand(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.1)
    expected = network(image, sigma) + offset
    torch.testing.assert_close(network(image + offset, sigma), expected, rtol=0, atol=1e-4 * abs(offset))


@pytest.mark.parametrize("config", [SMALL, SMALL | {"mean_spread": 0.5}])
def test_receptive_field_is_the_largest_reach_of_any_pixel_of_the_result(config):
    torch.manual_seed(0)
    network = SuperResolutionUNet(**config)
    for weight in network.parameters():
        torch.nn.init.uniform_(weight, 0.01, 0.1)
    size = 8 * (2 * network.receptive_field // 8 + 3)
    reach = 0
    for offset in range(8):
        at = size // 2 // 8 * 8 + offset
        image = torch.rand(1, 1, size, size, requires_grad=True)
        network(image, torch.full((1, 1, 1, 1), 0.1))[0, 0, 2 * at : 2 * at + 2, 2 * at : 2 * at + 2].sum().backward()
        assert image.grad is not None
        reach = max(reach, int((image.grad[0, 0].nonzero() - at).abs().max()))
    least = network.receptive_field - (CELL - 1 if network.mean_spread else 0)
    assert least <= reach <= network.receptive_field


def test_config_rebuilds_the_network(network):
    rebuilt = SuperResolutionUNet(**network.config)
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.config == network.config


def test_images_of_half_precision_are_enlarged_in_full_precision():
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found = enlarged(image.bfloat16(), 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, enlarged(image, 2), rtol=0, atol=0.01)
