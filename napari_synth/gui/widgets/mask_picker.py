"""The part of the panel that says which pixels are to be filled: a layer that is drawn on, or a rule for the image itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_synth.core.errors import MaskError
from napari_synth.engine.masking import MOST_GROWTH
from napari_synth.gui.jobs.restore import mask_region
from napari_synth.gui.layers.appearance import mask_look
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.layers.masks import MaskRequest, layer_request, rule_request
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import insert_layer
from napari_synth.gui.widgets.elided import NameBox
from napari_synth.gui.widgets.form_rows import label
from napari_synth.gui.widgets.hint import Hint
from napari_synth.gui.widgets.run_preview import RunPreview, Wanted
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import RULES

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

    from napari_synth.engine.image_run import PreparedImage

_DRAWN_ON = (Labels, Shapes, Points)
_RULES = {"nan": "NaN pixels", "zero": "Zero pixels", "saturated": "Saturated pixels", "hot": "Hot and dead pixels"}
_NONE = "none yet"
_CHANGES = ("data", "paint", "labels_update", "size", "edge_width", "scale", "translate", "rotate", "shear", "affine")
_BRUSH = 8
_MOST_RADIUS = 999.0


class MaskPicker(QObject):
    """Rows for the mask: which layer or rule, its labels or radius, how much it grows, and a preview of it.

    The panel lets the `preview_button` switch the `preview`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    source : SourcePicker
        What is to be filled; the rows come under its own.
    wanted : callable
        What the panel would run, see `napari_synth.gui.widgets.run_preview.RunPreview`.
    parent : QWidget
    """

    changed = Signal()
    """Another mask."""

    def __init__(self, viewer: ViewerModel, source: SourcePicker, wanted: Wanted, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._source = source
        self._layers: list[napari.layers.Layer] = []
        self._choices: list[napari.layers.Layer | str | None] = [None]
        self._shown: napari.layers.Layer | None = None
        self._version = 0
        self._made: tuple[tuple[Any, ...], MaskRequest] | None = None

        self.choice = NameBox(parent)
        self.choice.setToolTip(
            "What is to be filled: what is drawn on a Labels, Shapes or Points layer, wherever it lies, or pixels of the image"
            " that a rule finds. It follows the layers that you add and select."
        )
        self.draw = QPushButton("Draw", parent)
        self.draw.setToolTip("Add an empty Labels layer on the image and take the brush")
        self.ids = QLineEdit(parent)
        self.ids.setPlaceholderText("all")
        self.ids.setToolTip("The labels that mark what is to be filled, such as 1, 3; all where nothing is written")
        self.radius = QDoubleSpinBox(parent)
        self.radius.setRange(0.0, _MOST_RADIUS)
        self.radius.setDecimals(1)
        self.radius.setSpecialValueText("size of the points")
        self.radius.setToolTip("Radius of the disc around each point, in pixels of the image")
        self.grow = QSpinBox(parent)
        self.grow.setRange(0, MOST_GROWTH)
        self.grow.setSuffix(" px")
        self.grow.setToolTip(
            "Make the mask larger by so many pixels, in Y and X: the rim of a scratch is seldom quite intact"
        )
        self.preview_button = QPushButton("Show", parent)
        self.preview_button.setCheckable(True)
        self.preview_button.setToolTip(
            "Show what would be filled on the visible field, in red, until this is switched off"
        )
        self.preview = RunPreview(
            viewer, wanted, self, compute=mask_region, look=mask_look, name="mask preview", words=_words
        )
        self.hidden = Hint(parent)
        self._add_rows(source.rows)
        self._connect()
        self.refresh()
        self._on_source()

    def request(self, layer: napari.layers.Image, image: Image) -> MaskRequest:
        """Return the mask of an image: the same request until something about it changes.

        Raises
        ------
        MaskError
            There is nothing to make it from, or it cannot be used.
        """
        key = self._key(layer, image)
        if self._made is None or self._made[0] != key:
            self._made = key, self._request(layer, image)
        return self._made[1]

    @property
    def is_missing(self) -> bool:
        """Whether nothing is chosen that could mark what is to be filled."""
        return self._value is None

    @property
    def rule(self) -> Literal["nan", "zero", "saturated", "hot"] | None:
        """The rule that is chosen; None where a layer is, or nothing."""
        return cast("Literal['nan', 'zero', 'saturated', 'hot']", self._value) if self._value in _RULES else None

    def renew(self) -> None:
        """Read what is drawn anew the next time: pixels may have been changed without an event."""
        self._version += 1

    def stop(self) -> None:
        """Take the preview of the mask away."""
        self.preview_button.setChecked(False)

    def uncover(self) -> None:
        """Hide the layer that was drawn on: what was filled lies under it."""
        if self._shown is not None:
            self._shown.visible = False

    def add_layer(self) -> None:
        """Add an empty Labels layer on the image, and take the brush.

        Along the channels it has one pixel that covers all of them: what is drawn holds for every channel.
        """
        source = self._source.layer
        if source is None:
            return
        axes = self._source.axes.currentText().strip().upper()
        shape = list(source.level_shapes[0][: source.ndim] if source.multiscale else source.data.shape[: source.ndim])
        coarser = [float(size) if axis == "C" else 1.0 for axis, size in zip(axes, shape, strict=False)]
        coarser += [1.0] * (len(shape) - len(coarser))
        drawn_on = Labels(
            np.zeros([round(size / step) for size, step in zip(shape, coarser, strict=True)], np.uint8),
            name=f"{source.name} mask",
            **Placement.of(source).refined([1 / step for step in coarser]).as_kwargs(),
        )
        insert_layer(self._viewer, drawn_on)
        drawn_on.brush_size = _BRUSH
        self._viewer.layers.selection.active = drawn_on
        drawn_on.mode = "paint"

    def refresh(self, _event: object = None) -> None:
        """List what can be chosen; a layer that was added since is chosen."""
        before, chosen = self._layers, self._value
        for layer in before:
            layer.events.name.disconnect(self._on_name)
        self._layers = [
            layer for layer in reversed(self._viewer.layers) if isinstance(layer, _DRAWN_ON) and not kind_of(layer)
        ]
        for layer in self._layers:
            layer.events.name.connect(self._on_name)
        added = [layer for layer in self._layers if layer not in before]
        if added:
            chosen = added[0]
        elif isinstance(chosen, _DRAWN_ON) and chosen not in self._layers:
            chosen = self._layers[0] if self._layers else None
        blocked = self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems([layer.name for layer in self._layers] or [_NONE])
        self.choice.insertSeparator(self.choice.count())
        for rule, title in _RULES.items():
            self.choice.addItem(title)
            self.choice.setItemData(self.choice.count() - 1, RULES[rule], Qt.ItemDataRole.ToolTipRole)
        self._choices = [*(self._layers or [None]), None, *_RULES]
        self.choose(chosen)
        self.choice.blockSignals(blocked)
        self._on_choice()

    def choose(self, wanted: napari.layers.Layer | str | None) -> None:
        """Choose a layer, or a rule by its name."""
        self.choice.setCurrentIndex(self._choices.index(wanted) if wanted in self._choices else 0)

    # Rows

    def _add_rows(self, rows: QFormLayout) -> None:
        what = QHBoxLayout()
        what.addWidget(self.choice, 1)
        what.addWidget(self.draw)
        grow = QHBoxLayout()
        grow.addWidget(self.grow, 1)
        grow.addWidget(self.preview_button)
        self._ids_label, self._radius_label = label("Labels", self.ids), label("Radius", self.radius)
        rows.addRow(label("Mask", self.choice), what)
        rows.addRow(self._ids_label, self.ids)
        rows.addRow(self._radius_label, self.radius)
        rows.addRow(label("Grow", self.grow), grow)
        rows.addRow(self.hidden)

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self.refresh)
        self._viewer.layers.selection.events.active.connect(self._follow)
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.draw.clicked.connect(self.add_layer)
        self.ids.editingFinished.connect(self._on_change)
        self.radius.valueChanged.connect(self._on_change)
        self.grow.valueChanged.connect(self._on_change)
        self._source.changed.connect(self._on_source)

    # What changes

    @property
    def _value(self) -> Any:
        return self._choices[max(0, self.choice.currentIndex())]

    def _follow(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if any(active is layer for layer in self._layers):
            self.choose(active)

    def _on_choice(self, _index: int = 0) -> None:
        chosen = self._value
        layer = chosen if isinstance(chosen, _DRAWN_ON) else None
        if self._shown is not layer:
            self._watch(self._shown, on=False)
            self._watch(layer, on=True)
            self._shown = layer
            self._on_visible()
        for widgets, kind in (((self._ids_label, self.ids), Labels), ((self._radius_label, self.radius), Points)):
            for widget in widgets:
                widget.setVisible(isinstance(layer, kind))
        self._on_change()

    def _watch(self, layer: napari.layers.Layer | None, *, on: bool) -> None:
        if layer is None:
            return
        for name in _CHANGES:
            if (emitter := getattr(layer.events, name, None)) is not None:
                (emitter.connect if on else emitter.disconnect)(self._on_drawn)
        (layer.events.visible.connect if on else layer.events.visible.disconnect)(self._on_visible)

    def _on_visible(self, _event: object = None) -> None:
        """Say that what is chosen cannot be seen: the brush would leave no trace."""
        layer = self._shown
        if layer is None or layer.visible:
            self.hidden.say("")
        else:
            self.hidden.say("The mask is hidden: what is drawn on it is not seen.", "Show it", self._uncover_mask)

    def _uncover_mask(self) -> None:
        if self._shown is not None:
            self._shown.visible = True

    def _on_drawn(self, _event: object = None) -> None:
        self.renew()
        self._on_change()

    def _on_change(self, _value: object = None) -> None:
        self.preview.request()
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers):
            self.choice.setItemText(index, layer.name)

    def _on_source(self) -> None:
        there = self._source.layer is not None
        self.draw.setEnabled(there)
        self.preview_button.setEnabled(there)
        if not there:
            self.stop()
        self.preview.request()

    # The mask

    def _request(self, layer: napari.layers.Image, image: Image) -> MaskRequest:
        chosen = self._value
        if chosen is None:
            raise MaskError("There is no mask: press Draw and paint what is to be filled, or choose a rule.")
        if isinstance(chosen, str):
            return rule_request(image, chosen, self.grow.value())
        return layer_request(
            chosen,
            layer,
            image,
            ids=_labels_in(self.ids.text()) if isinstance(chosen, Labels) else (),
            radius=self.radius.value(),
            grow=self.grow.value(),
            units=self._viewer.layers.extent.units,
        )

    def _key(self, layer: napari.layers.Image, image: Image) -> tuple[Any, ...]:
        """Return what the mask depends on; pixels are compared by identity, not read."""
        place = Placement.of(layer)
        where = tuple(
            part.tobytes() for part in (place.scale, place.translate, place.rotate, place.shear, place.affine)
        )
        what = (id(self._value) if isinstance(self._value, _DRAWN_ON) else self._value, self._version, self.ids.text())
        units = str(self._viewer.layers.extent.units)
        return (id(image.data), image.axes, where, *what, self.radius.value(), self.grow.value(), units)


def _words(_size: str, _prepared: PreparedImage | None, marked: Any) -> tuple[str, ...]:
    """Say how much of what is in sight a mask marks."""
    return (f"{np.count_nonzero(marked)} of the {marked.size} pixels in sight are to be filled.",)


def _labels_in(text: str) -> tuple[int, ...]:
    """Return the labels that the user wrote."""
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise MaskError(f"The labels {text.strip()!r} are no list of numbers: write such as 1, 3, or nothing for all.")
    return tuple(int(word) for word in words)
