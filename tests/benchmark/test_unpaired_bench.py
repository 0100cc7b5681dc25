from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np

from benchmark.report import Report
from benchmark.unpaired import METHODS, bench_unpaired, changed, unpaired_task


def test_what_is_learnt_stands_beside_histogram_matching(tmp_path: Path) -> None:
    report, said = Report("Translate"), list[str]()
    bench_unpaired(report, quick=True, device="cpu", pictures=tmp_path, say=said.append)
    (table,) = report.tables
    assert [row[0] for row in table.rows] == ["the source as it is", "histogram matching", *METHODS]
    assert len(said) == len(table.rows)
    unchanged, *others = (row[1] for row in table.rows)
    # Even untrained networks begin at the target's intensities.
    assert all(isinstance(found, float) and found > unchanged + 3 for found in others)
    strip = iio.imread(tmp_path / "unpaired.png")
    assert strip.shape == (32, 6 * 128 + 5 * 4)


def test_tiles_of_source_and_target_are_of_other_fields() -> None:
    task = unpaired_task(quick=True)
    assert len(task.sources) == len(task.targets) == 6
    again = [changed(tile) for tile in task.sources]
    assert all(np.abs(one.astype(int) - other).max() > 3 for one in again for other in task.targets)
    assert task.unseen.shape == task.truth.shape == (32, 128)


def test_the_change_turns_nothing_upside_down_and_is_more_than_a_curve() -> None:
    image = unpaired_task(quick=True).unseen
    other = changed(image)
    assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.9
    levels = [np.ptp(other[image == level]) for level in np.unique(image) if (image == level).sum() > 20]
    assert max(levels) > 10
