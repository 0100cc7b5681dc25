from __future__ import annotations

import pytest
import torch

from napari_synth.networks import NoiseConditionedUNet
from napari_synth.networks.blocks import ResidualBlock
from napari_synth.networks.local_mean import CELL

SMALL = {"widths": (4, 6, 8), "encoder_blocks": (1, 1), "decoder_blocks": (1, 1), "bottom_blocks": 1}
WITHOUT_MEAN = {"slope": -1.0, "mean_spread": 3.0}


def randomised(**config: object) -> NoiseConditionedUNet:
    """A network whose every convolution passes something on, positive so that no ReLU hides a path."""
    torch.manual_seed(0)
    network = NoiseConditionedUNet(**config)
    for weight in network.parameters():
        torch.nn.init.uniform_(weight, 0.01, 0.1)
    return network.eval()


def measured_reach(network: NoiseConditionedUNet) -> int:
    """The largest distance, over all places in a cell, at which a pixel changes the result."""
    size = 8 * (2 * network.receptive_field // 8 + 3)
    reach = 0
    # The reach depends on where in its cell of the coarsest level a pixel lies.
    for offset in range(8):
        at = size // 2 // 8 * 8 + offset
        image = torch.rand(1, 1, size, size, requires_grad=True)
        sigma = torch.full((1, 1, size, size), 0.1, requires_grad=True)
        network(image, sigma)[0, 0, at, at].backward()
        for gradient in (image.grad, sigma.grad):
            assert gradient is not None
            touched = gradient[0, 0].nonzero()
            reach = max(reach, int((touched - at).abs().max()))
    return reach


@pytest.fixture(scope="module", params=[{}, WITHOUT_MEAN], ids=["mean seen", "mean taken out"])
def network(request) -> NoiseConditionedUNet:
    torch.manual_seed(0)
    return NoiseConditionedUNet(**request.param).eval()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 24, 16), (1, 64, 40)])
def test_result_has_the_shape_of_the_image(network, batch, height, width):
    image = torch.rand(batch, 1, height, width)
    assert network(image, torch.full_like(image, 0.1), torch.zeros(batch, 2)).shape == image.shape


def test_sigma_may_be_one_number_for_the_image(network):
    image = torch.rand(2, 1, 16, 16)
    whole = network(image, torch.full_like(image, 0.1))
    torch.testing.assert_close(network(image, torch.full((1, 1, 1, 1), 0.1)), whole)


def test_no_correlation_is_zero_correlation(network):
    image, sigma = torch.rand(2, 1, 16, 16), torch.full((2, 1, 16, 16), 0.1)
    torch.testing.assert_close(network(image, sigma), network(image, sigma, torch.zeros(2, 2)))


def test_correlation_along_each_axis_and_each_image_matters(network):
    image, sigma = torch.rand(1, 1, 16, 16).repeat(3, 1, 1, 1), torch.full((3, 1, 16, 16), 0.2)
    white, along_y, along_x = network(image, sigma, torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]))
    assert not torch.allclose(white, along_y)
    assert not torch.allclose(along_y, along_x)


@pytest.mark.parametrize("scale", [1e-3, 0.3, 4000.0])
def test_scaling_image_and_noise_scales_the_result(network, scale):
    image, sigma, rho = torch.rand(1, 1, 32, 32), 0.1 + 0.1 * torch.rand(1, 1, 32, 32), torch.tensor([[0.3, 0.1]])
    expected = scale * network(image, sigma, rho)
    torch.testing.assert_close(network(scale * image, scale * sigma, rho), expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("offset", [-3.0, 0.5, 100.0])
def test_a_constant_more_in_the_image_is_one_more_in_the_result_where_the_mean_is_taken_out(offset):
    torch.manual_seed(0)
    network = NoiseConditionedUNet(**WITHOUT_MEAN).eval()
    image, sigma = torch.rand(1, 1, 32, 32), torch.full((1, 1, 32, 32), 0.1)
    expected = network(image, sigma) + offset
    torch.testing.assert_close(network(image + offset, sigma), expected, rtol=0, atol=1e-4 * max(1.0, abs(offset)))


def test_blocks_whose_rectifier_is_the_absolute_value_pass_every_sign():
    torch.manual_seed(0)
    block = ResidualBlock(3, slope=-1.0)
    x = torch.randn(1, 3, 8, 8)
    expected = x + block.second(block.first(x).abs())
    torch.testing.assert_close(block(x), expected)
    block(x).square().mean().backward()
    for layer in (block.first, block.second):
        assert layer.weight.grad is not None
        assert (layer.weight.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_a_rectifier_that_grows_below_zero_is_refused():
    with pytest.raises(ValueError, match="slope"):
        ResidualBlock(3, slope=-1.5)


def test_same_input_gives_the_same_result(network):
    image, sigma = torch.rand(1, 1, 32, 32), torch.full((1, 1, 32, 32), 0.1)
    assert torch.equal(network(image, sigma), network(image, sigma))


def test_leaves_its_input_alone(network):
    image, sigma = torch.rand(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.1)
    before = image.clone(), sigma.clone()
    network(image, sigma)
    assert torch.equal(image, before[0])
    assert torch.equal(sigma, before[1])


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL | {"encoder_blocks": (2, 0), "decoder_blocks": (0, 2), "bottom_blocks": 0},
        SMALL | {"bottom_blocks": 2},
    ],
)
def test_receptive_field_is_the_largest_reach_of_any_output_pixel(config):
    network = randomised(**config)
    assert measured_reach(network) == network.receptive_field


def test_receptive_field_covers_the_mean_that_is_taken_out():
    network = randomised(**SMALL | {"bottom_blocks": 0, "mean_spread": 0.5})
    assert network.receptive_field - CELL < measured_reach(network) <= network.receptive_field


@pytest.mark.parametrize("more", [{}, WITHOUT_MEAN])
def test_config_rebuilds_the_network(more):
    network = NoiseConditionedUNet(**SMALL, **more)
    rebuilt = NoiseConditionedUNet(**network.config)
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.config == network.config


def test_a_card_without_slope_and_mean_is_one_of_a_plain_network():
    plain = NoiseConditionedUNet(**SMALL)
    assert (plain.slope, plain.mean_spread) == (0.0, 0.0)


def test_default_is_small_enough_to_be_bundled():
    assert sum(weight.numel() for weight in NoiseConditionedUNet().parameters()) <= 1_500_000


def test_other_depths_are_refused():
    with pytest.raises(ValueError, match="three levels"):
        NoiseConditionedUNet(widths=(8, 16))
