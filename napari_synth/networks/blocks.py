"""What the networks are made of that know the noise: without biases, so that they scale with the image.

Mohan et al., "Robust and interpretable blind image denoising via bias-free convolutional neural networks", ICLR 2020.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """``x + conv(rectifier(conv(x)))`` without biases.

    Parameters
    ----------
    width : int
        Channels.
    slope : float
        Of the rectifier below zero, -1 to 1. At 0, and even at 0.1, training with large steps leaves blocks whose rectifiers hardly
        ever open again. At -1 the rectifier is the absolute value, which cannot close.

    Raises
    ------
    ValueError
        The slope is not between -1 and 1.
    """

    def __init__(self, width: int, slope: float = 0.0) -> None:
        super().__init__()
        if not -1.0 <= slope <= 1.0:
            raise ValueError("The slope of a rectifier must lie between -1 and 1.")
        self.slope = slope
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape (N, C, H, W)."""
        # In place: on one CPU thread a fresh plane costs more in page faults than the addition itself.
        change: Tensor = self.second(_rectified(self.first(x), self.slope))
        return change.add_(x)


def _rectified(x: Tensor, slope: float) -> Tensor:
    """Return ``x`` above zero and ``slope * x`` below, in place where that has a gradient."""
    if slope == -1.0:
        return x.abs_()
    return functional.leaky_relu(x, slope, inplace=slope >= 0.0)


def residual_blocks(width: int, count: int, slope: float = 0.0) -> nn.Sequential:
    """Return ``count`` residual blocks, one behind the other.

    Parameters
    ----------
    width : int
        Channels.
    count : int
    slope : float
        Of the rectifiers below zero.
    """
    return nn.Sequential(*(ResidualBlock(width, slope) for _ in range(count)))


def initialise(network: nn.Module, *last: nn.Conv2d) -> None:
    """Set fresh weights so that residual blocks, and the last layers, add little at first."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                module.second.weight.mul_(0.1)
        for layer in last:
            layer.weight.mul_(0.1)


def noise_planes(level: Tensor, correlation: Tensor | None) -> Tensor:
    """Return what a network is told of the noise, three planes of homogeneous degree 1.

    Parameters
    ----------
    level : Tensor
        Standard deviation of the noise in the units of the image, shape (N, 1, H, W).
    correlation : Tensor or None
        Correlation of the noise of neighbours along y and x, shape (N, 2), 0 to 1; None for independent pixels.

    Returns
    -------
    Tensor
        Shape (N, 3, H, W): sigma, sigma * rho_y and sigma * rho_x.
    """
    n = level.shape[0]
    rho = level.new_zeros(n, 2) if correlation is None else correlation.to(level.dtype)
    return torch.cat((level, level * rho.reshape(n, 2, 1, 1)), dim=1)


Network = TypeVar("Network", bound=nn.Module)

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(network: Network) -> Network:
    """Lay the weights of a network's convolutions out as the processors' fast kernels want them, and return it."""
    for parameter in network.parameters():
        if parameter.dim() in _LAYOUTS:
            parameter.data = parameter.data.contiguous(memory_format=_LAYOUTS[parameter.dim()])
    return network
