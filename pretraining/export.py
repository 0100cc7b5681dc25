"""From a training run to a model file with a filled-in card."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from napari_synth.models import ModelCard, save_model
from napari_synth.networks import NoiseConditionedUNet
from pretraining.credits import TRAINING_DATA
from pretraining.evaluation import Figures

NAME = "denoise-blind"
"""Name of the bundled denoiser."""

_TESTS = {
    "gaussian 25": "PSNR in dB, Gaussian 25/255, sigma known",
    "photons 30": "PSNR in dB, 30 photons at the peak, read noise 1 e-, gain known",
}

_LIMITS = (
    "Trained for Gaussian noise up to 75/255 and from 5 photons at the peak; stronger noise was not tested.",
    "The strength of the noise must be given; a wrong one costs more than the choice of the network.",
    "Correlated noise: only correlation that reaches a few pixels; stripes and fixed patterns are kept as signal.",
    "Very fine periodic texture close to the noise level is smoothed.",
    "One plane at a time: it does not use neighbouring slices, frames or channels.",
)


def make_card(network: NoiseConditionedUNet, figures: Figures, command: str, version: str) -> ModelCard:
    """Return the card of the bundled denoiser.

    Parameters
    ----------
    network : NoiseConditionedUNet
        The trained network.
    figures : dict
        What `pretraining.evaluation.evaluate` returned for it.
    command : str
        The command that trained it.
    version : str
        Version of the weights.
    """
    metrics = {_TESTS[kind]: {name: round(value, 2) for name, value in row.items()} for kind, row in figures.items()}
    return ModelCard(
        name=NAME,
        title="Blind denoiser",
        task="denoise",
        architecture="noise-conditioned-unet",
        config=network.config,
        training_data=TRAINING_DATA,
        training_command=command,
        metrics=metrics,
        limits=_LIMITS,
        weights_licence="BSD-3-Clause",
        version=version,
    )


def export(network: nn.Module, folder: Path, figures: Figures, command: str, version: str) -> Path:
    """Write ``denoise-blind.safetensors`` into `folder` and return its path."""
    if not isinstance(network, NoiseConditionedUNet):
        raise TypeError("Only a NoiseConditionedUNet can be exported as the blind denoiser.")
    folder.mkdir(parents=True, exist_ok=True)
    return save_model(folder / f"{NAME}.safetensors", network, make_card(network, figures, command, version))
