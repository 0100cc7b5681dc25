"""Shows what a run would give on the visible field and the current slice, again whenever something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject

from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.jobs.restore import Interim, restore_region
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.appearance import appearance, result_look
from napari_synth.gui.layers.placement import Placement, refinement, result_placement
from napari_synth.gui.layers.viewer_layers import camera_of
from napari_synth.gui.layers.visible_field import VisibleField, visible_field
from napari_synth.gui.widgets.live_layer import LiveLayer
from napari_synth.gui.widgets.status import duration

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

Wanted = Callable[[], "tuple[napari.layers.Image, RestoreRequest]"]
"""Returns a source layer and what is to be done with it; raises a `SynthError` where nothing can be run."""


@dataclass(frozen=True)
class FieldRequest:
    """What is to be shown of which part of a layer.

    Attributes
    ----------
    source : napari.layers.Image
    run : RestoreRequest
        Without what takes minutes.
    field : VisibleField
    left_out : tuple of str
        The titles of the settings that take minutes.
    """

    source: napari.layers.Image
    run: RestoreRequest
    field: VisibleField
    left_out: tuple[str, ...]

    def is_of(self, other: FieldRequest) -> bool:
        """Tell whether it is the same run on the same layer, whatever part of it."""
        return self.source is other.source and self.run.is_like(other.run)


def words_of_run(size: str, prepared: PreparedImage | None, _pixels: Any) -> tuple[str, ...]:
    """Say what a preview of a run shows.

    Parameters
    ----------
    size : str
        How many pixels are shown, in words.
    prepared : PreparedImage or None
        None where the method learnt from what is shown.
    """
    if prepared is None:
        return (f"Preview of {size} pixels, learnt from these alone: a run learns from the whole image.",)
    return (f"Preview of {size} pixels.", *prepared.notes)


def _estimate(seconds: float) -> str:
    """Say how long a run takes."""
    return f"A run takes about {duration(seconds)}, as fast as this was."


class RunPreview(LiveLayer[FieldRequest]):
    """Keeps a temporary layer up to date with what a run would give.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    ask : callable
        Returns the source layer and the request; raises a `SynthError` where nothing can be run.
    parent : QObject, optional
    compute : callable
        Computes what is shown of a region, with the parameters and results of `restore_region`, but that it need not say how long
        a run takes.
    look : callable
        Returns how the layer is shown, as keyword arguments, from the source layer.
    name : str
        Of the layer, behind that of the source.
    words : callable
        Returns sentences on what is shown, from its size in words and from what ``compute`` returned.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        ask: Wanted,
        parent: QObject | None = None,
        *,
        compute: Callable[..., tuple[Any, ...]] = restore_region,
        look: Callable[[napari.layers.Image], dict[str, Any]] = appearance,
        name: str = "preview",
        words: Callable[[str, PreparedImage | None, Any], tuple[str, ...]] = words_of_run,
    ) -> None:
        super().__init__(viewer, parent, triggers=(camera_of(viewer).events, viewer.dims.events))
        self._ask, self._compute, self._look, self._name, self._words = ask, compute, look, name, words
        self._done: FieldRequest | None = None
        self._prepared: PreparedImage | None = None
        self._left_out: tuple[str, ...] = ()
        self._said: tuple[str, ...] = ()

    @property
    def made(self) -> tuple[RestoreRequest, PreparedImage] | None:
        """What was prepared for what is shown, and by which request; None where nothing is, or it holds for this part alone."""
        return None if self._done is None or self._prepared is None else (self._done.run, self._prepared)

    def _wanted(self) -> FieldRequest:
        source, run = self._ask()
        quick, left_out = run.quick()
        return FieldRequest(source, quick, visible_field(source, self._viewer, quick.image.axes), left_out)

    def _source_of(self, wanted: FieldRequest) -> napari.layers.Layer:
        return wanted.source

    def _is_shown(self, wanted: FieldRequest) -> bool:
        said, self._left_out = self._left_out, wanted.left_out
        done = self._done
        if self.layer is None or done is None or not done.is_of(wanted) or not done.field.contains(wanted.field):
            return False
        if said != wanted.left_out:
            self._say()
        return True

    def _is_same(self, wanted: FieldRequest, asked: FieldRequest) -> bool:
        return asked.is_of(wanted) and asked.field == wanted.field

    def _work(self, wanted: FieldRequest) -> Work:
        kept = self._prepared if self._done is not None and self._done.is_of(wanted) else None
        return partial(self._compute, wanted.run, wanted.field.region(wanted.run.image.axes), kept)

    def _show(self, wanted: FieldRequest, result: tuple[Any, ...]) -> None:
        self._done, (self._prepared, pixels, *seconds) = wanted, result
        self._show_pixels(wanted, pixels, self._prepared)
        start, stop = wanted.field.start, wanted.field.stop
        size = " by ".join(str(b - a) for a, b in zip(start, stop, strict=True) if b - a > 1)
        self._said = (*self._words(size, self._prepared, pixels), *map(_estimate, filter(None, seconds)))
        self._say()

    def _show_interim(self, wanted: FieldRequest, event: Any) -> None:
        if isinstance(event, Interim):
            self._show_pixels(wanted, event.pixels, None)
            # What a zoom is compared with: this is not the preview yet.
            self._done = None
            self.updated.emit(("Preview while the method still learns.",))

    def _forget(self) -> None:
        self._done = self._prepared = None

    def _say(self) -> None:
        slow = (f"{title}: left out of the preview, since it takes minutes; a run does it." for title in self._left_out)
        self.updated.emit((*self._said, *slow))

    def _show_pixels(self, wanted: FieldRequest, pixels: Any, prepared: PreparedImage | None) -> None:
        source, field = wanted.source, wanted.field
        look, place = self._look(source), Placement.of(source)
        if prepared is None:
            size = tuple(b - a for a, b in zip(field.start, field.stop, strict=True))
            place = place.refined(refinement(size, pixels.shape, source.ndim), map(float, field.start))
        else:
            place = result_placement(place, prepared, dict(zip(prepared.source.axes, field.start, strict=False)))
            look = result_look(look, prepared)
        self.shown.show([ImageLayer(pixels, name=f"{source.name} {self._name}", **look, **place.as_kwargs())])
