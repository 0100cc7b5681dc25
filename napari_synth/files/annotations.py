"""Points, shapes, vectors and tracks as tables: CSV, with the columns that napari reads and writes.

Coordinates are in pixels, in columns ``axis-0``, ``axis-1`` and so on. napari knows tables of points and of shapes; those of
vectors have the columns ``direction-0`` and so on besides, and those of tracks ``track-id``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError

Floats = npt.NDArray[np.float64]

_DIGITS = 4
_AXIS = "axis-"


def write_points(path: Path, points: npt.ArrayLike) -> None:
    """Write points (N, D)."""
    rows = np.asarray(points, dtype=np.float64)
    _write(path, ["index", *_axes(rows.shape[1])], ([i, *_rounded(row)] for i, row in enumerate(rows)))


def write_shapes(path: Path, shapes: Sequence[npt.ArrayLike], types: Sequence[str], axes: int) -> None:
    """Write the vertices (M, D) of shapes, with the type of each, such as "polygon"; ``axes`` is D.

    Parameters
    ----------
    path : Path
        A CSV file, as napari writes it.
    shapes : sequence of array-like (M, D)
        The vertices of each shape.
    types : sequence of str
        The type of each shape.
    axes : int
        The number of dimensions, D.
    """
    lines = (
        [index, kind, number, *_rounded(row)]
        for index, (shape, kind) in enumerate(zip(shapes, types, strict=True))
        for number, row in enumerate(np.asarray(shape, dtype=np.float64))
    )
    _write(path, ["index", "shape-type", "vertex-index", *_axes(axes)], lines)


def write_vectors(path: Path, vectors: npt.ArrayLike) -> None:
    """Write vectors (N, 2, D): start and direction."""
    rows = np.asarray(vectors, dtype=np.float64)
    names = [*_axes(rows.shape[2]), *_axes(rows.shape[2], "direction-")]
    _write(path, ["index", *names], ([i, *_rounded(row.ravel())] for i, row in enumerate(rows)))


def write_tracks(path: Path, tracks: npt.ArrayLike) -> None:
    """Write tracks (N, 1 + D): an id, then coordinates, time first."""
    rows = np.asarray(tracks, dtype=np.float64)
    names = [*_axes(rows.shape[1] - 1), "track-id"]
    _write(path, ["index", *names], ([i, *_rounded(row[1:]), int(row[0])] for i, row in enumerate(rows)))


def read_points(path: Path) -> Floats:
    """Return points (N, D).

    Raises
    ------
    ImageFileError
        The file cannot be read, or has no coordinates of points.
    """
    names, lines = _read(path)
    if "vertex-index" in names:
        raise ImageFileError(f"{path.name!r} is a table of shapes, not of points: give it as shapes.")
    return _coordinates(path, names, lines)


def read_shapes(path: Path) -> tuple[list[Floats], list[str]]:
    """Return the vertices (M, D) of shapes, and the type of each.

    Raises
    ------
    ImageFileError
        The file cannot be read, or has no shapes.
    """
    names, lines = _read(path)
    if not {"index", "shape-type", "vertex-index"} <= set(names):
        raise ImageFileError(f"{path.name!r} is no table of shapes: save the Shapes layer from napari as CSV.")
    rows = _coordinates(path, names, lines)
    order: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        order.setdefault(line[names.index("index")], []).append(number)
    kinds = [lines[numbers[0]][names.index("shape-type")] for numbers in order.values()]
    return [rows[numbers] for numbers in order.values()], kinds


def _axes(count: int, name: str = _AXIS) -> list[str]:
    return [f"{name}{axis}" for axis in range(count)]


def _rounded(row: Floats) -> list[float]:
    found: list[float] = row.round(_DIGITS).tolist()
    return found


def _write(path: Path, names: list[str], lines: Iterable[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        table.writerows(lines)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageFileError(f"The table {str(path)!r} cannot be read: check that it is there, and CSV.") from error
    names = lines[0] if lines else []
    if not any(name.startswith(_AXIS) for name in names):
        raise ImageFileError(f"{path.name!r} has no columns axis-0, axis-1: save the layer from napari as CSV.")
    return names, lines[1:]


def _coordinates(path: Path, names: list[str], lines: list[list[str]]) -> Floats:
    columns = [column for column, name in enumerate(names) if name.startswith(_AXIS)]
    try:
        rows = [[float(line[column]) for column in columns] for line in lines]
    except (ValueError, IndexError) as error:
        raise ImageFileError(f"{path.name!r} has coordinates that are no numbers: save the layer again.") from error
    return np.array(rows, dtype=np.float64).reshape(-1, len(columns))
