"""What napari calls to open and save: the manifest names these functions, and nothing is loaded before one is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def get_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return what opens a file that holds layers of ours, None for any other file: other readers open those.

    Parameters
    ----------
    path : str or list of str
        As napari hands it over; several files at once are left to other readers.
    """
    if not isinstance(path, str):
        return None
    from napari_synth.gui.layers.saved import can_be_read, read_layers

    record = can_be_read(Path(path))
    return None if record is None else partial(_read, partial(read_layers, Path(path), record))


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF or OME-Zarr with its recipe; returns what was written.

    Parameters
    ----------
    path : str
        The ending says which of the two.
    data : array-like or list of array-like
        Pixels, or those of every resolution level.
    meta : dict
        What napari says of the layer: name, scale, units, metadata and so on.
    """
    return _write(path, [(data, meta, "image")])


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as OME-TIFF or OME-Zarr; returns what was written.

    Parameters
    ----------
    path : str
        The ending says which of the two.
    data : array-like or list of array-like
        Pixels, or those of every resolution level.
    meta : dict
        What napari says of the layer: name, scale, units, metadata and so on.
    """
    return _write(path, [(data, meta, "labels")])


def write_layers(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write image layers as channels where they share a grid, and Labels layers beside them; returns what was written."""
    return _write(path, layers)


def _write(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    from napari_synth.gui.layers import saved

    return [str(written) for written in saved.write_layers(Path(path), layers)]


def _read(read: Callable[[], list[Any]], _path: Any) -> list[Any]:
    return read()
