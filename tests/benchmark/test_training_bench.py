from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import careamics_steps, training
from benchmark.careamics_steps import careamics_speed
from benchmark.training import bench_training


def test_the_loops_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "careamics_speed", lambda *_, **__: None)
    said: list[str] = []
    report = bench_training(quick=True, device="cpu", repeats=1, say=said.append)
    (table,) = report.tables
    loops = ["plain PyTorch", "plain PyTorch with average and clipping", "session", "session, augmented"]
    assert [row[0] for row in table.rows] == [*loops, "CAREamics: not installed"]
    assert all(isinstance(row[1], float) and row[1] > 0 for row in table.rows[:-1])
    assert "A step of the session over one of the plain loop" in said[0]


def test_what_another_interpreter_measured_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"version": "1.2", "torch": "2.0", "seconds": 3.0, "plain_seconds": 2.0}
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\necho '{json.dumps(said)}' > \"$4\"\n")
    interpreter.chmod(0o755)
    pair = np.zeros((2, 8, 8), np.float32)
    options = {"steps": 1, "batch": 1, "patch": 8, "device": "cpu", "rate": 1e-3}
    found = careamics_speed(pair, **options, python=str(interpreter))  # type: ignore[arg-type]
    assert found == careamics_steps.PeerSpeed(**said)  # type: ignore[arg-type]
    interpreter.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    with pytest.raises(SystemExit, match="no such thing"):
        careamics_speed(pair, **options, python=str(interpreter))  # type: ignore[arg-type]
    monkeypatch.setattr(careamics_steps.importlib.util, "find_spec", lambda _: None)
    assert careamics_speed(pair, **options) is None  # type: ignore[arg-type]
