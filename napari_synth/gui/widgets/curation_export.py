"""How accepted images are exported, folded under the button that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_synth.contract.params import Params
from napari_synth.curation import ExportPlan
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import FoldButton, button


class ExportParams(Params):
    """What an export is, as the board asks for it."""

    how: Literal["copy", "link", "list"] = Field(
        "copy", title="As", description="Copies, hard links (no room, same disk), or a list of paths."
    )
    split: bool = Field(
        False, title="Split", description="Into folders to train, to validate and to test on; duplicates stay together."
    )
    validation: float = Field(0.1, ge=0.0, le=0.5, title="Validation", description="Share of the images, where split.")
    test: float = Field(0.1, ge=0.0, le=0.5, title="Test", description="Share of the images, where split.")
    together: str = Field(
        "", title="Together", description="A column whose equal values stay in one part, e.g. well; empty for none."
    )
    anonymous: bool = Field(False, title="Anonymous", description="Leave out paths and the names of people.")
    licence: str = Field("", title="Licence", description="Of the set, for its description; e.g. CC0-1.0.")


class ExportBox(QWidget):
    """Settings of an export, and the button that asks where to.

    Parameters
    ----------
    parent : QWidget, optional
    """

    wanted = Signal(object)
    """The folder that shall be made."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fold = FoldButton(self, "How to export", "Copies, links or a list; a split; without names and paths")
        self.form = ParamsForm(ExportParams, self)
        self.button = button(self, "Export…", "")
        self.fold.toggled.connect(self.form.setVisible)
        self.button.clicked.connect(self._ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self.form)
        self.form.hide()
        self.show_count(0, busy=False)

    def plan(self) -> ExportPlan:
        """Return how it is set.

        Raises
        ------
        InvalidParameterError
            Settings are out of bounds or do not go together.
        """
        params = self.form.params()
        assert isinstance(params, ExportParams)
        training = 1 - params.validation - params.test
        return ExportPlan(
            how=params.how,
            shares=(training, params.validation, params.test) if params.split else None,
            together=params.together or None,
            anonymous=params.anonymous,
            licence=params.licence,
        )

    def show_count(self, accepted: int, *, busy: bool) -> None:
        """Say how many images would be exported."""
        self.button.setText(f"Export {accepted} accepted…" if accepted else "Export…")
        self.button.setEnabled(bool(accepted) and not busy)
        self.button.setToolTip(
            "Write the accepted images as a set, with a table, all decisions and a description"
            if accepted
            else "Accept images first"
        )

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "The folder of the set", "curated", options=QFileDialog.Option.ShowDirsOnly
        )
        if path:
            self.wanted.emit(Path(path))
