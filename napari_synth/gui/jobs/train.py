"""What the panel's worker does: functions called in a thread, that know neither Qt nor napari."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.gui.layers.training_images import Chosen
from napari_synth.gui.settings import RunSettings
from napari_synth.training.control import TrainingControl
from napari_synth.training.news import CurvePoint, Previewed, Resumed, Validated
from napari_synth.training.record import TrainingRecord, earlier_run

if TYPE_CHECKING:
    from napari_synth.training.studio import Trained

Pixels = npt.NDArray[np.float32]

_EXAMPLES = 16
_GAP = 2
"""Pixels between examples."""
_BETWEEN_BULLETINS = 0.3
"""Seconds: what is drawn is drawn a few times a second, however quick the steps are."""


@dataclass(frozen=True)
class TrainRequest:
    """What is to be learnt.

    Attributes
    ----------
    method : str
        Id of the trainable.
    source, target : Chosen
        The target is empty where there is one set of images.
    params : mapping
        What was set.
    name : str
        Of the model; "" for one made from the source's.
    folder : Path or None
        Of an earlier run that is gone on with.
    settings : RunSettings
    """

    method: str
    source: Chosen
    target: Chosen
    params: Mapping[str, Any]
    name: str
    folder: Path | None
    settings: RunSettings


@dataclass(frozen=True)
class Bulletin:
    """News of a training since the last bulletin.

    Attributes
    ----------
    points : tuple of CurvePoint
    validations : tuple of Validated
    preview : Previewed or None
        The latest.
    """

    points: tuple[CurvePoint, ...] = ()
    validations: tuple[Validated, ...] = ()
    preview: Previewed | None = None


@dataclass(frozen=True)
class Learnt:
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


class Teller:
    """Gathers news into bulletins, a few a second, and leaves pauses out of the time.

    Nothing is handed on before the last was heard, so that a window that draws slowly is never behind.

    Parameters
    ----------
    progress : callable
        Is told.
    control : TrainingControl
    """

    def __init__(self, progress: ProgressCallback, control: TrainingControl) -> None:
        self._progress, self._control = progress, control
        self._points: list[CurvePoint] = []
        self._validations: list[Validated] = []
        self._preview: Previewed | None = None
        self._latest = Progress("Training", 0, 0, 0.0)
        self._told = -_BETWEEN_BULLETINS
        self._is_heard = True
        self.has_begun = False
        """Whether a step was done, so that there is something to keep."""

    def tell(self, progress: Progress) -> None:
        """Take progress, and hand it on with the news that have gathered if it is time."""
        news = progress.news
        if isinstance(news, Resumed):
            self._points += news.points
            self._validations += news.validations
        elif isinstance(news, CurvePoint):
            self._points.append(news)
            self.has_begun = True
        elif isinstance(news, Validated):
            self._validations.append(news)
        elif isinstance(news, Previewed):
            self._preview = news
        self._latest = replace(progress, news=None, elapsed=max(0.0, progress.elapsed - self._control.waited))
        if progress.message or (self._is_heard and time.monotonic() - self._told >= _BETWEEN_BULLETINS):
            self.flush()

    def heard(self) -> None:
        """Say that what was handed on last has been drawn; called in the thread of the window."""
        self._is_heard = True

    def flush(self) -> None:
        """Hand on what has gathered."""
        self._is_heard = False
        bulletin = Bulletin(tuple(self._points), tuple(self._validations), self._preview)
        self._points, self._validations, self._preview = [], [], None
        self._told = time.monotonic()
        self._progress(replace(self._latest, news=bulletin))


def train(
    request: TrainRequest, control: TrainingControl, teller: Teller, _progress: ProgressCallback, _cancel: CancelToken
) -> Learnt:
    """Train a model; it is in the library then."""
    from napari_synth.models.export import can_export
    from napari_synth.training.studio import train_model

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
        progress=teller.tell,
        cancel=control,
    )
    teller.flush()
    record = earlier_run(trained.path.parent).record
    return Learnt(trained, record, can_export(trained.card.architecture))


def examples(request: TrainRequest, progress: ProgressCallback, cancel: CancelToken) -> Examples:
    """Return patches as a training would draw them."""
    from napari_synth.core.device import resolve_device
    from napari_synth.training.examples import augmented_examples
    from napari_synth.training.registry import trainable
    from napari_synth.training.sources import gather

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
    y = patches.ndim - 3 if colours else patches.ndim - 2
    gaps = [(0, 0)] * patches.ndim
    gaps[y] = gaps[y + 1] = (0, _GAP)
    columns = math.ceil(math.sqrt(len(patches)))
    tiles = [*np.pad(patches, gaps)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[first : first + columns], axis=y) for first in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=y - 1)


def export(path: Path, out: Path, progress: ProgressCallback, cancel: CancelToken) -> Path:
    """Write a model as a bioimage.io package, in place of one that the user chose to write over."""
    from napari_synth.models import export_bioimageio

    Reporter(progress, cancel).start("Exporting the model")
    out.unlink(missing_ok=True)
    return export_bioimageio(path, out)
