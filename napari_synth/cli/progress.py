"""Shows on a terminal how far a run is, and turns Ctrl-C and the like into a wish to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from napari_synth.cli.signals import stopping
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
