"""Restores every frame from those before and after it, with a network that the user trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_synth.core.generator import BlockSpec, Prepared
from napari_synth.networks.simvp import SimVP

_BYTES_PER_PIXEL = 1024


class OverTime(Prepared):
    """Predicts each frame from its neighbours in time, without looking at it.

    Parameters
    ----------
    network : SimVP
        Sees as many frames before as after.
    weights : mapping of str to str
        Hashes of the weight files.
    """

    def __init__(self, network: SimVP, weights: Mapping[str, str]) -> None:
        self._network, self.weights = network, weights
        self._reach = network.history // 2
        halo = min(48, network.receptive_field)
        self.spec = BlockSpec.volume(
            "TYX",
            (self._reach, halo, halo),
            multiple=(1, network.multiple, network.multiple),
            bytes_per_pixel=_BYTES_PER_PIXEL,
        )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, T, Y, X); see `Prepared.apply`."""
        frames = block.transpose(1, 2)
        restored = [
            self._network(frames[:, neighbours_of(t, frames.shape[1], self._reach)]) for t in range(frames.shape[1])
        ]
        return torch.cat(restored, dim=1).transpose(1, 2).float()


def neighbours_of(frame: int, frames: int, reach: int) -> list[int]:
    """Return the frames before and after one, mirrored about it where a movie ends; of a single frame, that frame."""
    found = []
    for step in (*range(-reach, 0), *range(1, reach + 1)):
        other = frame + step if 0 <= frame + step < frames else frame - step
        if not 0 <= other < frames:
            # A movie shorter than what is looked at: the neighbour on the side where there is one.
            other = frame - 1 if frame else min(1, frames - 1)
        found.append(other)
    return found
