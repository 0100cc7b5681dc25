"""The pictures of the documentation: what they show is what they say."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_synth import demo
from napari_synth.pictures import STRIPS, Strip


@pytest.mark.parametrize(
    "task", ["denoise", "upscale", "movies", "chain", pytest.param("inpaint", marks=pytest.mark.slow)]
)
def test_a_result_is_nearer_to_the_truth_than_its_source(task: str) -> None:
    strip = STRIPS[task]()
    truth = strip.panels[strip.truth or ""].astype(float)
    errors = [float(np.abs(panel - truth).mean()) for panel in strip.panels.values()]
    assert errors[-1] == 0
    assert errors[-2] == min(errors[:-1])


def test_a_translated_slide_is_stained_like_the_reference() -> None:
    panels = STRIPS["translate"]().panels
    stained = {name: panel[panel.sum(-1) < np.quantile(panel.sum(-1), 0.25)].mean(0) for name, panel in panels.items()}
    before, after = (np.abs(stained[name] - stained["reference"]).sum() for name in ("slide", "translated"))
    assert after < before / 2


def test_panels_stand_side_by_side(tmp_path: Path) -> None:
    truth = np.linspace(0, 250, 32 * 24).reshape(32, 24).astype(np.uint8)
    strip = Strip({"before": truth // 2, "truth": truth}, "truth")
    strip.write(tmp_path / "new" / "strip.png")
    assert np.array_equal(iio.imread(tmp_path / "new" / "strip.png"), np.concatenate([truth // 2, truth], axis=1))
    assert strip.said().startswith("before (")
    assert strip.said().endswith("dB), truth")


def test_an_unknown_picture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--task", "paint", "--picture", str(tmp_path / "p.png")]) == 2
    assert "choose one of denoise" in capsys.readouterr().out
    assert not (tmp_path / "p.png").exists()
