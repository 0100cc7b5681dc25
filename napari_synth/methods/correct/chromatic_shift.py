"""Brings the channels of an image into register, as far as lenses, filters and cameras displaced them.

What was measured once (see `napari_synth.imaging.channel_shifts`) is a map a channel. A block asks where it lies and is moved by
what the maps say there: a tile is moved like the same pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import ceil

import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidParameterError
from napari_synth.imaging.channel_shifts import ChannelMap, estimate_channel_maps
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.methods.correct.catalogue import ChromaticParams, Fit
from napari_synth.methods.correct.moving import SEEN, TAPS, AsItIs, MovedAtPlace, displaced, shifted

# In pixels: less is not worth the softness of resampled pixels.
_STAYS = 0.02
_BYTES_PER_PIXEL = 96


class Registered(Prepared):
    """An image whose channels are moved onto one of them.

    Parameters
    ----------
    maps : tuple of ChannelMap
        One a channel of the blocks; channels without one stay.
    sizes : mapping of str to int
        Of the image, by axis.
    empty : float or None
        Normalised intensity of what a channel does not show; None where its edge is repeated instead.
    """

    is_placed = True

    def __init__(self, maps: tuple[ChannelMap, ...], sizes: Mapping[str, int], empty: float | None) -> None:
        self._maps, self._sizes, self._empty = maps, dict(sizes), empty
        size = (sizes["Y"], sizes["X"])
        along = [max(abs(one.shift[0]) if len(one.shift) > 2 else 0.0 for one in maps)]
        largest = along + [max(one.largest(size)[axis] for one in maps) for axis in (0, 1)]
        axes = "ZYX" if largest[0] > _STAYS else "YX"
        halo = tuple(min(ceil(one) + TAPS, sizes[axis]) for axis, one in zip(axes, largest[-len(axes) :], strict=True))
        dims = len(axes)
        self.spec = BlockSpec(axes, halo, (1,) * dims, (1,) * dims, bytes_per_pixel=_BYTES_PER_PIXEL)

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what moves the blocks at a place; see `Prepared.at`."""
        return MovedAtPlace(self.spec, partial(self.moved, place=place))

    def apply(self, block: Tensor) -> Tensor:
        """Return the block: where it lies is not known."""
        return block

    def moved(self, block: Tensor, place: Mapping[str, slice]) -> Tensor:
        """Return blocks (N, C, *spatial) whose channels lie where the reference does.

        Parameters
        ----------
        block : Tensor, (N, C, *spatial)
        place : mapping of str to slice
            The pixels of the image that they were read from.
        """
        maps = self._maps[: block.shape[1]]
        moved = [self._channel(block[:, i : i + 1], one, place) for i, one in enumerate(maps)]
        return torch.cat([*moved, block[:, len(maps) :]], 1)

    def _channel(self, block: Tensor, one: ChannelMap, place: Mapping[str, slice]) -> Tensor:
        y, x = (
            torch.arange(block.shape[axis], device=block.device, dtype=torch.float64) + place[name].start
            for axis, name in ((-2, "Y"), (-1, "X"))
        )
        displacement = [
            torch.as_tensor(part, device=block.device).expand(len(y), len(x))
            for part in one.displacement(y[:, None], x[None, :])
        ]
        along = one.shift[0] if len(one.shift) > 2 and len(self.spec.axes) > 2 else 0.0
        if abs(along) <= _STAYS and max(float(part.abs().max()) for part in displacement) <= _STAYS:
            return block
        result = shifted(block, 2, along) if along else block
        shows = torch.ones((len(y), len(x)), dtype=torch.bool, device=block.device)
        # First along X, then along Y: the map changes so slowly that their order tells nothing.
        for axis, name, part, at in (
            (-1, "X", displacement[1], x[None, :] + displacement[1]),
            (-2, "Y", displacement[0], y[:, None] + displacement[0]),
        ):
            result = displaced(result, axis, part)
            shows &= (at >= -SEEN) & (at <= self._sizes[name] - 1 + SEEN)
        if self._empty is None:
            return result
        if along:
            z = torch.arange(block.shape[2], device=block.device) + place["Z"].start + along
            shows = shows & ((z >= -SEEN) & (z <= self._sizes["Z"] - 1 + SEEN))[:, None, None]
        return torch.where(shows, result, self._empty)


def prepare_chromatic_shift(image: Image, params: ChromaticParams, context: Context) -> Prepared:
    """Compare the channels of the beads, or of the image, unless a recipe holds the maps.

    For its parameters see `Generator.prepare`.

    Raises
    ------
    InvalidImageError
        The channels have too little in common, or the beads have another size.
    InvalidParameterError
        The recipe holds the maps of another field, or there is no such channel.
    """
    channels = image.sizes.get("C", 1) if "C" in image.axes else colour_samples(image.sizes.get("S", 1))
    size = (image.sizes["Y"], image.sizes["X"])
    if channels == 1:
        return AsItIs("There is one channel alone, so that nothing is displaced: the image stays as it is.")
    if params.fitted is not None and context.reference is None:
        maps = tuple(_held(fit, size) for fit in params.fitted)
    else:
        seen = image if context.reference is None else context.reference
        found = estimate_channel_maps(
            seen, reference=params.reference_channel, movement=params.movement, report=context.report
        )
        maps = tuple(_rounded(one) for one in found)
        if (seen.sizes["Y"], seen.sizes["X"]) != size and any(any(one.slope) for one in maps):
            raise InvalidParameterError(
                f"The beads have {seen.sizes['Y']} by {seen.sizes['X']} pixels and the image {size[0]} by {size[1]}: a displacement"
                " that changes over the field is that of one field, so give beads of this size, or choose the movement 'shift'."
            )
    if len(maps) != channels:
        raise InvalidParameterError(
            f"There are the displacements of {len(maps)} channels, and the image has {channels}: measure them anew."
        )
    colours = colour_samples(image.sizes["S"]) if "C" in image.axes and "S" in image.axes else 1
    empty = None if "S" in image.axes else (0.0 - context.intensity.offset) / context.intensity.scale
    prepared = Registered(tuple(one for one in maps for _ in range(colours)), image.sizes, empty)
    prepared.resolved = {"fitted": [_fit(one, size) for one in maps]}
    prepared.notes = _notes(maps, params.reference_channel, size, empty is None)
    return prepared


def _rounded(one: ChannelMap) -> ChannelMap:
    """Return a map with as many digits as a recipe keeps."""
    yy, yx, xy, xx = (float(f"{part:.5g}") for part in one.slope)
    return replace(one, shift=tuple(round(part, 4) for part in one.shift), slope=(yy, yx, xy, xx))


def _fit(one: ChannelMap, size: tuple[int, int]) -> Fit:
    return {
        "shift": one.shift,
        "slope": one.slope,
        "centre": one.centre,
        "size": (float(size[0]), float(size[1])),
    }


def _held(fit: Fit, size: tuple[int, int]) -> ChannelMap:
    """Return the map that a recipe holds."""
    lengths = {name: len(fit.get(name, ())) for name in ("shift", "slope", "centre", "size")}
    if lengths["shift"] not in (2, 3) or [lengths[name] for name in ("slope", "centre", "size")] != [4, 2, 2]:
        raise InvalidParameterError(
            "The fitted displacements are not those of channels: take them from a recipe of this method."
        )
    if any(fit["slope"]) and tuple(fit["size"]) != size:
        height, width = (int(one) for one in fit["size"])
        raise InvalidParameterError(
            f"The recipe holds displacements that change over a field of {height} by {width} pixels, and the image has {size[0]} by"
            f" {size[1]}: measure them anew."
        )
    yy, yx, xy, xx = fit["slope"]
    return ChannelMap(fit["shift"], (yy, yx, xy, xx), (fit["centre"][0], fit["centre"][1]))


def _notes(maps: tuple[ChannelMap, ...], reference: int, size: tuple[int, int], repeats: bool) -> tuple[str, ...]:
    said = []
    for channel, one in enumerate(maps):
        if channel == reference:
            continue
        where = ", ".join(
            f"{part:+.2f} px along {axis}" for axis, part in zip("ZYX"[-len(one.shift) :], one.shift, strict=True)
        )
        changes = ""
        if any(one.slope):
            yy, yx, xy, xx = one.slope
            changes = (
                f", {100 * (yy + xx) / 2:+.2f} % larger and turned by {1000 * (xy - yx) / 2:+.2f} mrad: up to"
                f" {max(one.largest(size)):.1f} pixels"
            )
        agreeing = f" ({one.parts} parts of the field agree to {max(one.error, 0.01):.2f} pixels)"
        told = agreeing if one.parts > 1 else ""
        said.append(f"Channel {channel} was displaced against channel {reference} by {where}{changes}{told}.")
    said.append("What a channel does not show repeats its edge." if repeats else "What a channel does not show is 0.")
    return tuple(said)
