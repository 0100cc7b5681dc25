"""What runs need: a device, and models of the user's own."""

from __future__ import annotations

from pathlib import Path

from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.gui.settings import RunSettings
from napari_synth.models.library import Entry


def find_device(settings: RunSettings, _progress: ProgressCallback, _cancel: CancelToken) -> Device:
    """Choose the device; this loads torch, which takes seconds the first time.

    Parameters
    ----------
    settings : RunSettings
    """
    return resolve_device(settings.device, settings.precision)


def add_model(path: Path, task: Task, trusted: bool, progress: ProgressCallback, cancel: CancelToken) -> Entry:
    """Copy a model file for a task into the user's library.

    Parameters
    ----------
    path : pathlib.Path
    task : Task
        What it shall be used for.
    trusted : bool
        Whether the user allows that a program in the file is executed.
    progress, cancel
        Of the job.
    """
    report = Reporter(progress, cancel)
    report.start("Trying the model")
    return registry.add_model(path, task=task, trusted=trusted, report=report)
