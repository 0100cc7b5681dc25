"""Asks for a model file, and whether it is trusted."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_synth.core.generator import Task
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.models import library
from napari_synth.models.library import Entry

_KINDS = "Models (*.safetensors *.pth *.pt *.ckpt *.zip *.yaml *.yml);;All files (*)"


def ask_for_file(parent: QWidget) -> Path | None:
    """Let the user choose a model file, or the description of a package that is a folder; None where they did not."""
    path, _ = QFileDialog.getOpenFileName(parent, "Open a model file", "", _KINDS)
    return Path(path) if path else None


def ask_for_trust(parent: QWidget, path: Path) -> bool:
    """Let the user decide on a file that can only be used by executing what it contains."""
    text = (
        f"{path.name} holds a program, not only weights. It would run with your rights on this computer.\n\n"
        "Do you trust where it comes from?"
    )
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.warning(parent, "Trust this file?", text, buttons.Yes | buttons.Cancel, buttons.Cancel)
    return bool(answer == buttons.Yes)


def add_model(path: Path, task: Task, trusted: bool, progress: ProgressCallback, cancel: CancelToken) -> Entry:
    """Copy a model file for a task into the user's library; runs in a thread."""
    report = Reporter(progress, cancel)
    report.start("Trying the model")
    return library.add(path, task=task, trusted=trusted, report=report)
