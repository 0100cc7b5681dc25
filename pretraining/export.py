"""From a training run to a model file with a filled-in card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from napari_synth.models import ModelCard, TrainingData, save_model
from pretraining.credits import INPAINTING_DATA, TRAINING_DATA
from pretraining.evaluation import HOLES, Figures


@dataclass(frozen=True)
class CardText:
    """What the card of a bundled model says, whatever its weights.

    Parameters
    ----------
    name, title, task, architecture : str
        See `ModelCard`.
    tests : dict
        What was measured, by the name that `pretraining.evaluation` gives it.
    limits : tuple of str
        Where the model fails or was not tested.
    training_data : tuple of TrainingData
    """

    name: str
    title: str
    task: str
    architecture: str
    tests: dict[str, str]
    limits: tuple[str, ...]
    training_data: tuple[TrainingData, ...] = TRAINING_DATA


DENOISER = CardText(
    "denoise-blind",
    "Blind denoiser",
    "denoise",
    "noise-conditioned-unet",
    {
        "gaussian 25": "PSNR in dB, Gaussian 25/255, sigma known",
        "photons 30": "PSNR in dB, 30 photons at the peak, read noise 1 e-, gain known",
    },
    (
        "Trained for Gaussian noise up to 75/255 and from 2 photons at the peak; stronger noise was not tested.",
        "The strength of the noise must be given; a wrong one costs more than the choice of the network.",
        "Correlated noise: only correlation that reaches a few pixels; strong stripes and fixed patterns are kept as signal.",
        "Very fine periodic texture close to the noise level is smoothed.",
        "One plane at a time: it does not use neighbouring slices, frames or channels.",
    ),
)
"""The blind denoiser."""

ENLARGER = CardText(
    "super-resolution",
    "Super-resolution by 2, 3 and 4",
    "super-resolution",
    "super-resolution-unet",
    {f"x{scale}": f"PSNR in dB, x{scale} after cubic reduction, 8 bits" for scale in (2, 3, 4)},
    (
        "More pixels do not mean more resolution: detail that the coarse image does not hold is guessed from other images.",
        "Trained for pixels that average or that were reduced with a cubic kernel; strong blur is not taken away.",
        "Trained for Gaussian noise up to 50/255 and from 15 photons at the peak; its strength must be given.",
        "One plane at a time: it does not use neighbouring slices, frames or channels.",
    ),
)
"""The super-resolution network."""

INPAINTER = CardText(
    "inpaint",
    "Inpainting",
    "inpaint",
    "gated-inpainter",
    {kind: f"PSNR in dB in the holes, {what}" for kind, what in HOLES.items()}
    | {f"{kind}, fine": f"energy of fine detail over the truth's, {what}" for kind, what in HOLES.items()},
    (
        "What it puts into a hole is invented: nothing measured stands behind it.",
        "Trained on holes that a box of 64 x 64 pixels covers; in the middle of larger ones it knows nothing.",
        "One plane at a time: it does not use neighbouring slices, frames or channels.",
    ),
    INPAINTING_DATA,
)
"""The inpainting network."""


def make_card(text: CardText, network: nn.Module, figures: Figures, command: str, version: str) -> ModelCard:
    """Return the card of a bundled model.

    Parameters
    ----------
    text : CardText
    network : nn.Module
        The trained network.
    figures : dict
        What `pretraining.evaluation` measured of it.
    command : str
        The command that trained it.
    version : str
        Version of the weights.
    """
    return ModelCard(
        name=text.name,
        title=text.title,
        task=text.task,
        architecture=text.architecture,
        config=network.config,
        training_data=text.training_data,
        training_command=command,
        metrics={text.tests[kind]: {k: round(v, 2) for k, v in row.items()} for kind, row in figures.items()},
        limits=text.limits,
        weights_licence="BSD-3-Clause",
        version=version,
    )


def export(text: CardText, network: nn.Module, folder: Path, figures: Figures, command: str, version: str) -> Path:
    """Write the model file into `folder` and return its path; see `make_card`."""
    folder.mkdir(parents=True, exist_ok=True)
    card = make_card(text, network, figures, command, version)
    return save_model(folder / f"{text.name}.safetensors", network, card)
