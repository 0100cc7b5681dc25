from __future__ import annotations

import torch

from napari_synth.networks.enlargers import AxialEnlarger


def trained(scale: int = 3) -> AxialEnlarger:
    torch.manual_seed(0)
    network = AxialEnlarger(scale, width=8)
    torch.nn.init.normal_(network.tail.weight)
    return network.eval().requires_grad_(False)


def test_only_the_first_axis_becomes_finer() -> None:
    assert trained(3)(torch.rand(2, 1, 5, 7)).shape == (2, 1, 15, 7)


def test_untrained_it_adds_nothing() -> None:
    with torch.no_grad():
        assert not AxialEnlarger(4)(torch.rand(1, 1, 6, 6)).any()


def test_it_scales_with_the_image() -> None:
    network, image = trained(), torch.rand(1, 1, 9, 9)
    assert torch.allclose(network(1e3 * image), 1e3 * network(image), rtol=1e-4)


def test_rows_of_a_slice_come_from_around_it() -> None:
    network, image = trained(), torch.rand(1, 1, 41, 41)
    other = image.clone()
    other[..., 20, 20] += 1.0
    moved = (network(image) - network(other)).abs()[0, 0] > 1e-7
    rows, columns = moved.any(1).nonzero().flatten(), moved.any(0).nonzero().flatten()
    reach = network.receptive_field
    assert int(rows.min()) // 3 == 20 - reach == int(columns.min())
    assert int(rows.max()) // 3 == 20 + reach == int(columns.max())


def test_it_is_small() -> None:
    assert 40_000 < sum(weight.numel() for weight in AxialEnlarger(4).parameters()) < 200_000
