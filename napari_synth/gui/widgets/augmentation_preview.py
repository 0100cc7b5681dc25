"""Shows one draw of an augmentation, again whenever a setting, the seed or the slice changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_synth.gui.jobs.augment import Drawn, draw_slice
from napari_synth.gui.jobs.requests import PreviewRequest
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.augmentation_layers import SampleLayers, placed, result_layers
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.visible_field import slice_of
from napari_synth.gui.widgets.live_layer import LiveLayer

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


class AugmentationPreview(LiveLayer[tuple[PreviewRequest, dict[str, int]]]):
    """Shows one draw of what a function returns, in layers that go when it is switched off.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    ask : callable
        Returns what is to be shown; raises a `SynthError` where that cannot be.
    parent : QObject, optional
    """

    drawn = Signal(object, object)
    """The `PreviewRequest` and the `Draw` that are shown now."""

    def __init__(self, viewer: ViewerModel, ask: Callable[[], PreviewRequest], parent: QObject | None = None) -> None:
        super().__init__(viewer, parent, triggers=(viewer.dims.events.current_step,))
        self._ask = ask

    @property
    def layers(self) -> tuple[napari.layers.Layer, ...]:
        """The temporary layers, that of the image first."""
        return self.shown.layers

    def _wanted(self) -> tuple[PreviewRequest, dict[str, int]]:
        request = self._ask()
        at = slice_of(request.layers.source, self._viewer, request.layers.sample.axes)
        return request, {axis: place for axis, place in at.items() if axis in "TZ"}

    def _source_of(self, wanted: tuple[PreviewRequest, dict[str, int]]) -> napari.layers.Layer:
        return wanted[0].layers.source

    def _work(self, wanted: tuple[PreviewRequest, dict[str, int]]) -> Work:
        request, position = wanted
        return partial(draw_slice, request.pipeline, request.layers.sample, request.seed, position)

    def _show(self, wanted: tuple[PreviewRequest, dict[str, int]], result: Drawn) -> None:
        request, position = wanted
        draw, sample = result.draws[0], result.samples[0]
        place = placed(request.layers.source, request.layers.sample.axes, draw)
        made = result_layers(request.layers, result.samples, place, "preview")
        for layer in made:
            if isinstance(layer, ImageLayer | Labels):
                axes = sample.labels_axes if isinstance(layer, Labels) else sample.axes
                _shift(layer, request.layers, axes, position)
        self.shown.show(made)
        self.drawn.emit(request, draw)


def _shift(layer: napari.layers.Layer, layers: SampleLayers, axes: str, position: dict[str, int]) -> None:
    """Move a layer that has one plane only to where that plane is."""
    shape = layer.data.shape
    sizes = layers.sample.sizes
    start = [
        float(position.get(axis, 0)) if shape[index] == 1 and sizes[axis] > 1 else 0.0
        for index, axis in enumerate(axes[: layer.ndim])
    ]
    layer.translate = Placement.of(layer).refined([1.0] * layer.ndim, start).translate
