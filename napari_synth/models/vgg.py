"""Recognises the published weights of VGG networks, which no package may bring along: the user gives the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_synth.core.errors import ModelFileError
from napari_synth.models._sniffing import read_weights

if TYPE_CHECKING:
    from napari_synth.networks.vgg_features import VggFeatures

# The last convolution of each network, which the other one does not have under this number.
_LAST = {"features.28.weight": "VGG-16", "features.34.weight": "VGG-19"}


def variant_of(weights: Mapping[str, Any]) -> str | None:
    """Return which network weights belong to, None where it is none of these."""
    first = getattr(weights.get("features.0.weight"), "shape", None)
    if first != (64, 3, 3, 3):
        return None
    return next((name for key, name in reversed(_LAST.items()) if getattr(weights.get(key), "ndim", 0) == 4), None)


def read_vgg(path: Path) -> VggFeatures:
    """Read the convolutions of a network, on the CPU.

    Raises
    ------
    ModelFileError
        The file is damaged, or holds something else.
    """
    from napari_synth.networks.vgg_features import VggFeatures

    weights = read_weights(path)
    variant = variant_of(weights)
    if variant is None:
        raise ModelFileError(f"{path} holds no VGG network: give torchvision's vgg16 or vgg19 file.")
    network = VggFeatures(variant)
    try:
        network.take_published(weights)
    except (KeyError, RuntimeError) as error:
        raise ModelFileError(
            f"The weights in {path} fit no VGG network completely: download the file again."
        ) from error
    return network.eval().requires_grad_(False)
