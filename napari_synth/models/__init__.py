"""Models: a network's weights with its card in one ``.safetensors`` file; the bundled ones lie in this folder.

`library` keeps the models that the user added, files of other projects among them. Importing this package does not import torch;
what reads and writes models does.
"""

from __future__ import annotations

from pathlib import Path

from napari_synth.models.architectures import ARCHITECTURES, build_network
from napari_synth.models.card import FORMAT_VERSION, ModelCard, TrainingData
from napari_synth.models.files import bundled, bundled_names, load_model, read_card, save_model, weights_hash


def export_bioimageio(name_or_path: str | Path, out: Path | str, *, scale: int | None = None) -> Path:
    """Write one of our models as a bioimage.io package; see `napari_synth.models.export.export_bioimageio`."""
    from napari_synth.models.export import export_bioimageio as export

    return export(name_or_path, out, scale=scale)


__all__ = [
    "ARCHITECTURES",
    "FORMAT_VERSION",
    "ModelCard",
    "TrainingData",
    "build_network",
    "bundled",
    "bundled_names",
    "export_bioimageio",
    "load_model",
    "read_card",
    "save_model",
    "weights_hash",
]
