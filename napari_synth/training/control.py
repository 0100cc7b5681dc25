"""How a training run is paused, gone on with and stopped from another thread."""

from __future__ import annotations

import threading
import time

from napari_synth.core.progress import CancelToken

_LOOK_SECONDS = 0.2


class TrainingControl(CancelToken):
    """Wishes of the user, set in one thread and looked at by the run after every step.

    `stop` ends the run with its best weights; `leave` ends it with a checkpoint and no model; `cancel` throws it away, but for the
    checkpoint it may have written.

    Attributes
    ----------
    waited : float
        Seconds for which the run was paused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stop, self._go, self._leave = threading.Event(), threading.Event(), threading.Event()
        self._go.set()
        self.waited = 0.0

    def stop(self) -> None:
        """Ask the run to end with its best weights."""
        self._stop.set()
        self._go.set()

    def pause(self) -> None:
        """Ask the run to wait after its step; a checkpoint is written meanwhile."""
        self._go.clear()

    def proceed(self) -> None:
        """Let a run that waits go on."""
        self._go.set()

    def leave(self) -> None:
        """Ask the run to write a checkpoint after its step and to end there, to be gone on with at another time."""
        self._leave.set()
        self.pause()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def is_paused(self) -> bool:
        """Whether the run shall wait."""
        return not self._go.is_set()

    def wait(self) -> None:
        """Wait as long as the run is paused, unless it is cancelled; one that is left is cancelled here, after its checkpoint."""
        begun = time.perf_counter()
        while self.is_paused and not self.is_cancelled:
            if self._leave.is_set():
                self.cancel()
            else:
                self._go.wait(_LOOK_SECONDS)
        self.waited += time.perf_counter() - begun
