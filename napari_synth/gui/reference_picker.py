"""The part of the panel that says which image the result should look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.image import Image
from napari_synth.gui.layers import guess_layer_axes, is_source, kind_of, to_image
from napari_synth.gui.rows import label
from napari_synth.gui.source import SourcePicker

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_NONE = {"optional": "none: a standard", "needed": "choose an image"}


class ReferencePicker(QObject):
    """A row with a list of the image layers that are not the source, seen where the method takes one.

    A layer of the user's that is like the source, with colours or without, is chosen as soon as there is one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    source : SourcePicker
        What is to look like it; the row comes under its own.
    parent : QWidget
    """

    changed = Signal()
    """Another reference, or other pixels of the same one."""

    def __init__(self, viewer: ViewerModel, source: SourcePicker, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._use: Literal["none", "optional", "needed"] = "none"
        self._layers: list[napari.layers.Image] = []
        self._wish: napari.layers.Image | None = None
        self._has_wish = False
        self.choice = QComboBox(parent)
        self.choice.setToolTip(
            "The image layer that the result should look like, of any size. What is learnt of it is kept in the recipe, so that"
            " other images can be treated alike without it."
        )
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setMinimumContentsLength(8)
        self._label = label("Reference", self.choice)
        rows: QFormLayout = source.rows
        rows.addRow(self._label, self.choice)
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self.refresh)
        source.changed.connect(self.refresh)
        self.choice.activated.connect(self._on_choice)
        self.refresh()

    def offer(self, use: Literal["none", "optional", "needed"]) -> None:
        """Show the row where a method takes a reference image, and hide it where it takes none."""
        self._use = use
        self.refresh()

    def choose(self, layer: napari.layers.Image | None) -> None:
        """Choose a layer, or none."""
        self._wish, self._has_wish = layer, True
        self.refresh()

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen layer; None where none is wanted or taken."""
        index = self.choice.currentIndex() - 1
        return self._layers[index] if self._use != "none" and index >= 0 else None

    def image(self, source: Image) -> Image | None:
        """Return the reference for a source, None where none is wanted or taken; no pixel is read.

        Raises
        ------
        ReferenceImageError
            The method needs one, and there is none.
        AxesError, InvalidImageError
            Its axes cannot be told, or its pixels hold no intensities.
        """
        layer = self.layer
        if layer is None:
            if self._use == "needed":
                raise ReferenceImageError(
                    "This method needs a reference image: open one, and choose its layer as the reference."
                )
            return None
        alike = layer.ndim + layer.rgb == len(source.axes) and layer.rgb == ("S" in source.axes)
        return to_image(layer, source.axes if alike else guess_layer_axes(layer))

    def refresh(self, _event: object = None) -> None:
        """List what can be chosen, and keep the choice where it is still there."""
        before = self.layer
        for layer in self._layers:
            layer.events.name.disconnect(self._on_name)
            layer.events.data.disconnect(self._on_data)
        source = self._source.layer
        self._layers = [layer for layer in reversed(self._viewer.layers) if is_source(layer) and layer is not source]
        for layer in self._layers:
            layer.events.name.connect(self._on_name)
            layer.events.data.connect(self._on_data)
        self.choice.clear()
        self.choice.addItems([_NONE.get(self._use, ""), *(layer.name for layer in self._layers)])
        chosen = self._likely()
        self.choice.setCurrentIndex(0 if chosen is None else self._layers.index(chosen) + 1)
        for widget in (self._label, self.choice):
            widget.setVisible(self._use != "none")
        if self.layer is not before:
            self.changed.emit()

    def _likely(self) -> napari.layers.Image | None:
        """Return what the user chose, else the uppermost layer of theirs that is like the source."""
        if self._has_wish and (self._wish is None or self._wish in self._layers):
            return self._wish
        source = self._source.layer
        if source is None:
            return None
        return next((layer for layer in self._layers if not kind_of(layer) and layer.rgb == source.rgb), None)

    def _on_choice(self, index: int) -> None:
        self._wish, self._has_wish = (self._layers[index - 1] if index > 0 else None), True
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers, start=1):
            self.choice.setItemText(index, layer.name)

    def _on_data(self, event: object = None) -> None:
        if getattr(event, "source", None) is self.layer:
            self.changed.emit()
