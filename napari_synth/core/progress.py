"""What a run tells while it works, and how it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from napari_synth.core.errors import CallbackError, Cancelled, InvalidParameterError, SynthError
from napari_synth.core.texts import shown


@dataclass(frozen=True)
class Progress:
    """How far a stage of a run is.

    Attributes
    ----------
    stage : str
        What is being done, in plain words: ``"Measuring the noise"``.
    done, total : int
        Steps or blocks done, and how many there are; ``total`` is 0 while it is unknown.
    elapsed : float
        Seconds since the stage began.
    message : str
        Something the user should know now, e.g. that the blocks were made smaller; usually empty.
    event : object or None
        Something that can be drawn, see `napari_synth.training.events`; usually None.
    """

    stage: str
    done: int
    total: int
    elapsed: float
    message: str = ""
    event: object | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds left in this stage, or None where that cannot be told yet."""
        if not (self.total and self.done):
            return None
        return self.elapsed / self.done * (self.total - self.done)


ProgressCallback = Callable[[Progress], None]


class CancelToken:
    """A wish to stop, set in one thread and checked in another."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the run to stop at its next block or step."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if `cancel` was called."""
        if self.is_cancelled:
            raise Cancelled("The run was cancelled: nothing was changed.")


_of_block: ContextVar[CancelToken | None] = ContextVar("_of_block", default=None)


@contextmanager
def cancellable(token: CancelToken) -> Iterator[None]:
    """Let `check_cancelled` look at a token while a block is restored."""
    reset = _of_block.set(token)
    try:
        yield
    finally:
        _of_block.reset(reset)


def check_cancelled() -> None:
    """Raise `Cancelled` if the user wishes to stop; for generators that take long over one block."""
    token = _of_block.get()
    if token is not None:
        token.check()


def token_of_block() -> CancelToken:
    """Return the token that `check_cancelled` looks at; one that nobody sets where there is none."""
    return _of_block.get() or CancelToken()


class Reporter:
    """Tells a callback how far a run is, and stops the run where the token says so.

    Parameters
    ----------
    callback : callable, optional
        Called with a `Progress` in the thread of the run.
    cancel : CancelToken, optional
        Checked at every report.

    Raises
    ------
    InvalidParameterError
        Either is something else.
    """

    def __init__(self, callback: ProgressCallback | None = None, cancel: CancelToken | None = None) -> None:
        if callback is not None and not callable(callback):
            raise InvalidParameterError(f"The progress cannot be told to {shown(callback)}: give something to call.")
        if cancel is not None and not isinstance(cancel, CancelToken):
            raise InvalidParameterError(f"A run cannot be cancelled by {shown(cancel)}: give a CancelToken.")
        self._callback = callback
        self.cancel = cancel or CancelToken()
        self._stage, self._done, self._total = "", 0, 0
        self._start = time.perf_counter()

    def start(self, stage: str, total: int = 0) -> None:
        """Begin a stage of ``total`` steps (0 where that is unknown)."""
        self._stage, self._done, self._total = stage, 0, total
        self._start = time.perf_counter()
        self._report()

    def advance(self, steps: int = 1) -> None:
        """Tell that ``steps`` more are done; raises `Cancelled` if the user wishes to stop."""
        self._done += steps
        self._report()

    def extend(self, steps: int) -> None:
        """Tell that the stage has ``steps`` more than was thought."""
        self._total += steps

    def message(self, text: str) -> None:
        """Tell the user something without moving on."""
        self._report(text)

    def emit(self, event: object) -> None:
        """Hand something over that can be drawn, without moving on."""
        self._report(event=event)

    def hand_on(self, progress: Progress) -> None:
        """Tell what another reporter has told."""
        self.cancel.check()
        if self._callback is not None:
            self._callback(progress)

    @property
    def has_listener(self) -> bool:
        """Whether anybody is told."""
        return self._callback is not None

    def _report(self, message: str = "", event: object | None = None) -> None:
        self.cancel.check()
        if self._callback is not None:
            elapsed = time.perf_counter() - self._start
            progress = Progress(self._stage, self._done, self._total, elapsed, message, event)
            try:
                self._callback(progress)
            except (SynthError, OSError, MemoryError):
                raise
            except Exception as error:
                raise CallbackError(
                    f"What is told of the progress failed ({type(error).__name__}: {error}): see the error that caused this."
                ) from error
