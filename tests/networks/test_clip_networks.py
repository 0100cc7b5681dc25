"""Networks that predict frames."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_synth.models.architectures import build_network
from napari_synth.networks.frame_predictors import ConvLSTM, SimVP

NETWORKS = [
    ConvLSTM(2, history=3, width=8, layers=1),
    SimVP(2, history=3, horizon=2, width=8, mixed=16, blocks=1),
    SimVP(2, history=4, horizon=1, width=8, mixed=16, blocks=1, base="none"),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seen", [1, 2, 6])
def test_any_number_of_frames_goes_in_and_comes_out(network: nn.Module, seen: int) -> None:
    clip = torch.rand(2, seen, 2, 16, 24)
    with torch.no_grad():
        for count in (1, 5):
            assert network(clip, count)[:, -count:].shape == (2, count, 2, 16, 24)


@pytest.mark.parametrize(("network", "name"), [(NETWORKS[0], "conv-lstm"), (NETWORKS[1], "simvp")])
def test_the_configuration_rebuilds_the_network(network: nn.Module, name: str) -> None:
    config = network.config
    assert isinstance(config, dict)
    again = build_network(name, config)
    again.load_state_dict(network.state_dict())
    clip = torch.rand(1, 3, 2, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(clip, 2), network(clip, 2))


def test_simvp_sees_no_further_than_it_says() -> None:
    network = SimVP(1, history=2, horizon=1, width=8, mixed=8, blocks=1)
    field = network.receptive_field
    size = 4 * (2 * field // 4 + 8)
    clip = torch.rand(1, 2, 1, size, size)
    changed = clip.clone()
    changed[..., size // 2, size // 2] += 5.0
    with torch.no_grad():
        difference = (network(changed, 1) - network(clip, 1))[0, 0, 0].abs()
    rows = torch.nonzero(difference.amax(1) > 0)[:, 0]
    assert size // 2 - field <= int(rows.min())
    assert int(rows.max()) <= size // 2 + field
    assert int(rows.max()) - int(rows.min()) > field


def test_the_recurrent_network_goes_on_from_true_frames_where_it_is_taught() -> None:
    network = ConvLSTM(1, history=2, width=8, layers=1)
    past, truth = torch.rand(2, 2, 1, 16, 16), torch.rand(2, 3, 1, 16, 16)
    taught = torch.tensor([[True, True, True], [False, False, False]])
    with torch.no_grad():
        given = network(past, 3, truth, taught)
        shown = network(torch.cat((past, truth[:, :2]), 1), 1)
        alone = network(past, 3)
    torch.testing.assert_close(given[0], shown[0])
    torch.testing.assert_close(given[1], alone[1])
    assert not torch.allclose(given[0, -1], alone[0, -1])
