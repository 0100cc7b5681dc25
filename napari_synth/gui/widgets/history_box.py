"""The part of a panel with the runs of its task, whose settings can be used again, and what takes settings from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.gui.history import PastDraw, PastRun, history_of
from napari_synth.gui.widgets.augmentation_actions import PRESET_TITLES
from napari_synth.gui.widgets.form_rows import FoldButton, button

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SHOWN_ROWS = 5


class HistoryBox(QWidget):
    """The runs of a task in this viewer, folded away; hidden while there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    task : Task or None
        None for augmentations.
    parent : QWidget, optional
    """

    wanted = Signal(object)
    """The settings of a `PastRun` or of a `PastDraw` shall be used again."""

    def __init__(self, viewer: ViewerModel, task: Task | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._history, self._task = history_of(viewer), task
        self._runs: tuple[PastRun | PastDraw, ...] = ()
        self.fold = FoldButton(self, "History", "What was run in this viewer, the newest first")
        self.list = QListWidget(self)
        self.list.setAccessibleName("Runs of this viewer")
        self.list.setToolTip(
            "A run: when, on which layer, by which method, and how its result was judged"
            if task is not None
            else "What was augmented: when, which layer, from which preset and seed, and what was made"
        )
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        again = (
            "Choose the method of this run, with its settings and its region"
            if task is not None
            else "Fill the list with the transforms of this augmentation, with its seed"
        )
        self.use = button(self, "Use settings again", again)
        self._inner = QWidget(self)
        inner = QVBoxLayout(self._inner)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.list)
        inner.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self._inner)
        self._inner.hide()
        self.fold.toggled.connect(self._inner.setVisible)
        self.list.itemDoubleClicked.connect(self._on_use)
        self.list.currentRowChanged.connect(self._offer)
        self.use.clicked.connect(self._on_use)
        self._history.changed.connect(self.refresh)
        self.refresh()

    @property
    def runs(self) -> tuple[PastRun | PastDraw, ...]:
        """What is listed."""
        return self._runs

    def refresh(self) -> None:
        """List what was run."""
        history = self._history
        self._runs = tuple(history.draws if self._task is None else history.runs(self._task))
        self.list.clear()
        for run in self._runs:
            item = QListWidgetItem(f"{run.when:%H:%M}  {run.layer}\n{_title(run)} · {_verdict(run)}")
            # A plain text would not be wrapped in a tooltip.
            item.setToolTip("<br>".join(escape(line) for line in (f"{run.when:%Y-%m-%d %H:%M}", run.layer, *run.said)))
            self.list.addItem(item)
        height = self.list.sizeHintForRow(0) if self._runs else 0
        self.list.setFixedHeight(min(len(self._runs), _SHOWN_ROWS) * height + 2 * self.list.frameWidth() + 2)
        self.setVisible(bool(self._runs))
        self._offer()

    def _offer(self, _row: int = -1) -> None:
        self.use.setEnabled(0 <= self.list.currentRow() < len(self._runs))

    def _on_use(self, _what: object = None) -> None:
        if 0 <= (row := self.list.currentRow()) < len(self._runs):
            self.wanted.emit(self._runs[row])


class SettingsRow(QWidget):
    """Buttons that put all settings back, and that take them from a recipe.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reset = button(
            self, "Reset", "Put the method and all its settings back to what they are in a new installation"
        )
        self.paste = button(
            self,
            "Paste recipe",
            "Take the method and the settings of the recipe on the clipboard: YAML, or the path of a recipe file. A recipe file can"
            " be dropped on the panel too.",
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.reset, 1)
        row.addWidget(self.paste, 1)


def _title(run: PastRun | PastDraw) -> str:
    if isinstance(run, PastDraw):
        return f"{PRESET_TITLES.get(run.preset, 'Own')}, seed {run.seed}"
    try:
        return str(registry.of_recipe(run.recipe).title)
    except UnknownGeneratorError:
        return run.recipe.generator


def _verdict(run: PastRun | PastDraw) -> str:
    """Return the sentence that judges a run, which comes first of what was said of it."""
    if isinstance(run, PastDraw):
        return run.what
    return run.said[0] if run.said else "no verdict"
