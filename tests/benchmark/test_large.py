from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark import large
from benchmark.large import Cost, bench_large, write_large_image
from napari_synth.core.errors import GeneratorError
from napari_synth.files import read_image


def test_image_is_uint16_with_noise_everywhere(tmp_path: Path) -> None:
    write_large_image(tmp_path / "large.zarr", 1100)
    image = read_image(tmp_path / "large.zarr")
    assert image.shape == (1100, 1100)
    assert image.dtype == np.uint16
    assert image.read(Y=slice(1000, 1100), X=slice(1000, 1100)).std() > 5
    assert image.spacing["X"] == pytest.approx(0.1)


def test_child_restores_and_tells_its_cost(tmp_path: Path) -> None:
    report = bench_large([300], folder=tmp_path)
    name, wall, processor, per_megapixel, peak = report.tables[0].rows[0]
    assert name == "300 x 300"
    assert isinstance(wall, float)
    assert wall > 0
    assert isinstance(processor, float)
    assert per_megapixel == pytest.approx(processor / 0.09)
    assert isinstance(peak, float)
    assert 0.05 < peak < 3
    assert any("20000" in remark and "not measured" in remark for remark in report.remarks)
    assert list(tmp_path.iterdir()) == []


def test_growth_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {1000: Cost(1000, 1.0, 1.0, 0.5), 2000: Cost(2000, 5.0, 5.0, 3.5)}
    monkeypatch.setattr(large, "_restore", lambda size, folder: costs[size])
    report = bench_large([1000, 2000])
    assert any("1.25 times" in remark for remark in report.remarks)
    assert any("exceeds 3 GiB" in remark for remark in report.remarks)


def test_failed_command_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(large, "_CHILD", "raise SystemExit('no memory')")
    with pytest.raises(GeneratorError, match="no memory"):
        bench_large([64], folder=tmp_path)
