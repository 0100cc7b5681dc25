"""The architectures that a model file can name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES: dict[str, str] = {
    "blind-spot-unet": "napari_synth.networks.blind_spot_unet:BlindSpotUNet",
    "conv-lstm": "napari_synth.networks.conv_lstm:ConvLSTM",
    "cycle-translator": "napari_synth.networks.residual_translator:CycleTranslator",
    "dcgan-generator": "napari_synth.networks.dcgan:DcganGenerator",
    "fastgan-generator": "napari_synth.networks.fastgan:FastganGenerator",
    "gated-inpainter": "napari_synth.networks.gated_inpainter:GatedInpainter",
    "label-painter": "napari_synth.networks.label_painter:LabelPainter",
    "noise-conditioned-unet": "napari_synth.networks.noise_conditioned_unet:NoiseConditionedUNet",
    "refined-autoencoder": "napari_synth.networks.refined_autoencoder:RefinedAutoencoder",
    "residual-unet": "napari_synth.networks.residual_unet:ResidualUNet",
    "residual-translator": "napari_synth.networks.residual_translator:ResidualTranslator",
    "simvp": "napari_synth.networks.simvp:SimVP",
    "super-resolution-unet": "napari_synth.networks.super_resolution_unet:SuperResolutionUNet",
    "translation-unet": "napari_synth.networks.translation_unet:TranslationUNet",
    "variational-autoencoder": "napari_synth.networks.variational_autoencoder:VariationalAutoencoder",
    "velocity-unet": "napari_synth.networks.velocity_unet:VelocityUNet",
}
"""Name in the card, and ``module:class``; the module is imported only when a network is built."""


def build_network(architecture: str, config: dict[str, Any]) -> nn.Module:
    """Return a fresh network.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    config : dict
        Keyword arguments of the class.

    Raises
    ------
    KeyError
        No architecture has this name.
    TypeError, ValueError
        The class does not take this configuration.
    """
    module, _, name = ARCHITECTURES[architecture].partition(":")
    network: nn.Module = getattr(import_module(module), name)(**config)
    return network
