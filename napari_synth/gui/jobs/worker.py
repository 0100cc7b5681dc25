"""Runs work in a thread and tells a widget how it goes, without ever losing an error or the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, Signal

from napari_synth.core.errors import Cancelled, GeneratorError, OutOfMemoryError, SynthError, is_memory_short
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback

Work = Callable[[ProgressCallback, CancelToken], Any]

_SHORTEST_BETWEEN_REPORTS = 0.05

# A running job must not be collected in its own thread: Qt objects are deleted in the thread they live in.
_running: set[Job] = set()


class Job(QObject):
    """A function that runs in a thread of its own.

    Exactly one of `returned`, `failed` and `cancelled` is emitted, and then always `finished`. Signals arrive in the thread
    that made the job, as long as they are connected to methods of a ``QObject``.

    Parameters
    ----------
    work : callable
        Called as ``work(progress, cancel)`` in the thread.
    what : str
        Names the work in the message of an error that nobody foresaw.
    token : CancelToken, optional
        What `cancel` sets; the job makes one where it is left out.
    """

    progressed = Signal(object)
    """A `Progress`; at most 20 a second, but every message, every new stage and all news."""
    returned = Signal(object)
    """What the function returned."""
    failed = Signal(object)
    """A `SynthError`, whatever was raised."""
    cancelled = Signal()
    finished = Signal()

    def __init__(self, work: Work, what: str, token: CancelToken | None = None) -> None:
        super().__init__()
        self._work = work
        self._what = what
        self._token = token or CancelToken()
        self._thread = threading.Thread(target=self._run, name=f"napari-synth: {what}")
        self._last_stage = ""
        self._last_report = 0.0
        self.finished.connect(self._forget)

    def start(self) -> None:
        """Start the thread; at the application's end it is left, see `leave`."""
        _running.add(self)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.leave)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; safe at any time and from any thread."""
        self._token.cancel()

    def leave(self) -> None:
        """Ask the work to stop since nobody waits for its result any more."""
        self.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._token.is_cancelled

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the thread has ended (its signals may still be on their way); return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._work(self._report, self._token)
            # A result that nobody wants any more must not appear.
            self._token.check()
        except Cancelled:
            self.cancelled.emit()
        except BaseException as error:  # noqa: BLE001 - whatever ends the work must reach the user
            if self._token.is_cancelled:
                self.cancelled.emit()
            else:
                self.failed.emit(as_user_error(error, self._what))
        else:
            self.returned.emit(result)
        finally:
            self.finished.emit()

    def _report(self, progress: Progress) -> None:
        """Hand progress on, but not more often than anybody can read."""
        now = time.monotonic()
        complete = bool(progress.total) and progress.done >= progress.total
        if (
            progress.stage == self._last_stage
            and not progress.message
            and progress.event is None
            and not complete
            and now - self._last_report < _SHORTEST_BETWEEN_REPORTS
        ):
            return
        self._last_stage, self._last_report = progress.stage, now
        self.progressed.emit(progress)

    def _forget(self) -> None:
        _running.discard(self)


def as_user_error(error: BaseException, what: str) -> SynthError:
    """Return an error that can be shown: our own as it is, any other as one sentence with the cause attached.

    Parameters
    ----------
    error : BaseException
    what : str
        What failed, as the beginning of a sentence: ``"Denoising"``.
    """
    if isinstance(error, SynthError):
        return error
    translated: SynthError
    if is_memory_short(error):
        translated = OutOfMemoryError(
            f"{what} needs more memory than is free: close other programs, choose the cpu, or restore a smaller part."
        )
    else:
        lines = str(error).strip().splitlines()
        said = f": {lines[0][:200]}" if lines else ""
        translated = GeneratorError(
            f"{what} failed ({type(error).__name__}{said}): please report it, or choose another method."
        )
    translated.__cause__ = error
    return translated
