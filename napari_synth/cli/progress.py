"""Shows on a terminal how far a run is, and turns Ctrl-C and the like into a wish to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from napari_synth.core import progress
from napari_synth.core.progress import CancelToken, ProgressCallback


class _TimeLeft(ProgressColumn):
    """Shows the time that the run itself expects, so that every face of a run says the same."""

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if left is None:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{minutes}:{seconds:02d} left")


@contextmanager
def progress_bar(console: Console, shown: bool) -> Iterator[ProgressCallback | None]:
    """Give the callback that draws a bar on the console, or None where no bar is wanted."""
    if not shown:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _TimeLeft())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Starting", total=None, left=None)

        def show(state: progress.Progress) -> None:
            bar.update(
                task,
                description=state.stage,
                completed=state.done,
                total=state.total or None,
                left=state.remaining,
                refresh=True,
            )
            if state.message:
                say(console, state.message)

        yield show


@contextmanager
def cancel_on_interrupt() -> Iterator[CancelToken]:
    """Give a token that Ctrl-C and other signals to stop set; a second one interrupts at once."""
    token = CancelToken()
    with stopping(token.cancel):
        yield token


def say(console: Console, text: str) -> None:
    """Print a sentence as it is, unwrapped where nobody reads it on a screen."""
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)


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
