"""What the board shows in the viewer: one layer that is used again for every image, and a second one beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer

from napari_synth.gui.layers.appearance import contrast
from napari_synth.gui.layers.marks import mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import camera_of, fresh_name, grid_of, insert_layer, remove_layer
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    from napari.components import ViewerModel

BOARD = "board"
_PERCENTILES = (0.2, 99.8)
_SAMPLED = 512
"""Pixels along an axis that the contrast is read from."""


class BoardLayers:
    """A layer for the image that is looked at, and one for another result of the same source.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: list[ImageLayer | None] = [None, None]
        self._limits: dict[bool, tuple[float, float]] = {}
        self._grid_before: tuple[bool, tuple[int, int], int] | None = None
        self.keeps_contrast = True

    @property
    def layer(self) -> ImageLayer | None:
        """The layer of the image that is looked at."""
        return self._layers[0] if self._layers[0] in self._viewer.layers else None

    def show(self, image: Image, name: str, place: int = 0) -> ImageLayer:
        """Show an image in its layer; the layer is made anew only where the number of dimensions differs, or its colours.

        Parameters
        ----------
        image : Image
        name : str
            Of the layer.
        place : {0, 1}
            1 for the second layer.
        """
        layer = self._layers[place]
        rgb = "S" in image.axes
        axes = image.axes.replace("S", "")
        here = Placement.plain(
            np.array([image.spacing.get(axis, 1.0) for axis in axes]),
            tuple(image.units.get(axis, "pixel") for axis in axes),
            axes,
        )
        pixels = (
            np.moveaxis(image.data, image.axes.index("S"), -1) if rgb and not image.axes.endswith("S") else image.data
        )
        fits = layer is not None and layer in self._viewer.layers and layer.rgb == rgb and layer.ndim == len(axes)
        limits = self._contrast(image, layer if fits else None, rgb)
        if fits and layer is not None:
            layer.data = pixels
            layer.scale, layer.units, layer.axis_labels = here.scale, here.units, here.axis_labels
            if not rgb:
                self._set_limits(layer, limits)
            if layer.name != name:
                layer.name = fresh_name(name, (other.name for other in self._viewer.layers if other is not layer))
            return layer
        is_first = not self._viewer.layers
        old = layer
        look: dict[str, Any] = {} if rgb else {"contrast_limits": limits}
        layer = ImageLayer(
            pixels, name=name, rgb=rgb, multiscale=False, metadata=mark(BOARD), **look, **here.as_kwargs()
        )
        insert_layer(self._viewer, layer, above=old)
        remove_layer(self._viewer, old)
        self._layers[place] = layer
        if is_first:
            self._viewer.reset_view()
        return layer

    def show_pair(self, pair: bool) -> None:
        """Put the two layers side by side, or take the second one away."""
        grid = grid_of(self._viewer)
        if pair and self._grid_before is None:
            self._grid_before = (grid.enabled, tuple(grid.shape), grid.stride)
            grid.shape, grid.stride, grid.enabled = (1, -1), -1, True
        elif not pair and self._grid_before is not None:
            grid.enabled, grid.shape, grid.stride = self._grid_before
            self._grid_before = None
        if not pair:
            self.drop_second()

    def drop_second(self) -> None:
        """Take the second layer away."""
        remove_layer(self._viewer, self._layers[1])
        self._layers[1] = None

    def forget_contrast(self) -> None:
        """Let the next image choose its contrast."""
        self._limits.clear()

    def drop(self) -> None:
        """Take both layers away."""
        self.show_pair(False)
        remove_layer(self._viewer, self._layers[0])
        self._layers[0] = None

    @property
    def zoom(self) -> float:
        """How large pixels are shown."""
        return float(camera_of(self._viewer).zoom)

    def _contrast(self, image: Image, layer: ImageLayer | None, rgb: bool) -> tuple[float, float]:
        """Return the limits that the layer has, or those of the image where they shall not be kept, or are not known."""
        if self.keeps_contrast and layer is not None and not rgb:
            # As the user has set it meanwhile.
            self._limits[rgb] = tuple(layer.contrast_limits)
        if not self.keeps_contrast or rgb not in self._limits:
            at: dict[str, Any] = {axis: size // 2 for axis, size in image.sizes.items() if axis in "TZ"}
            steps = {axis: slice(None, None, max(1, image.sizes[axis] // _SAMPLED)) for axis in "YX"}
            self._limits[rgb] = contrast(image.read(**at, **steps), _PERCENTILES)
        return self._limits[rgb]

    def _set_limits(self, layer: ImageLayer, limits: tuple[float, float]) -> None:
        low, high = layer.contrast_limits_range
        if limits[0] < low or limits[1] > high:
            layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
        layer.contrast_limits = limits
