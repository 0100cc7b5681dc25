"""Every other format, through the reader plugins of an installed napari."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError
from napari_synth.files.units import unit_name
from napari_synth.imaging.image import Image, guess_axes


def read_through_napari(path: Path) -> Image:
    """Read the first image layer that an installed reader plugin makes of a file.

    Raises
    ------
    ImageFileError
        napari is not installed, no reader takes the file, or it holds no image.
    """
    what = f"Files ending in {path.suffix!r}" if path.suffix else "Files without a suffix"
    if find_spec("napari") is None:
        raise ImageFileError(f"{what} need napari and a reader plugin: install them, or convert to TIFF.")
    import npe2

    npe2.PluginManager.instance().discover()
    try:
        layers = npe2.read([str(path)], stack=False)
    except ValueError as error:
        raise ImageFileError(
            f"{what} cannot be read: install a napari reader plugin for them, or convert to TIFF."
        ) from error
    for layer in layers:
        data, attributes, kind = (*layer, {}, "image")[:3] if len(layer) < 3 else layer
        if kind == "image":
            return _image(data, attributes)
    raise ImageFileError(f"{path.name!r} holds no image layer: choose another file.")


def _image(data: Any, attributes: dict[str, Any]) -> Image:
    if attributes.get("multiscale") or isinstance(data, (list, tuple)):
        data = data[0]
    axes = guess_axes(tuple(data.shape), attributes.get("axis_labels"), attributes.get("rgb"))
    plain = axes.removesuffix("S")
    scale = attributes.get("scale")
    spacing = {} if scale is None else {a: float(s) for a, s in zip(plain, scale, strict=False) if a != "C"}
    units = attributes.get("units")
    named = [] if units is None else [units] * len(plain) if isinstance(units, str) else list(units)
    names = {axis: unit_name(str(unit)) for axis, unit in zip(plain, named, strict=False) if axis != "C"}
    return Image(data, axes, spacing, {axis: name for axis, name in names.items() if name})
