from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from benchmark import synthesis
from benchmark.command import main
from benchmark.synthesis import FROM_ONE, bench_synthesize
from napari_synth.core.errors import InvalidParameterError
from napari_synth.models import library


def test_every_model_is_held_against_real_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    models = {name: synthesis.MODELS[name] for name in ("DCGAN", "VAE")}
    monkeypatch.setattr(synthesis, "MODELS", models)
    said: list[str] = []
    report = bench_synthesize(quick=True, device="cpu", pictures=tmp_path, say=said.append)
    (table,) = report.tables
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert list(rows) == ["real crops", "real crops, blurred", "noise", *models, FROM_ONE]
    assert all(np.isfinite(float(value)) for row in rows.values() for value in row if value is not None)
    distances = {name: float(row[2] or 0) for name, row in rows.items()}
    assert float(rows["real crops"][0] or 0) < float(rows["noise"][0] or 0)
    assert distances["real crops"] < distances["real crops, blurred"] < distances["noise"]
    # Patches of the image itself are no noise.
    assert distances[FROM_ONE] < distances["noise"]
    assert [rows[name][-1] for name in models] == [2.0, 2.0]
    assert "least of those that were trained" in said[-1]
    assert iio.imread(tmp_path / "gravel.png").shape == (4 * 34, 8 * 34, 3)
    assert not library.entries()[0]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="minutes"):
        main(["synthesize", "--quick", "--minutes", "0"])
    with pytest.raises(InvalidParameterError, match="folder"):
        main(["train", "--quick", "--pictures", str(tmp_path / "missing")])
