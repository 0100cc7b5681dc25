"""What we change in a viewer: layers come beside their source, and the user's selection stays as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_synth.gui.layers.placement import Placement

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

L = TypeVar("L", ImageLayer, Labels)


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


def layer_of_levels(
    kind: type[L], levels: tuple[Any, ...], name: str, metadata: dict[str, Any], place: Placement, **look: Any
) -> L:
    """Return a layer, with several resolutions where there are several levels.

    Parameters
    ----------
    kind : type
        ``napari.layers.Image`` or ``napari.layers.Labels``.
    levels : tuple of array-like
        One array, or those of a pyramid, the finest first.
    name : str
    metadata : dict
        See `napari_synth.gui.layers.marks.mark`.
    place : Placement
    **look
        Further keyword arguments of the layer.
    """
    pyramid = len(levels) > 1
    look["multiscale"] = pyramid
    return kind(levels if pyramid else levels[0], name=name, metadata=metadata, **place.as_kwargs(), **look)


def insert_layer(viewer: ViewerModel, layer: napari.layers.Layer, above: napari.layers.Layer | None = None) -> None:
    """Insert a layer under a fresh name, without selecting it: a selected result would become the source of the next run.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : napari.layers.Layer
        Its name gets a number where another layer has that name.
    above : napari.layers.Layer, optional
        The new layer comes directly above this one; on top of all where it is left out or gone.
    """
    layer.name = fresh_name(layer.name, (other.name for other in viewer.layers))
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


def fresh_name(wanted: str, taken: Iterable[str]) -> str:
    """Return ``wanted``, with a number behind it where a layer has this name."""
    names = set(taken)
    if wanted not in names:
        return wanted
    number = 2
    while f"{wanted} {number}" in names:
        number += 1
    return f"{wanted} {number}"
