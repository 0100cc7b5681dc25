"""Makes the optimisers of a network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


def usual_optimizers(network: nn.Module, settings: FitSettings) -> list[torch.optim.Optimizer]:
    """Return what the settings ask for: Adam, or Muon for hidden layers and AdamW for the others."""
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        trained = [p for p in network.parameters() if p.requires_grad]
        return [torch.optim.Adam(trained, lr=rate, betas=(0.9, 0.99))]
    hidden, outer = hidden_weights(network)
    made: list[torch.optim.Optimizer] = [Muon(hidden, lr=rate)] if hidden else []
    return [*made, torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)] if outer else made


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


# Share of a budget of minutes over which the speed is measured.
_MEASURED = 0.1
_FIRST_VALIDATION = 16
# A learning rate that falls ends at this share of what it was.
_LOWEST = 0.01


@dataclass(frozen=True)
class Budget:
    """When training ends: after so many steps, or so many minutes, or when it is stopped.

    Attributes
    ----------
    steps : int or None
        The same number of steps gives the same weights on the same kind of device.
    minutes : float or None
        About the wall time: the first part of it tells how many steps it holds, and the run then is one of that many steps.
    until_stopped : bool
        Train at a constant rate until the user has enough; the averaged weights are as good as those of a rate that falls.
    """

    steps: int | None = None
    minutes: float | None = None
    until_stopped: bool = False

    def __post_init__(self) -> None:
        if (self.steps is not None) + (self.minutes is not None) + self.until_stopped != 1:
            raise ValueError("A budget needs either steps or minutes, or lasts until it is stopped.")


@dataclass(frozen=True)
class FitSettings:
    """How networks are fitted.

    Attributes
    ----------
    learning_rate : float
        Warmed up, held, then lowered along a cosine. Optimisers that a training module makes itself start from their own.
    batch_size : int
        Halved by the trainer where the device's memory is short.
    finds_batch : bool
        Whether the trainer looks for a better one before it begins, from this one on; see `napari_synth.training.trainer`.
    held_flat : float
        Share of the budget before the learning rate falls.
    warm_up : int
        Steps over which the learning rate rises.
    clip : float
        Largest norm of the gradient.
    averaging : float
        Decay of the running average of the weights, a step.
    validations : int
        How often the held-out loss is taken; 0 for never.
    early_validations : bool
        Whether validations in the first tenth of the budget come after 16, 32, 64 … steps, so that there is something to see while
        the speed is still measured.
    optimizer : {"adam", "muon"}
        Muon takes the weights of hidden layers, and leaves the others to AdamW; see `napari_synth.training.optim.hidden_weights`.
    """

    learning_rate: float = 1e-3
    batch_size: int = 8
    finds_batch: bool = False
    held_flat: float = 0.3
    warm_up: int = 20
    clip: float = 1.0
    averaging: float = 0.99
    validations: int = 8
    early_validations: bool = False
    optimizer: Literal["adam", "muon"] = "adam"

    @property
    def before_changes(self) -> float:
        """Share of the budget after which, at the earliest, a step depends on how many there will be."""
        return min(self.held_flat, _MEASURED if self.early_validations else 1.0 / max(1, self.validations))

    def has_early_validation(self, step: int, spent: float) -> bool | None:
        """Return whether one is due after a step where they go by steps alone; None where they go by the share of the budget."""
        if not self.early_validations or spent >= _MEASURED:
            return None
        return step >= _FIRST_VALIDATION and step & (step - 1) == 0

    def rate(self, step: int, spent: float, full: float | None = None) -> float:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int
            Steps done before.
        spent : float
            How much of the budget is used up, 0 to 1.
        full : float, optional
            The highest rate; `learning_rate` where it is left out.
        """
        warm = min(1.0, (step + 1) / self.warm_up)
        falling = max(0.0, (spent - self.held_flat) / (1.0 - self.held_flat))
        highest = self.learning_rate if full is None else full
        return highest * warm * max(_LOWEST, 0.5 * (1.0 + math.cos(math.pi * min(1.0, falling))))


class Clock:
    """Finds out how many steps a time holds, before any step depends on it.

    Parameters
    ----------
    seconds : float
        Of the whole run.
    settings : FitSettings
    validation : float
        Seconds that one validation takes.
    """

    def __init__(self, seconds: float, settings: FitSettings, validation: float) -> None:
        self.seconds, self.settings = seconds, settings
        self.validations = settings.validations * validation
        self.first = 0.0

    def likely(self, step: int, seconds: float) -> int:
        """Return how many steps there will be, judged after ``step`` of them."""
        if step == 1:
            self.first = seconds
        # The first step is slower than the others: kernels are chosen, and memory is taken.
        pace = (seconds - self.first) / (step - 1) if step > 1 else seconds
        left = math.floor((self.seconds - seconds - self.validations) / max(pace, 1e-9))
        unaffected = math.floor((step - 1) / max(self.settings.before_changes, 1e-9)) + 1
        return max(step + left, unaffected)

    def is_measured(self, seconds: float) -> bool:
        """Whether the speed is known well enough, which is before a step depends on how many there will be."""
        return seconds >= min(_MEASURED, 0.8 * self.settings.before_changes) * self.seconds
