"""The part of the panel that says which image the result should look like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_synth.core.errors import ReferenceImageError
from napari_synth.engine.references import as_psf
from napari_synth.gui.layers.images import guess_layer_axes, to_image
from napari_synth.gui.layers.marks import is_source, kind_of
from napari_synth.gui.widgets.form_rows import label
from napari_synth.gui.widgets.layer_lists import LayerChoice
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


class Words(NamedTuple):
    """What is said of the list: its label, its hint, and what stands for no layer."""

    label: str
    hint: str
    none: str


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

    words = Words(
        "Reference",
        "The image layer that the result should look like, of any size. What is learnt of it is kept in the recipe, so that"
        " other images can be treated alike without it.",
        "not needed",
    )

    changed = Signal()
    """Another reference, or other pixels of the same one."""

    def __init__(self, viewer: ViewerModel, source: SourcePicker, parent: QWidget) -> None:
        super().__init__(parent)
        self._source = source
        self._use: Literal["none", "optional", "needed"] = "none"
        self.choice = LayerChoice(viewer, self._is_other, "", parent, likely=self._is_alike)
        self.choice.setToolTip(self.words.hint)
        self._label = label(self.words.label, self.choice)
        source.rows.addRow(self._label, self.choice)
        source.changed.connect(self.choice.refresh)
        self.choice.changed.connect(self.changed)
        self.offer("none")

    def offer(self, use: Literal["none", "optional", "needed"]) -> None:
        """Show the row where a method takes a reference image, and hide it where it takes none."""
        self._use = use
        self.choice.none = {"none": "", "optional": self.words.none, "needed": "choose an image"}[use]
        self.choice.refresh()
        for widget in (self._label, self.choice):
            widget.setVisible(use != "none")

    def choose(self, layer: napari.layers.Image | None) -> None:
        """Choose a layer, or none."""
        self.choice.choose(layer)

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen layer; None where none is wanted or taken."""
        layer = self.choice.layer
        return layer if self._use != "none" and isinstance(layer, ImageLayer) else None

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
        return self._read(layer, source)

    def _read(self, layer: napari.layers.Image, source: Image) -> Image:
        alike = layer.ndim + layer.rgb == len(source.axes) and layer.rgb == ("S" in source.axes)
        return to_image(layer, source.axes if alike else guess_layer_axes(layer))

    def _is_other(self, layer: napari.layers.Layer) -> bool:
        return is_source(layer) and layer is not self._source.layer

    def _is_alike(self, layer: napari.layers.Layer) -> bool:
        source = self._source.layer
        return source is not None and not kind_of(layer) and layer.rgb == source.rgb


class PsfPicker(ReferencePicker):
    """The same for the image of a point: a layer with "psf" in its name is chosen as soon as there is one."""

    words = Words(
        "PSF",
        "An image layer that shows the point spread function, of any size, or many beads. It is kept in the recipe. Without one,"
        " the settings below say what it is, or its width is estimated.",
        "no layer: as set below",
    )

    def _read(self, layer: napari.layers.Image, source: Image) -> Image:
        read = to_image(layer, guess_layer_axes(layer))
        return replace(as_psf(read.data, source), spacing=read.spacing, units=read.units, name=read.name)

    def _is_alike(self, layer: napari.layers.Layer) -> bool:
        return not kind_of(layer) and "psf" in layer.name.lower()


class TilesPicker(ReferencePicker):
    """The same for what a correction is learnt from: none is ever guessed, since the image itself serves too."""

    words = Words(
        "Learn from",
        "An image layer of the same microscope: many tiles or frames that show its light, or beads that shine in all channels."
        " What is learnt is kept in the recipe, so that other images can be corrected alike without it.",
        "the image itself",
    )

    def _is_alike(self, layer: napari.layers.Layer) -> bool:
        return False
