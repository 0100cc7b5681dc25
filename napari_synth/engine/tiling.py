"""Cuts an image into blocks with a halo, and says where each result belongs.

Along one axis, for a core of 8 pixels, a halo of 4 and a scale of 1::

    image    0-------8-------16------24--27
    read     [-----------)                    block 0: no halo beyond the image, its border is the image's border
                 [---------------)            block 1: core 8-16, halo on both sides
                         [-----------~)       last: padded (~) by reflection up to the multiple

Blocks begin at multiples of what the network needs, so that its strided layers see the same grid in a tile as in the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import BlockSpec


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
    def is_resampled(self) -> bool:
        """Whether the restored block has another grid than the result."""
        return any(span.ratio != span.scale for span in self.spans)

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
    """Return the span that restores ``[start, stop)`` of an axis of ``size`` pixels."""
    halo = ceil(halo / multiple) * multiple
    first = max(0, start // multiple * multiple - halo)
    last = min(size, ceil(stop / multiple) * multiple + halo)
    return Span(slice(start, stop), slice(first, last), -(last - first) % multiple, ratio, scale)


def make_block(cores: tuple[slice, ...], sizes: Mapping[str, int], spec: BlockSpec) -> Block:
    """Return the block that restores the given cores of an image of the given sizes; a whole one reads all of its axes."""
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


def plan_cores(
    region: tuple[slice, ...], spec: BlockSpec, most_pixels: int, edge: int | None = None
) -> list[tuple[slice, ...]]:
    """Cut a region into cores of nearly equal size.

    Parameters
    ----------
    region : tuple of slice
        What is to be restored, along each axis of the specification.
    spec : BlockSpec
    most_pixels : int
        A block with its halo has at most about this many pixels.
    edge : int, optional
        Edge of a core, where the user set one; ``most_pixels`` is then not looked at.

    Returns
    -------
    list of tuple of slice
        Cores that cover the region once, in C order.
    """
    lengths = tuple(part.stop - part.start for part in region)
    if spec.whole:
        return [region]
    edges = [edge] * len(lengths) if edge else _edges(lengths, spec, most_pixels)
    return list(
        product(
            *(_cut(part, size, multiple) for part, size, multiple in zip(region, edges, spec.multiple, strict=True))
        )
    )


def split_core(core: tuple[slice, ...], spec: BlockSpec, smallest: int) -> list[tuple[slice, ...]]:
    """Halve a core along its longest axis; return it alone where it is at the floor of ``smallest`` pixels."""
    lengths = [part.stop - part.start for part in core]
    axis = max(range(len(core)), key=lambda i: lengths[i])
    if spec.whole or lengths[axis] < 2 * max(smallest, spec.multiple[axis]):
        return [core]
    half = _cut(core[axis], ceil(lengths[axis] / 2), spec.multiple[axis])
    return [(*core[:axis], part, *core[axis + 1 :]) for part in half]


def full_region(axes: str, sizes: Mapping[str, int]) -> tuple[slice, ...]:
    """Return the whole extent along each of ``axes``."""
    return tuple(slice(0, sizes[axis]) for axis in axes)


def _edges(lengths: tuple[int, ...], spec: BlockSpec, most_pixels: int) -> list[int]:
    """Shrink the longest edge until the block with its halo has at most ``most_pixels``."""
    edges = list(lengths)

    def with_halo(axis: int) -> int:
        return edges[axis] + (2 * spec.halo[axis] if edges[axis] < lengths[axis] else 0)

    while prod(with_halo(axis) for axis in range(len(edges))) > most_pixels:
        axis = max(range(len(edges)), key=lambda i: edges[i])
        if edges[axis] <= max(32, spec.multiple[axis]):
            break
        edges[axis] = ceil(edges[axis] / 2)
    return edges


def _cut(part: slice, edge: int, multiple: int) -> list[slice]:
    """Cut an interval into pieces of one size, a multiple of ``multiple`` near ``edge``, and a smaller last one."""
    length = part.stop - part.start
    count = max(1, ceil(length / max(edge, multiple)))
    step = ceil(ceil(length / count) / multiple) * multiple
    inner = range(part.start // multiple * multiple + step, part.stop, step)
    bounds = [part.start, *inner, part.stop]
    return [slice(a, b) for a, b in pairwise(bounds)]
