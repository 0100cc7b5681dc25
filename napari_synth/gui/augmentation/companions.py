"""The part of the panel that says which layers move along with the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_synth.gui.augmentation.content import can_move_along, kind

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_MOST_SHOWN = 5


class CompanionList(QListWidget):
    """The Labels, Points, Shapes, Vectors and Tracks layers, one of each kind to be ticked; hidden where there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    changed = Signal()
    """Another layer moves along, or what is drawn on one changed."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Layer] = []
        self.setToolTip("The layers that move along with the image, one of each kind")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.itemChanged.connect(self._on_ticked)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            emitter.connect(self.refresh)
        self.refresh()

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
        """List the layers as they are now; those that were ticked stay so."""
        kept = self.chosen
        for layer in self._layers:
            layer.events.data.disconnect(self._on_data)
            layer.events.name.disconnect(self._on_name)
        self._layers = [layer for layer in reversed(self._viewer.layers) if can_move_along(layer)]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            layer.events.data.connect(self._on_data)
            layer.events.name.connect(self._on_name)
            item = QListWidgetItem(f"{layer.name} ({kind(layer)})")
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if layer in kept else Qt.CheckState.Unchecked)
            self.addItem(item)
        self.blockSignals(False)
        self.setVisible(bool(self._layers))
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
        """Take the tick of another layer of the same kind away."""
        row = self.row(item)
        if self._is_ticked(row):
            self.blockSignals(True)
            for index, layer in enumerate(self._layers):
                other = self.item(index)
                if index != row and kind(layer) == kind(self._layers[row]) and other is not None:
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
                item.setText(f"{layer.name} ({kind(layer)})")
                self.blockSignals(False)
