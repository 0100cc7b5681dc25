"""Buttons for the chosen result that change the viewer: keep a blend, link the contrast, remove a run with what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.marks import note_of
from napari_synth.gui.layers.viewer_layers import remove_layer
from napari_synth.gui.widgets.form_rows import button
from napari_synth.gui.widgets.result_box import ResultBox

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_BLEND = "Add the mixture that the slider shows as a layer of its own; its recipe holds the share, so that it can be repeated"
_LINK = "Let source and result share their contrast limits: what is changed of one is changed of the other"
_REMOVE = "Take the result, its maps and what else was added with it out of the viewer, and show its source again"


class ResultActions(QWidget):
    """Three buttons under a `ResultBox`, for the result that is chosen there.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    results : ResultBox
    parent : QWidget, optional
    """

    blend_wanted = Signal(float)
    """A mixture with this share of the result shall be a layer."""

    def __init__(self, viewer: ViewerModel, results: ResultBox[Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._results = viewer, results
        self._linked: WeakSet[napari.layers.Image] = WeakSet()
        self._busy = False
        self.blend = button(self, "Keep blend", _BLEND)
        self.blend.clicked.connect(self._on_blend)
        self.link = button(self, "Link contrast", _LINK, checkable=True)
        self.link.toggled.connect(self._on_link)
        self.remove = button(self, "Remove run", _REMOVE)
        self.remove.clicked.connect(self.remove_run)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.blend, 0, 0)
        layout.addWidget(self.link, 0, 1)
        layout.addWidget(self.remove, 1, 0, 1, 2)
        results.chosen.connect(self._show)
        results.fade.valueChanged.connect(self._offer)
        viewer.layers.events.removed.connect(self._on_removed)
        self._show()

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        self._busy = busy
        self._offer()

    def remove_run(self) -> None:
        """Remove the chosen result with all layers that were made of it; its source is shown again where we hid it."""
        finished = self._results.finished
        if finished is None:
            return
        self._results.reset_comparison()
        self.link.setChecked(False)
        identity = str(finished.result.unique_id)
        for layer in [one for one in self._viewer.layers if note_of(one, "of") == identity]:
            remove_layer(self._viewer, layer)
        remove_layer(self._viewer, finished.result)

    def _show(self) -> None:
        finished = self._results.finished
        self.setVisible(finished is not None)
        blocked = self.link.blockSignals(True)
        self.link.setChecked(finished is not None and finished.result in self._linked)
        self.link.blockSignals(blocked)
        self._offer()

    def _offer(self, _value: int = 0) -> None:
        finished = self._results.finished
        if finished is None:
            return
        source, result, share = finished.source, finished.result, self._results.fade.value()
        gone = "" if source is not None else "Its source is not in this viewer any more: open that layer again."
        alike = source is not None and tuple(full_resolution(source).shape) == tuple(finished.pixels.shape)
        why = gone or ("" if alike else "The result lies on another grid than its source: they cannot be mixed.")
        if not why and finished.recipe.frames is not None:
            why = "Invented frames have no source to be mixed with."
        why = why or ("" if 0 < share < 100 else "Put the slider between source and result first.")
        self._allow(self.blend, _BLEND, why or ("Wait until the panel is done." if self._busy else ""))
        coloured = source is not None and (source.rgb or result.rgb)
        self._allow(self.link, _LINK, gone or ("Images in colour have no contrast limits." if coloured else ""))

    @staticmethod
    def _allow(control: Any, tooltip: str, refusal: str) -> None:
        control.setEnabled(not refusal)
        control.setToolTip(refusal or tooltip)

    def _on_blend(self) -> None:
        self.blend_wanted.emit(self._results.fade.value() / 100)

    def _on_link(self, linked: bool) -> None:
        finished = self._results.finished
        if finished is None or finished.source is None:
            return
        pair = [finished.source, finished.result]
        if linked:
            finished.result.contrast_limits = finished.source.contrast_limits
            self._viewer.layers.link_layers(pair, ("contrast_limits",))
            self._linked.add(finished.result)
        else:
            self._viewer.layers.unlink_layers(pair, ("contrast_limits",))
            self._linked.discard(finished.result)

    def _on_removed(self, event: Any) -> None:
        """Show the source of a result that is gone, where it was hidden when the result came and no other result is left of it."""
        gone = event.value
        if not isinstance(gone, ImageLayer) or not note_of(gone, "hid_source"):
            return
        identity = note_of(gone, "source_id")
        if any(
            note_of(layer, "hid_source") and note_of(layer, "source_id") == identity for layer in self._viewer.layers
        ):
            return
        for layer in self._viewer.layers:
            if str(layer.unique_id) == identity:
                layer.visible = True
