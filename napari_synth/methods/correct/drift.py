"""Brings the frames of a movie into register: drift and jitter of the stage, in planes and in volumes.

What was measured once for the whole movie (see `napari_synth.imaging.registration`) is a displacement a frame. A block asks where
it lies, and is moved by that of its frame: a tile is moved like the same pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil

import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.imaging.image import SPATIAL_AXES, Image
from napari_synth.imaging.registration import Drift, check_movie, estimate_drift
from napari_synth.methods.correct.catalogue import DriftParams
from napari_synth.methods.correct.moving import SEEN, TAPS, AsItIs, MovedAtPlace, shifted

_BYTES_PER_PIXEL = 48


class Stabilised(Prepared):
    """A movie whose frames are moved back.

    Parameters
    ----------
    drift : Drift
    sizes : mapping of str to int
        Of the movie, by axis.
    empty : float
        Normalised intensity of what a frame does not show.
    """

    is_placed = True

    def __init__(self, drift: Drift, sizes: Mapping[str, int], empty: float) -> None:
        self._drift, self._sizes, self._empty = drift, dict(sizes), empty
        halo = tuple(min(ceil(one) + TAPS, sizes[axis]) for axis, one in zip(drift.axes, drift.largest, strict=True))
        dims = len(drift.axes)
        self.spec = BlockSpec(drift.axes, halo, (1,) * dims, (1,) * dims, bytes_per_pixel=_BYTES_PER_PIXEL)
        self.resolved = {"shifts": [list(one) for one in drift.displacements]}
        self.notes = (_sentence(drift),)

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what moves the blocks of one frame; see `Prepared.at`."""
        displacement = self._drift.displacements[place["T"].start]
        return MovedAtPlace(self.spec, partial(self.moved, displacement=displacement, place=place))

    def apply(self, block: Tensor) -> Tensor:
        """Return the block: of which frame it is, is not known."""
        return block

    def moved(self, block: Tensor, displacement: Sequence[float], place: Mapping[str, slice]) -> Tensor:
        """Return blocks (N, C, *spatial) as they are at ``x + displacement``.

        Parameters
        ----------
        block : Tensor, (N, C, *spatial)
        displacement : sequence of float
            In pixels.
        place : mapping of str to slice
            The pixels of the movie that they were read from.
        """
        result = block
        for axis, shift in enumerate(displacement, start=2):
            result = shifted(result, axis, shift)
        for axis, (name, shift) in enumerate(zip(self._drift.axes, displacement, strict=True), start=2):
            at = torch.arange(block.shape[axis], device=block.device) + place[name].start + shift
            shows = (at >= -SEEN) & (at <= self._sizes[name] - 1 + SEEN)
            if not bool(shows.all()):
                result = torch.where(
                    shows.reshape([-1 if i == axis else 1 for i in range(block.ndim)]), result, self._empty
                )
        return result


def prepare_drift(image: Image, params: DriftParams, context: Context) -> Prepared:
    """Measure how the scene moves, or take what a recipe says.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    InvalidParameterError
        The shifts of the recipe are those of another movie, or there is no such channel or frame.
    AxesError
        The shifts of the recipe are along axes that the image has not.
    """
    frames = image.sizes.get("T", 1)
    if frames == 1 and params.shifts is None:
        return AsItIs("There is one frame alone, so that nothing drifts: the image stays as it is.")
    axes = "".join(axis for axis in SPATIAL_AXES if axis in image.axes)
    if params.shifts is None:
        drift = estimate_drift(image, channel=params.channel, reference=params.still_frame, report=context.report)
        if params.smooth > 0:
            drift = drift.slow(params.smooth).relative_to(params.still_frame)
    else:
        # Those of a plane move each plane of a volume.
        drift = Drift(axes[-len(params.shifts[0]) :], params.shifts)
    check_movie(image.axes, frames, drift)
    empty = (0.0 - context.intensity.offset) / context.intensity.scale
    return Stabilised(drift, image.sizes, empty)


def _sentence(drift: Drift) -> str:
    largest = ", ".join(f"{one:.1f} along {axis}" for axis, one in zip(drift.axes, drift.largest, strict=True))
    return f"Frames were moved by at most {largest} pixels; what a frame does not show is 0."
