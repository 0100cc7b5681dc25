"""Gives residual blocks that training has closed another chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from napari_synth.networks.blocks import ResidualBlock

_CLOSED = 0.05


def reopen(network: nn.Module, use: Callable[[], object]) -> int:
    """Set fresh weights in every residual block whose rectifiers hardly ever open, and return how many there are.

    Large steps can make all that a block's first layer gives negative; nothing passes it then, and no gradient comes back. Such a
    block gets a fresh first layer, and a second one of zeros, so that the network computes at first what it did.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    use : callable
        Runs the network on a batch that is like those of the training.
    """
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    opened: dict[ResidualBlock, float] = {}

    def watching(block: ResidualBlock) -> Callable[[nn.Module, Any, Tensor], None]:
        def look(_layer: nn.Module, _given: Any, result: Tensor) -> None:
            opened[block] = float((result > 0).float().mean())

        return look

    hooks = [block.first.register_forward_hook(watching(block)) for block in blocks]
    with torch.no_grad():
        use()
        for hook in hooks:
            hook.remove()
        closed = [block for block in blocks if opened.get(block, 1.0) < _CLOSED]
        for block in closed:
            nn.init.kaiming_normal_(block.first.weight, nonlinearity="relu")
            block.second.weight.zero_()
    return len(closed)
