"""Every other format, through the reader plugins of an installed napari."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError
from napari_synth.files.choosing import Series, chosen_series, joined
from napari_synth.files.pixels import without_bools
from napari_synth.files.units import unit_name
from napari_synth.imaging.image import Image, guess_axes


def read_through_napari(path: Path, series: Series = None) -> Image:
    """Read an image layer that an installed reader plugin makes of a file, the first where none is named.

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
    every = [(*layer, {}, "image")[:3] if len(layer) < 3 else layer for layer in layers]
    images = [_image(data, attributes or {}) for data, attributes, kind in every if kind == "image"]
    if not images:
        raise ImageFileError(f"{path.name!r} holds no image layer: choose another file.")
    titles = [f"{image.name!r}, {' x '.join(map(str, image.shape))} along {image.axes}" for image in images]
    numbers, notes = chosen_series(path, titles, [(image.shape, str(image.dtype)) for image in images], series)
    image = joined([images[number] for number in numbers])
    return replace(image, notes=(*image.notes, *notes))


def _image(data: Any, attributes: dict[str, Any]) -> Image:
    if attributes.get("multiscale") or isinstance(data, (list, tuple)):
        data = data[0]
    units = attributes.get("units")
    named = None if units is None else [units] * len(data.shape) if isinstance(units, str) else list(map(str, units))
    axes = guess_axes(tuple(data.shape), attributes.get("axis_labels"), attributes.get("rgb"), named)
    plain = axes.removesuffix("S")
    scale = attributes.get("scale")
    steps = {} if scale is None else {a: abs(float(s)) for a, s in zip(plain, scale, strict=False) if a != "C"}
    names = {axis: unit_name(unit) for axis, unit in zip(plain, named or (), strict=False) if axis != "C"}
    return Image(
        without_bools(data),
        axes,
        {axis: step for axis, step in steps.items() if step > 0},
        {axis: name for axis, name in names.items() if name},
        name=str(attributes.get("name", "image")),
    )
