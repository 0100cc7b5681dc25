"""The list of what the dimensions of a layer may mean: the usual meanings, the guess or the user's own first."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtWidgets import QComboBox, QWidget

from napari_synth.core.errors import AxesError, SynthError
from napari_synth.core.image import check_axes
from napari_synth.gui.layers.images import full_resolution, guess_layer_axes

if TYPE_CHECKING:
    import napari.layers

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

    def show_layer(self, layer: napari.layers.Image | None) -> None:
        """Offer what the dimensions of a layer may mean, without a signal."""
        self._layer = layer
        blocked = self.blockSignals(True)
        self.clear()
        self.setEnabled(layer is not None)
        if layer is not None:
            samples = "S" if getattr(layer, "rgb", False) else ""
            usual = [axes + samples for axes in _USUAL_AXES.get(layer.ndim, ())]
            guess = guessed(layer)
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


def guessed(layer: napari.layers.Image) -> str:
    """Return what the dimensions of a layer seem to mean, "" where nothing fits."""
    try:
        return guess_layer_axes(layer)
    except AxesError:
        return ""


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
