from __future__ import annotations

import torch

from napari_synth.networks import NoiseConditionedUNet
from napari_synth.networks.blocks import ResidualBlock
from pretraining.reopening import reopen


def test_a_closed_block_is_opened_and_the_network_computes_what_it_did() -> None:
    torch.manual_seed(0)
    network = NoiseConditionedUNet((4, 6, 8), bottom_blocks=1).requires_grad_(False)
    image, sigma = torch.rand(1, 1, 32, 32), torch.full((1, 1, 1, 1), 0.1)
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    closed = blocks[-1]
    closed.first.weight.zero_()
    before = network(image, sigma)
    assert reopen(network, lambda: network(image, sigma)) == 1
    assert closed.first.weight.abs().sum() > 0
    assert torch.equal(network(image, sigma), before)
    assert reopen(network, lambda: network(image, sigma)) == 0
