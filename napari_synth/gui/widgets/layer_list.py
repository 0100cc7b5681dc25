"""A list of layers to be ticked."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_MOST_SHOWN = 5


class LayerList(QListWidget):
    """The layers of a kind, each with a box; as high as it has rows, up to some.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    changed = Signal()
    """Other layers are ticked, or the pixels of one changed."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Layer] = []
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.itemChanged.connect(self._on_ticked)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            emitter.connect(self.refresh)
        self.refresh()

    @abstractmethod
    def is_listed(self, layer: napari.layers.Layer) -> bool:
        """Return whether a layer is shown."""

    def words(self, layer: napari.layers.Layer) -> str:
        """Return what a row says."""
        return str(layer.name)

    def excludes(self, ticked: napari.layers.Layer, other: napari.layers.Layer) -> bool:
        """Return whether another layer cannot stay ticked once one was."""
        return False

    @property
    def chosen(self) -> tuple[napari.layers.Layer, ...]:
        """The layers that are ticked, the lowest first."""
        return tuple(layer for index, layer in enumerate(self._layers) if self._is_ticked(index))[::-1]

    def tick(self, layer: napari.layers.Layer, on: bool = True) -> None:
        """Tick a layer, or take its tick away."""
        item = self.item(self._layers.index(layer))
        if item is not None:
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def refresh(self, _event: object = None) -> None:
        """List the layers as they are now, the uppermost first; those that were ticked stay so."""
        kept = self.chosen
        for layer in self._layers:
            layer.events.data.disconnect(self._on_data)
            layer.events.name.disconnect(self._on_name)
        self._layers = [layer for layer in reversed(self._viewer.layers) if self.is_listed(layer)]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            layer.events.data.connect(self._on_data)
            layer.events.name.connect(self._on_name)
            item = QListWidgetItem(self.words(layer))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if layer in kept else Qt.CheckState.Unchecked)
            self.addItem(item)
        self.blockSignals(False)
        self._fit()
        if kept != self.chosen:
            self.changed.emit()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the height of the rows, which the style gives them when they are first seen."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = min(max(len(self._layers), 1), _MOST_SHOWN)
        self.setFixedHeight(max(self.sizeHintForRow(0), 8) * shown + 2 * self.frameWidth() + 4)

    def _is_ticked(self, index: int) -> bool:
        item = self.item(index)
        return item is not None and item.checkState() == Qt.CheckState.Checked

    def _on_ticked(self, item: QListWidgetItem) -> None:
        """Take the ticks away that cannot stay."""
        row = self.row(item)
        if self._is_ticked(row):
            self.blockSignals(True)
            for index, layer in enumerate(self._layers):
                other = self.item(index)
                if index != row and self.excludes(self._layers[row], layer) and other is not None:
                    other.setCheckState(Qt.CheckState.Unchecked)
            self.blockSignals(False)
        self.changed.emit()

    def _on_data(self, _event: object = None) -> None:
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers):
            item = self.item(index)
            if item is not None:
                self.blockSignals(True)
                item.setText(self.words(layer))
                self.blockSignals(False)
