"""Puts layers of ours into a viewer, beside their source, and leaves the user's selection as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


def unwrapped(viewer: Any) -> ViewerModel:
    """Return the viewer itself: napari hands some plugins a proxy, whose layers are not identical with themselves."""
    model: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return model


def insert_layer(viewer: ViewerModel, layer: napari.layers.Layer, above: napari.layers.Layer | None = None) -> None:
    """Insert a layer directly above another one, or on top where that one is gone, without selecting it.

    A result that got selected would become the source of the next run.
    """
    active = viewer.layers.selection.active
    selected = set(viewer.layers.selection)
    position = viewer.layers.index(above) + 1 if above in viewer.layers else len(viewer.layers)
    viewer.layers.insert(position, layer)
    if selected:
        viewer.layers.selection = selected
        viewer.layers.selection.active = active


def remove_layer(viewer: ViewerModel, layer: napari.layers.Layer | None) -> None:
    """Remove a layer if it is still there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)
