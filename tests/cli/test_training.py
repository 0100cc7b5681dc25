"""The command ``train``, from its words to the model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from training_images import retina_pair as pair

from napari_synth import registry
from napari_synth.cli import main
from napari_synth.core.device import resolve_device
from napari_synth.files import read_image, write_image
from napari_synth.models import library
from napari_synth.training import checkpoint
from napari_synth.training.distributed import training_precision

SMALL = ["--initial-weights", "scratch", "--width", "8", "--patch", "32", "--batch", "4", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    registry.refresh()
    yield
    registry.refresh()


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Return the names of a noisy and of a clean image."""
    names = []
    for image, name in zip(pair(64), ("noisy", "clean"), strict=True):
        write_image(tmp_path / f"{name}.ome.tif", image)
        names.append(str(tmp_path / f"{name}.ome.tif"))
    return names[0], names[1]


def test_a_model_is_trained_and_used(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noisy, clean = files
    run = ["train", "denoise/supervised", noisy, "--target", clean, "--out", str(tmp_path / "run"), *SMALL]
    assert main([*run, "--steps", "20"]) == 0
    said = capfd.readouterr().err
    assert "Step 16: PSNR (dB)" in said
    assert "for the image as it is" in said
    assert "napari-synth denoise IN OUT --generator noisy-supervised" in said
    out = str(tmp_path / "out.tif")
    assert main(["denoise", noisy, out, "--generator", "noisy-supervised", "--device", "cpu"]) == 0
    assert read_image(out).shape == (64, 64)
    assert main([*run, "--steps", "25", "--resume", "--quiet"]) == 0
    assert capfd.readouterr().err.count("Step") == 0
    state = checkpoint.load(tmp_path / "run")
    assert state is not None
    assert state["run"]["steps"] == 25


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "denoise/care", "x.tif"], "can be trained"),
        (["train", "denoise/supervised", "nothing.tif", "--target", "x.tif"], "There is no file 'nothing.tif'"),
        (["train", "denoise/supervised", "nothing.tif", "--minutes", "-2"], "minutes"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert sentence in capfd.readouterr().err


def test_without_a_method_the_methods_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    said = capfd.readouterr().out
    assert "denoise/noise2noise SOURCE --target TARGET: Learns" in said
    assert "denoise/noise2void SOURCE: Learns" in said
    assert "synthesize/labels-to-image LABELS --target TARGET: Learns" in said


def test_two_processes_make_the_same_model_as_one(files: tuple[str, str], tmp_path: Path) -> None:
    noisy, clean = files
    steps = ["--steps", "12", "--quiet"]
    words = ["train", "denoise/noise2noise", noisy, "--target", clean, *SMALL, *steps]
    assert main([*words, "--out", str(tmp_path / "one"), "--name", "one"]) == 0
    command = [
        sys.executable,
        "-m",
        "napari_synth",
        *words,
        "--out",
        str(tmp_path / "two"),
        "--name",
        "two",
        "--devices",
        "2",
    ]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert finished.returncode == 0, finished.stderr
    one, two = (checkpoint.load(tmp_path / name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert two["run"]["steps"] == 12
    # The sums over shares of a batch are rounded apart: to three digits in bfloat16.
    rounding = 1e-4 if training_precision(resolve_device("cpu")) == "32-true" else 1e-2
    assert torch.allclose(one["run"]["losses"], two["run"]["losses"], rtol=rounding)
    for name, weight in one["parts"]["average network"].items():
        assert torch.allclose(weight, two["parts"]["average network"][name], atol=rounding), name
    assert library.find("two").description.architecture == "residual-unet"
