from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from skimage import data

from benchmark import translation
from benchmark.command import main
from benchmark.translation import NO_TORCHSTAIN, STAINS, restained, sliced_distance
from napari_synth.core.errors import InvalidParameterError


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[translation.Report, Path]:
    path = tmp_path_factory.mktemp("bench") / "mosaic.png"
    return translation.bench_translate(quick=True, device="cpu", mosaic=path), path


def test_results_come_nearer_to_their_references(quick: tuple[translation.Report, Path]) -> None:
    stains, colours, style, speed, *learnt = quick[0].tables
    before, *after = stains.rows
    for row in after:
        assert row[3] < before[3]
        if "ours" in str(row[0]):
            assert row[5] == 0.0
    assert all(row[2] < 0.5 * row[1] for row in colours.rows)
    assert all(row[2] < row[1] for row in style.rows)
    assert {f"{name} (ours)" for name in STAINS} <= {row[0] for row in speed.rows}
    assert all(table.title.startswith("Learnt from") for table in learnt)
    assert learnt
    assert iio.imread(quick[1]).shape[-1] == 3


def test_torchstain_is_left_out_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "has_torchstain", lambda: False)
    monkeypatch.setattr(translation, "EDGES", (32,))
    report = translation.bench_translate(quick=True, device="cpu")
    assert NO_TORCHSTAIN in report.remarks
    assert not any("torchstain" in str(row[0]) for table in report.tables for row in table.rows)


def test_the_other_laboratory_changes_colours_and_keeps_the_tissue() -> None:
    slide = data.immunohistochemistry()[:96, :96]
    other = restained(slide)
    assert np.abs(other.astype(int) - slide).mean() > 8
    assert np.corrcoef(other.mean(-1).ravel(), slide.mean(-1).ravel())[0, 1] > 0.95


def test_the_sliced_distance_is_that_of_a_shift() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 1))
    assert sliced_distance(points, points + 3) == pytest.approx(3.0)
    assert sliced_distance(points.repeat(3, 1), points.repeat(3, 1)) == 0.0


def test_a_mosaic_without_a_place_is_refused(tmp_path: Path) -> None:
    for name in ("mosaic.jpg", "missing/mosaic.png"):
        with pytest.raises(InvalidParameterError, match="picture"):
            main(["translate", "--quick", "--mosaic", str(tmp_path / name)])
