from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_synth.networks.blind_spot_unet import BlindSpotUNet
from napari_synth.networks.curves import MonotoneSpline
from napari_synth.networks.three_layer_cnn import ThreeLayerCNN


def reach(network: nn.Module, shape: tuple[int, ...], axis: int) -> int:
    """How far along ``axis`` a change in the middle is seen, over all phases of the network's grid."""
    image = torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = network.double().eval()
    farthest = 0
    for phase in range(4):
        at = [size // 2 for size in shape]
        at[axis] += phase
        changed = image.clone()
        changed[(0, 0, *at)] += 1.0
        with torch.no_grad():
            moved = (network(changed) - network(image)).abs().sum(1)[0]
        seen = moved.movedim(axis, 0).flatten(1).amax(1).nonzero()
        farthest = max(farthest, int((seen - at[axis]).abs().max()))
    return farthest


@pytest.mark.parametrize(("dims", "axis"), [(2, 0), (2, 1), (3, 0), (3, 2)])
def test_the_receptive_field_of_the_blind_spot_unet_is_as_declared(dims: int, axis: int) -> None:
    shape = (24, 8, 88)[-dims:] if dims == 3 and axis == 2 else (24, 16, 16) if dims == 3 else (88, 88)
    network = BlindSpotUNet(dims, width=4, generator=torch.Generator().manual_seed(0))
    assert reach(network, shape, axis) <= network.receptive_field[axis + 3 - dims]
    assert reach(network, shape, axis) >= network.receptive_field[axis + 3 - dims] - 2


@pytest.mark.parametrize("shape", [(12, 20), (3, 12, 20)])
def test_the_blind_spot_unet_keeps_the_size(shape: tuple[int, ...]) -> None:
    network = BlindSpotUNet(len(shape), width=4, out_channels=2)
    assert network(torch.zeros((2, 1, *shape))).shape == (2, 2, *shape)


def test_initial_weights_come_from_the_generator() -> None:
    first, again, other = (
        BlindSpotUNet(generator=torch.Generator().manual_seed(seed)).head.weight for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_three_layer_network_sees_two_pixels_far() -> None:
    assert reach(ThreeLayerCNN(8), (24, 24), 1) == ThreeLayerCNN.receptive_field


def spline() -> MonotoneSpline:
    slopes = torch.rand(16, generator=torch.Generator().manual_seed(0)) * 5 + 0.1
    return MonotoneSpline(slopes, -0.5, 1.5, start=2.0)


def test_the_spline_rises_and_its_inverse_leads_back() -> None:
    x = torch.linspace(-2.0, 3.0, 301, dtype=torch.float64)
    rising = spline().double()
    y = rising(x)
    assert (y.diff() > 0).all()
    assert torch.allclose(rising.inverse(y), x, atol=1e-9)
    assert rising(torch.tensor(-0.5, dtype=torch.float64)).item() == pytest.approx(2.0)


def test_the_spline_has_the_slopes_it_is_given() -> None:
    straight = MonotoneSpline(torch.full((8,), 3.0), 0.0, 1.0)
    x = torch.tensor([-1.0, 0.3, 5.0])
    assert torch.allclose(straight(x), 3.0 * x, atol=1e-5)


def test_gradients_reach_the_slopes_both_ways() -> None:
    rising = spline()
    (rising.inverse(rising(torch.rand(50)) * 1.1).sum()).backward()
    assert rising.log_slopes.grad is not None
    assert rising.log_slopes.grad.abs().max() > 0
