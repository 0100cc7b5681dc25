"""The parts of a panel that tell how a run goes: progress, what the user should know, and where it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from html import escape

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_synth.core.device import Device
from napari_synth.core.errors import SynthError
from napari_synth.core.progress import Progress
from napari_synth.gui.jobs.resources import find_device
from napari_synth.gui.jobs.worker import Job
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets.elided import breakable
from napari_synth.gui.widgets.form_rows import wrapped
from napari_synth.gui.widgets.sentences import Sentences


class ProgressRow(QWidget):
    """A bar with the stage, the time left and Cancel; hidden while nothing runs.

    Parameters
    ----------
    parent : QWidget, optional
    words : callable, optional
        Says how far the work is; `describe` where it is left out.
    """

    cancelled = Signal()
    """The user wishes to stop."""

    def __init__(self, parent: QWidget | None = None, words: Callable[[Progress], str] | None = None) -> None:
        super().__init__(parent)
        self._words = words or describe
        self.text = wrapped(self, "What is being done, and about how long it still takes")
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setToolTip("How much of this stage is done")
        self.cancel = QPushButton("Cancel", self)
        self.cancel.setToolTip("Stop within one block; nothing is changed")
        self.cancel.clicked.connect(self._on_cancel)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.hide()

    def begin(self, what: str) -> None:
        """Show that work has begun."""
        self.say(f"{what}…")
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.show()

    def show_progress(self, progress: Progress) -> None:
        """Show how far the work is."""
        self.bar.setRange(0, progress.total)
        self.bar.setValue(min(progress.done, progress.total))
        self.say(self._words(progress))

    def say(self, words: str) -> None:
        """Show other words beside the bar."""
        self.text.setText(breakable(words))

    def end(self) -> None:
        """Hide the row."""
        self.hide()

    def _on_cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.cancel.setText("Stopping…")
        self.cancelled.emit()


class Messages(QWidget):
    """An error, and sentences to read; each hidden while it is empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.error = Sentences(self, "What went wrong, and what to do")
        self.notes = Sentences(self, "What was found and done; the text can be selected and copied")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.error)
        layout.addWidget(self.notes)
        self.show_error("")
        self.show_notes(())

    def show_error(self, sentence: str) -> None:
        """Show an error in place of the last one; "" takes it away."""
        self.error.setText(escape(sentence, quote=False))
        self.error.setVisible(bool(sentence))

    def show_notes(self, sentences: Iterable[str], about: str = "") -> None:
        """Show sentences in place of the last ones.

        Parameters
        ----------
        sentences : iterable of str
        about : str
            The name of the layer that they are about, which stands above them.
        """
        paragraphs = [
            f"<p style='margin: 0 0 4px 0'>{escape(sentence, quote=False)}</p>" for sentence in sentences if sentence
        ]
        if about and paragraphs:
            paragraphs.insert(0, f"<p style='margin: 0 0 4px 0'><b>{escape(about, quote=False)}</b></p>")
        self.notes.setText("".join(paragraphs))
        self.notes.setVisible(bool(paragraphs))

    def set_colours(self, error: str, text: str, ground: str) -> None:
        """Take the colours of the theme: errors are marked by a bar, so that their text stays readable.

        Parameters
        ----------
        error, text, ground : str
            Of the bar, the words and what is behind them, as hexadecimal numbers.
        """
        self.error.setStyleSheet(
            f"QTextEdit {{ color: {text}; background: {ground}; border: 0; border-left: 4px solid {error}; padding: 6px; }}"
        )


class DeviceBadge(QLabel):
    """The device and the precision, with the reason for them as its tooltip."""

    found = Signal()
    """It is known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Device: looking…", parent)
        self._job: Job | None = None
        self.device: Device | None = None
        self.setToolTip("Where runs compute; set it in File > Preferences > napari-synth")

    def look_for(self, settings: RunSettings) -> None:
        """Look for the device in a thread: loading torch takes seconds."""
        self._job = job = Job(partial(find_device, settings), "Looking for devices")
        job.returned.connect(self.show_device)
        job.failed.connect(self._on_none)
        job.start()

    def cancel(self) -> None:
        """Look no more."""
        if self._job is not None:
            self._job.cancel()

    def show_device(self, device: Device) -> None:
        """Show a device."""
        self.device = device
        self.setText(f"{device.title} · {device.precision}")
        self.setToolTip(f"{device.title}: {device.reason}. Set it in File > Preferences > napari-synth.")
        self.found.emit()

    def _on_none(self, error: SynthError) -> None:
        self.setText("No device")
        self.setToolTip(str(error))


def describe(progress: Progress) -> str:
    """Return progress in words: ``"Restoring 3 of 12 · 8 s left"``."""
    if progress.message:
        return progress.message
    words = progress.stage
    if progress.total:
        words += f" {progress.done} of {progress.total}"
    if progress.remaining is not None and progress.done < progress.total:
        words += f" · {duration(progress.remaining)} left"
    return words


def duration(seconds: float) -> str:
    """Return a time in words, no more exact than it is known."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
