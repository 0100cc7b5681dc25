"""The row of a panel that says which part of the layer is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from napari.layers import Labels, Shapes
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_synth.core.errors import AxesError
from napari_synth.engine.recipe import RegionRecord
from napari_synth.gui.jobs.requests import RegionRequest
from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.layers.masks import layer_request
from napari_synth.gui.layers.visible_field import slice_of, visible_field
from napari_synth.gui.widgets.elided import NameBox
from napari_synth.gui.widgets.form_rows import label
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

WHOLE, FIELD, FIELD_HERE, HERE = "whole", "field", "field here", "here"
Choice: TypeAlias = "str | napari.layers.Layer | RegionRecord"

_TITLES = {
    WHOLE: "Whole image",
    FIELD: "Visible field",
    FIELD_HERE: "Visible field, this slice",
    HERE: "This slice",
    "T": "Frames from … to …",
    "Z": "Planes from … to …",
    "C": "Channels from … to …",
}
_OF_THE_VIEW = (FIELD, FIELD_HERE, HERE)
_UNBOUNDED = 2**31
_CHANGES = ("data", "set_data", "paint", "labels_update", "scale", "translate", "rotate", "shear", "affine")


class RegionPicker(QObject):
    """A list of what a run can be limited to, and from which to which frame, plane or channel.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    source : SourcePicker
        What is worked on; the row comes under its own.
    parent : QWidget
    """

    changed = Signal()
    """Another region, or another drawing on the chosen layer."""

    def __init__(self, viewer: ViewerModel, source: SourcePicker, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._choices: list[Choice] = [WHOLE]
        self._watched: napari.layers.Layer | None = None
        self._version = 0
        self._made: tuple[tuple[object, ...], RegionRequest] | None = None
        self.choice = NameBox(parent)
        self.choice.setToolTip(
            "The part that is worked on: all other pixels stay those of the source, and a result of another size is cropped to it."
            " The method still looks at the whole layer, so that the part comes out as it would in the whole. What is drawn on a"
            " Shapes or Labels layer counts where it is drawn: on one slice for that slice, on a layer of Y and X for all."
        )
        self.first, self.last = QSpinBox(parent), QSpinBox(parent)
        self.first.setToolTip("The first one that is worked on, counted from 0 as the slider under the image does")
        self.last.setToolTip("The last one that is worked on, counted from 0 as the slider under the image does")
        self._range = QWidget(parent)
        ends = QHBoxLayout(self._range)
        ends.setContentsMargins(0, 0, 0, 0)
        ends.addWidget(self.first, 1)
        ends.addWidget(QLabel("to", self._range))
        ends.addWidget(self.last, 1)
        self.label = label("Region", self.choice)
        source.rows.addRow(self.label, self.choice)
        source.rows.addRow(self._range)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            emitter.connect(self.refresh)
        source.changed.connect(self.refresh)
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.first.valueChanged.connect(self._on_ends)
        self.last.valueChanged.connect(self._on_ends)
        self._range.hide()
        self.refresh()

    @property
    def chosen(self) -> Choice:
        """What is chosen: a word, the role of an axis, a layer, or the region of a recipe."""
        return self._choices[max(0, self.choice.currentIndex())]

    @property
    def follows_view(self) -> bool:
        """Whether it is what the canvas shows: a preview shows that anyhow."""
        return self.chosen in _OF_THE_VIEW

    def choose(self, wanted: Choice) -> None:
        """Choose one of what is listed."""
        self.choice.setCurrentIndex(self._choices.index(wanted))

    def take(self, record: RegionRecord | None) -> None:
        """Choose the region of a recipe; one that was drawn is left to be chosen by hand."""
        kept = [one for one in self._choices if not isinstance(one, RegionRecord)]
        if record is None or record.is_drawn:
            self._list(kept, WHOLE)
        else:
            self._list([*kept, record], record)
        self._on_choice()

    def request(self, layer: napari.layers.Image, image: Image) -> RegionRequest | None:
        """Return the region of a layer, None for the whole; the same request until something about it changes.

        Parameters
        ----------
        layer : napari.layers.Image
        image : Image
            Of that layer.

        Raises
        ------
        AxesError
            The canvas shows no plane of Y and X, or the image is smaller than what was set.
        MaskError
            Nothing of what was drawn lies on the image.
        """
        chosen = self.chosen
        if chosen == WHOLE:
            return None
        if isinstance(chosen, RegionRecord):
            return RegionRequest({axis: slice(*bound) for axis, bound in chosen.bounds.items()})
        if isinstance(chosen, str):
            return RegionRequest(self._bounds(chosen, layer, image))
        key = (chosen, layer, id(image.data), image.axes, self._version)
        if self._made is None or self._made[0] != key:
            drawn = layer_request(chosen, layer, image, units=self._viewer.layers.extent.units)
            self._made = key, RegionRequest({}, drawn)
        return self._made[1]

    def record(self, layer: napari.layers.Image | None, image: Image | None) -> RegionRecord | None:
        """Return the region as it holds for other images too, None for the whole.

        Parameters
        ----------
        layer : napari.layers.Image or None
        image : Image or None
            Of that layer.

        Raises
        ------
        AxesError
            It was drawn, and belongs to one image.
        """
        if self.chosen == WHOLE or layer is None or image is None:
            return None
        found = self.request(layer, image)
        if found is None:
            return None
        if found.drawn is not None:
            raise AxesError("The region was drawn on one image: choose the whole image to run on files.")
        return RegionRecord(bounds={axis: (part.start, part.stop) for axis, part in found.bounds.items()})

    def refresh(self, _event: object = None) -> None:
        """List what there is now, and keep the choice where it is still there."""
        before = self.chosen
        sizes = self._sizes()
        choices: list[Choice] = [WHOLE, FIELD]
        if any(size > 1 for axis, size in sizes.items() if axis not in "YXS"):
            choices += [FIELD_HERE, HERE]
        choices += [axis for axis in "TZC" if sizes.get(axis, 1) > 1]
        choices += [
            layer
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, (Labels, Shapes)) and not kind_of(layer)
        ]
        choices += [one for one in self._choices if isinstance(one, RegionRecord)]
        self._list(choices, before)
        self._limit()
        if self.chosen is not before:
            self._on_choice()

    def _list(self, choices: list[Choice], chosen: Choice) -> None:
        self._choices = choices
        blocked = self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems([_title(one) for one in choices])
        self.choice.setCurrentIndex(choices.index(chosen) if chosen in choices else 0)
        self.choice.blockSignals(blocked)

    def _sizes(self) -> dict[str, int]:
        layer, roles = self._source.layer, self._source.roles
        return {} if layer is None else dict(zip(roles, full_resolution(layer).shape, strict=False))

    def _bounds(self, chosen: str, layer: napari.layers.Image, image: Image) -> Mapping[str, slice]:
        if chosen in "TZC":
            if (size := image.sizes.get(chosen, 0)) <= self.last.value():
                raise AxesError(f"{layer.name!r} has {size} positions along {chosen}: choose a region that lies in it.")
            return {chosen: slice(self.first.value(), self.last.value() + 1)}
        bounds: dict[str, slice] = {}
        if chosen != FIELD:
            here = slice_of(layer, self._viewer, image.axes)
            bounds = {
                axis: slice(at, at + 1) for axis, at in here.items() if axis not in "YXS" and image.sizes[axis] > 1
            }
        if chosen != HERE:
            seen = visible_field(layer, self._viewer, image.axes, widest=_UNBOUNDED).region(image.axes)
            bounds |= {axis: seen[axis] for axis in "YX"}
        return bounds

    def _on_choice(self, _index: int = 0) -> None:
        chosen = self.chosen
        self._range.setVisible(isinstance(chosen, str) and chosen in "TZC")
        layer = None if isinstance(chosen, (str, RegionRecord)) else chosen
        if layer is not self._watched:
            for watched, on in ((self._watched, False), (layer, True)):
                for name in _CHANGES if watched is not None else ():
                    if (emitter := getattr(watched.events, name, None)) is not None:  # type: ignore[union-attr]
                        (emitter.connect if on else emitter.disconnect)(self._on_drawn)
            self._watched = layer
        self._limit()
        self.changed.emit()

    def _limit(self) -> None:
        """Let the ends be those of the axis; what was set for another one is drawn in."""
        chosen = self.chosen
        if isinstance(chosen, str) and chosen in "TZC":
            size = self._sizes().get(chosen, 1)
            for box in (self.first, self.last):
                blocked = box.blockSignals(True)
                fresh = box.maximum() != size - 1
                box.setMaximum(size - 1)
                if fresh and box is self.last:
                    box.setValue(size - 1)
                box.blockSignals(blocked)

    def _on_ends(self, value: int) -> None:
        if self.sender() is self.first:
            self.last.setValue(max(value, self.last.value()))
        else:
            self.first.setValue(min(value, self.first.value()))
        self.changed.emit()

    def _on_drawn(self, _event: object = None) -> None:
        self._version += 1
        self.changed.emit()


def _title(choice: Choice) -> str:
    if isinstance(choice, RegionRecord):
        return "As in the recipe: " + ", ".join(f"{axis} {a} to {b - 1}" for axis, (a, b) in choice.bounds.items())
    return _TITLES[choice] if isinstance(choice, str) else choice.name
