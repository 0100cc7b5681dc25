"""Measures the noise of an image, as added or as multiplied, and sets a noise-conditioned network up for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_synth.contract.generator import Context, Prepared
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.generators.denoise._multiplicative import prepare_multiplicative
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.conditioned import Conditioned, choose_neighbours
from napari_synth.methods.noise_conditioning import measure_condition
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

if TYPE_CHECKING:
    from napari_synth.methods.denoise.catalogue import BlindParams


def prepare_measured(
    network: NoiseConditionedUNet, weights: Mapping[str, str], image: Image, params: BlindParams, context: Context
) -> Prepared:
    """Return a network, with the hashes of its weights, that is told the noise of an image."""

    def added(image: Image, context: Context) -> Prepared:
        if params.noise == "multiplicative":
            condition = measure_condition(image, context)
        else:
            condition = measure_condition(image, context, sigma=params.sigma, correlated=params.noise)
        condition = condition.stronger(params.strength)
        neighbours = choose_neighbours(image, condition, context) if params.neighbours == "auto" else None
        return Conditioned(network, condition, neighbours, weights)

    prepared: Prepared
    if params.noise == "multiplicative":
        prepared = prepare_multiplicative(image, context, added)
    else:
        prepared = added(image, context)
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
