"""Cuts a result into units of work: boxes of whole blocks of which no two share a stored chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod

from napari_synth.core.progress import Reporter
from napari_synth.engine.block_run import BlockRun
from napari_synth.engine.prepared import Pieces, PreparedRun
from napari_synth.engine.recipe import Recipe
from napari_synth.files import OmeZarrTarget

MOST_PIXELS = 2**24
"""Of a unit of several blocks: so many are lost at most where a process is killed."""


@dataclass(frozen=True)
class Unit:
    """A box of the result.

    Attributes
    ----------
    index : tuple of slice
        Its pixels along the axes of the result.
    region : dict of str to slice
        What `PreparedRun.compute` is asked for.
    """

    index: tuple[slice, ...]
    region: dict[str, slice]


def units_of(run: BlockRun, chunks: Sequence[int]) -> list[Unit]:
    """Return the units of a run, in the order of its result.

    Neighbouring blocks are joined up to `MOST_PIXELS`; where the user set a tile, only along axes that are no part of a block.

    Parameters
    ----------
    run : BlockRun
    chunks : sequence of int
        Shape of a stored chunk, along the axes of the result.
    """
    pieces = run.pieces()
    fixed = run.block_spec(run.channels[0]).axes if run.options.tile else ""
    cut = {axis: _aligned(piece, edge) for (axis, piece), edge in zip(pieces.items(), chunks, strict=True)}
    volume = prod(max(stop - start for start, stop, _ in parts) for parts in cut.values())
    for axis, parts in cut.items():
        count = MOST_PIXELS // volume
        if count > 1 and axis not in fixed:
            joined = [_joined(parts[at : at + count]) for at in range(0, len(parts), count)]
            volume *= min(count, len(parts))
            cut[axis] = joined
    return [
        Unit(
            tuple(slice(start, stop) for start, stop, _ in box),
            {axis: part[2] for axis, part in zip(cut, box, strict=True) if part[2] is not None},
        )
        for box in product(*cut.values())
    ]


def write_units(run: PreparedRun, target: OmeZarrTarget, report: Reporter) -> None:
    """Make a result unit by unit, but for those that an earlier process has made.

    Parameters
    ----------
    run : PreparedRun
    target : OmeZarrTarget
        That may be gone on with.
    report : Reporter
        Told of every unit; a cancel takes effect within a block.
    """
    if not isinstance(run, BlockRun):
        run.compute(out=target, report=report)
        return
    units = units_of(run, target.chunks)
    inside = report if len(units) == 1 else Reporter(cancel=report.cancel)
    report.start("Restoring", len(units))
    for unit in units:
        target.write_unit(unit.index, partial(run.compute, region=unit.region, report=inside))
        report.advance()


def token_of(recipe: Recipe, run: PreparedRun) -> str:
    """Return what tells the makings of a result from all others: the recipe with all that was measured, and the source's files."""
    origin = None if run.source is None else run.source.origin
    text = f"{recipe.model_dump_json()} {getattr(origin, 'states', '')}"
    return hashlib.sha256(text.encode()).hexdigest()


Part = tuple[int, int, slice | None]
"""Start and stop in the result, and the region that gives it; None where the axis is whole."""


def _aligned(piece: Pieces, edge: int) -> list[Part]:
    """Return the pieces of an axis, joined until each begins at the beginning of a chunk."""
    parts: list[Part] = []
    start, first = 0, 0
    stop = 0
    for number, length in enumerate(piece.lengths):
        stop += length
        is_last = number == len(piece.lengths) - 1
        if not (is_last or stop % edge == 0):
            continue
        region = None
        if piece.region is not None:
            region = slice(piece.region(first).start, piece.region(number).stop)
        parts.append((start, stop, region))
        start, first = stop, number + 1
    return parts


def _joined(parts: Sequence[Part]) -> Part:
    first, last = parts[0], parts[-1]
    region = None if first[2] is None or last[2] is None else slice(first[2].start, last[2].stop)
    return first[0], last[1], region
