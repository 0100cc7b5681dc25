"""A list of layers, one of which is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


class LayerChoice(QComboBox):
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
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
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
