"""What a correction found, as a table from its recipe."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_synth import verbs
from napari_synth.cli.app import main
from napari_synth.imaging.image import Image
from napari_synth.methods.correct.curves import Curves, curves_of


def found(method: str, pixels: np.ndarray, axes: str, **params: object) -> Curves | None:
    recipe = verbs.prepare(f"correct/{method}", Image(pixels, axes), params).recipe
    return curves_of(recipe.generator, recipe.params)


def test_bleaching_drift_and_light_have_curves_and_stripes_none() -> None:
    rng = np.random.default_rng(0)
    fading = np.exp(-np.arange(12) / 10)
    scene = rng.random((40, 40)) * 500 + 100
    movie = rng.poisson(scene * fading[:, None, None]).astype("f4")
    curve = found("bleaching", movie, "TYX", dark=0.0)
    assert curve is not None
    np.testing.assert_allclose(curve.columns["gains"], 1 / fading, rtol=0.02)
    two = found("bleaching", np.stack([movie, movie], 1), "TCYX", dark=0.0)
    assert two is not None
    assert set(two.columns) == {"gains_0", "gains_1"}

    still = rng.random((80, 80)) * 1000
    drifting = np.stack([np.roll(still, (i, -2 * i), (0, 1)) for i in range(3)]).astype("f4")
    shifts = found("drift", drifting, "TYX")
    assert shifts is not None
    np.testing.assert_allclose(shifts.columns["y"], [0, 1, 2], atol=0.05)
    np.testing.assert_allclose(shifts.columns["x"], [0, -2, -4], atol=0.05)

    levels = np.array([80, 100, 130, 90, 120, 110.0])
    tiles = rng.poisson(levels[:, None, None] * np.ones((40, 40))).astype("f4")
    light = found("flat-field", tiles, "TYX")
    assert light is not None
    assert light.over == "tile"
    np.testing.assert_allclose(light.columns["baseline"], levels, rtol=0.05)
    assert found("stripes", movie[0], "YX") is None


def test_the_command_writes_the_table_of_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    movie = rng.poisson(300 * np.exp(-np.arange(8) / 6)[:, None, None] * np.ones((32, 32))).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", movie)
    source, target = str(tmp_path / "a.tif"), tmp_path / "b.ome.tif"
    assert main(["correct", source, str(target), "--generator", "bleaching", "--axes", "TYX", "--dark", "0"]) == 0
    recipe = f"{target}.recipe.yaml"
    assert main(["curves", recipe, str(tmp_path / "curve.csv")]) == 0
    rows = list(csv.DictReader(StringIO((tmp_path / "curve.csv").read_text())))
    assert [row["frame"] for row in rows] == [str(i) for i in range(8)]
    assert float(rows[0]["gains"]) == pytest.approx(1.0)
    assert float(rows[-1]["gains"]) == pytest.approx(np.exp(7 / 6), rel=0.05)
    capsys.readouterr()
    assert main(["curves", recipe]) == 0
    assert capsys.readouterr().out == (tmp_path / "curve.csv").read_text()
    assert main(["denoise", source, str(tmp_path / "c.ome.tif"), "--axes", "TYX", "--neighbours", "off"]) == 0
    assert main(["curves", str(tmp_path / "c.ome.tif.recipe.yaml")]) == 2
    assert "holds no curve" in " ".join(capsys.readouterr().err.split())
    assert main(["curves", recipe, str(tmp_path / "none" / "x.csv")]) == 2
    assert "cannot be written" in " ".join(capsys.readouterr().err.split())
