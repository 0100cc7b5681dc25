"""The doctor tells what is there, and what to do where something is wrong."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_synth import doctor, models
from napari_synth.cli import main
from napari_synth.core.errors import ModelFileError
from napari_synth.engine.recipe import current_versions


def by_topic() -> dict[str, doctor.Finding]:
    return {finding.topic: finding for finding in doctor.examine()}


def test_a_sound_installation_has_nothing_to_complain_of(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capfd.readouterr().out
    for topic in ("napari-synth", "python", "torch", "numpy", "kornia", "napari", "Qt", "device", "threads", "memory"):
        assert f"  {topic}: " in shown
    assert "! " not in shown


def test_the_bundled_models_are_looked_at() -> None:
    findings = by_topic()
    files = list(Path(models.__file__).parent.glob("*.safetensors"))
    assert files
    for file in files:
        assert findings[f"model {file.stem}"].good
        assert models.weights_hash(file)[:16] in findings[f"model {file.stem}"].text


def test_a_damaged_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(path: object) -> None:
        raise ModelFileError("The model file is damaged.")

    monkeypatch.setattr(models, "load_model", damaged)
    bad = [finding for finding in doctor.examine() if finding.topic.startswith("model ")]
    assert bad
    assert all(not finding.good and "install napari-synth again" in finding.text for finding in bad)


def test_a_model_that_is_not_the_installed_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_recorded_hash", lambda file: "0" * 64)
    bad = [finding for finding in doctor.examine() if finding.topic.startswith("model ")]
    assert all(not finding.good for finding in bad)


def test_a_gpu_that_torch_cannot_use_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_nvidia_gpus", lambda: ["GPU 0: NVIDIA H100"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    finding = by_topic()["GPU"]
    assert not finding.good
    assert "NVIDIA H100" in finding.text


def test_little_memory_and_disk_are_told_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**29, total=2**34))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    assert main(["doctor"]) == 1
    shown = capfd.readouterr().out
    assert "! memory: 0.5 of 16.0 GiB free" in shown
    assert "! disk: 0.0 GiB free" in shown


def test_a_missing_napari_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("napari", "PyQt6") else version(name))
    finding = by_topic()["napari"]
    assert finding.good
    assert "not installed" in finding.text


@pytest.mark.parametrize("package", ["torch", "numpy", "zarr"])
def test_a_missing_package_that_runs_need_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], package: str
) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == package else version(name))
    assert main(["doctor"]) == 1
    shown = capfd.readouterr().out
    assert f"! {package}: not installed: napari-synth needs it" in shown
    assert "work without it" not in shown
    assert "memory: " in shown


def test_a_folder_that_is_not_installed_works(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from_name = metadata.Distribution.from_name

    def only_others(name: str) -> metadata.Distribution:
        if name == "napari-synth":
            raise metadata.PackageNotFoundError(name)
        return from_name(name)

    monkeypatch.setattr(metadata.Distribution, "from_name", only_others)
    versions = current_versions.__wrapped__()
    assert versions["napari-synth"] == "unknown"
    assert versions["numpy"] == metadata.version("numpy")
    assert main(["doctor"]) == 0
    assert "napari-synth: not installed, but run from a folder" in capfd.readouterr().out
