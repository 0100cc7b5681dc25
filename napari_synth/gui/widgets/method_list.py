"""The lists of what can be chosen, methods of a task and all that can be trained, and what is asked before a model is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_synth import registry
from napari_synth import registry as training_registry
from napari_synth.contract.generator import Method, Task
from napari_synth.contract.trainable import Trainable
from napari_synth.gui.library_events import library_events
from napari_synth.gui.widgets.elided import NameBox

M = TypeVar("M", bound=Method[Any])

_BESIDE_NAME, _WIDEST = 48, 190
"""Pixels of a list for its margins and its arrow in napari's style, and what a panel of 280 with a scroll bar has for it."""


class MethodList(NameBox, Generic[M]):
    """A list of the methods of a task; those that cannot take the chosen layer are greyed out, and say why.

    Parameters
    ----------
    kind : type of Method
        What is listed.
    task : Task
    parent : QWidget, optional
    """

    chosen = Signal()
    """There is another method: the user took it, or the last one cannot take the layer."""

    def __init__(self, kind: type[M], task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kind, self._task = kind, task
        self._axes = ""
        self._methods: list[M] = []
        self.setToolTip("How it is done")
        # Two buttons stand beside it.
        self.setMinimumContentsLength(4)
        self.currentTextChanged.connect(self._on_text)
        self.refresh()
        self._wish = self.method.info.id
        self.currentIndexChanged.connect(self._on_choice)
        library_events().changed.connect(self.refresh)

    def minimumSizeHint(self) -> QSize:
        """Ask for the room that the name needs: where it is long, the label of the row comes above it."""
        hint = super().minimumSizeHint()
        wanted = self.fontMetrics().horizontalAdvance(self.currentText()) + _BESIDE_NAME
        return QSize(min(max(hint.width(), wanted), _WIDEST), hint.height())

    @property
    def method(self) -> M:
        """The chosen one."""
        return self._methods[self.currentIndex()]

    def choose(self, identifier: str) -> None:
        """Choose one by its id."""
        self.setCurrentIndex(self._ids.index(identifier))

    def choose_first(self) -> None:
        """Choose the default: the first of those that can take the layer."""
        possible = [index for index, method in enumerate(self._methods) if not self._why_not(method)]
        self.setCurrentIndex(possible[0] if possible else 0)

    def has(self, identifier: str) -> bool:
        """Tell whether one is listed."""
        return identifier in self._ids

    def possible(self) -> list[tuple[str, str, str]]:
        """Return id, title and summary of those that can take the layer."""
        infos = [method.info for method in self._methods if not self._why_not(method)]
        return [(info.id, info.title, info.summary) for info in infos]

    def named(self, identifier: str) -> M:
        """Return one by its id."""
        return self._methods[self._ids.index(identifier)]

    def refusal(self, identifier: str) -> str:
        """Say why one cannot take the layer, "" where it can."""
        return self._why_not(self._methods[self._ids.index(identifier)])

    def refresh(self) -> None:
        """List what there is now, and keep the choice where it is still there."""
        current = self.method.info.id if self._methods else ""
        self._methods = registry.listed(self._kind, self._task)
        blocked = self.blockSignals(True)
        self.clear()
        self.addItems([method.info.title for method in self._methods])
        self.setCurrentIndex(self._ids.index(current) if current in self._ids else 0)
        self.blockSignals(blocked)
        self._grey_out()

    def offer_for(self, axes: str) -> None:
        """Grey out what cannot take a layer with these axes.

        Where that is the chosen one, the first that can takes its place, until a layer comes that it can take.
        """
        self._axes = axes
        self._grey_out()
        possible = [index for index, method in enumerate(self._methods) if not self._why_not(method)]
        if not possible:
            return
        wished = self._ids.index(self._wish) if self._wish in self._ids else 0
        wish = self._wish
        self.setCurrentIndex(wished if wished in possible else possible[0])
        self._wish = wish

    @property
    def _ids(self) -> list[str]:
        return [method.info.id for method in self._methods]

    def _why_not(self, method: M) -> str:
        return method.info.refusal(self._axes) if self._axes else ""

    def _grey_out(self) -> None:
        items = cast(QStandardItemModel, self.model())
        for index, method in enumerate(self._methods):
            item = items.item(index)
            assert item is not None
            item.setEnabled(not self._why_not(method))
            item.setToolTip(self._why_not(method) or method.info.summary)

    def _on_text(self, _text: str) -> None:
        self.updateGeometry()

    def _on_choice(self, _index: int) -> None:
        self._wish = self.method.info.id
        self.chosen.emit()


class TrainableList(NameBox):
    """Everything that can be trained, under the names of the tasks."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip("What is trained; the model becomes a method of its task")
        model = cast(QStandardItemModel, self.model())
        for task in Task:
            found = training_registry.trainables(task)
            if found:
                model.appendRow(_heading(task))
            for each in found:
                item = QStandardItem(each.info.title)
                item.setData(each, Qt.ItemDataRole.UserRole)
                item.setToolTip("\n".join(filter(None, (each.info.summary, each.info.reference))))
                model.appendRow(item)
        # What one image is enough for can be tried at once.
        every = (index for index in range(self.count()) if self.itemData(index) is not None)
        self.setCurrentIndex(next((i for i in every if self.itemData(i).info.images == "one"), 1))
        self.currentIndexChanged.connect(self._on_choice)

    @property
    def trainable(self) -> Trainable[Any]:
        """What is chosen."""
        return cast("Trainable[Any]", self.currentData())

    def choose(self, identifier: str) -> None:
        """Choose by id.

        Raises
        ------
        UnknownGeneratorError
            It cannot be trained here.
        """
        wanted = training_registry.trainable(identifier)
        self.setCurrentIndex(next(i for i in range(self.count()) if self.itemData(i) is wanted))

    def _on_choice(self, _index: int) -> None:
        self.chosen.emit()


def _heading(task: Task) -> QStandardItem:
    item = QStandardItem(panel_title(task))
    item.setFlags(Qt.ItemFlag.NoItemFlags)
    font = item.font()
    font.setBold(True)
    item.setFont(font)
    return item


def panel_title(task: Task) -> str:
    """Return what the panel of a task is called in napari's menu."""
    return task.verb.replace("-", " ").capitalize()


_KINDS = "Models (*.safetensors *.pth *.pt *.ckpt *.zip *.yaml *.yml);;All files (*)"


def ask_for_file(parent: QWidget) -> Path | None:
    """Let the user choose a model file, or the description of a package that is a folder; None where they did not."""
    path, _ = QFileDialog.getOpenFileName(parent, "Open a model file", "", _KINDS)
    return Path(path) if path else None


def ask_for_trust(parent: QWidget, path: Path) -> bool:
    """Let the user decide on a file that can only be used by executing what it contains."""
    text = (
        f"{path.name} holds a program, not only weights. It would run with your rights on this computer.\n\n"
        "Do you trust where it comes from?"
    )
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.warning(parent, "Trust this file?", text, buttons.Yes | buttons.Cancel, buttons.Cancel)
    return bool(answer == buttons.Yes)
