"""What is told outside of a panel: a bar in napari's activity dock, and a word when a long run ends while the user is elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable

from napari.utils import cancelable_progress
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QWidget

from napari_synth.core.progress import Progress

LONG = 10.0
"""Seconds from which on the end of a run is told."""


class _Nowhere(io.TextIOBase):
    """Where the bar that tqdm would draw in a terminal goes."""

    def write(self, text: str) -> int:
        return len(text)


class Activity(cancelable_progress):  # type: ignore[misc]
    """A bar in the activity dock, with Cancel.

    Parameters
    ----------
    what : str
        What is done.
    cancel : callable
        Stops it.
    """

    def __init__(self, what: str, cancel: Callable[[], None]) -> None:
        super().__init__(desc=what, total=0, file=_Nowhere())
        self._stop = cancel
        self._shown_total = 0

    def cancel(self) -> None:
        """Stop the work; the dock calls this."""
        super().cancel()
        self._stop()

    def show_progress(self, progress: Progress) -> None:
        """Show how far the work is."""
        if progress.stage != self.desc.removesuffix(": "):
            self.set_description(progress.stage)
        if progress.total != self._shown_total:
            self.total = self._shown_total = progress.total
        if progress.total:
            self.update(min(progress.done, progress.total) - self.n)


def tell_of_end(window: QWidget, sentence: str, seconds: float) -> None:
    """Say that a long run has ended where another window, or another program, has the user's attention.

    Parameters
    ----------
    window : QWidget
        Or something in it.
    sentence : str
    seconds : float
        How long it took.
    """
    elsewhere = QGuiApplication.applicationState() != Qt.ApplicationState.ApplicationActive or (
        QApplication.activeWindow() is not window.window()
    )
    if seconds < LONG or not elsewhere:
        return
    from napari.utils.notifications import show_info

    # The entry of the program in the task bar flashes until it is looked at.
    QApplication.alert(window.window())
    show_info(sentence)
