"""Which part of a layer the canvas shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_synth.core.errors import AxesError
from napari_synth.gui.layers.images import full_resolution, level_factors

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

WIDEST = 1024
"""Pixels: of a larger visible field the centre is shown, so that a preview stays a matter of moments."""


@dataclass(frozen=True)
class VisibleField:
    """A part of a layer, ``start <= pixel < stop`` along each of its axes (RGB samples left out)."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def contains(self, other: VisibleField) -> bool:
        """Whether all of another field lies in this one."""
        return all(a <= b for a, b in zip(self.start, other.start, strict=True)) and all(
            a >= b for a, b in zip(self.stop, other.stop, strict=True)
        )

    def region(self, axes: str) -> dict[str, slice]:
        """Return the field as slices by axis role."""
        return {axis: slice(a, b) for axis, a, b in zip(axes, self.start, self.stop, strict=False)}


def visible_field(layer: napari.layers.Image, viewer: ViewerModel, axes: str, widest: int = WIDEST) -> VisibleField:
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
    return VisibleField(tuple(start), tuple(stop))


def slice_of(layer: napari.layers.Layer, viewer: ViewerModel, axes: str) -> dict[str, int]:
    """Return the pixel of a layer that the canvas is at, along each of its axes; what is shown has one too.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    viewer : napari.components.ViewerModel
    axes : str
        The roles of the layer's axes, RGB samples left out or not.
    """
    ahead = viewer.dims.ndim - layer.ndim
    position = layer.world_to_data(np.asarray(viewer.dims.point)[ahead:])
    return {
        axis: int(np.clip(round(float(place)), 0, size - 1))
        for axis, place, size in zip(axes, position, full_resolution(layer).shape, strict=False)
    }
