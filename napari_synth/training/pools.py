"""Pixels to learn from on the device, in fields of any sizes, from which batches are drawn without a loop over patches.

The channels of a field go together: where those of a source are followed by those of its target, both are drawn at the same places
with the same flips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.training.augmenting import PatchAugmentation
from napari_synth.training.patches import mirrored_index

_MOST_PLACES = 2**22


@dataclass(frozen=True)
class Field:
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

    def rows(self, start: int, stop: int) -> Field:
        """Return the part with these rows of the field."""
        at = (slice(None),) * (len(self.spatial) - 2) + (slice(start, stop),)
        place = (*self.place[:-2], self.place[-2] + start, self.place[-1])
        inside = None if self.inside is None else self.inside[at]
        return replace(self, pixels=self.pixels[(slice(None), *at)], inside=inside, place=place)

    def at_least(self, least: Sequence[int]) -> Field:
        """Return the field mirrored at its far ends up to a size."""
        if all(size >= wanted for size, wanted in zip(self.spatial, least, strict=True)):
            return self
        pixels, inside = self.pixels, self.inside
        for axis, wanted in enumerate(least):
            index = mirrored_index(self.spatial[axis], wanted).numpy()
            pixels = pixels.take(index, axis=axis + 1)
            inside = None if inside is None else inside.take(index, axis=axis)
        return replace(self, pixels=pixels, inside=inside)


class FieldPool:
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
        fields: Sequence[Field],
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


def fitting_patch(fields: Sequence[Field], wanted: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
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


def _allowed_places(fields: Sequence[Field], patch: tuple[int, ...]) -> npt.NDArray[np.int64]:
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
