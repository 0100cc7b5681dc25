"""Teaches a copy of a bundled network a little of one image; every task has a way of its own to tell whether that helped."""

from __future__ import annotations

from torch import nn

from napari_synth.contract.generator import Context
from napari_synth.core.errors import TrainingDivergedError
from napari_synth.training.loop import Budget, FitSettings, Objective, fit

# In standard errors: a smaller gain on what was held out is chance.
CONVINCING = 2.0
NOT_SETTLED = "Adapting did not settle on this image: the bundled network is used."


def adapt_to_image(
    learner: nn.Module,
    objective: Objective,
    context: Context,
    *,
    steps: int,
    rate: float,
    batch: int,
    stage: str = "Adapting",
) -> bool:
    """Train a network on an image, in place, and return whether that came to an end.

    Parameters
    ----------
    learner : torch.nn.Module
        Whose weights ask for gradients.
    objective : Objective
        Its figure on held-out pixels says which weights are kept.
    context : Context
        Its seed, device, report and cancel are those of the training.
    steps : int
    rate : float
        Of learning, at its highest.
    batch : int
        Patches a step.
    stage : str
        What the progress says.

    Returns
    -------
    bool
        False where the loss did not stay finite: the weights are then of no use.
    """
    settings = FitSettings(rate, batch, warm_up=10, averaging=0.95, validations=4)
    random = context.torch_generator()
    try:
        fit(
            learner,
            objective,
            Budget(steps=steps),
            context.device,
            random,
            settings=settings,
            report=context.report,
            stage=stage,
            full_precision=True,
        )
    except TrainingDivergedError:
        return False
    return True
