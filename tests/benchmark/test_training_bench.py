from __future__ import annotations

from napari_synth.benchmark.training import bench_training


def test_the_loops_are_compared() -> None:
    said: list[str] = []
    report = bench_training(quick=True, device="cpu", repeats=1, say=said.append)
    (table,) = report.tables
    assert [row[0] for row in table.rows] == ["plain PyTorch", "plain PyTorch with average and clipping", "session"]
    assert all(isinstance(row[1], float) and row[1] > 0 for row in table.rows)
    assert "A step of the session over one of the plain loop" in said[0]
