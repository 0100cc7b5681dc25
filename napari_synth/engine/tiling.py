"""Cuts an image into blocks with a halo, and says where each result belongs.

Along one axis, for a core of 8 pixels, a halo of 4 and a scale of 1::

    image    0-------8-------16------24--27
    read     [-----------)                    block 0: no halo beyond the image, its border is the image's border
                 [---------------)            block 1: core 8-16, halo on both sides
                         [-----------~)       last: padded (~) by reflection up to the multiple

Blocks begin at multiples of what the network needs, so that its strided layers see the same grid in a tile as in the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import BlockSpec

MOST_PIXELS = 9 * 2**18
"""Of a block with its halo: larger ones are no faster."""
MOST_BYTES = 2**31
"""Working memory of a block."""


@dataclass(frozen=True)
class Sampling:
    """Where along one axis of a restored block the pixels of the result lie, in its pixels.

    Attributes
    ----------
    first : Fraction
        Centre of the first pixel of the result; 0 is the centre of the block's first pixel.
    step : Fraction
        Distance of neighbouring pixels of the result.
    count : int
        How many there are.
    valid : int
        Pixels of the block that are the image's own; behind them lies what was padded.
    """

    first: Fraction
    step: Fraction
    count: int
    valid: int


@dataclass(frozen=True)
class Span:
    """One block along one axis, in pixels.

    Attributes
    ----------
    core : slice
        The pixels of the source that this block restores.
    read : slice
        The pixels of the source that it needs.
    pad : int
        Pixels to add by reflection behind the far end.
    ratio : Fraction
        How many times finer the result is than the source.
    scale : int
        How many times finer the restored block is; where that is not the ratio, it is resampled.
    """

    core: slice
    read: slice
    pad: int
    ratio: Fraction = Fraction(1)
    scale: int = 1

    @property
    def size(self) -> int:
        """Size of the block with halo and padding."""
        return int(self.read.stop - self.read.start + self.pad)

    @property
    def target(self) -> slice:
        """The pixels of the result that this block gives."""
        return result_range(self.core, self.ratio)

    @property
    def sampling(self) -> Sampling:
        """Where the pixels of the result lie in the restored block."""
        step = self.scale / self.ratio
        first = (self.target.start + Fraction(1, 2)) * step - Fraction(1, 2) - self.read.start * self.scale
        valid = (self.read.stop - self.read.start) * self.scale
        return Sampling(first, step, self.target.stop - self.target.start, valid)

    @property
    def origins(self) -> npt.NDArray[np.intp]:
        """The pixel of the block in which each pixel of the result has its centre."""
        return np.asarray(nearest(self.core, self.ratio) + (self.core.start - self.read.start), np.intp)


@dataclass(frozen=True)
class Block:
    """A block along all spatial axes of a `BlockSpec`, in the order of its axes."""

    spans: tuple[Span, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the block's tensor with halo and padding."""
        return tuple(span.size for span in self.spans)

    @property
    def layout(self) -> tuple[tuple[int, Sampling], ...]:
        """What blocks must share to be restored in one batch: sizes, and where the results lie in them."""
        return tuple((span.size, span.sampling) for span in self.spans)

    def at_results(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return, of pixels that were read (C, *spatial), those in which the pixels of the result have their centres."""
        index: tuple[Any, ...] = (slice(None), *np.ix_(*(span.origins for span in self.spans)))
        chosen: npt.NDArray[Any] = pixels[index]
        return chosen


def result_range(part: slice, ratio: Fraction) -> slice:
    """Return the pixels of a result, ``ratio`` times finer than the source, whose centres lie in a part of the source."""
    half = Fraction(1, 2)
    return slice(ceil(part.start * ratio - half), ceil(part.stop * ratio - half))


def nearest(part: slice, ratio: Fraction) -> npt.NDArray[np.intp]:
    """Return the pixel of a part of the source, counted from its start, in which each pixel of the result has its centre."""
    target = np.arange(*result_range(part, ratio).indices(2**62)[:2])
    return np.asarray((2 * target + 1) * ratio.denominator // (2 * ratio.numerator) - part.start, np.intp)


def make_span(start: int, stop: int, size: int, halo: int, multiple: int, ratio: Fraction, scale: int = 1) -> Span:
    """Return the span that restores ``[start, stop)`` of an axis of ``size`` pixels.

    Parameters
    ----------
    start, stop : int
    size : int
        Of the axis of the source, in pixels.
    halo : int
        How far a pixel of the result depends on others, in pixels of the source.
    multiple : int
        What the length that the method sees must be a multiple of.
    ratio : fractions.Fraction
        Pixels of the result for each one of the source.
    scale : int
        How many times more pixels the method itself makes.
    """
    halo = ceil(halo / multiple) * multiple
    first = max(0, start // multiple * multiple - halo)
    last = min(size, ceil(stop / multiple) * multiple + halo)
    return Span(slice(start, stop), slice(first, last), -(last - first) % multiple, ratio, scale)


def make_block(cores: tuple[slice, ...], sizes: Mapping[str, int], spec: BlockSpec) -> Block:
    """Return the block that restores the given cores of an image of the given sizes; a whole one reads all of its axes.

    Parameters
    ----------
    cores : tuple of slice
        What is restored, along the axes of the specification.
    sizes : mapping of str to int
        Of the source, by axis.
    spec : BlockSpec
    """
    ratios = spec.ratios(sizes)
    halos = tuple(sizes[axis] for axis in spec.axes) if spec.whole else spec.halo
    return Block(
        tuple(
            make_span(core.start, core.stop, sizes[axis], halo, multiple, ratios[axis], scale)
            for axis, core, halo, multiple, scale in zip(
                spec.axes, cores, halos, spec.multiple, spec.scale, strict=True
            )
        )
    )


@dataclass(frozen=True)
class Grid:
    """Where the blocks of an image begin: it follows from the specification and the image, and from no machine.

    Attributes
    ----------
    axes : str
        Those of the specification.
    edges : tuple of int
        About how long a block is along each of them, in pixels of the source.
    bounds : tuple of tuple of int
        Along each of them where the blocks begin, and the end of the image.
    """

    axes: str
    edges: tuple[int, ...]
    bounds: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, spec: BlockSpec, sizes: Mapping[str, int], edges: Sequence[int] | None = None) -> Grid:
        """Cut an image into blocks of nearly equal size.

        Parameters
        ----------
        spec : BlockSpec
        sizes : mapping of str to int
            Of the image, by axis role.
        edges : sequence of int, optional
            About how long blocks are to be along the axes of the specification; see `default_edges` where they are left out.
        """
        lengths = tuple(sizes[axis] for axis in spec.axes)
        chosen = lengths if spec.whole else tuple(edges or default_edges(spec, sizes))
        cuts = (_cut(size, edge, multiple) for size, edge, multiple in zip(lengths, chosen, spec.multiple, strict=True))
        return cls(
            spec.axes,
            chosen,
            tuple(((0, size) if spec.whole else cut) for size, cut in zip(lengths, cuts, strict=True)),
        )

    def cores(self, region: Mapping[str, slice]) -> Iterator[tuple[slice, ...]]:
        """Yield the parts of the blocks that lie in a region of the image (which covers them once), in C order."""
        return product(*self._parts(region))

    def count(self, region: Mapping[str, slice]) -> int:
        """Return how many blocks have a part in a region."""
        return prod(len(parts) for parts in self._parts(region))

    def _parts(self, region: Mapping[str, slice]) -> list[list[slice]]:
        every = []
        for axis, bounds in zip(self.axes, self.bounds, strict=True):
            wanted = region.get(axis, slice(0, bounds[-1]))
            parts = (slice(max(a, wanted.start), min(b, wanted.stop)) for a, b in pairwise(bounds))
            every.append([part for part in parts if part.start < part.stop])
        return every


def default_edges(spec: BlockSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return how long blocks are where nobody says: the longest edge is halved until a block with its halo is small enough."""
    lengths = [sizes[axis] for axis in spec.axes]
    edges, most = list(lengths), min(spec.most_pixels or MOST_PIXELS, MOST_BYTES // spec.bytes_per_pixel)

    def with_halo(axis: int) -> int:
        return edges[axis] + (2 * spec.halo[axis] if edges[axis] < lengths[axis] else 0)

    while prod(with_halo(axis) for axis in range(len(edges))) > most:
        axis = max(range(len(edges)), key=lambda i: edges[i])
        if edges[axis] <= max(32, spec.multiple[axis]):
            break
        edges[axis] = ceil(edges[axis] / 2)
    return tuple(edges)


def split_core(core: tuple[slice, ...], spec: BlockSpec, smallest: int) -> list[tuple[slice, ...]]:
    """Halve a core along its longest axis; return it alone where it is at the floor of ``smallest`` pixels.

    Parameters
    ----------
    core : tuple of slice
        Along the axes of the specification.
    spec : BlockSpec
    smallest : int
        The least length of a half, in pixels.
    """
    lengths = [part.stop - part.start for part in core]
    axis = max(range(len(core)), key=lambda i: lengths[i])
    if spec.whole or lengths[axis] < 2 * max(smallest, spec.multiple[axis]):
        return [core]
    bounds = _cut(core[axis].stop, ceil(lengths[axis] / 2), spec.multiple[axis], core[axis].start)
    return [(*core[:axis], slice(a, b), *core[axis + 1 :]) for a, b in pairwise(bounds)]


def _cut(size: int, edge: int, multiple: int, start: int = 0) -> tuple[int, ...]:
    """Return bounds of pieces of one length, a multiple of ``multiple`` near ``edge``, and of a shorter last one."""
    count = max(1, ceil((size - start) / max(edge, multiple)))
    step = ceil(ceil((size - start) / count) / multiple) * multiple
    return (start, *range(start // multiple * multiple + step, size, step), size)
