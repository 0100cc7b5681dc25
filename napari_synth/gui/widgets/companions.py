"""The part of the panel that says which layers move along with the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_synth.gui.layers.augmentation_layers import can_move_along, kind
from napari_synth.gui.widgets.layer_list import LayerList

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


class CompanionList(LayerList):
    """The Labels, Points, Shapes, Vectors and Tracks layers, one of each kind to be ticked; hidden where there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self.setToolTip("The layers that move along with the image, one of each kind")

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
        self.setVisible(self.count() > 0)
