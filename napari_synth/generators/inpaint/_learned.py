"""Fills holes with the inpainting network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_synth.core.generator import Context
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._filling import Filling, Method, prepare_filling
from napari_synth.generators.inpaint._fills import NetworkFill, own_network
from napari_synth.generators.inpaint._options import FillerParams

MODEL = "inpaint"
"""Name of the bundled weights."""
# Radius in pixels of holes that are left to a smooth surface, which is nearer to the truth there: by 2 dB in scratches.
_THIN = 3.0


def learned(network: Any, params: FillerParams) -> Method:
    """Return the method that fills holes with a network of ours."""
    return Method(NetworkFill(own_network(network), network.multiple), thin=_THIN, context=params.context)


def prepare_learned(
    network: Any, weights: Mapping[str, str], image: Image, params: FillerParams, context: Context
) -> Filling:
    """Look which holes there are; see `prepare_filling`."""
    prepared = prepare_filling(image, learned(network, params), params.neighbours, context)
    prepared.weights = dict(weights)
    return prepared
