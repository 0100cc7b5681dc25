"""Measures in the background how fast the chosen method is on the chosen image, so that a first run has its estimate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_synth.core.errors import SynthError
from napari_synth.gui.jobs.pace import Paced, pace
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.jobs.worker import Job
from napari_synth.gui.remembered import Speed

_QUIET_MS = 1500
"""Nothing is measured before the user has let everything as it is for so long."""
_LONGEST_MS = 20_000

Ask = Callable[[], "tuple[str, RestoreRequest] | None"]


class BlockPace(QObject):
    """Measures a block once nothing has changed for a moment; whatever changes or begins stops it.

    Parameters
    ----------
    ask : callable
        Returns the key of what is to be measured with its request, None where nothing is.
    parent : QObject, optional
    """

    measured = Signal()
    """Something is known that was not."""

    def __init__(self, ask: Ask, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ask = ask
        self._job: Job | None = None
        self._key = ""
        self._speeds: dict[str, Speed | None] = {}
        self._quiet, self._limit = QTimer(self), QTimer(self)
        for timer, then in ((self._quiet, self._measure), (self._limit, self._give_up)):
            timer.setSingleShot(True)
            timer.timeout.connect(then)

    def request(self) -> None:
        """Stop what is measured, and measure what is wanted now in a while."""
        self.cancel()
        self._quiet.start(_QUIET_MS)

    def cancel(self) -> None:
        """Measure nothing."""
        self._quiet.stop()
        self._limit.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def speed_of(self, key: str) -> Speed | None:
        """Return what was measured, None where nothing was."""
        return self._speeds.get(key)

    def took_too_long(self, key: str) -> bool:
        """Tell whether one block alone was given up because it took long."""
        return key in self._speeds and self._speeds[key] is None

    def _measure(self) -> None:
        try:
            wanted = self._ask()
        except SynthError:
            # What is missing is said when it is run.
            return
        if wanted is None or wanted[0] in self._speeds:
            return
        self._key, request = wanted
        self._job = job = Job(partial(pace, request, self._key), "Measuring the time")
        job.returned.connect(self._on_measured)
        self.destroyed.connect(job.leave)
        self._limit.start(_LONGEST_MS)
        job.start()

    def _on_measured(self, found: Paced) -> None:
        self._limit.stop()
        self._job = None
        self._speeds[found.key] = found.speed
        self.measured.emit()

    def _give_up(self) -> None:
        self._speeds[self._key] = None
        self.cancel()
        self.measured.emit()
