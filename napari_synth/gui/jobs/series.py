"""Several runs in one job: one progress, one cancel, and what went wrong with one of them keeps none of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_synth.core.errors import Cancelled, SynthError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback
from napari_synth.gui.jobs.worker import Work, as_user_error


@dataclass(frozen=True)
class SeriesItem:
    """What came of one of several runs; it is told as soon as that run has ended.

    Attributes
    ----------
    index : int
        Which run, counted from 0.
    result : object or None
        What its work returned.
    error : SynthError or None
        Why it returned nothing.
    """

    index: int
    result: Any = None
    error: SynthError | None = None


def run_in_turn(
    works: Sequence[tuple[str, Work]], what: str, progress: ProgressCallback, cancel: CancelToken
) -> tuple[SeriesItem, ...]:
    """Do one work after the other; each ends with an item as the event of its progress.

    Parameters
    ----------
    works : sequence of (str, callable)
        What each is about, and the work itself.
    what : str
        Names the work in an error that nobody foresaw: ``"Denoising"``.
    progress, cancel
        Of the job.

    Raises
    ------
    Cancelled
        The token was set; what was told before holds.
    """
    items = []
    for index, (name, work) in enumerate(works):
        cancel.check()
        part = _Part(f"{index + 1} of {len(works)}, {name}: ", progress)
        try:
            item = SeriesItem(index, work(part.take_progress, cancel))
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - the other runs do not depend on it, and the user is told
            cancel.check()
            item = SeriesItem(index, error=as_user_error(error, what))
        items.append(replace(item, result=None))
        progress(Progress(f"{part.words}done", 1, 1, 0.0, event=item))
    return tuple(items)


@dataclass(frozen=True)
class _Part:
    """Says in the progress of one run which of several it is."""

    words: str
    progress: ProgressCallback

    def take_progress(self, progress: Progress) -> None:
        self.progress(replace(progress, stage=f"{self.words}{progress.stage}"))
