"""The part of the panel for a model that was trained: use it, give it on, and say how it was made."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QGridLayout, QLabel, QMenu, QVBoxLayout, QWidget

from napari_synth.gui.jobs.train import Learnt
from napari_synth.gui.widgets.form_rows import button, line
from napari_synth.training.record import TrainingRecord

_EXPORT = "Write a package that other programs run without napari-synth"


class ResultBox(QWidget):
    """Buttons for a trained model; hidden while there is none."""

    use_wanted = Signal()
    export_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._learnt: Learnt | None = None
        self.title = QLabel(self)
        self.title.setWordWrap(True)
        self.title.setToolTip("The model that the buttons below belong to; it is in your library")
        self.use = button(self, "Use it", "Open the panel of its task with this model chosen")
        self.use.clicked.connect(self.use_wanted)
        self.export = button(self, "Export to bioimage.io…", _EXPORT)
        self.export.clicked.connect(self.export_wanted)
        self.copy = button(self, "Copy command", "Copy the same training, to be run elsewhere")
        menu = QMenu(self.copy)
        menu.setToolTipsVisible(True)
        for text, tooltip, spell in (
            ("As command line", "For a terminal, a cluster or several GPUs", TrainingRecord.to_command),
            ("As Python", "For a script or a notebook", TrainingRecord.to_python),
        ):
            action = QAction(text, menu)
            action.setToolTip(tooltip)
            action.triggered.connect(_Copy(self, spell))
            menu.addAction(action)
        self.copy.setMenu(menu)
        grid = QGridLayout()
        grid.setSpacing(4)
        grid.addWidget(self.use, 0, 0)
        grid.addWidget(self.copy, 0, 1)
        grid.addWidget(self.export, 1, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(line(self))
        layout.addWidget(self.title)
        layout.addLayout(grid)
        self.hide()

    @property
    def learnt(self) -> Learnt | None:
        """The model that the buttons belong to."""
        return self._learnt

    def show_model(self, learnt: Learnt | None, *, can_be_used: bool = True) -> None:
        """Offer the buttons for a model, or hide them.

        Parameters
        ----------
        learnt : Learnt or None
        can_be_used : bool
            Whether its task has a panel.
        """
        self._learnt = learnt
        self.setVisible(learnt is not None)
        if learnt is None:
            return
        self.title.setText(f"<b>{escape(learnt.trained.card.name)}</b> is in your library.")
        self.use.setVisible(can_be_used)
        self.export.setEnabled(learnt.can_export)
        reason = f"Models of the architecture {learnt.trained.card.architecture!r} cannot be exported"
        self.export.setToolTip(_EXPORT if learnt.can_export else reason)

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        self.export.setEnabled(not busy and self._learnt is not None and self._learnt.can_export)

    def copy_as(self, spell: Callable[[TrainingRecord], str]) -> None:
        """Put the training on the clipboard."""
        clipboard = QGuiApplication.clipboard()
        if self._learnt is not None and clipboard is not None:
            clipboard.setText(spell(self._learnt.record))


class _Copy:
    """Copies the training in one spelling; a menu's action passes whether it is checked, which says nothing here."""

    def __init__(self, box: ResultBox, spell: Callable[[TrainingRecord], str]) -> None:
        self._box, self._spell = box, spell

    def __call__(self, _checked: bool = False) -> None:
        self._box.copy_as(self._spell)
