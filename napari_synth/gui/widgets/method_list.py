"""The list of the methods of a task: those that cannot take the chosen layer are greyed out, and say why."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from qtpy.QtCore import Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QWidget

from napari_synth.core import registry
from napari_synth.core.generator import Method, Task
from napari_synth.gui.library_events import library_news

M = TypeVar("M", bound=Method[Any])


class MethodList(QComboBox, Generic[M]):
    """A list of the methods of a task.

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
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.refresh()
        self._wish = self.method.info.id
        self.currentIndexChanged.connect(self._on_choice)
        library_news().changed.connect(self.refresh)

    @property
    def method(self) -> M:
        """The chosen one."""
        return self._methods[self.currentIndex()]

    def choose(self, identifier: str) -> None:
        """Choose one by its id."""
        self.setCurrentIndex(self._ids.index(identifier))

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

    def _on_choice(self, _index: int) -> None:
        self._wish = self.method.info.id
        self.chosen.emit()
