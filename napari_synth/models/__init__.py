"""Models: a network's weights with its card in one ``.safetensors`` file; the bundled ones lie in this folder.

Importing this package does not import torch; `load_model` and `save_model` do.
"""

from __future__ import annotations

from napari_synth.models.architectures import ARCHITECTURES, build_network
from napari_synth.models.card import FORMAT_VERSION, ModelCard, TrainingData
from napari_synth.models.files import bundled, load_model, read_card, save_model, weights_hash

__all__ = [
    "ARCHITECTURES",
    "FORMAT_VERSION",
    "ModelCard",
    "TrainingData",
    "build_network",
    "bundled",
    "load_model",
    "read_card",
    "save_model",
    "weights_hash",
]
