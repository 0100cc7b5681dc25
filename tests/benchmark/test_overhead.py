from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark import overhead
from benchmark.overhead import WithHalo, bench_runner
from napari_synth.contract.generator import BlockSpec, Prepared


class Twice(Prepared):
    spec = BlockSpec.plane(4, multiple=8)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return 2 * block


def test_halo_is_changed_and_nothing_else() -> None:
    wide = WithHalo(Twice(), 20)
    assert wide.spec == BlockSpec.plane(20, multiple=8)
    assert torch.equal(wide.apply(torch.ones(1, 1, 8, 8)), torch.full((1, 1, 8, 8), 2.0))


def test_tiles_keep_what_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "_QUICK_EDGE", 128)
    monkeypatch.setattr(overhead, "_QUICK_FIELD", 320)
    monkeypatch.setattr(overhead, "_QUICK_TILE", 64)
    said: list[str] = []
    report = bench_runner(quick=True, device="cpu", repeats=1, say=said.append)
    times, tiles = report.tables
    assert [isinstance(row[1], float) and row[1] > 0 for row in times.rows] == [True] * 4
    assert [row[-1] for row in tiles.rows] == ["yes", "yes"]
    assert int(str(tiles.rows[1][1])) > int(str(tiles.rows[0][1])) > 0
    assert float(str(tiles.rows[0][2])) >= float(str(tiles.rows[1][2])) >= 0
    assert len(said) == 3


def test_noisy_image_fills_the_square() -> None:
    noisy = overhead._noisy(700)
    assert noisy.shape == (700, 700)
    assert np.isfinite(noisy).all()
