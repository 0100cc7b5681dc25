"""What the worker of the panel for training does, and the job that can be paused, stopped, left with a checkpoint, or cancelled."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_synth.core.device import resolve_device
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.gui.jobs.augment import tiled
from napari_synth.gui.jobs.requests import TrainRequest
from napari_synth.gui.jobs.worker import Job
from napari_synth.registry import trainable
from napari_synth.studio.record import TrainingRecord, earlier_run
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import CurvePoint, LossMeaning, Previewed, Resumed, Saved, Validated

if TYPE_CHECKING:
    from napari_synth.studio.train import Trained

Pixels = npt.NDArray[np.float32]

_EXAMPLES = 16
_GAP = 2
"""Pixels between examples."""
_BETWEEN_UPDATES = 0.3
"""Seconds: what is drawn is drawn a few times a second, however quick the steps are."""


@dataclass(frozen=True)
class TrainingUpdate:
    """What a training has told since the last update.

    Attributes
    ----------
    points : tuple of CurvePoint
    validations : tuple of Validated
    preview : Previewed or None
        The latest.
    meaning : str
        What the losses are, where that was told.
    saved : int or None
        The step of the latest checkpoint, where one was written.
    """

    points: tuple[CurvePoint, ...] = ()
    validations: tuple[Validated, ...] = ()
    preview: Previewed | None = None
    meaning: str = ""
    saved: int | None = None


@dataclass(frozen=True)
class TrainedModel:
    """What came of a training.

    Attributes
    ----------
    trained : Trained
    record : TrainingRecord
    can_export : bool
        Whether it can be written as a bioimage.io package.
    """

    trained: Trained
    record: TrainingRecord
    can_export: bool


@dataclass(frozen=True)
class Examples:
    """Patches side by side.

    Attributes
    ----------
    pixels : numpy.ndarray, float32
        ([Z,] Y, X), colours last; about 0 to 1.
    colours : bool
    """

    pixels: Pixels
    colours: bool


class UpdateCollector:
    """Gathers what a training tells into updates, a few a second, and leaves pauses out of the time.

    Nothing is handed on before the last update was drawn, so that a window that draws slowly is never behind.

    Parameters
    ----------
    progress : callable
        Is given progress with a `TrainingUpdate` as its news.
    control : TrainingControl
    """

    def __init__(self, progress: ProgressCallback, control: TrainingControl) -> None:
        self._progress, self._control = progress, control
        self._points: list[CurvePoint] = []
        self._validations: list[Validated] = []
        self._preview: Previewed | None = None
        self._meaning = ""
        self._checkpoint: int | None = None
        self._latest = Progress("", 0, 0, 0.0)
        self._sent = -_BETWEEN_UPDATES
        self._is_drawn = True
        self.has_begun = False
        """Whether a step was done, so that there is something to keep."""

    def take_progress(self, progress: Progress) -> None:
        """Take progress, and hand it on with what has gathered if it is time."""
        event = progress.event
        if isinstance(event, Resumed):
            self._points += event.points
            self._validations += event.validations
        elif isinstance(event, CurvePoint):
            self._points.append(event)
            self.has_begun = True
        elif isinstance(event, Validated):
            self._validations.append(event)
        elif isinstance(event, Previewed):
            self._preview = event
        elif isinstance(event, LossMeaning):
            self._meaning = event.words
        elif isinstance(event, Saved):
            self._checkpoint = event.step
        is_new = progress.stage != self._latest.stage
        self._latest = replace(progress, event=None, elapsed=max(0.0, progress.elapsed - self._control.waited))
        if progress.message or is_new or (self._is_drawn and time.monotonic() - self._sent >= _BETWEEN_UPDATES):
            self.flush()

    def set_drawn(self) -> None:
        """Say that what was handed on last has been drawn; called in the thread of the window."""
        self._is_drawn = True

    def flush(self) -> None:
        """Hand on what has gathered."""
        self._is_drawn = False
        update = TrainingUpdate(
            tuple(self._points), tuple(self._validations), self._preview, self._meaning, self._checkpoint
        )
        self._points, self._validations, self._preview = [], [], None
        self._meaning, self._checkpoint = "", None
        self._sent = time.monotonic()
        self._progress(replace(self._latest, event=update))


class TrainingJob(Job):
    """A job that trains.

    Parameters
    ----------
    request : TrainRequest
    """

    def __init__(self, request: TrainRequest) -> None:
        self.control = TrainingControl()
        self._updates: UpdateCollector | None = None
        self._request = request
        super().__init__(self._train, "Training", self.control)

    def set_drawn(self) -> None:
        """Say that the last progress has been drawn: more may come."""
        if self._updates is not None:
            self._updates.set_drawn()

    def leave(self) -> None:
        """End with a checkpoint where a step was done, so that the training can be gone on with; at once where none was."""
        if self._updates is not None and self._updates.has_begun:
            self.control.leave()
        else:
            self.cancel()

    def _train(self, progress: ProgressCallback, _cancel: CancelToken) -> TrainedModel:
        self._updates = UpdateCollector(progress, self.control)
        return train(self._request, self.control, self._updates)


def train(request: TrainRequest, control: TrainingControl, updates: UpdateCollector) -> TrainedModel:
    """Train a model; it is in the library then.

    Parameters
    ----------
    request : TrainRequest
    control : TrainingControl
        Lets the training wait or end.
    updates : UpdateCollector
        Is told how it goes.
    """
    updates.take_progress(Progress("Loading torch", 0, 0, 0.0))
    from napari_synth.models.export import can_export
    from napari_synth.studio.train import train_model

    trained = train_model(
        request.method,
        request.source.given(),
        request.target.given() if request.target else None,
        request.params,
        out=request.folder,
        axes=request.source.file_axes,
        region=request.source.regions() or None,
        name=request.name or None,
        resume=request.folder is not None,
        device=request.settings.device,
        precision=request.settings.precision,
        progress=updates.take_progress,
        cancel=control,
    )
    updates.flush()
    record = earlier_run(trained.path.parent).record
    return TrainedModel(trained, record, can_export(trained.card.architecture))


def examples(request: TrainRequest, progress: ProgressCallback, cancel: CancelToken) -> Examples:
    """Return patches as a training would draw them.

    Parameters
    ----------
    request : TrainRequest
    progress, cancel
        Of the job.
    """
    from napari_synth.studio.examples import augmented_examples
    from napari_synth.training.dataset import gather

    report = Reporter(progress, cancel)
    report.start("Reading the images")
    images = gather(
        request.source.given(),
        request.target.given() if request.target else None,
        kind=trainable(request.method).info.images,
        axes=request.source.file_axes,
        region=request.source.regions() or None,
    )
    place = resolve_device(request.settings.device, request.settings.precision)
    patches = augmented_examples(request.method, images, request.params, _EXAMPLES, device=place, report=report)
    colours = patches.shape[-1] == 3 and any("S" in image.axes for image in images.source)
    return Examples(side_by_side(patches, colours=colours), colours)


def side_by_side(patches: Pixels, *, colours: bool) -> Pixels:
    """Return patches (N, [Z,] Y, X[, S]) as one image, about as high as wide, with dark lines between them."""
    y = patches.ndim - (4 if colours else 3)
    return tiled([*patches], y, y + 1, _GAP)


def export(path: Path, out: Path, progress: ProgressCallback, cancel: CancelToken) -> Path:
    """Write a model as a bioimage.io package, in place of one that the user chose to write over.

    Parameters
    ----------
    path : pathlib.Path
        Of the model.
    out : pathlib.Path
        Of the package.
    progress, cancel
        Of the job.
    """
    from napari_synth.models import export_bioimageio

    Reporter(progress, cancel).start("Exporting the model")
    out.unlink(missing_ok=True)
    return export_bioimageio(path, out)
