"""Lays weights out in memory for speed."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(network: Network) -> Network:
    """Lay the weights of a network's convolutions out as the processors' fast kernels want them, and return it."""
    for parameter in network.parameters():
        if parameter.dim() in _LAYOUTS:
            parameter.data = parameter.data.contiguous(memory_format=_LAYOUTS[parameter.dim()])
    return network
