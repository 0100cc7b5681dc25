"""The part of a panel that says which layer is worked on, and what its axes mean."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_synth.core.errors import InvalidImageError, SynthError
from napari_synth.gui.layers.images import full_resolution, guessed_axes, to_image
from napari_synth.gui.layers.marks import is_followed, is_source
from napari_synth.gui.widgets.elided import NameBox, breakable
from napari_synth.gui.widgets.form_rows import label, rows, wrapped
from napari_synth.imaging.image import Image, check_axes

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


_USUAL_AXES = {
    2: ("YX",),
    3: ("ZYX", "TYX", "CYX"),
    4: ("TZYX", "CZYX", "ZCYX", "TCYX"),
    5: ("TCZYX", "TZCYX"),
}
_ROLE_NAMES = {"T": "time", "C": "channel", "Z": "z", "Y": "y", "X": "x", "S": "colour"}


class AxesBox(QComboBox):
    """A role for each dimension of a layer; what was set for one is remembered as long as it lives.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: napari.layers.Image | None = None
        self._set: WeakKeyDictionary[napari.layers.Image, str] = WeakKeyDictionary()
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setToolTip(
            "What each dimension is: T time, C channel, Z Y X space, S colour samples. Guessed from the layer:"
            " choose or type another where the guess is wrong."
        )
        self.currentTextChanged.connect(self._remember)

    @property
    def axes(self) -> str:
        """What is written, whether it fits the layer or not."""
        return self.currentText().strip().upper()

    def axes_of(self, layer: napari.layers.Image) -> str:
        """Return what was set for a layer; else what is set for the shown one where both seem to mean the same; else the guess."""
        guess = guessed_axes(layer)
        if self._layer is None or layer is self._layer:
            return self.axes if layer is self._layer else guess
        alike = layer.ndim == self._layer.ndim and guess == guessed_axes(self._layer)
        return self._set.get(layer, self.axes if alike else guess).strip().upper()

    def show_layer(self, layer: napari.layers.Image | None) -> None:
        """Offer what the dimensions of a layer may mean, without a signal."""
        self._layer = layer
        blocked = self.blockSignals(True)
        self.clear()
        self.setEnabled(layer is not None)
        if layer is not None:
            samples = "S" if getattr(layer, "rgb", False) else ""
            usual = [axes + samples for axes in _USUAL_AXES.get(layer.ndim, ())]
            guess = guessed_axes(layer)
            self.addItems(list(dict.fromkeys([guess, *usual] if guess else usual)))
            self.setCurrentText(self._set.get(layer, guess))
        self.blockSignals(blocked)

    def show_files(self) -> None:
        """Offer the usual meanings for files, which may tell themselves what their dimensions are."""
        self._layer = None
        blocked = self.blockSignals(True)
        self.clear()
        self.setEnabled(True)
        self.addItems(["", *(axes for usual in _USUAL_AXES.values() for axes in usual)])
        self.setCurrentText("")
        self.blockSignals(blocked)

    def _remember(self, text: str) -> None:
        if self._layer is not None:
            self._set[self._layer] = text


def size_in_words(layer: napari.layers.Image, axes: str) -> str:
    """Return the size of a layer along its axes and the type of its pixels, or what is wrong with the axes."""
    data = full_resolution(layer)
    shape = tuple(int(size) for size in data.shape)
    try:
        check_axes(axes, shape)
    except SynthError as error:
        return str(error)
    sizes = " · ".join(f"{_ROLE_NAMES[axis]} {size}" for axis, size in zip(axes, shape, strict=True))
    return f"{sizes} · {data.dtype}"


class SourcePicker(QWidget):
    """A list of the image layers that follows the active layer, and the roles of the axes of the chosen one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    changed = Signal()
    """Another layer, other pixels of the same one, or other axes."""
    selection_changed = Signal()
    """Other layers are selected in the layer list."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Image] = []
        self._shown: napari.layers.Image | None = None

        self.layers = NameBox(self)
        self.layers.setToolTip(
            "The image layer to work on. It follows the layer that you select in the layer list; a map that judges a result has to"
            " be chosen here."
        )
        self.layers.currentIndexChanged.connect(self._on_choice)
        self.axes = AxesBox(self)
        self.axes.currentTextChanged.connect(self._on_axes)
        self.description = wrapped(self, "The size of the image along each axis, and the type of its pixels")

        self.rows = rows()
        self.rows.addRow(label("Image", self.layers), self.layers)
        self.rows.addRow(label("Axes", self.axes), self.axes)
        self.rows.addRow(self.description)
        self.setLayout(self.rows)

        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        viewer.layers.events.reordered.connect(self.refresh)
        viewer.layers.selection.events.active.connect(self._follow)
        viewer.layers.selection.events.changed.connect(self._on_selection)
        self.refresh()
        self._follow()

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen layer, None where there is no image."""
        return self._shown

    @property
    def selected(self) -> tuple[napari.layers.Image, ...]:
        """The layers to work on, the lowest first: all that are selected where the chosen one is among several; else that one."""
        if self._shown is None:
            return ()
        several = self._followed()
        return several if len(several) > 1 and self._shown in several else (self._shown,)

    @property
    def roles(self) -> str:
        """The roles of the axes of the chosen layer, "" where there is none, or they do not fit it."""
        if self._shown is None:
            return ""
        axes = self.axes.axes
        try:
            check_axes(axes, tuple(full_resolution(self._shown).shape))
        except SynthError:
            return ""
        return axes

    def choose(self, layer: napari.layers.Image) -> None:
        """Choose a layer of the list."""
        self.layers.setCurrentIndex(self._layers.index(layer))

    def image(self, layer: napari.layers.Image | None = None) -> Image:
        """Return the chosen layer as an image, or another one; no pixel is read.

        Parameters
        ----------
        layer : napari.layers.Image, optional
            One of `selected`.

        Raises
        ------
        AxesError
            The axes do not fit.
        InvalidImageError
            There is no image layer, or its pixels hold no intensities.
        """
        if self._shown is None:
            raise InvalidImageError(self.why_empty())
        wanted = layer or self._shown
        return to_image(wanted, self.axes.axes_of(wanted))

    def why_empty(self) -> str:
        """Say what to do where there is no image to work on."""
        active = self._viewer.layers.selection.active
        if active is not None:
            return f"{active.name!r} is a {type(active).__name__} layer: open an image, napari-synth works on Image layers."
        return "There is no image: open one, or take one of File > Open Sample > napari-synth."

    def refresh(self, _event: object = None) -> None:
        """List the image layers as they are now, the uppermost first, and keep the choice where it is still there."""
        for layer in self._layers:
            layer.events.name.disconnect(self._on_name)
            layer.events.data.disconnect(self._on_data)
        self._layers = [layer for layer in reversed(self._viewer.layers) if is_source(layer)]
        for layer in self._layers:
            layer.events.name.connect(self._on_name)
            layer.events.data.connect(self._on_data)
        self.layers.blockSignals(True)
        self.layers.clear()
        self.layers.addItems([layer.name for layer in self._layers])
        likely = next(
            (index for index, layer in enumerate(self._layers) if is_followed(layer)), 0 if self._layers else -1
        )
        keep = self._layers.index(self._shown) if self._shown in self._layers else likely
        self.layers.setCurrentIndex(keep)
        self.layers.blockSignals(False)
        self._on_choice(keep)

    def _follow(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self._layers and is_followed(active):
            self.choose(active)
        elif self._shown is None:
            self._describe()

    def _on_selection(self, _event: object = None) -> None:
        several = self._followed()
        if len(several) > 1 and self._shown not in several:
            self.choose(several[-1])
        self._describe()
        self.selection_changed.emit()

    def _followed(self) -> tuple[napari.layers.Image, ...]:
        chosen = self._viewer.layers.selection
        return tuple(layer for layer in reversed(self._layers) if layer in chosen and is_followed(layer))

    def _on_choice(self, index: int) -> None:
        layer = self._layers[index] if index >= 0 else None
        if layer is self._shown and layer is not None:
            return
        self._shown = layer
        self._list_axes()
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers):
            self.layers.setItemText(index, layer.name)

    def _on_data(self, event: object = None) -> None:
        if getattr(event, "source", None) is self._shown:
            self._list_axes()
            self.changed.emit()

    def _on_axes(self, _text: str) -> None:
        self._describe()
        self.changed.emit()

    def _list_axes(self) -> None:
        self.axes.show_layer(self._shown)
        self._describe()

    def _describe(self) -> None:
        shown = self._shown
        words = self.why_empty() if shown is None else size_in_words(shown, self.axes.axes)
        several = len(self.selected)
        if several > 1:
            words += f" · {several} layers are selected: a run does each of them"
        self.description.setText(breakable(words))
