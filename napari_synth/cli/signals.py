"""What ends a command early: Ctrl-C, and the signals by which a system or a cluster asks a program to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
_received: list[int] = []


def exit_code() -> int:
    """Return the exit code of a command that was stopped, as shells count it: 128 and the number of the signal."""
    return 128 + _received[-1] if _received else INTERRUPTED


@contextmanager
def interrupting() -> Iterator[None]:
    """Let every signal that asks to stop interrupt what is done, as Ctrl-C does, so that nothing half done is left."""
    _received.clear()
    with _handling(_interrupt):
        yield


@contextmanager
def stopping(wish: Callable[[], None]) -> Iterator[None]:
    """Let the first signal call ``wish``, and a second one interrupt at once."""

    def handle(signum: int, frame: FrameType | None) -> None:
        if _received:
            _interrupt(signum, frame)
        _received.append(signum)
        wish()

    with _handling(handle):
        yield


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _received.append(signum)
    raise KeyboardInterrupt


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in _asked_to_stop()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _asked_to_stop() -> list[signal.Signals]:
    """Return the signals that are heeded: that of a closed terminal not where it was ignored at the start, as nohup does."""
    heeded = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        heeded.append(hangup)
    return heeded
