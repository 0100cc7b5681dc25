"""The one machine behind every preview: temporary layers, and what keeps them up to date while something changes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_synth.core.errors import SynthError
from napari_synth.core.progress import Progress
from napari_synth.gui.jobs.worker import Job, Work
from napari_synth.gui.layers.marks import PREVIEW, mark
from napari_synth.gui.layers.viewer_layers import insert_layer, remove_layer

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

DEBOUNCE_MS = 300

W = TypeVar("W")


class TemporaryLayers(QObject):
    """Layers of ours that show something for a while; where the user deletes one of them, the others go too.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject, optional
    """

    removed = Signal()
    """The user deleted a layer; none is left."""

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: tuple[napari.layers.Layer, ...] = ()
        self._names: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[napari.layers.Layer, ...]:
        """The layers that are shown."""
        return self._layers

    @property
    def layer(self) -> Any:
        """The first of them; None where none is shown."""
        return self._layers[0] if self._layers else None

    def show(
        self,
        made: Sequence[napari.layers.Layer],
        *,
        above: napari.layers.Layer | None = None,
        into_view: bool = False,
        with_contrast: bool = False,
    ) -> None:
        """Show new layers in place of those before; pixels go into layers that are there already, so that nothing flickers.

        Parameters
        ----------
        made : sequence of napari.layers.Layer
            Their names are made fresh.
        above : napari.layers.Layer, optional
            The layer that they come above; they come above all where it is left out.
        into_view : bool
            Whether the camera moves where other places than before are covered.
        with_contrast : bool
            Whether layers that are there already take the contrast limits of the new ones.
        """
        before = self._viewer.layers.extent.world[:, -2:] if into_view else None
        names = tuple(layer.name for layer in made)
        pairs = list(zip(self._layers, made, strict=False))
        if names == self._names and all(_can_take(old, new) for old, new in pairs):
            for old, new in pairs:
                _take(old, new, with_contrast=with_contrast)
        else:
            self.drop()
            for layer in made:
                layer.metadata = mark(PREVIEW)
                insert_layer(self._viewer, layer, above)
                above = layer if above is not None else None
            self._layers, self._names = tuple(made), names
            self._viewer.layers.events.removed.connect(self._on_removed)
        if before is not None and not np.array_equal(before, self._viewer.layers.extent.world[:, -2:]):
            self._viewer.reset_view()

    def drop(self) -> None:
        """Take the layers away."""
        if not self._layers:
            return
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        layers, self._layers, self._names = self._layers, (), ()
        for layer in layers:
            remove_layer(self._viewer, layer)

    def _on_removed(self, _event: object = None) -> None:
        if any(layer not in self._viewer.layers for layer in self._layers):
            self.drop()
            self.removed.emit()


class LiveLayer(QObject, Generic[W]):
    """Computes in a thread what is wanted now, again once something has changed, and shows it in temporary layers.

    A subclass says what is wanted, what computes it and how it is shown. Only the latest wish counts.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject, optional
    triggers : sequence of event emitters
        What changes the wish besides calls of `request`, such as those of the camera.
    is_quick : bool
        Whether one computation is a matter of a moment: then the next begins at once and none is stopped half-way, so that
        a slider that is dragged shows where it is.
    """

    began = Signal()
    progressed = Signal(object)
    updated = Signal(object)
    """Sentences on what is shown now."""
    failed = Signal(object)
    ended = Signal()
    """No computation runs any more."""
    switched_off = Signal()
    """It went off by itself: its layer or its source was deleted."""

    def __init__(
        self,
        viewer: ViewerModel,
        parent: QObject | None = None,
        *,
        triggers: Sequence[Any] = (),
        is_quick: bool = False,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._triggers, self._is_quick = viewer, triggers, is_quick
        self._on = False
        self._again = False
        self._asked: W | None = None
        self._source: napari.layers.Layer | None = None
        self._job: Job | None = None
        self.shown = TemporaryLayers(viewer, self)
        self.shown.removed.connect(self._go_off)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._update)

    @property
    def layer(self) -> Any:
        """The temporary layer, the first where there are several; None where none is shown."""
        return self.shown.layer

    @property
    def is_on(self) -> bool:
        """Whether it is switched on."""
        return self._on

    def switch(self, on: bool) -> None:
        """Switch it on, or off and take its layers away."""
        if on == self._on:
            return
        self._on = on
        emitters = [(trigger, self.request) for trigger in self._triggers]
        for emitter, callback in (*emitters, (self._viewer.layers.events.removed, self._on_removed)):
            (emitter.connect if on else emitter.disconnect)(callback)
        if on:
            self._timer.start(0)
            return
        self.cancel()
        self._asked = self._source = None
        self._forget()
        self.shown.drop()

    def request(self, _event: object = None) -> None:
        """Ask for what is wanted now, once nothing has changed for a moment."""
        if self._on:
            self._timer.start(0 if self._is_quick else DEBOUNCE_MS)

    def cancel(self) -> None:
        """Stop what is being computed; what is shown stays."""
        self._timer.stop()
        self._again = False
        if self._job is not None:
            self._job.cancel()

    # What a subclass says

    @abstractmethod
    def _wanted(self) -> W:
        """Return what is wanted now; raise a `SynthError` where nothing can be shown."""

    @abstractmethod
    def _work(self, wanted: W) -> Work:
        """Return what computes it."""

    @abstractmethod
    def _show(self, wanted: W, result: Any) -> None:
        """Show what was computed."""

    def _show_interim(self, wanted: W, event: Any) -> None:
        """Show what the computation has come to so far."""

    def _source_of(self, wanted: W) -> napari.layers.Layer | None:
        """Return the layer that it is computed from: it goes off where that one is deleted."""
        return None

    def _is_shown(self, wanted: W) -> bool:
        """Tell whether what is shown is what is wanted."""
        return False

    def _is_same(self, wanted: W, asked: W) -> bool:
        """Tell whether what is being computed is what is wanted."""
        return False

    def _forget(self) -> None:
        """Release what was kept between computations: it was switched off."""

    # The machine

    def _update(self) -> None:
        try:
            wanted = self._wanted()
        except SynthError as error:
            self.cancel()
            self.failed.emit(error)
            return
        if self._is_shown(wanted):
            return
        if self._job is not None:
            if self._asked is None or self._job.is_cancelled or not self._is_same(wanted, self._asked):
                self._again = True
                if not self._is_quick:
                    self._job.cancel()
            return
        source = self._source_of(wanted)
        if source is not self._source:
            # Another layer may have other dimensions, colours and contrast.
            self.shown.drop()
        self._asked, self._source = wanted, source
        self._job = job = Job(self._work(wanted), "The preview")
        job.progressed.connect(self._on_progressed)
        job.returned.connect(self._on_returned)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self.destroyed.connect(job.leave)
        self.began.emit()
        job.start()

    @property
    def _is_stale(self) -> bool:
        """Whether nobody wants what is being computed any more."""
        return not self._on or self._asked is None or (self._again and not self._is_quick)

    def _on_progressed(self, progress: Progress) -> None:
        self.progressed.emit(progress)
        if progress.event is not None and self._asked is not None and not self._is_stale:
            self._show_interim(self._asked, progress.event)

    def _on_returned(self, result: Any) -> None:
        if self._asked is None or self._is_stale:
            return
        try:
            self._show(self._asked, result)
        except SynthError as error:
            self.failed.emit(error)

    def _on_failed(self, error: SynthError) -> None:
        if not self._is_stale:
            self.failed.emit(error)

    def _on_finished(self) -> None:
        self._job = None
        self._asked = None
        if self._again and self._on:
            self._again = False
            self._timer.start(0)
        else:
            self.ended.emit()

    def _on_removed(self, _event: object = None) -> None:
        if self._source is not None and self._source not in self._viewer.layers:
            self._go_off()

    def _go_off(self) -> None:
        self.switch(False)
        self.switched_off.emit()


def _can_take(old: napari.layers.Layer, new: napari.layers.Layer) -> bool:
    """Tell whether a layer can show the pixels of another one, in its place."""
    if type(old) is not type(new) or not isinstance(new, ImageLayer | Labels) or old.ndim != new.ndim:
        return False
    if getattr(old, "rgb", False) != getattr(new, "rgb", False) or old.multiscale or new.multiscale:
        return False
    turned = ("rotate", "shear", "affine")
    return (old.units, old.axis_labels) == (new.units, new.axis_labels) and all(
        np.allclose(np.asarray(getattr(old, name)), np.asarray(getattr(new, name))) for name in turned
    )


def _take(old: napari.layers.Layer, new: napari.layers.Layer, *, with_contrast: bool) -> None:
    old.data = new.data
    for name in ("scale", "translate"):
        if not np.array_equal(getattr(old, name), getattr(new, name)):
            setattr(old, name, getattr(new, name))
    if with_contrast and isinstance(new, ImageLayer) and not new.rgb:
        old.contrast_limits = new.contrast_limits
