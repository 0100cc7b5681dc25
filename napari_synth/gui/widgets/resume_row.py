"""The part of the panel that goes on with an earlier training."""

from __future__ import annotations

import time
from functools import partial
from html import escape
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QSizePolicy, QWidget

from napari_synth.gui.widgets.form_rows import add_entry, button, wrapped
from napari_synth.models import library
from napari_synth.studio.record import EarlierRun, earlier_runs

_MOST_LISTED = 12


class ResumeButton(QPushButton):
    """A button with the list of trainings that have a checkpoint, made when it is opened."""

    chosen = Signal(object)
    """The folder of a run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Earlier…", parent)
        self.setToolTip("Go on with an earlier training from its checkpoint, exactly where it was")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.list = QMenu(self)
        self.list.setToolTipsVisible(True)
        self.list.aboutToShow.connect(self.refresh)
        self.setMenu(self.list)

    def refresh(self) -> None:
        """List the runs that there are now, the latest first."""
        self.list.clear()
        runs = earlier_runs(library.folder() / "runs")
        for run in runs[:_MOST_LISTED]:
            add_entry(self.list, _words(run), str(run.folder), partial(self.chosen.emit, run.folder))
        if not runs:
            none = QAction("There is none with a checkpoint", self.list)
            none.setEnabled(False)
            self.list.addAction(none)
        self.list.addSeparator()
        add_entry(self.list, "Another folder…", "Choose the folder of a training", self._ask)

    def _ask(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "The folder of a training", str(library.folder() / "runs")):
            self.chosen.emit(Path(folder))


class ResumeNote(QWidget):
    """Says which earlier training is gone on with; hidden while a new one would begin."""

    dropped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.text = wrapped(self)
        self.drop = button(self, "New instead", "Begin a new training with these settings rather than going on")
        self.drop.clicked.connect(self._on_dropped)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 2)
        row.addWidget(self.drop, 1)
        self.hide()

    def show_run(self, run: EarlierRun | None) -> None:
        """Say what is gone on with, or hide."""
        self.folder = None if run is None else run.folder
        self.setVisible(run is not None)
        if run is not None:
            end = "It was at its end: it gets its time once more." if run.is_finished else "It goes on where it was."
            self.text.setText(f"Resumes <b>{escape(run.record.model)}</b>. {end}")
            self.text.setToolTip(str(run.folder))

    def _on_dropped(self) -> None:
        self.show_run(None)
        self.dropped.emit()


def _words(run: EarlierRun) -> str:
    when = time.strftime("%d %b %H:%M", time.localtime(run.modified))
    return f"{run.record.model} · {when}{' · finished' if run.is_finished else ''}"
