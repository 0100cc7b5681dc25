"""Runs denoisers that the user trained, from their model files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.generators.denoise._blind_spot import BlindSpotRestorer
from napari_synth.generators.denoise._common import Unchanged, is_clean, measure_noise
from napari_synth.models.card import reading_card
from napari_synth.networks.blind_spot_unet import BlindSpotUNet
from napari_synth.networks.residual_unet import ResidualUNet
from napari_synth.training.blind_spot import BlindSpotMask

# What lies further away hardly changes a result.
_HALO = 48
_BYTES_PER_PIXEL = 600


class TrainedRestorer(Prepared):
    """A network that turns normalised images into better ones.

    Parameters
    ----------
    network : ResidualUNet
    weights : mapping of str to str
        Hashes of the weight files.
    """

    def __init__(self, network: ResidualUNet, weights: Mapping[str, str]) -> None:
        self._network, self.weights = network, weights
        field = network.receptive_field
        halo = min(_HALO, field[-1])
        if network.dims == 2:
            self.spec = BlockSpec.plane(halo, multiple=network.multiple, bytes_per_pixel=_BYTES_PER_PIXEL)
        else:
            self.spec = BlockSpec.volume(
                "ZYX",
                (field[0], halo, halo),
                multiple=(1, network.multiple, network.multiple),
                bytes_per_pixel=_BYTES_PER_PIXEL,
            )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, *spatial); see `Prepared.apply`."""
        restored: Tensor = self._network(block)
        return restored.float()


def blind_spot_restorer_of(
    network: BlindSpotUNet,
    weights: Mapping[str, str],
    extras: Mapping[str, Any],
    image: Image,
    context: Context,
    *,
    weigh_measurement: bool,
) -> Prepared:
    """Return what restores an image by a blind-spot network and the noise measured in it."""
    noise = measure_noise(image, context)
    if is_clean(noise):
        return Unchanged(noise)
    with reading_card("blind-spot network"):
        mask, axes = BlindSpotMask(tuple(map(int, extras["reach"])), int(extras["gap"])), str(extras["axes"])
    model = noise.model.scaled(context.intensity.scale, context.intensity.offset)
    prepared = BlindSpotRestorer(network, mask, model if weigh_measurement else None, axes, noise, ())
    prepared.weights = weights
    return prepared
