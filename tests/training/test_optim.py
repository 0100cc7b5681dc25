from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_synth.training.optim import Muon, hidden_weights, orthogonalised


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)])
def test_every_direction_of_an_orthogonalised_update_counts_alike(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def test_iterations_on_gram_matrices_are_those_of_newton_and_schulz():
    matrices = torch.randn(3, 16, 90, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -3, 16)[:, None]
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalised(matrices), x, rtol=0, atol=1e-4)


def test_it_finds_a_badly_conditioned_minimum_that_gradient_descent_is_slow_at():
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, -2, 12)
    images = torch.randn(256, 12, generator=generator) * scales
    wanted = images @ torch.randn(12, 12, generator=generator)
    layer = nn.Linear(12, 12, bias=False)

    def loss():
        return (layer(images) - wanted).square().mean()

    before = loss().item()
    optimiser = Muon(layer.parameters(), lr=0.05, weight_decay=0.0)
    for _ in range(200):
        layer.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < 0.01 * before


def test_its_update_has_the_size_of_adams():
    conv = nn.Conv2d(16, 32, 3)
    before = conv.weight.detach().clone()
    conv.weight.grad = torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(0))
    Muon([conv.weight], lr=1e-2, weight_decay=0.0).step()
    assert float((conv.weight.detach() - before).square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)


def test_a_weight_without_gradient_stays():
    used, idle = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    used.grad = torch.eye(4)
    Muon([used, idle], lr=0.1).step()
    assert torch.equal(idle, torch.ones(4, 4))
    assert not torch.equal(used, torch.ones(4, 4))


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="closure"):
        Muon([nn.Parameter(torch.ones(2, 2))], lr=0.1).step(lambda: None)


def test_heads_tails_and_vectors_are_no_hidden_weights():
    network = nn.Sequential()
    for name, layer in (("head", nn.Conv2d(1, 4, 3)), ("body", nn.Conv2d(4, 4, 3)), ("tail", nn.Conv2d(4, 1, 3))):
        network.add_module(name, layer)
    hidden, outer = hidden_weights(network)
    assert [tuple(weight.shape) for weight in hidden] == [(4, 4, 3, 3)]
    assert len(outer) == 5
    network.body.requires_grad_(False)
    assert hidden_weights(network)[0] == []
