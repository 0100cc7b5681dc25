from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from benchmark.command import main
from benchmark.paired import METHODS, bench_pairs, pair_tasks
from benchmark.report import Report
from napari_synth.core.errors import InvalidParameterError
from napari_synth.models import library


def test_every_method_is_compared_with_the_truth_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    report = Report("Translate")
    bench_pairs(report, quick=True, device="cpu", pictures=tmp_path)
    assert len(report.tables) == len(pair_tasks(quick=True))
    for table in report.tables:
        assert [row[0] for row in table.rows] == ["per-pixel regression", *METHODS]
        assert all(np.isfinite(float(value)) for row in table.rows for value in row[1:-1] if value is not None)
    # Gray tells most of a stain's colour; networks start from there.
    colour = report.tables[0].rows
    assert all(float(row[1] or 0) > 18 for row in colour)
    assert [row[-1] for row in colour] == [None, 4.0, 4.0]
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["colour-from-gray.png", "nuclei-from-light.png"]
    assert iio.imread(tmp_path / pictures[0]).shape == (24, 5 * 96 + 4 * 4, 3)
    assert not library.entries()[0]


def test_a_truth_lies_on_its_source() -> None:
    for task in pair_tasks(quick=True):
        seen, unseen = task.rows(held_out=False), task.rows(held_out=True)
        for one, other in ((seen.source, seen.target), (unseen.source, unseen.target)):
            assert [one.sizes[axis] for axis in "YX"] == [other.sizes[axis] for axis in "YX"]
        assert seen.source.sizes["Y"] + unseen.source.sizes["Y"] == task.source.sizes["Y"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="minutes"):
        main(["translate", "--quick", "--minutes", "0"])
    with pytest.raises(InvalidParameterError, match="folder"):
        main(["translate", "--quick", "--pictures", str(tmp_path / "missing")])
