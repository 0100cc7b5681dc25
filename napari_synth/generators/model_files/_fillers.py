"""Runs a network of others that fills holes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_synth.core.generator import Context, Prepared
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._filling import Method, prepare_filling
from napari_synth.generators.inpaint._fills import NetworkFill
from napari_synth.generators.inpaint._options import FillerParams
from napari_synth.models._network import FileNetwork
from napari_synth.models.description import ModelDescription
from napari_synth.models.reading import open_network

# Radius of holes that every network leaves to a smooth surface.
_THIN = 1.0
_NOTE = "This model was not measured by napari-synth: look closely at what it put into the holes."


def prepare_filler(
    description: ModelDescription, path: Path, image: Image, params: FillerParams, context: Context
) -> Prepared:
    """Load the network, and look which holes there are.

    Raises
    ------
    MaskError
        See `prepare_filling`.
    """
    context.report.start("Loading the model")
    network = open_network(description, path, context.device.torch_name)
    fill = NetworkFill(Planes(network, description.input_channels), description.multiple)
    prepared = prepare_filling(image, Method(fill, thin=_THIN, context=params.context), params.neighbours, context)
    prepared.weights = {description.name: description.sha256}
    prepared.notes = (_NOTE, *prepared.notes)
    return prepared


@dataclass(frozen=True)
class Planes:
    """What a network of others makes of planes (1, C, Y, X) with holes (1, 1, Y, X).

    It sees 0 to 1, as it was trained to; of an image of one channel, the same in all of its channels, and their mean is taken.

    Attributes
    ----------
    network : FileNetwork
    channels : int
        That it takes, the mask not among them.
    """

    network: FileNetwork
    channels: int

    def __call__(self, image: Tensor, holes: Tensor) -> Tensor:
        """Return filled planes (1, C, Y, X)."""
        samples = image.shape[1]
        seen = image.clamp(0.0, 1.0)
        if samples == 1 < self.channels:
            seen = seen.expand(-1, self.channels, -1, -1)
        elif samples != self.channels:
            # A network for one channel is asked for each.
            seen, holes = seen.reshape(-1, 1, *seen.shape[2:]), holes.repeat_interleave(samples, 0)
        with torch.inference_mode():
            answer = self.network(torch.cat((seen, holes), 1).contiguous()).float()
        if answer.numel() == image.numel():
            return answer.reshape(image.shape)
        return answer.mean(1, keepdim=True)
