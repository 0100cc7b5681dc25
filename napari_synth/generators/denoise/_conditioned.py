"""Runs the denoising network on blocks: the noise model becomes the map of noise levels that the network is given."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from napari_synth.core.generator import BlockSpec, Prepared
from napari_synth.generators._conditioning import Condition, from_opponents, full_precision, to_opponents
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

if TYPE_CHECKING:
    from napari_synth.generators.denoise._neighbours import Neighbours

MODEL = "denoise-blind"
HALO = 80
"""Default halo in pixels: what lies further away changes a result by less than 1e-3 of the range."""
_MOST_REMOVED = 3.0
_BYTES_PER_PIXEL = 320


class Conditioned(Prepared):
    """A noise-conditioned network with the noise of one image.

    Parameters
    ----------
    network : NoiseConditionedUNet
    condition : Condition
    neighbours : Neighbours, optional
        Merges each plane with those beside it before the network sees it.
    weights : mapping of str to str
        Hashes of the weight files.
    halo : int
        Context in pixels on each side of a block.
    """

    def __init__(
        self,
        network: NoiseConditionedUNet,
        condition: Condition,
        neighbours: Neighbours | None,
        weights: Mapping[str, str],
        halo: int = HALO,
    ) -> None:
        self._network, self._condition, self._neighbours = network, condition, neighbours
        self.weights, self.noise = weights, condition.report
        multiple = network.multiple
        if neighbours is None:
            self.spec = BlockSpec.plane(halo, multiple=multiple, bytes_per_pixel=_BYTES_PER_PIXEL)
        else:
            self.spec = BlockSpec.volume(
                neighbours.axis + "YX",
                (neighbours.radius, halo, halo),
                multiple=(1, multiple, multiple),
                bytes_per_pixel=_BYTES_PER_PIXEL,
            )
            self.notes = (neighbours.sentence,)
        if any(condition.correlation):
            self.notes = (*self.notes, "The noise is treated as correlated between neighbours.")

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, [D,] H, W); see `Prepared.apply`."""
        if self._condition.is_clean:
            return block
        with full_precision(block) as network_precision:
            if self._neighbours is None:
                return self._restore(block, self._condition.variance(block), network_precision)
            n, c, depth, h, w = block.shape
            planes = block.transpose(1, 2).reshape(n * depth, c, h, w)
            variance = self._condition.variance(planes).reshape(n, depth, c, h, w)
            merged, variance = self._neighbours.merge(planes.reshape(n, depth, c, h, w), variance)
            restored = self._restore(merged.reshape(-1, c, h, w), variance.reshape(-1, c, h, w), network_precision)
            return restored.reshape(n, depth, c, h, w).transpose(1, 2)

    def transposed(self) -> Prepared:
        """Return the same with the directions of correlated noise swapped."""
        y, x = self._condition.correlation
        swapped = Conditioned(
            self._network,
            replace(self._condition, correlation=(x, y)),
            self._neighbours,
            self.weights,
            self.spec.halo[-1],
        )
        swapped.notes = self.notes
        return swapped

    def _restore(self, planes: Tensor, variance: Tensor, precision: AbstractContextManager[object]) -> Tensor:
        """Restore (N, C, H, W) planes with the variance of their noise: colours as opponents, everything else apart."""
        planes, variance = to_opponents(planes, variance)
        n, c, h, w = planes.shape
        flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
        with precision if self._condition.is_coarse else nullcontext():
            restored = self._network(flat, sigma, self._condition.correlation_of(flat)).float()
        if not self._condition.is_coarse:
            # The network has an error of its own, which must not outweigh the noise of an image that has little.
            most = _MOST_REMOVED * sigma
            restored = flat - (flat - restored).clamp(-most, most)
        return from_opponents(restored.reshape(n, c, h, w))
