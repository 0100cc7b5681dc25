"""The part of the panel for a model that was trained: use it, give it on, and say how it was made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from napari_synth.gui.jobs.train import TrainedModel
from napari_synth.gui.widgets.form_rows import button, line, menu_button, put_on_clipboard, wrapped
from napari_synth.studio.record import TrainingRecord

_EXPORT = "Write a package that other programs run without napari-synth"


class TrainedBox(QWidget):
    """Buttons for a trained model; hidden while there is none."""

    use_wanted = Signal()
    export_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: TrainedModel | None = None
        self.title = wrapped(self, "The model that the buttons below belong to; it is in your library")
        self.use = button(self, "Use it", "Open the panel of its task with this model chosen")
        self.use.clicked.connect(self.use_wanted)
        self.export = button(self, "Export to bioimage.io…", _EXPORT)
        self.export.clicked.connect(self.export_wanted)
        self.copy = menu_button(
            self,
            "Copy command",
            "Copy the same training, to be run elsewhere",
            (
                (
                    "As command line",
                    "For a terminal, a cluster or several GPUs",
                    partial(self.copy_as, TrainingRecord.to_command),
                ),
                ("As Python", "For a script or a notebook", partial(self.copy_as, TrainingRecord.to_python)),
            ),
        )
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
    def model(self) -> TrainedModel | None:
        """The model that the buttons belong to."""
        return self._model

    def show_model(self, model: TrainedModel | None, *, can_be_used: bool = True) -> None:
        """Offer the buttons for a model, or hide them.

        Parameters
        ----------
        model : TrainedModel or None
        can_be_used : bool
            Whether its task has a panel.
        """
        self._model = model
        self.setVisible(model is not None)
        if model is None:
            return
        self.title.setText(f"<b>{escape(model.trained.card.name)}</b> is in your library.")
        self.use.setVisible(can_be_used)
        self.export.setEnabled(model.can_export)
        reason = f"Models of the architecture {model.trained.card.architecture!r} cannot be exported"
        self.export.setToolTip(_EXPORT if model.can_export else reason)

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        self.export.setEnabled(not busy and self._model is not None and self._model.can_export)

    def copy_as(self, spell: Callable[[TrainingRecord], str]) -> None:
        """Put the training on the clipboard, as a function spells it."""
        if self._model is not None:
            put_on_clipboard(spell(self._model.record))
