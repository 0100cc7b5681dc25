"""Shows what a run would give on the visible field and the current slice, again whenever something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_synth.core.errors import AxesError, SynthError
from napari_synth.core.progress import Progress
from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.layers import (
    PREVIEW,
    Placement,
    appearance,
    full_resolution,
    level_factors,
    mark,
    refinement,
)
from napari_synth.gui.placing import camera_of, insert_layer, remove_layer
from napari_synth.gui.result_layers import result_look, result_placement
from napari_synth.gui.runs import Interim, Request, restore_region
from napari_synth.gui.worker import Job
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

DEBOUNCE_MS = 300
WIDEST = 1024
"""Pixels: of a larger visible field the centre is shown, so that a preview stays a matter of moments."""

Wanted = Callable[[], "tuple[napari.layers.Image, Request]"]
Work = Callable[..., "tuple[PreparedImage | None, Any]"]
Look = Callable[["napari.layers.Image"], dict[str, Any]]
Words = Callable[[str, "PreparedImage | None", Any], tuple[str, ...]]


@dataclass(frozen=True)
class Field:
    """A part of a layer, ``start <= pixel < stop`` along each of its axes (RGB samples left out)."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def contains(self, other: Field) -> bool:
        """Whether all of another field lies in this one."""
        return all(a <= b for a, b in zip(self.start, other.start, strict=True)) and all(
            a >= b for a, b in zip(self.stop, other.stop, strict=True)
        )

    def region(self, axes: str) -> dict[str, slice]:
        """Return the field as slices by axis role."""
        return {axis: slice(a, b) for axis, a, b in zip(axes, self.start, self.stop, strict=False)}


def visible_field(layer: napari.layers.Image, viewer: ViewerModel, axes: str, widest: int = WIDEST) -> Field:
    """Return the part of a layer that the canvas shows in the current slice.

    Parameters
    ----------
    layer : napari.layers.Image
    viewer : napari.components.ViewerModel
    axes : str
        The roles of the layer's axes.
    widest : int
        Along each shown axis, the central pixels are taken where more are visible.

    Raises
    ------
    AxesError
        The canvas does not show a plane of Y and X.
    """
    ahead = viewer.dims.ndim - layer.ndim
    shown = [axis - ahead for axis in viewer.dims.displayed if axis >= ahead]
    if viewer.dims.ndisplay != 2 or {axes[axis] for axis in shown} != {"Y", "X"}:
        raise AxesError("The preview shows a plane of Y and X: switch the viewer to 2D, with Y and X on the canvas.")
    shape = full_resolution(layer).shape[: layer.ndim]
    position = layer.world_to_data(np.asarray(viewer.dims.point)[ahead:])
    corners = np.asarray(layer.corner_pixels, dtype=float) * level_factors(layer)
    start, stop = [], []
    for axis, size in enumerate(shape):
        if axis not in shown:
            at = int(np.clip(round(float(position[axis])), 0, size - 1))
            start.append(at)
            stop.append(at + 1)
            continue
        first = int(np.clip(np.floor(corners[0, axis]), 0, size))
        last = int(np.clip(np.ceil(corners[1, axis]) + 1, 0, size))
        if last - first < 2:
            # Nothing was drawn yet, or the layer lies outside the canvas.
            first, last = 0, size
        if last - first > widest:
            first = (first + last - widest) // 2
            last = first + widest
        start.append(first)
        stop.append(last)
    return Field(tuple(start), tuple(stop))


def _words(size: str, prepared: PreparedImage | None, _pixels: Any) -> tuple[str, ...]:
    """Say what a preview of a run shows."""
    if prepared is None:
        return (f"Preview of {size} pixels, learnt from these alone: a run learns from the whole image.",)
    return (f"Preview of {size} pixels.", *prepared.notes)


class Preview(QObject):
    """Keeps a temporary layer up to date with what a run would give.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    wanted : callable
        Returns the source layer and the request; raises a `SynthError` where nothing can be run.
    parent : QObject, optional
    work : callable
        Computes what is shown of a region, with the parameters and results of `restore_region`.
    look : callable
        Returns how the layer is shown, as keyword arguments, from the source layer.
    name : str
        Of the layer, behind that of the source.
    words : callable
        Returns sentences on what is shown, from its size in words and from what ``work`` returned.
    """

    began = Signal()
    progressed = Signal(object)
    updated = Signal(object)
    """Sentences on what is shown now."""
    failed = Signal(object)
    ended = Signal()
    """No computation runs any more."""
    switched_off = Signal()
    """The preview went off by itself: its layer or its source was deleted."""

    def __init__(
        self,
        viewer: ViewerModel,
        wanted: Wanted,
        parent: QObject | None = None,
        *,
        work: Work = restore_region,
        look: Look = appearance,
        name: str = "preview",
        words: Words = _words,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted = wanted
        self._work, self._look, self._name, self._words = work, look, name, words
        self._on = False
        self._layer: napari.layers.Image | None = None
        self._source: napari.layers.Image | None = None
        self._done: tuple[Request, Field] | None = None
        self._asked: tuple[Request, Field] | None = None
        self._prepared: PreparedImage | None = None
        self._left_out: tuple[str, ...] = ()
        self._said: tuple[str, ...] = ()
        self._job: Job | None = None
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._update)

    @property
    def layer(self) -> napari.layers.Image | None:
        """The temporary layer."""
        return self._layer

    def switch(self, on: bool) -> None:
        """Switch the preview on, or off and take its layer away."""
        if on == self._on:
            return
        self._on = on
        events = camera_of(self._viewer).events, self._viewer.dims.events
        if on:
            for emitter in events:
                emitter.connect(self.request)
            self._viewer.layers.events.removed.connect(self._on_removed)
            self._timer.start(0)
            return
        for emitter in events:
            emitter.disconnect(self.request)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._timer.stop()
        self._again = False
        if self._job is not None:
            self._job.cancel()
        self._done = self._asked = self._source = self._prepared = None
        self._drop_layer()

    def request(self, _event: object = None) -> None:
        """Ask for a new preview once nothing has changed for a moment."""
        if self._on:
            self._timer.start(DEBOUNCE_MS)

    def cancel(self) -> None:
        """Stop what is being computed; what is shown stays."""
        self._timer.stop()
        self._again = False
        if self._job is not None:
            self._job.cancel()

    def _update(self) -> None:
        try:
            source, wanted = self._wanted()
            request, left_out = wanted.quick()
            field = visible_field(source, self._viewer, request.image.axes)
        except SynthError as error:
            self.cancel()
            self.failed.emit(error)
            return
        told, self._left_out = self._left_out, left_out
        shown, asked = self._done, self._asked
        if self._layer is not None and shown is not None and _same(shown[0], request) and shown[1].contains(field):
            if told != left_out:
                self._tell()
            return
        if self._job is not None:
            if asked is not None and _same(asked[0], request) and asked[1] == field and not self._job.is_cancelled:
                return
            self._again = True
            self._job.cancel()
            return
        if source is not self._source:
            # Another layer may have other dimensions, colours and contrast.
            self._drop_layer()
        self._source = source
        self._asked = (request, field)
        prepared = self._prepared if shown is not None and _same(shown[0], request) else None
        work = partial(self._work, request, field.region(request.image.axes), prepared)
        self._job = Job(work, "The preview")
        self._job.progressed.connect(self._on_progressed)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._on_finished)
        self.began.emit()
        self._job.start()

    def _on_progressed(self, progress: Progress) -> None:
        self.progressed.emit(progress)
        if (
            not isinstance(progress.news, Interim)
            or not self._on
            or self._asked is None
            or self._source is None
            or self._again
        ):
            return
        self._show(self._source, self._asked[1], progress.news.pixels, None)
        # What a zoom is compared with: this is not the preview yet.
        self._done = None
        self.updated.emit(("Preview while the method still learns.",))

    def _on_returned(self, result: tuple[PreparedImage | None, Any]) -> None:
        if not self._on or self._asked is None or self._source is None or self._again:
            return
        prepared, pixels = result
        _, field = self._done = self._asked
        self._prepared = prepared
        self._show(self._source, field, pixels, prepared)
        size = " by ".join(str(b - a) for a, b in zip(field.start, field.stop, strict=True) if b - a > 1)
        self._said = self._words(size, prepared, pixels)
        self._tell()

    def _tell(self) -> None:
        slow = (f"{title}: left out of the preview, since it takes minutes; a run does it." for title in self._left_out)
        self.updated.emit((*self._said, *slow))

    def _show(self, source: napari.layers.Image, field: Field, pixels: Any, prepared: PreparedImage | None) -> None:
        if prepared is None:
            size = tuple(b - a for a, b in zip(field.start, field.stop, strict=True))
            place = Placement.of(source).refined(refinement(size, pixels.shape, source.ndim), map(float, field.start))
            look = self._look(source)
        else:
            first = dict(zip(prepared.source.axes, field.start, strict=False))
            place = result_placement(Placement.of(source), prepared, first)
            look = result_look(self._look(source), prepared)
        layer = self._layer
        if layer is not None and layer in self._viewer.layers:
            if (layer.ndim, bool(layer.rgb)) == (len(place.scale), look["rgb"]):
                layer.data = pixels
                layer.scale = place.scale
                layer.translate = place.translate
                return
            # Another method may make colours of what was gray.
            self._drop_layer()
        self._layer = ImageLayer(
            pixels,
            name=f"{source.name} {self._name}",
            metadata=mark(PREVIEW),
            **look,
            **place.as_kwargs(),
        )
        insert_layer(self._viewer, self._layer)

    def _drop_layer(self) -> None:
        # Forgotten first: its removal by us is not one by the user.
        layer, self._layer = self._layer, None
        remove_layer(self._viewer, layer)

    def _on_failed(self, error: SynthError) -> None:
        if self._on and not self._again:
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
        """Go off where the user deleted the preview or its source."""
        own = self._layer is not None and self._layer not in self._viewer.layers
        source = self._source is not None and self._source not in self._viewer.layers
        if own or source:
            self.switch(False)
            self.switched_off.emit()


def _same(one: Request, other: Request) -> bool:
    """Tell whether two requests give the same pixels; the image's own are compared by identity, not read."""
    return (
        one.image.data is other.image.data
        and one.image.axes == other.image.axes
        and one.generator == other.generator
        and one.params == other.params
        and one.settings == other.settings
        and one.mask is other.mask
        and _pixels(one.reference) is _pixels(other.reference)
    )


def _pixels(image: Image | None) -> Any:
    return None if image is None else image.data
