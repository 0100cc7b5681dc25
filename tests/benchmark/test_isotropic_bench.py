from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from benchmark import isotropic, main
from benchmark.report import Report
from benchmark.volumes import Subsampling, drawn_cells, moved, volumes
from napari_synth.core.errors import InvalidImageError, InvalidParameterError


def wave(planes: int = 48) -> np.ndarray:
    z = np.arange(planes)[:, None, None]
    return (np.cos(np.pi * (z + 0.5) / planes * 5) * np.ones((1, 3, 3))).astype("f4")


def test_a_volume_is_moved_by_part_of_a_plane_without_smoothing() -> None:
    z = np.arange(48)[:, None, None] + 0.5
    expected = np.cos(np.pi * (z + 0.5) / 48 * 5) * np.ones((1, 3, 3))
    np.testing.assert_allclose(moved(wave(), 0.5), expected, atol=1e-4)
    noise = np.random.default_rng(0).normal(size=(64, 8, 8)).astype("f4")
    assert moved(noise, 0.5).std() == pytest.approx(noise.std(), rel=0.02)
    np.testing.assert_allclose(moved(noise, 1.0)[:-1], noise[1:], atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("slices", ["thick", "thin"])
def test_results_are_compared_where_they_lie(factor: int, slices: str) -> None:
    """A perfect result, whose outer edges are those of its slices, has no error."""
    count = 60 // factor * factor
    truth = np.broadcast_to(np.arange(count, dtype="f4")[:, None, None], (count, 2, 2))
    subsampling = Subsampling(factor, slices)  # type: ignore[arg-type]
    measured = subsampling.measured(truth)
    first = measured[0, 0, 0] - (factor - 1) / 2
    perfect = first + np.arange(count, dtype="f4")[:, None, None] * np.ones((1, 2, 2), "f4")
    planes = subsampling.unmeasured(count)
    inner = planes[(planes > count / 4) & (planes < count * 3 / 4)]
    np.testing.assert_allclose(subsampling.at_truth(perfect)[inner], truth[inner], atol=0.05)


def test_measured_planes_do_not_count() -> None:
    truth = wave(24)
    thin = Subsampling(4, "thin")
    np.testing.assert_array_equal(thin.measured(truth), truth[2::4])
    assert not set(thin.unmeasured(24)) & set(range(2, 24, 4))
    assert len(Subsampling(4, "thick").unmeasured(24)) == 16


def test_drawn_cells_are_alike_in_all_directions() -> None:
    volume = drawn_cells(64)
    assert volume.shape == (64, 64, 64)
    assert volume.min() > 0
    roughness = [float(np.abs(np.diff(volume, axis=axis)).mean()) for axis in range(3)]
    assert max(roughness) < 1.25 * min(roughness)
    np.testing.assert_array_equal(volume, drawn_cells(64))


def test_a_plane_is_no_volume(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plane.ome.tif", np.zeros((8, 8), "u2"), metadata={"axes": "YX"})
    with pytest.raises(InvalidImageError, match="ZYX"):
        list(volumes(16, tmp_path / "plane.ome.tif"))


def test_the_report_names_every_volume_and_what_was_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isotropic, "_QUICK_STEPS", 1)
    tifffile.imwrite(tmp_path / "mine.ome.tif", drawn_cells(32).astype("u2"), metadata={"axes": "ZYX"})
    said: list[str] = []
    report = isotropic.bench_isotropic(edge=32, volume=tmp_path / "mine.ome.tif", quick=True, say=said.append)
    names = [row[0] for row in report.tables[0].rows]
    assert names == [name for name in ("drawn cells, 32³", "brain MRI (sample), along Y", "mine.ome") for _ in "ab"]
    assert len(said) == 6
    assert any("least gain over cubic" in remark for remark in report.remarks)
    for row in report.tables[0].rows:
        assert row[6] == pytest.approx(row[5] - row[3])  # type: ignore[operator]


def test_options_reach_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def bench(**options: object) -> Report:
        asked.append(options)
        return Report("Isotropic")

    monkeypatch.setattr(isotropic, "bench_isotropic", bench)
    assert main(["isotropic", "--edge", "64", "--minutes", "2", "--device", "cpu"]) == 0
    assert (asked[0]["edge"], asked[0]["minutes"], asked[0]["device"]) == (64, 2.0, "cpu")
    with pytest.raises(InvalidParameterError, match="at least 32"):
        main(["isotropic", "--edge", "8"])
