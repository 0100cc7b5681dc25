from __future__ import annotations

import pytest
import torch

from napari_synth.networks.discriminators import PatchDiscriminator


@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (3, 16, 24))])
def test_every_patch_is_judged(dims: int, size: tuple[int, ...]) -> None:
    judged = PatchDiscriminator(dims, 2, width=4)(torch.rand(2, 2, *size))
    assert judged.shape == (2, 1, *size[:-2], 4, 6)


@pytest.mark.parametrize(("halvings", "patch"), [(1, 12), (2, 26), (3, 54)])
def test_a_patch_is_as_large_as_it_says(halvings: int, patch: int) -> None:
    network = PatchDiscriminator(width=4, halvings=halvings)
    x = torch.rand(1, 1, 128, 16, requires_grad=True)
    judged = network(x)
    judged[0, 0, judged.shape[2] // 2, 0].backward()
    assert x.grad is not None
    rows = x.grad.abs().amax((0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == patch


def test_it_learns_what_looks_like_what_it_was_shown() -> None:
    generator = torch.Generator().manual_seed(0)
    network = PatchDiscriminator(width=4, halvings=1, generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        rough = torch.rand(4, 1, 16, 16, generator=generator)
        loss = (network(rough) - 1).square().mean() + network(
            rough.mean((2, 3), keepdim=True).expand_as(rough)
        ).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_what_makes_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="needs"):
        PatchDiscriminator(halvings=0)
