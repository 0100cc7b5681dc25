"""Looks whether everything that a run needs is there and fits together, and says what to do where it does not."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from napari_synth.core.errors import SynthError

_PACKAGES = ("torch", "numpy", "kornia", "scikit-image", "zarr", "tifffile", "lightning-fabric", "npe2")
_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_NO_PANEL = "there is no panel, the command line and Python work without it"
_LITTLE_MEMORY = 2 * 2**30
_LITTLE_DISK = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic : str
        What was looked at.
    text : str
        What was found, and what to do about it where it is not good.
    good : bool
        Whether a run can rely on it.
    """

    topic: str
    text: str
    good: bool = True

    def __str__(self) -> str:
        return f"{'  ' if self.good else '! '}{self.topic}: {self.text}"


def examine() -> list[Finding]:
    """Look at versions, devices, memory, disk, the bundled models and one small run.

    Where a package is missing that runs need, there is nothing to be said of devices, models and runs.
    """
    versions = list(_versions())
    if not all(finding.good for finding in versions):
        return [*versions, *_resources()]
    return [*versions, *_devices(), *_resources(), *_models(), _small_run()]


def _versions() -> Iterator[Finding]:
    yield Finding("napari-synth", _version("napari-synth") or "not installed, but run from a folder")
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        found = _version(package)
        missing = f"not installed: napari-synth needs it, run pip install {package}"
        yield Finding(package, found or missing, good=found is not None)
    yield Finding("napari", _version("napari") or f"not installed: {_NO_PANEL}")
    bindings = [f"{name} {version}" for name in _QT_BINDINGS if (version := _version(name))]
    yield Finding("Qt", ", ".join(bindings) or f"none: {_NO_PANEL}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    import torch

    from napari_synth.core.device import resolve_device

    build = (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}" if torch.version.hip else ""
    )
    yield Finding("torch build", build or "CPU only")
    present = _nvidia_gpus()
    if present and not torch.cuda.is_available():
        yield Finding(
            "GPU",
            f"{', '.join(present)} cannot be used by this torch: install the build of torch for your driver's CUDA.",
            good=False,
        )
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            device = resolve_device(f"cuda:{index}")
            torch.ones(8, 8, device=device.torch_name).matmul(torch.ones(8, 8, device=device.torch_name)).sum().item()
            free = device.free_memory() / 2**30
            yield Finding(f"GPU {index}", f"{device.title}, {free:.1f} GiB free, fits this torch")
        except (SynthError, RuntimeError) as error:
            yield Finding(f"GPU {index}", f"{error}", good=False)
    chosen = resolve_device()
    yield Finding("device", f"{chosen.title} in {chosen.precision} ({chosen.reason})")
    threads = torch.get_num_threads()
    yield Finding("threads", f"{threads} of {os.cpu_count()} processors for torch")


def _nvidia_gpus() -> list[str]:
    """Return the NVIDIA GPUs that the driver knows, whether torch can use them or not."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [line.split(" (UUID")[0] for line in lines if line.startswith("GPU")]


def _resources() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    enough = memory.available >= _LITTLE_MEMORY
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    yield Finding("memory", text if enough else f"{text}: close other programs, or set a smaller --tile", good=enough)
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= _LITTLE_DISK
    text = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    yield Finding("disk", text if enough else f"{text}: make room before large results are written", good=enough)


def _models() -> Iterator[Finding]:
    from napari_synth import models

    files = sorted(Path(models.__file__).parent.glob("*.safetensors"))
    if not files:
        yield Finding("models", "none came with this copy: install napari-synth again", good=False)
    for file in files:
        yield _model(file)


def _model(file: Path) -> Finding:
    from napari_synth.models import load_model, weights_hash

    topic = f"model {file.stem}"
    try:
        _, card = load_model(file)
        digest = weights_hash(file)
    except SynthError as error:
        return Finding(topic, f"{error} Or install napari-synth again.", good=False)
    recorded = _recorded_hash(file)
    if recorded not in (None, digest):
        return Finding(topic, "the file is not the one that was installed: install napari-synth again", good=False)
    said = "as installed" if recorded else "loads"
    return Finding(topic, f"{card.title} version {card.version}, {said}, SHA-256 {digest[:16]}")


def _recorded_hash(file: Path) -> str | None:
    """Return the SHA-256 that the installer noted for a file of the package; it notes none for a checkout or a folder."""
    try:
        installed = metadata.files("napari-synth") or ()
    except metadata.PackageNotFoundError:
        return None
    for entry in installed:
        if entry.name == file.name and entry.hash is not None and Path(str(entry.locate())).samefile(file):
            padded = entry.hash.value + "=" * (-len(entry.hash.value) % 4)
            return base64.urlsafe_b64decode(padded).hex()
    return None


def _small_run() -> Finding:
    """Denoise a sample with the default generator, since nothing else shows that the parts fit together."""
    from napari_synth import denoise, samples

    try:
        image = samples.load("actin")
        result = denoise(image.read(Y=slice(0, 128), X=slice(0, 128)), axes="YX")
    except SynthError as error:
        return Finding("small run", f"{error}", good=False)
    return Finding("small run", f"a sample of {result.shape[0]} x {result.shape[1]} pixels was denoised")
