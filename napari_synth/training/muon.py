"""Muon: orthogonalised momentum for the weights of hidden layers.

A convolutional network that trains for minutes on a CPU gets several times further with it than with Adam.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


def hidden_weights(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split what is trained of a network into the weights of its hidden layers, and the others: of heads, tails, and vectors."""
    hidden: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            (hidden if weight.ndim > 1 and not name.startswith(("head", "tail")) else outer).append(weight)
    return hidden, outer


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return about the nearest semi-orthogonal matrices of `matrices`, by five Newton-Schulz iterations.

    An iteration multiplies a matrix with a polynomial of its Gram matrix. All these polynomials are symmetric and commute, so that
    the next Gram matrix follows from the last one alone: the long side of the matrix is met only at the beginning and at the end.

    Parameters
    ----------
    matrices : Tensor
        Shape (N, A, B).
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    one = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    whole = one.expand_as(gram)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        polynomial = a * one + b * gram + c * (gram @ gram)
        whole = polynomial @ whole
        gram = polynomial @ gram @ polynomial
    x = whole @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, and scaled to the root mean square that Adam's has.

    Parameters
    ----------
    parameters : iterable of Parameter
        Weights of two or more dimensions; a convolution's is taken as a matrix of (out, in * height * width).
    lr : float
        Learning rate, of the size that Adam takes.
    momentum : float
        Nesterov momentum.
    weight_decay : float
        Decoupled from the gradient, as in AdamW.

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is scalable for
    LLM training", 2025 (the scale of the update).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients that the parameters hold."""
        if closure is not None:
            raise ValueError("Muon takes its gradients from the parameters, not from a closure.")
        for group in self.param_groups:
            momentum = group["momentum"]
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1.0 - momentum)
                update = weight.grad.lerp(average, momentum).flatten(1)
                alike[tuple(update.shape)].append((weight, update))
            for shape, pairs in alike.items():
                updates = orthogonalised(torch.stack([update for _, update in pairs]))
                scale = 0.2 * math.sqrt(max(shape))
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.mul_(1.0 - group["lr"] * group["weight_decay"])
                    weight.add_(update.reshape(weight.shape), alpha=-group["lr"] * scale)
