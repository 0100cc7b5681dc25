"""The list of what can be trained, by task."""

from __future__ import annotations

from typing import Any, cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QWidget

from napari_synth.core.generator import Task
from napari_synth.training import registry
from napari_synth.training.trainable import Trainable


class TrainableList(QComboBox):
    """Everything that can be trained, under the names of the tasks."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip("What is trained; the model becomes a method of its task")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        model = cast(QStandardItemModel, self.model())
        for task in Task:
            found = registry.trainables(task)
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
        wanted = registry.trainable(identifier)
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
