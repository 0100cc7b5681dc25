"""Lists of layers: one is chosen, or several are ticked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_synth.gui.layers.augmentation_layers import can_move_along, kind
from napari_synth.gui.widgets.elided import NameBox

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


class LayerChoice(NameBox):
    """The layers of a kind, the uppermost first, behind words for none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    is_listed : callable
        Tells whether a layer can be chosen.
    none : str
        What stands for no layer.
    parent : QWidget, optional
    likely : callable, optional
        Tells whether a layer is to be taken before the user chose; the uppermost of those is.
    """

    changed = Signal()
    """Another layer, or other pixels of the same one."""

    def __init__(
        self,
        viewer: ViewerModel,
        is_listed: Callable[[napari.layers.Layer], bool],
        none: str,
        parent: QWidget | None = None,
        *,
        likely: Callable[[napari.layers.Layer], bool] = lambda _: False,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._is_listed, self._likely = viewer, is_listed, likely
        self.none = none
        self._layers: list[napari.layers.Layer] = []
        self._wish: napari.layers.Layer | None = None
        self._has_wish = False
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self.refresh)
        self.activated.connect(self._on_choice)
        self.refresh()

    @property
    def layer(self) -> napari.layers.Layer | None:
        """The chosen layer."""
        index = self.currentIndex() - 1
        return self._layers[index] if index >= 0 else None

    def choose(self, layer: napari.layers.Layer | None) -> None:
        """Choose a layer, or none."""
        self._wish, self._has_wish = layer, True
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """List the layers as they are now, and keep the choice where it is still there."""
        before = self.layer
        for layer in self._layers:
            layer.events.name.disconnect(self._on_name)
            layer.events.data.disconnect(self._on_data)
        self._layers = [layer for layer in reversed(self._viewer.layers) if self._is_listed(layer)]
        for layer in self._layers:
            layer.events.name.connect(self._on_name)
            layer.events.data.connect(self._on_data)
        self.clear()
        self.addItems([self.none, *(layer.name for layer in self._layers)])
        chosen = self._wanted()
        self.setCurrentIndex(0 if chosen is None else self._layers.index(chosen) + 1)
        if self.layer is not before:
            self.changed.emit()

    def _wanted(self) -> napari.layers.Layer | None:
        if self._has_wish and (self._wish is None or self._wish in self._layers):
            return self._wish
        return next((layer for layer in self._layers if self._likely(layer)), None)

    def _on_choice(self, index: int) -> None:
        self._wish, self._has_wish = (self._layers[index - 1] if index > 0 else None), True
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers, start=1):
            self.setItemText(index, layer.name)

    def _on_data(self, event: object = None) -> None:
        if getattr(event, "source", None) is self.layer:
            self.changed.emit()


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
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
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
            item.setToolTip(self.words(layer))
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
                item.setToolTip(self.words(layer))
                self.blockSignals(False)


class CompanionList(LayerList):
    """The Labels, Points, Shapes, Vectors and Tracks layers, one of each kind to be ticked; hidden where there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._source: napari.layers.Image | None = None
        self._touched: WeakSet[napari.layers.Layer] = WeakSet()
        super().__init__(viewer, parent)
        self.setToolTip(
            "The layers that move along with the image, one of each kind; those that lie on it do unless you say no"
        )

    def is_listed(self, layer: napari.layers.Layer) -> bool:
        """Return whether a layer can move along."""
        return can_move_along(layer)

    def words(self, layer: napari.layers.Layer) -> str:
        """Return the name of a layer and its kind."""
        return f"{layer.name} ({kind(layer)})"

    def excludes(self, ticked: napari.layers.Layer, other: napari.layers.Layer) -> bool:
        """Return whether two layers are of the same kind."""
        return kind(ticked) == kind(other)

    def refresh(self, _event: object = None) -> None:
        """List the layers as they are now; those that were ticked stay so."""
        super().refresh()
        self._tick_what_lies_on_it()
        self.setVisible(self.count() > 0)

    def follow(self, source: napari.layers.Image | None) -> None:
        """Tick what lies on an image, but for the layers whose tick was set by hand."""
        if source is not self._source:
            self._source = source
            self._tick_what_lies_on_it()

    def tick(self, layer: napari.layers.Layer, on: bool = True) -> None:
        """Tick a layer by hand, or take its tick away."""
        self._touched.add(layer)
        super().tick(layer, on)

    def _on_ticked(self, item: QListWidgetItem) -> None:
        self._touched.add(self._layers[self.row(item)])
        super()._on_ticked(item)

    def _tick_what_lies_on_it(self) -> None:
        """Of each kind the uppermost layer is ticked that lies on the image, where none of the kind was set by hand."""
        by_hand = {kind(layer) for layer in self._touched if layer in self._layers}
        before, taken = self.chosen, set(by_hand)
        self.blockSignals(True)
        for index, layer in enumerate(self._layers):
            item = self.item(index)
            if item is None or kind(layer) in by_hand:
                continue
            on = self._source is not None and kind(layer) not in taken and lies_on(layer, self._source)
            if on:
                taken.add(kind(layer))
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.blockSignals(False)
        if before != self.chosen:
            self.changed.emit()


def lies_on(layer: napari.layers.Layer, image: napari.layers.Layer) -> bool:
    """Tell whether a part of a layer lies on an image, in the plane of its last two axes; an empty layer lies nowhere."""
    with suppress(ValueError, TypeError, IndexError):
        one, other = (np.asarray(each.extent.world, dtype=float)[:, -2:] for each in (layer, image))
        return bool(np.isfinite(one).all() and (one[0] <= other[1]).all() and (one[1] >= other[0]).all())
    return False
