"""Draws batches of randomly flipped and turned patches from pixels on the device, without a loop over patches.

A `PatchPool` holds crops of one size; small images whole, huge ones as an evenly spread sample of windows, so that memory is
bounded whatever the image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate, product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.training.augmenting import PatchAugmentation

MOST_PIXELS = 2**24
"""Pixels of a pool at most: 64 MiB of float32."""


@dataclass(frozen=True)
class PatchPool:
    """Crops to draw patches from.

    Attributes
    ----------
    crops : Tensor
        Shape (N, *spatial), float32, normalised intensities without NaN.
    """

    crops: Tensor

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size of a crop along each spatial axis."""
        return tuple(self.crops.shape[1:])

    @property
    def n_pixels(self) -> int:
        """Pixels of all crops."""
        return self.crops.numel()

    def fitting(self, patch: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
        """Return the largest patch up to ``patch`` that lies in a crop and is a multiple of ``multiple``."""
        return tuple(
            max(step, min(wanted, size) // step * step)
            for wanted, size, step in zip(patch, self.spatial, multiple, strict=True)
        )

    def padded(self, least: Sequence[int]) -> PatchPool:
        """Return a pool whose crops are mirrored at their far ends up to the size ``least`` where they are smaller."""
        crops = self.crops
        for axis, size in enumerate(least, start=1):
            index = mirrored_index(crops.shape[axis], size).to(crops.device)
            if len(index) > crops.shape[axis]:
                crops = crops.index_select(axis, index)
        return PatchPool(crops)

    def split(self, held_out: float, least: int) -> tuple[PatchPool, PatchPool]:
        """Hold a region out: every so many crops, or a band at the end of the Y axis where the crops are few.

        Parameters
        ----------
        held_out : float
            Share of the pixels to hold out, between 0 and 1.
        least : int
            Pixels along Y that either part must have.

        Returns
        -------
        (training, held_out) : pair of PatchPool
            Both are the whole pool where it is too small to be split.
        """
        count = len(self.crops)
        every = round(1 / held_out)
        if count >= every:
            chosen = torch.arange(count) % every == every // 2
            return PatchPool(self.crops[~chosen]), PatchPool(self.crops[chosen])
        height = self.crops.shape[-2]
        band = max(least, round(height * held_out))
        if height - band < least:
            return self, self
        return PatchPool(self.crops[..., : height - band, :]), PatchPool(self.crops[..., height - band :, :])

    def sample(self, batch_size: int, patch: Sequence[int], generator: torch.Generator, *, turn: bool = True) -> Tensor:
        """Draw patches at random places, flipped along random axes, and with Y and X swapped at random.

        Parameters
        ----------
        batch_size : int
        patch : sequence of int
            Size along each spatial axis, at most that of a crop.
        generator : torch.Generator
            On the device of the crops.
        turn : bool
            Whether Y and X may be swapped; done only where the patch is as high as wide.

        Returns
        -------
        Tensor, (batch_size, 1, *patch), float32
        """
        device = self.crops.device
        strides = self.crops.stride()
        shape = (batch_size, *(1 for _ in patch))

        def draw(most: int) -> Tensor:
            return torch.randint(most, (batch_size,), device=device, generator=generator)

        place: Any = (draw(len(self.crops)) * strides[0]).view(shape) + self.crops.storage_offset()
        turned = draw(2).bool().view(shape) if turn and patch[-1] == patch[-2] else None
        for axis, size in enumerate(patch):
            steps = torch.arange(size, device=device).view([-1 if i == axis else 1 for i in range(len(patch))])
            steps = torch.where(draw(2).bool().view(shape), steps, size - 1 - steps)
            stride: Any = strides[axis + 1]
            if turned is not None and axis >= len(patch) - 2:
                other = 2 * len(patch) - 3 - axis
                stride = torch.where(turned, strides[axis + 1], strides[other + 1])
            start = draw(self.spatial[axis] - size + 1) * strides[axis + 1]
            place = place + start.view(shape) + steps * stride
        flat = self.crops.as_strided((self.crops.untyped_storage().nbytes() // 4,), (1,), 0)
        patches: Tensor = flat[place].unsqueeze(1)
        return patches


def mirrored_index(size: int, wanted: int) -> Tensor:
    """Return the indices that extend an axis of ``size`` to at least ``wanted`` by mirroring without repeating the edge."""
    index = torch.arange(max(size, wanted))
    period = max(1, 2 * size - 2)
    index = index % period
    return torch.where(index < size, index, period - index)


def collect_crops(
    image: Image,
    axes: str,
    intensity: IntensityTransform,
    device: str,
    *,
    most_pixels: int = MOST_PIXELS,
    window: Sequence[int] | None = None,
) -> PatchPool:
    """Read the pixels to train on: the whole image where it is small, evenly spread windows of it where it is not.

    Parameters
    ----------
    image : Image
        In counts, possibly lazy.
    axes : str
        The spatial axes of a crop in the order wanted, e.g. ``"YX"`` or ``"ZYX"``; other axes are sampled over.
    intensity : IntensityTransform
        Applied to the crops; pixels that are not finite become the mean of the finite ones of their crop.
    device : str
        Where the pool lives, as torch names it.
    most_pixels : int
        Bound of the pool.
    window : sequence of int, optional
        Size of the windows of a huge image; by default 512 along Y and X and 32 along other axes.
    """
    lead = [axis for axis in image.axes if axis not in axes]
    sizes = [image.sizes[axis] for axis in axes]
    if image.n_pixels > most_pixels:
        wanted = window or [512 if axis in "YX" else 32 for axis in axes]
        edges = [min(size, edge) for size, edge in zip(sizes, wanted, strict=True)]
    else:
        edges = sizes
    affordable = max(1, most_pixels // prod(edges))
    positions = prod(image.sizes[axis] for axis in lead)
    tiles = [size // edge for size, edge in zip(sizes, edges, strict=True)]
    starts = [
        [round(i) for i in np.linspace(0, size - edge, count)]
        for size, edge, count in zip(sizes, edges, tiles, strict=True)
    ]
    places = list(product(*starts))
    total = positions * len(places)
    chosen = np.linspace(0, total - 1, min(total, affordable)).round().astype(int)
    crops = []
    for number in chosen:
        position, tile = divmod(int(number), len(places))
        at: dict[str, slice | int] = {
            axis: int(i)
            for axis, i in zip(lead, np.unravel_index(position, [image.sizes[a] for a in lead]), strict=True)
        }
        for axis, start, edge in zip(axes, places[tile], edges, strict=True):
            at[axis] = slice(start, start + edge)
        pixels = image.read(**at)
        order = [axis for axis in image.axes if axis in axes]
        crops.append(_finite(intensity.forward(pixels.transpose([order.index(axis) for axis in axes]))))
    return PatchPool(torch.from_numpy(np.stack(crops)).to(device))


def _finite(crop: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    finite = np.isfinite(crop)
    if finite.all():
        return crop
    return np.where(finite, crop, crop[finite].mean() if finite.any() else 0).astype(np.float32)


_MOST_PLACES = 2**22


@dataclass(frozen=True)
class PatchRegion:
    """A part of an image.

    Attributes
    ----------
    pixels : numpy.ndarray, float32
        Shape (C, *spatial), normalised, without NaN.
    inside : numpy.ndarray of bool, or None
        Shape (*spatial): what may be learnt from; None for everything.
    image : int
        Of which image.
    frame : int or None
        Its time, where the image has a T axis.
    place : tuple of int
        Where it begins along each spatial axis.
    apart : int
        Its channel, where those are learnt from apart.
    """

    pixels: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_] | None = None
    image: int = 0
    frame: int | None = None
    place: tuple[int, ...] = ()
    apart: int = 0

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size along each spatial axis."""
        return self.pixels.shape[1:]

    def rows(self, start: int, stop: int) -> PatchRegion:
        """Return the part with these rows of the field."""
        at = (slice(None),) * (len(self.spatial) - 2) + (slice(start, stop),)
        place = (*self.place[:-2], self.place[-2] + start, self.place[-1])
        inside = None if self.inside is None else self.inside[at]
        return replace(self, pixels=self.pixels[(slice(None), *at)], inside=inside, place=place)

    def at_least(self, least: Sequence[int]) -> PatchRegion:
        """Return the field mirrored at its far ends up to a size."""
        if all(size >= wanted for size, wanted in zip(self.spatial, least, strict=True)):
            return self
        pixels, inside = self.pixels, self.inside
        for axis, wanted in enumerate(least):
            index = mirrored_index(self.spatial[axis], wanted).numpy()
            pixels = pixels.take(index, axis=axis + 1)
            inside = None if inside is None else inside.take(index, axis=axis)
        return replace(self, pixels=pixels, inside=inside)


class PatchSampler:
    """Draws patches of one size from fields.

    Parameters
    ----------
    fields : sequence of Field
        With as many channels each; mirrored up to the patch where they are smaller.
    patch : sequence of int
        Size along each spatial axis.
    device : str
        Where the pixels are kept, as torch calls it.
    sources : int, optional
        How many of the channels, the first ones, are the source's; all where it is left out.
    augmentation : PatchAugmentation, optional
        What becomes of patches besides; its flips and turns take the place of those of the pool.

    Attributes
    ----------
    channels : int
    sources : int
    patch : tuple of int
    n_pixels : int
        Of all fields, of one channel.
    """

    def __init__(
        self,
        fields: Sequence[PatchRegion],
        patch: Sequence[int],
        device: str,
        *,
        sources: int | None = None,
        augmentation: PatchAugmentation | None = None,
    ) -> None:
        self.patch, self.augmentation = tuple(patch), augmentation
        self._margin = (0,) * len(self.patch) if augmentation is None else augmentation.margin(self.patch)
        fields = [field.at_least(self.patch) for field in fields]
        self.channels = fields[0].pixels.shape[0]
        self.sources = self.channels if sources is None else sources
        self.n_pixels = sum(prod(field.spatial) for field in fields)
        whole = np.concatenate([np.ascontiguousarray(field.pixels).reshape(-1) for field in fields])
        self._flat = torch.from_numpy(whole).to(device)
        self._begin = torch.tensor([0, *accumulate(field.pixels.size for field in fields)][:-1], device=device)
        sizes = np.array([field.spatial for field in fields])
        self._sizes = torch.from_numpy(sizes).to(device)
        places = sizes - np.array(self.patch) + 1
        self._places = torch.from_numpy(places).to(device)
        self._counts = torch.from_numpy(np.cumsum(places.prod(axis=1))).to(device)
        self._allowed = None
        if any(field.inside is not None for field in fields):
            self._allowed = torch.from_numpy(_allowed_places(fields, self.patch)).to(device)

    def sample(self, batch_size: int, generator: torch.Generator, *, turn: bool = True, flip: bool = True) -> Tensor:
        """Draw patches; see `draw`.

        Returns
        -------
        Tensor, (batch_size, channels, *patch), float32
        """
        return self.draw(batch_size, generator, turn=turn, flip=flip)[0]

    def draw(
        self, batch_size: int, generator: torch.Generator, *, turn: bool = True, flip: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Draw patches at random places, flipped along random axes, and with Y and X swapped at random.

        Every place of every field is as likely as any other; where a region limits them, of those at least half inside it.

        Parameters
        ----------
        batch_size : int
        generator : torch.Generator
            On the device of the pixels.
        turn : bool
            Whether Y and X may be swapped; done only where the patch is as high as wide.
        flip : bool
            Whether axes may be flipped.

        Returns
        -------
        (patches, fields) : pair of Tensor
            Shape (batch_size, channels, *patch), float32, and of which field each is, (batch_size,).
        """
        if self.augmentation is None:
            return self._windows(batch_size, generator, turn=turn, flip=flip)
        windows, field = self._windows(batch_size, generator, turn=False, flip=False)
        seed = _seed(generator)
        sources = self.sources
        patches = self.augmentation.applied(windows, self.patch, seed, sources=sources, turn=turn, flip=flip)
        return patches, field

    def _windows(self, batch_size: int, generator: torch.Generator, *, turn: bool, flip: bool) -> tuple[Tensor, Tensor]:
        """Draw patches with the margin around them, mirrored where a field ends."""
        device, dims = self._flat.device, len(self.patch)
        most = int(self._counts[-1]) if self._allowed is None else len(self._allowed)
        number = torch.randint(most, (batch_size,), device=device, generator=generator)
        if self._allowed is not None:
            number = self._allowed[number]
        field = torch.searchsorted(self._counts, number, right=True)
        number = number - torch.where(field > 0, self._counts[field - 1], 0)
        sizes, places = self._sizes[field], self._places[field]
        strides = torch.flip(torch.cumprod(torch.flip(sizes, (1,)), 1), (1,))
        # A channel is as far from the next as a field is large.
        channel, strides = strides[:, 0], torch.cat((strides[:, 1:], torch.ones_like(strides[:, :1])), 1)
        shape = (batch_size, *(1 for _ in self.patch))

        def coin() -> Tensor:
            return torch.randint(2, (batch_size,), device=device, generator=generator).bool().view(shape)

        turned = coin() if turn and self.patch[-1] == self.patch[-2] else None
        starts, steps = [number] * dims, [number] * dims
        for axis in reversed(range(dims)):
            size, margin = self.patch[axis], self._margin[axis]
            starts[axis] = (number % places[:, axis]).view(shape)
            number = number // places[:, axis]
            steps[axis] = torch.arange(-margin, size + margin, device=device).view(
                [-1 if i == axis else 1 for i in range(dims)]
            )
            if flip:
                steps[axis] = torch.where(coin(), steps[axis], size - 1 - steps[axis])
        index = self._begin[field].view(shape)
        for axis in range(dims):
            along = steps[axis]
            if turned is not None and axis >= dims - 2:
                along = torch.where(turned, steps[2 * dims - 3 - axis], along)
            place = starts[axis] + along
            if self._margin[axis]:
                place = _mirrored(place, sizes[:, axis].view(shape))
            index = index + place * strides[:, axis].view(shape)
        offsets = channel.view(-1, 1) * torch.arange(self.channels, device=device)
        patches = self._flat[index.unsqueeze(1) + offsets.view(batch_size, -1, *shape[1:])]
        return patches, field


def fitting_patch(fields: Sequence[PatchRegion], wanted: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """Return the largest patch up to ``wanted`` that fits into half of the fields and is a multiple of ``multiple``.

    Parameters
    ----------
    fields : sequence of Field
    wanted : sequence of int
        The largest size along each axis.
    multiple : sequence of int
        What it is a multiple of.
    """
    typical = np.median([field.spatial for field in fields], axis=0)
    return tuple(
        max(step, int(min(size, limit)) // step * step)
        for size, limit, step in zip(wanted, typical, multiple, strict=True)
    )


def _allowed_places(fields: Sequence[PatchRegion], patch: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the numbers of those places of patches that lie at least half inside, evenly thinned out where they are many."""
    allowed, before = [], 0
    for field in fields:
        places = tuple(size - edge + 1 for size, edge in zip(field.spatial, patch, strict=True))
        if field.inside is None:
            found = np.arange(prod(places))
        else:
            covered = field.inside.astype(np.int32)
            for axis, edge in enumerate(patch):
                sums = np.insert(covered.cumsum(axis=axis, dtype=np.int32), 0, 0, axis=axis)
                far, near = (sums.take(range(start, start + places[axis]), axis=axis) for start in (edge, 0))
                covered = far - near
            # A region thinner than a patch is learnt from where most of it is seen.
            found = np.flatnonzero(covered >= min(prod(patch) / 2, max(1, covered.max())))
        allowed.append(before + found)
        before += prod(places)
    every = np.concatenate(allowed)
    return every[:: -(-len(every) // _MOST_PLACES)] if len(every) else every


def _mirrored(places: Tensor, sizes: Tensor) -> Tensor:
    """Return places along an axis brought into it by mirroring without repeating the edge."""
    period = (2 * sizes - 2).clamp_min(1)
    places = places % period
    return torch.where(places < sizes, places, period - places)


def _seed(generator: torch.Generator) -> int:
    """Return a number that follows from the state of a generator, the same wherever that is the same."""
    if generator.device.type != "cuda":
        return int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    # To read a drawn number would wait for the device; its state lies on the CPU, and changes with every batch.
    return int.from_bytes(blake2b(generator.get_state().numpy().tobytes(), digest_size=8).digest(), "little")
