"""The command ``model``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from foreign_models import script_file, weights_file

from napari_synth import registry
from napari_synth.cli import main
from napari_synth.models import library


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty library."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    registry.refresh()
    yield tmp_path / "shelf"
    monkeypatch.undo()
    registry.refresh()


def test_a_model_is_added_listed_used_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "add", str(weights_file(tmp_path, "restoring")), "--name", "mine"]) == 0
    assert "Added denoise/mine: RealESRGAN Compact, 1 times, RGB, tiles" in capsys.readouterr().out
    assert main(["model", "list"]) == 0
    shown = capsys.readouterr().out
    assert "denoise/mine: RealESRGAN Compact" in shown
    assert "1 model in" in shown
    tifffile.imwrite(tmp_path / "in.tif", np.random.default_rng(0).integers(0, 9999, (20, 30), dtype=np.uint16))
    assert main(["denoise", str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), "--generator", "mine"]) == 0
    assert tifffile.imread(tmp_path / "out.tif").shape == (20, 30)
    assert main(["model", "remove", "mine"]) == 0
    assert main(["model", "list"]) == 0
    assert "No models in" in capsys.readouterr().out


def test_bundled_models_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    assert "denoise-blind: Blind denoiser, noise-conditioned-unet, comes with napari-synth" in capsys.readouterr().out
    assert main(["model", "show", "denoise-blind"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("Blind denoiser (denoise-blind, version ")
    assert {"Trained on", "Measured", "Limits"} <= set(shown)
    assert "  Licence of the weights: BSD-3-Clause" in shown


def test_trust_and_task_are_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = str(script_file(tmp_path / "half.pt", lambda image: image * 0.5))
    assert main(["model", "add", script, "--task", "denoise"]) == 2
    assert "--trust" in capsys.readouterr().err
    assert main(["model", "add", script, "--task", "denoise", "--trust"]) == 0


@pytest.mark.filterwarnings("ignore:The description")
def test_a_broken_entry_is_listed(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "denoise" / "x").mkdir(parents=True)
    (shelf / "denoise" / "x" / "description.json").write_text("?")
    assert main(["model", "list"]) == 0
    assert "is damaged" in capsys.readouterr().out


def test_errors_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["add", str(tmp_path / "no.pth")],
        ["remove", "no"],
        ["show", "no"],
        ["export", "no", str(tmp_path / "a.zip")],
    ):
        assert main(["model", *words]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert said[-1].startswith("napari-synth: ")
        assert "Traceback" not in "".join(said)


def test_a_model_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "export", "super-resolution", str(tmp_path / "model.zip"), "--scale", "3"]) == 0
    assert "Wrote" in capsys.readouterr().out
    assert main(["model", "add", str(tmp_path / "model.zip"), "--name", "thrice", "--trust"]) == 0
    assert "Added super-resolution/thrice: bioimage.io package, TorchScript, 3 times" in capsys.readouterr().out
    assert main(["model", "export", "denoise-blind", str(tmp_path / "other.zip"), "--scale", "3"]) == 2
    assert "leave the scale out" in capsys.readouterr().err
