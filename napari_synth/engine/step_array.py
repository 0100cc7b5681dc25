"""The result of a step as an array that can be cut and read in parts, for the step after it.

Its blocks are those of the step's own grid, made when they are read and remembered as long as there is room: what the next step
reads is what the step would have made of the whole image, and blocks of the next step, whose halos overlap, do not make the same
pixels again and again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.progress import Reporter, token_of_block

if TYPE_CHECKING:
    from napari_synth.engine.image_run import PreparedImage

MOST_BYTES = 2**28
"""Of the blocks that are remembered."""


class StepArray:
    """The result of a step, as an array of float32.

    Parameters
    ----------
    run : PreparedImage
        On the grid of its source, not limited to a region.
    """

    def __init__(self, run: PreparedImage) -> None:
        self.shape, self.dtype = run.shape, run.dtype
        self._run = run
        self._pieces = tuple(run.pieces().items())
        self._starts = [np.concatenate([[0], np.cumsum(piece.lengths)]) for _, piece in self._pieces]
        self._kept: OrderedDict[tuple[int, ...], npt.NDArray[Any]] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a part: slices with steps above 0, and ints, which drop their axis."""
        index = index if isinstance(index, tuple) else (index,)
        index = (*index, *(slice(None),) * (self.ndim - len(index)))
        spans = [_bounds(part, size) for part, size in zip(index, self.shape, strict=True)]
        made = np.empty([max(0, stop - start) for start, stop in spans], self.dtype)
        if made.size:
            numbers = [
                range(int(np.searchsorted(at, start, "right")) - 1, int(np.searchsorted(at, stop, "left")))
                for at, (start, stop) in zip(self._starts, spans, strict=True)
            ]
            for number in product(*numbers):
                block = self._block(number)
                source, target = [], []
                for at, (start, stop), n in zip(self._starts, spans, number, strict=True):
                    first, last = max(start, int(at[n])), min(stop, int(at[n + 1]))
                    source.append(slice(first - int(at[n]), last - int(at[n])))
                    target.append(slice(first - start, last - start))
                made[tuple(target)] = block[tuple(source)]
        return made[tuple(0 if isinstance(part, int) else slice(None, None, part.step) for part in index)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[()], dtype=dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what is remembered when it is sent to another process."""
        return {"_run": self._run}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_run"])  # type: ignore[misc]

    def part(self, index: tuple[slice | int, ...]) -> Part:
        """Return a part that is read when it is asked for."""
        return Part(self, tuple(range(self.ndim)), tuple((0, size) for size in self.shape), (0,) * self.ndim).part(
            index
        )

    def _block(self, number: tuple[int, ...]) -> npt.NDArray[Any]:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        region = {
            axis: piece.region(n)
            for (axis, piece), n in zip(self._pieces, number, strict=True)
            if piece.region is not None
        }
        block: npt.NDArray[Any] = self._run.compute(region=region, report=Reporter(None, token_of_block()))
        with self._lock:
            if number not in self._kept:
                self._kept[number] = block
                self._bytes += block.nbytes
            while self._bytes > MOST_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return block


class Part:
    """A part of a `StepArray`, which remembers for all its parts.

    Parameters
    ----------
    whole : StepArray
    kept : tuple of int
        Which of its dimensions this has.
    spans : tuple of (int, int)
        What it covers of each dimension that it has.
    at : tuple of int
        Where it lies along the dimensions that it has not.
    """

    def __init__(
        self, whole: StepArray, kept: tuple[int, ...], spans: tuple[tuple[int, int], ...], at: tuple[int, ...]
    ) -> None:
        self._whole, self._kept, self._spans, self._at = whole, kept, spans, at
        self.shape, self.dtype = tuple(stop - start for start, stop in spans), whole.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a part; see `StepArray`."""
        index = index if isinstance(index, tuple) else (index,)
        index = (*index, *(slice(None),) * (self.ndim - len(index)))
        wanted: list[slice | int] = list(self._at)
        for dimension, (start, _), part, size in zip(self._kept, self._spans, index, self.shape, strict=True):
            if isinstance(part, (int, np.integer)):
                wanted[dimension] = start + int(part) % size
            else:
                first, last, step = part.indices(size)
                wanted[dimension] = slice(start + first, start + last, step)
        return self._whole[tuple(wanted)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[()], dtype=dtype)

    def part(self, index: tuple[slice | int, ...]) -> Part:
        """Return a part of it, without reading; a step is none but 1."""
        kept, spans, at = [], [], list(self._at)
        for dimension, (start, _), part, size in zip(self._kept, self._spans, index, self.shape, strict=True):
            if isinstance(part, (int, np.integer)):
                at[dimension] = start + int(part) % size
            else:
                first, last, _step = part.indices(size)
                kept.append(dimension)
                spans.append((start + first, start + max(first, last)))
        return Part(self._whole, tuple(kept), tuple(spans), tuple(at))


def _bounds(part: slice | int, size: int) -> tuple[int, int]:
    if isinstance(part, (int, np.integer)):
        return int(part) % size, int(part) % size + 1
    start, stop, _ = part.indices(size)
    return start, stop
