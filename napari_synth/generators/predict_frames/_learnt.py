"""Runs networks that were trained to predict frames, from their model files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_synth.core.errors import AxesError
from napari_synth.core.frames import FrameSpec, PreparedFrames
from napari_synth.core.image import Image

# What lies further away hardly changes an answer.
_HALO = 48
_BYTES_PER_PIXEL = 512


class LearntFrames(PreparedFrames):
    """A network that goes on from frames it is shown.

    Parameters
    ----------
    network : ConvLSTM or SimVP
    weights : mapping of str to str
        Hashes of the weight files.
    extras : mapping
        Of the model's card.
    """

    def __init__(self, network: Any, weights: Mapping[str, str], extras: Mapping[str, Any]) -> None:
        self._network, self.weights = network, weights
        self.spec = FrameSpec(
            history=network.history, halo=_HALO, multiple=network.multiple, bytes_per_pixel=_BYTES_PER_PIXEL
        )
        if not extras.get("backwards", True):
            self.notes = (
                "This model did not learn from movies played backwards: frames that are filled from what comes after may be wrong.",
            )

    def predict(self, past: Tensor, count: int) -> Tensor:
        """Go on; see `PreparedFrames.predict`."""
        predicted: Tensor = self._network(past, count)[:, -count:]
        return predicted.float()


def check_channels(network: Any, movie: Image, joint: str, title: str) -> None:
    """Raise `AxesError` unless a movie has the channels that a network was trained on."""
    found = 1
    for axis in joint:
        found *= movie.sizes[axis]
    if found != network.in_channels:
        raise AxesError(
            f"{title} was trained on movies of {network.in_channels} channels, this one has {found}: set the axes, or choose"
            " another model."
        )
