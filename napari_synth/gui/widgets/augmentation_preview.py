"""Keeps temporary layers up to date with one draw, again whenever a setting, the seed or the slice changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_synth.augmentation.pipeline import Pipeline
from napari_synth.core.errors import SynthError
from napari_synth.gui.jobs.augment import Drawn, draw_slice
from napari_synth.gui.jobs.worker import Job
from napari_synth.gui.layers.augmentation_layers import Content, placed, result_layers
from napari_synth.gui.layers.images import PREVIEW, Placement, full_resolution, mark
from napari_synth.gui.layers.viewer_layers import insert_layer, remove_layer

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

DEBOUNCE_MS = 300


@dataclass(frozen=True)
class Wish:
    """What is to be shown."""

    content: Content
    pipeline: Pipeline
    seed: int


class LiveDraw(QObject):
    """Shows one draw of what a function returns, as layers that go when it is switched off.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    wanted : callable
        Returns what is to be shown; raises a `SynthError` where that cannot be.
    parent : QObject, optional
    """

    began = Signal()
    progressed = Signal(object)
    drawn = Signal(object, object)
    """The `Wish` and the `Draw` that are shown now."""
    failed = Signal(object)
    ended = Signal()
    switched_off = Signal()
    """It went off by itself: a layer of it or its source was deleted."""

    def __init__(self, viewer: ViewerModel, wanted: Callable[[], Wish], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted = wanted
        self._on = False
        self._layers: list[napari.layers.Layer] = []
        self._wish: Wish | None = None
        self._position: dict[str, int] = {}
        self._job: Job | None = None
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._update)

    @property
    def layers(self) -> tuple[napari.layers.Layer, ...]:
        """The temporary layers, that of the image first."""
        return tuple(self._layers)

    def switch(self, on: bool) -> None:
        """Switch it on, or off and take its layers away."""
        if on == self._on:
            return
        self._on = on
        if on:
            self._viewer.dims.events.current_step.connect(self.request)
            self._viewer.layers.events.removed.connect(self._on_removed)
            self._timer.start(0)
            return
        self._viewer.dims.events.current_step.disconnect(self.request)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.cancel()
        self._wish = None
        self._drop()

    def request(self, _event: object = None) -> None:
        """Ask for a new draw once nothing has changed for a moment."""
        if self._on:
            self._timer.start(DEBOUNCE_MS)

    def cancel(self) -> None:
        """Stop what is being computed; what is shown stays."""
        self._timer.stop()
        self._again = False
        if self._job is not None:
            self._job.cancel()

    def _update(self) -> None:
        if self._job is not None:
            self._again = True
            self._job.cancel()
            return
        try:
            wish = self._wanted()
        except SynthError as error:
            self.failed.emit(error)
            return
        position = _position(wish.content.source, self._viewer, wish.content.sample.axes)
        self._wish, self._position = wish, position
        work = partial(draw_slice, wish.pipeline, wish.content.sample, wish.seed, position)
        self._job = Job(work, "The preview")
        self._job.progressed.connect(self.progressed)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._on_finished)
        self.began.emit()
        self._job.start()

    def _on_returned(self, result: Drawn) -> None:
        if not self._on or self._wish is None or self._again:
            return
        content, draw, sample = self._wish.content, result.draws[0], result.samples[0]
        place = placed(content.source, content.sample.axes, draw)
        try:
            made = result_layers(content, result.samples, place, "preview")
        except SynthError as error:
            self.failed.emit(error)
            return
        for layer in made:
            if isinstance(layer, ImageLayer | Labels):
                axes = sample.labels_axes if isinstance(layer, Labels) else sample.axes
                _shift(layer, content, axes, self._position)
        self._show(made)
        self.drawn.emit(self._wish, draw)

    def _show(self, made: list[napari.layers.Layer]) -> None:
        """Show new layers; pixels go into those that are shown already, so that nothing flickers."""
        pairs = list(zip(self._layers, made, strict=False))
        if len(self._layers) == len(made) and all(_takes_over(old, new) for old, new in pairs):
            for old, new in pairs:
                old.data = new.data
                old.scale, old.translate = new.scale, new.translate
            return
        self._drop()
        for layer in made:
            layer.metadata = mark(PREVIEW)
            insert_layer(self._viewer, layer)
        self._layers = made

    def _drop(self) -> None:
        # Forgotten first: their removal by us is not one by the user.
        layers, self._layers = self._layers, []
        for layer in layers:
            remove_layer(self._viewer, layer)

    def _on_failed(self, error: SynthError) -> None:
        if self._on and not self._again:
            self.failed.emit(error)

    def _on_finished(self) -> None:
        self._job = None
        if self._again and self._on:
            self._again = False
            self._timer.start(0)
        else:
            self.ended.emit()

    def _on_removed(self, _event: object = None) -> None:
        """Go off where the user deleted a layer of the preview, or its source."""
        own = any(layer not in self._viewer.layers for layer in self._layers)
        source = self._wish is not None and self._wish.content.source not in self._viewer.layers
        if own or source:
            self.switch(False)
            self.switched_off.emit()


def _takes_over(old: napari.layers.Layer, new: napari.layers.Layer) -> bool:
    """Tell whether a layer can show what another one holds."""
    if not isinstance(new, ImageLayer | Labels) or type(old) is not type(new):
        return False
    return bool(old.name == new.name and old.data.shape == new.data.shape and old.data.dtype == new.data.dtype)


def _position(layer: napari.layers.Image, viewer: ViewerModel, axes: str) -> dict[str, int]:
    """Return where the canvas is along T, C and Z."""
    ahead = viewer.dims.ndim - layer.ndim
    point = layer.world_to_data(np.asarray(viewer.dims.point)[ahead:])
    sizes = full_resolution(layer).shape
    return {
        axis: int(np.clip(round(float(place)), 0, size - 1))
        for axis, place, size in zip(axes, point, sizes, strict=False)
        if axis in "TZ"
    }


def _shift(layer: napari.layers.Layer, content: Content, axes: str, position: dict[str, int]) -> None:
    """Move a layer that has one plane only to where that plane is."""
    shape = layer.data.shape
    sizes = content.sample.sizes
    start = [
        float(position.get(axis, 0)) if shape[index] == 1 and sizes[axis] > 1 else 0.0
        for index, axis in enumerate(axes[: layer.ndim])
    ]
    layer.translate = Placement.of(layer).refined([1.0] * layer.ndim, start).translate
