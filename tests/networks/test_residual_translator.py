from __future__ import annotations

from typing import Any

import pytest
import torch

from napari_synth.networks.residual_translator import CycleTranslator, ResidualTranslator

SMALL: dict[str, Any] = {"width": 4, "blocks": 2}


@pytest.mark.parametrize(("dims", "size"), [(2, (12, 16)), (3, (1, 12, 16)), (3, (3, 8, 12))])
@pytest.mark.parametrize(("inside", "outside"), [(1, 1), (1, 3), (4, 2)])
def test_it_starts_near_the_image_as_it_is(dims: int, size: tuple[int, ...], inside: int, outside: int) -> None:
    x = torch.rand(2, inside, *size)
    result = ResidualTranslator(dims, inside, outside, **SMALL, generator=torch.Generator().manual_seed(0))(x)
    assert result.shape == (2, outside, *size)
    start = x if inside == outside else x.mean(1, keepdim=True).expand_as(result)
    assert (result - start).abs().max() < 0.2


@pytest.mark.parametrize("normalisation", ["none", "pixel", "instance"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_configuration_rebuilds_it(normalisation: Any, dims: int) -> None:
    for kind in (ResidualTranslator, CycleTranslator):
        network = kind(dims, 2, 1, **SMALL, normalisation=normalisation)
        again = kind(**network.config)
        again.load_state_dict(network.state_dict())
        x = torch.rand(1, 2, *(2, 8, 8)[-dims:])
        assert torch.equal(network.eval()(x), again.eval()(x))
        assert network.needs_whole == (normalisation == "instance")


@pytest.mark.parametrize("normalisation", ["none", "pixel"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_no_pixel_sees_further_than_it_says(normalisation: Any, blocks: int) -> None:
    network = ResidualTranslator(width=4, blocks=blocks, normalisation=normalisation)
    field = network.receptive_field[-1]
    assert network.receptive_field == (2 * blocks + 4, field, field)
    size = 4 * (field // 2 + 4)
    x = torch.rand(1, 1, size, 8)
    seen = 0
    with torch.no_grad():
        plain = network(x)
        for row in range(size // 2, size // 2 + 4):
            changed = x.clone()
            changed[..., row, :] += 1
            rows = (network(changed) - plain).abs().amax((0, 1, 3)).nonzero().flatten()
            seen = max(seen, int((rows - row).abs().max()))
    assert field - 4 <= seen <= field


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_features_have_the_widths_that_it_says(blocks: int) -> None:
    network = ResidualTranslator(in_channels=3, width=4, blocks=blocks)
    x = torch.rand(2, 3, 16, 8)
    found = network(x, features=True)
    assert tuple(part.shape[1] for part in found) == network.feature_widths
    assert [tuple(part.shape[2:]) for part in found[:3]] == [(8, 4), (8, 4), (4, 2)]


def test_both_ways_are_in_one_network() -> None:
    network = CycleTranslator(2, 1, 3, **SMALL)
    x = torch.rand(1, 1, 8, 8)
    assert network(network(x), back=True).shape == x.shape
    assert torch.equal(network(x), network.there(x))


@pytest.mark.parametrize("wrong", [{"dims": 1}, {"blocks": 0}, {"in_channels": 0}, {"normalisation": "batch"}])
def test_what_makes_no_network_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|normalised"):
        ResidualTranslator(**wrong)
