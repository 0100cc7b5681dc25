"""Pixels that lie one after the other in a file, with a header of numpy or none, read where they are asked for.

A memory map would do the same, but the system ends a process that reads a map whose file became shorter, and leaves no chance to
say so.
"""

from __future__ import annotations

import os
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError, InvalidImageError
from napari_synth.files.pixels import transposed
from napari_synth.imaging.image import Image

EAGER_BYTES = 2**28
"""Files with at most so many bytes of pixels are loaded at once."""
# Bytes between two rows that are rather read along than skipped.
_SKIPPED = 2**16


class RawArray:
    """An array in a file, in C order and without compression.

    Parameters
    ----------
    path : pathlib.Path
    dtype : numpy.dtype
        With its byte order.
    shape : tuple of int
    offset : int
        Of the first pixel, in bytes.

    Raises
    ------
    ImageFileError
        The file is too short.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...], offset: int = 0) -> None:
        self.path, self.offset = path, offset
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape = tuple(int(size) for size in shape)
        self.ndim = len(self.shape)
        needed, there = offset + prod(self.shape) * self.dtype.itemsize, path.stat().st_size
        if there < needed:
            raise ImageFileError(
                f"{path.name!r} ends too early: {needed - there} of its bytes are missing, so copy it again."
            )

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return self[...].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a part: ints, slices and an ellipsis are read alone, for anything else all of the array."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = given[:at] + (slice(None),) * (self.ndim - len(given) + 1) + given[at + 1 :]
        given += (slice(None),) * (self.ndim - len(given))
        if len(given) != self.ndim or not all(isinstance(part, (slice, int, np.integer)) for part in given):
            return np.asarray(self[...][index])
        ranges = [
            range(*part.indices(size)) if isinstance(part, slice) else _one(part, size)
            for part, size in zip(given, self.shape, strict=True)
        ]
        values = self._read(ranges)
        kept = tuple(slice(None) if isinstance(part, slice) else 0 for part in given)
        return values[kept]

    def _read(self, ranges: list[range]) -> npt.NDArray[Any]:
        """Read the positions of each axis."""
        values = np.empty([len(part) for part in ranges], self.dtype)
        if not values.size:
            return values
        # The last axes that are taken whole, and one before them, lie together in the file.
        tail = self.ndim
        while tail > 1 and ranges[tail - 1] == range(self.shape[tail - 1]):
            tail -= 1
        lead, run = ranges[: tail - 1], ranges[tail - 1]
        strides = [prod(self.shape[axis + 1 :]) for axis in range(self.ndim)]
        inner = strides[tail - 1]
        low, high = min(run), max(run) + 1
        with self.path.open("rb", buffering=0) as file:
            if lead and self._is_dense(lead[-1], strides[tail - 2], (high - low) * inner):
                self._read_rows(file, ranges, tail, values)
                return values
            for where in product(*(range(len(part)) for part in lead)):
                start = sum(part[i] * strides[axis] for axis, (part, i) in enumerate(zip(lead, where, strict=True)))
                block = self._pixels(file, start + low * inner, (high - low) * inner)
                block = block.reshape(high - low, *self.shape[tail:])
                values[where] = block[[position - low for position in run]] if run.step != 1 else block
        return values

    def _read_rows(self, file: Any, ranges: list[range], tail: int, values: npt.NDArray[Any]) -> None:
        """Read neighbouring rows with what lies between their parts, in one go for each position before them."""
        lead, rows = ranges[: tail - 2], ranges[tail - 2]
        strides = [prod(self.shape[axis + 1 :]) for axis in range(self.ndim)]
        low, high = min(rows), max(rows) + 1
        for where in product(*(range(len(part)) for part in lead)):
            start = sum(part[i] * strides[axis] for axis, (part, i) in enumerate(zip(lead, where, strict=True)))
            block = self._pixels(file, start + low * strides[tail - 2], (high - low) * strides[tail - 2])
            block = block.reshape(high - low, *self.shape[tail - 1 :])
            columns = ranges[tail - 1]
            block = block[:, min(columns) : max(columns) + 1]
            block = block[np.ix_([row - low for row in rows], [column - min(columns) for column in columns])]
            values[where] = block

    def _is_dense(self, rows: range, stride: int, wanted: int) -> bool:
        """Return whether rows are near enough to each other to read what lies between their parts too."""
        apart = abs(rows.step) * stride - wanted
        return len(rows) > 1 and apart * self.dtype.itemsize <= _SKIPPED

    def _pixels(self, file: Any, start: int, count: int) -> npt.NDArray[Any]:
        """Read pixels one after the other."""
        values = np.empty(count, self.dtype)
        view = values.view(np.uint8).data
        file.seek(self.offset + start * self.dtype.itemsize, os.SEEK_SET)
        done = 0
        while done < len(view):
            read = file.readinto(view[done:])
            if not read:
                raise ImageFileError(f"{self.path.name!r} became shorter while it was read: run it again.")
            done += read
        return values


def _one(position: Any, size: int) -> range:
    at = int(position) + size * (position < 0)
    if not 0 <= at < size:
        raise IndexError(f"position {position} of {size}")
    return range(at, at + 1)


def read_npy(path: Path) -> Image:
    """Open a .npy file, whose pixels are read where they are asked for; true and false become 1 and 0.

    Raises
    ------
    ImageFileError
        It is damaged, ends too early, or holds no plain array.
    InvalidImageError
        Its values are no intensities.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        offset = file.tell()
    if dtype.hasobject:
        raise ImageFileError(f"{path.name!r} cannot be read: it holds Python objects, so save an array of numbers.")
    if dtype.kind not in "biuf":
        raise InvalidImageError(
            f"{path.name!r} has values of dtype {dtype}, no intensities: save them as an integer or float dtype."
        )
    data: Any = RawArray(path, np.uint8 if dtype.kind == "b" else dtype, shape[::-1] if by_columns else shape, offset)
    if data.dtype.itemsize * prod(shape) <= EAGER_BYTES:
        data = data[...]
    return Image.from_array(transposed(data, list(range(len(shape)))[::-1]) if by_columns else data)


def write_npy(path: Path, image: Image) -> None:
    """Write a .npy file, position by position of the first axis, so that a lazy image is never in memory whole."""
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(image.dtype),
            "fortran_order": False,
            "shape": image.shape,
        }
        np.lib.format.write_array_header_2_0(file, header)
        for index in range(image.shape[0]):
            part = image.read(**{image.axes[0]: slice(index, index + 1)})
            file.write(np.ascontiguousarray(part).data)
