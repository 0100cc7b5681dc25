"""Measures of made images are held to crops that are spoilt in known ways."""

from __future__ import annotations

from benchmark.ladder import (
    BETTER,
    COPIES,
    COURSE,
    NOISE,
    PHASES,
    REAL,
    STREAKS,
    bench_ladder,
)
from napari_synth.methods.synthesize.crops import TOLD
from napari_synth.methods.synthesize.quality import DIRECTION, MEMORY


def test_a_fresh_network_ranks_spoilt_nuclei_as_people_do() -> None:
    measures, right = bench_ladder(quick=True, device="cpu").tables
    found = {str(row[0]): dict(zip(measures.columns[1:], row[1:], strict=True)) for row in measures.rows}
    ranked = {str(row[0]): row[1] for row in right.rows}
    assert ranked[COURSE] == len(BETTER)
    assert float(found[REAL][TOLD] or 0) < 70
    assert float(found[NOISE][TOLD] or 0) > 90
    # What is drawn out along one direction has the most of it.
    assert float(found[STREAKS][DIRECTION] or 0) > 2 * float(found[REAL][DIRECTION] or 0)
    # What is no new image is known by the nearest training crop.
    assert float(found[COPIES][MEMORY] or 0) < 40
    assert float(found[PHASES][MEMORY] or 0) > 90
