"""What we change in a viewer: layers come beside their source, and the user's selection stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


def unwrapped(viewer: Any) -> ViewerModel:
    """Return the viewer itself: napari hands some plugins a proxy, whose layers are not identical with themselves."""
    model: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return model


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera, which napari keeps in the scene since 0.9."""
    return getattr(viewer, "scene", viewer).camera


def grid_of(viewer: ViewerModel) -> Any:
    """Return the grid, which napari keeps on the canvas since 0.9."""
    return getattr(viewer, "canvas", viewer).grid


def insert_layer(viewer: ViewerModel, layer: napari.layers.Layer, above: napari.layers.Layer | None = None) -> None:
    """Insert a layer directly above another one, or on top where that one is gone, without selecting it.

    A result that got selected would become the source of the next run.
    """
    selection = viewer.layers.selection
    active = selection.active
    selected = set(selection)
    position = viewer.layers.index(above) + 1 if above in viewer.layers else len(viewer.layers)
    if not selected:
        viewer.layers.insert(position, layer)
        return
    # Nobody is told of what is active for a moment only: panels follow it.
    with selection.events.active.blocker():
        viewer.layers.insert(position, layer)
        viewer.layers.selection = selected
        viewer.layers.selection.active = active


def remove_layer(viewer: ViewerModel, layer: napari.layers.Layer | None) -> None:
    """Remove a layer if it is still there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)
