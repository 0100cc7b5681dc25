"""What a trainer trains: any number of networks with their own optimisers, and what they are trained for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napari_synth.core.progress import Reporter
from napari_synth.training.events import Figures, Preview

Networks = Mapping[str, nn.Module]


@dataclass(frozen=True)
class Validation:
    """What was measured on pixels that are never trained on.

    Attributes
    ----------
    score : float
        Lower is better: the best weights are chosen by it.
    metrics : mapping of str to float
        What the user is shown, by name with its unit; higher or lower is better as the name says.
    collapsed : str
        Says what went wrong where the networks are useless now, e.g. all samples of a GAN being alike; the trainer then goes back
        to its last good weights. Else "".
    """

    score: float
    metrics: Figures = field(default_factory=dict)
    collapsed: str = ""


class StepContext(Protocol):
    """What a training module is given for a step.

    Attributes
    ----------
    networks : mapping of str to nn.Module
        To be called: they compute in the precision of the run and return float32.
    generator : torch.Generator
        On the device: every random draw of a batch comes from it, the same in all processes.
    step : int
        Steps done before.
    spent : float
        Share of the budget that is used up, 0 to 1; 0 where training lasts until it is stopped.
    """

    networks: Networks
    generator: torch.Generator
    step: int
    spent: float

    @property
    def batch_size(self) -> int:
        """Of all processes together."""

    def share(self, batch: Tensor) -> Tensor:
        """Return this process' share of a batch (N, ...): all of it where there is but one process."""

    def update(self, optimizers: str, loss: Tensor) -> None:
        """Take one step of the named optimisers down the gradient of a loss, the mean over this process' share.

        The gradients of their weights are cleared before; those of other weights are left as they fall.
        """


class TrainingModule(ABC):
    """Networks that learn.

    Attributes
    ----------
    networks : mapping of str to nn.Module
        Everything with weights; moved to the device by the trainer.
    averaged : collection of str
        Those of which a running average is kept, which is what is validated, previewed and kept in the end.
    settles : bool
        Whether the first loss of a step falls and stays low, so that a sudden rise says that training became unstable. It does not
        where networks play against each other.
    """

    networks: Networks
    settles: bool = True

    @property
    def averaged(self) -> Collection[str]:
        """Names of the networks of which a running average is kept."""
        return tuple(self.networks)

    @property
    def loss_in_words(self) -> str:
        """What the losses are, and whether lower is better; a sentence or two for the user."""
        if self.settles:
            return "The mean error of the network on the patches of a step: lower is better."
        return (
            "The networks play against each other, so that no loss has to fall: what is measured on held-out pixels tells how"
            " good they are."
        )

    @abstractmethod
    def optimizers(self) -> Mapping[str, Sequence[torch.optim.Optimizer]]:
        """Return fresh optimisers, by the name that `StepContext.update` is given.

        Their learning rates are the highest of the run.
        """

    @abstractmethod
    def step(self, work: StepContext) -> Mapping[str, Tensor]:
        """Draw a batch, update the networks with `StepContext.update`, and return the losses, what is trained for first.

        Where the memory is short it is called again with half the batch.
        """

    def validate(self, networks: Networks) -> Validation | None:
        """Measure the averaged networks on what is never trained on, the same draw at every call; None where there is nothing."""
        return None

    def baselines(self) -> Mapping[str, Figures]:
        """Return the metrics of methods that need no learning, by what they are; called once."""
        return {}

    def limits(self, metrics: Figures) -> tuple[str, ...]:
        """Return what the metrics of the weights that are kept say against using them, a sentence each."""
        return ()

    def found_at_the_end(self, report: Reporter) -> Mapping[str, Any]:
        """Return what the card is to say besides of the weights that are kept, which the networks hold: plain JSON types.

        Called once, after the training; its steps are told to the reporter.
        """
        return {}

    def preview(self, networks: Networks) -> Preview | None:
        """Return what the averaged networks make of a part of the data."""
        return None

    def state(self) -> dict[str, Any]:
        """Return what else the next step depends on (a pool of images, say): tensors, numbers, strings, lists and dicts."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have nothing to take up
        """Take up what `state` returned; its tensors are on the CPU."""
