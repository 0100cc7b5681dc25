"""Layers in files without loss: what is written of a layer besides its pixels, and the layer that is made of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.texts import TextError, plain
from napari_synth.engine.recipe import Recipe
from napari_synth.files import ZARR_SUFFIXES, check_format, image_suffix, is_zarr, read_image, write_image
from napari_synth.files.ome_zarr import LabelImage, label_groups, write_ome_zarr
from napari_synth.files.pixels import as_dask, transposed
from napari_synth.files.record import read_record
from napari_synth.gui.jobs.result_store import open_levels
from napari_synth.gui.layers.marks import METADATA_KEY
from napari_synth.imaging.image import ChannelInfo, Image, guess_axes

LayerData = tuple[Any, Mapping[str, Any], str]
"""Pixels, keyword arguments and kind of a layer, as napari hands them to writers and takes them from readers."""

FORMAT = 1
_WHERE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_LOOK = (
    *("name", "opacity", "blending", "visible", "rgb", "contrast_limits", "gamma", "colormap"),
    *("interpolation2d", "rendering"),
)
_MOST_COLOURS = 256


def write_layers(path: Path, layers: Sequence[LayerData]) -> list[Path]:
    """Write layers without loss: images of one grid as the channels of one file, all others beside it under their own names.

    An OME-Zarr keeps Labels layers that lie on its image in its own group of labels.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.ome.tif``, ``.ome.zarr`` or another name of these formats; what is there is replaced.
    layers : sequence of (array-like, mapping, str)
        Image and Labels layers.

    Returns
    -------
    list of pathlib.Path
        What was written: images, and beside them the recipes of those that carry one.

    Raises
    ------
    ImageFileError
        The format cannot hold a layer, or it cannot be written.
    """
    images = [layer for layer in layers if layer[2] == "image"]
    labels = [layer for layer in layers if layer[2] == "labels"]
    together = len(images) > 1 and all(_shares_grid(images[0], other) for other in images[1:])
    every = [*images, *labels]
    count = len(images) if together else 1
    first, others = every[:count], every[count:]
    within: list[LayerData] = []
    if image_suffix(path) in ZARR_SUFFIXES and images:
        within = [layer for layer in others if layer[2] == "labels" and _lies_on(layer, first[0])]
        others = [layer for layer in others if not any(layer is one for one in within)]
    written = _write(path, first, overwrite=True, labels=within)
    for layer in others:
        written += _write(_beside(path, str(layer[1].get("name", "layer"))), [layer], overwrite=False)
    return written


def write_in_job(
    path: Path, layers: Sequence[LayerData], progress: ProgressCallback, cancel: CancelToken
) -> list[Path]:
    """Do what `write_layers` does, as the work of a job.

    Parameters
    ----------
    path, layers
        As for `write_layers`.
    progress : callable
        Told that it writes.
    cancel : CancelToken
    """
    Reporter(progress, cancel).start("Writing")
    return write_layers(path, layers)


def read_layers(path: Path, record: Mapping[str, Any]) -> list[LayerData]:
    """Return the layers of a file that `write_layers` wrote; large ones are read block by block.

    Parameters
    ----------
    path : pathlib.Path
    record : mapping
        What `napari_synth.files.record.read_record` found.

    Raises
    ------
    ImageFileError
        The pixels cannot be read, or do not fit the record.
    """
    found = _read(path, record)
    if is_zarr(path):
        for group in label_groups(path):
            own = can_be_read(group)
            found += [] if own is None else _read(group, own)
    return found


def can_be_read(path: Path) -> Mapping[str, Any] | None:
    """Return the record of a file that holds layers of ours, None of every other file."""
    record = read_record(path)
    if record is None or record.get("format") != FORMAT or not isinstance(record.get("layers"), list):
        return None
    return record if all(isinstance(entry, dict) for entry in record["layers"]) and record["layers"] else None


def _read(path: Path, record: Mapping[str, Any]) -> list[LayerData]:
    """Return the layers that one record names."""
    image = read_image(path)
    axes, kept = str(record.get("axes", image.axes)), record.get("layers", ())
    levels = open_levels(path, axes) if is_zarr(path) else (image.data,)
    if len(levels) == 1 and sorted(axes) == sorted(image.axes):
        levels = (transposed(image.data, [image.axes.index(axis) for axis in axes]),)
    shape = tuple(record.get("shape", levels[0].shape))
    if tuple(levels[0].shape) != shape:
        if len(levels) > 1 or int(np.prod(shape)) != int(np.prod(levels[0].shape)):
            raise ImageFileError(f"{path.name!r} does not hold the pixels that its record names: it was changed.")
        # TIFF leaves out axes of one pixel.
        levels = (as_dask(levels[0]).reshape(shape),)
    if not record.get("as_channels"):
        return [_layer(levels, entry) for entry in kept[:1]]
    return [_layer(tuple(as_dask(level)[index] for level in levels), entry) for index, entry in enumerate(kept)]


def _write(path: Path, layers: Sequence[LayerData], *, overwrite: bool, labels: Sequence[LayerData] = ()) -> list[Path]:
    """Write layers as one image; ``labels`` are those that an OME-Zarr keeps beside it."""
    is_group = image_suffix(path) in ZARR_SUFFIXES
    images = [_image(layer, any_integer=is_group) for layer in layers]
    image, as_channels = images[0], len(images) > 1
    if as_channels:
        import dask.array as da

        stacked = da.stack([as_dask(each.data) for each in images])
        channels = tuple(
            ChannelInfo(each.name, _colour(meta)) for each, (_, meta, _) in zip(images, layers, strict=True)
        )
        image = replace(image, data=stacked, axes=f"C{image.axes}", name=path.name.split(".")[0], channels=channels)
    record = _record(image, layers, as_channels=as_channels)
    if is_group:
        check_format(path, image)
        write_ome_zarr(path, image, overwrite=overwrite, record=record, labels=_label_images(labels))
    else:
        write_image(path, image, overwrite=overwrite, record=record)
    written = [path]
    for _, meta, _ in layers:
        recipe = _recipe(meta)
        if recipe is not None:
            beside = path.with_name(f"{_stem(path)}{f'.{_file_name(meta)}' if as_channels else ''}.recipe.yaml")
            beside.write_text(recipe.to_yaml(), encoding="utf-8")
            written.append(beside)
    return written


def _record(image: Image, layers: Sequence[LayerData], *, as_channels: bool) -> dict[str, Any]:
    """Return what a file keeps of layers that are its image."""
    return {
        "format": FORMAT,
        "axes": image.axes,
        "shape": [int(size) for size in image.shape],
        "as_channels": as_channels,
        "layers": [_entry(meta, kind) for _, meta, kind in layers],
    }


def _label_images(layers: Sequence[LayerData]) -> list[LabelImage]:
    """Return Labels layers as an OME-Zarr keeps them beside its image, each under a name of its own."""
    found: list[LabelImage] = []
    for layer in layers:
        name, taken, number = _file_name(layer[1]), {one.name for one in found}, 1
        base = name
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        image = _image(layer, any_integer=True)
        found.append(LabelImage(name, image, _record(image, [layer], as_channels=False)))
    return found


def _image(layer: LayerData, *, any_integer: bool = True) -> Image:
    """Return what is written of a layer; ``any_integer`` tells whether the format holds labels of 64 bits."""
    pixels, meta, kind = layer
    data = pixels[0] if _is_pyramid(pixels, meta) else pixels
    if kind == "labels":
        data = data.astype(np.uint8) if np.dtype(data.dtype).kind == "b" else data if any_integer else _narrow(data)
    labels = tuple(str(label) for label in meta.get("axis_labels", ()))
    units = [str(unit) for unit in meta.get("units", ())]
    axes = guess_axes(tuple(data.shape), labels or None, bool(meta.get("rgb", False)), units or None)
    spacing = {axis: abs(float(step)) for axis, step in zip(axes, meta.get("scale", ()), strict=False) if step}
    named = {axis: unit for axis, unit in zip(axes, units, strict=False) if unit != "pixel"}
    return Image.from_array(data, axes, spacing=spacing, units=named, name=str(meta.get("name", "layer")))


def _is_pyramid(pixels: Any, meta: Mapping[str, Any]) -> bool:
    return bool(meta.get("multiscale")) or isinstance(pixels, (list, tuple))


def _narrow(labels: Any) -> Any:
    """Return labels in 32 bits, since OME-TIFF has no place for more.

    Raises
    ------
    ImageFileError
        A label is larger.
    """
    if np.dtype(labels.dtype).itemsize <= 4:
        return labels
    limits = np.iinfo(np.int32)
    if labels.size and not (limits.min <= int(labels.min()) and int(labels.max()) <= limits.max):
        raise ImageFileError(
            "OME-TIFF has no place for labels of more than 32 bits: save them as OME-Zarr (.ome.zarr)."
        )
    return labels.astype(np.int32)


def _shares_grid(one: LayerData, other: LayerData) -> bool:
    """Tell whether two images can be channels of one: they lie alike, and are of one shape and dtype."""
    (first, a, _), (second, b, _) = one, other
    if a.get("rgb") or b.get("rgb") or _is_pyramid(first, a) or _is_pyramid(second, b):
        return False
    if first.shape != second.shape or first.dtype != second.dtype or "C" in _image(one).axes:
        return False
    return all(_plain(a.get(name)) == _plain(b.get(name)) for name in _WHERE)


def _lies_on(labels: LayerData, image: LayerData) -> bool:
    """Tell whether labels have the pixels of an image, so that an OME-Zarr can keep them beside it."""
    pixels, meta, _ = image
    shape = tuple((pixels[0] if _is_pyramid(pixels, meta) else pixels).shape)
    own = labels[0][0] if _is_pyramid(labels[0], labels[1]) else labels[0]
    if tuple(own.shape) != (shape[:-1] if meta.get("rgb") else shape):
        return False
    return all(_plain(labels[1].get(name)) == _plain(meta.get(name)) for name in _WHERE)


def _entry(meta: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return what is kept of a layer, as plain values."""
    kept = {name: _plain(meta[name]) for name in (*_WHERE, *_LOOK) if meta.get(name) is not None}
    if kind == "labels":
        kept = {
            name: value for name, value in kept.items() if name not in {"colormap", "contrast_limits", "gamma", "rgb"}
        }
    own = meta.get("metadata", {}).get(METADATA_KEY)
    if own:
        kept["metadata"] = {METADATA_KEY: _plain(own)}
    return {"kind": kind, **kept}


def _layer(levels: Sequence[Any], entry: Mapping[str, Any]) -> LayerData:
    kind = "labels" if entry.get("kind") == "labels" else "image"
    meta = {name: entry[name] for name in (*_WHERE, *_LOOK, "metadata") if name in entry}
    colours = meta.get("colormap")
    if isinstance(colours, dict):
        from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap

        name = str(colours.get("name", "custom"))
        meta["colormap"] = name if name in AVAILABLE_COLORMAPS else Colormap(**colours)
    meta["multiscale"] = len(levels) > 1
    return (list(levels) if len(levels) > 1 else levels[0]), meta, kind


def _plain(value: Any) -> Any:
    """Return a value of a layer as lists, texts and numbers."""
    if isinstance(value, Mapping):
        if "colors" in value:
            return _colours(value)
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "affine_matrix"):
        return _plain(value.affine_matrix)
    if hasattr(value, "colors") and hasattr(value, "controls"):
        return _colours(value.model_dump() if hasattr(value, "model_dump") else value.dict())
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _colours(colormap: Mapping[str, Any]) -> dict[str, Any]:
    """Return a colormap by its name, with its colours where these are few; a long one is one of napari's."""
    colours = np.asarray(colormap["colors"], dtype=float)
    kept: dict[str, Any] = {"name": str(colormap.get("name", "custom"))}
    if len(colours) <= _MOST_COLOURS:
        kept |= {"colors": np.round(colours, 4).tolist(), "controls": [float(at) for at in colormap["controls"]]}
    return kept


def _colour(meta: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Return the brightest colour of a layer's colormap, from 0 to 255; None where it is white or unknown."""
    colormap = _plain(meta.get("colormap"))
    if not isinstance(colormap, dict) or not colormap.get("colors"):
        return None
    red, green, blue = (round(255 * float(part)) for part in colormap["colors"][-1][:3])
    return None if (red, green, blue) == (255, 255, 255) else (red, green, blue)


def _recipe(meta: Mapping[str, Any]) -> Recipe | None:
    content = meta.get("metadata", {}).get(METADATA_KEY, {})
    try:
        return Recipe.from_dict(plain(content.get("recipe"))) if content.get("recipe") else None
    except (RecipeError, TextError):
        return None


def _beside(path: Path, name: str) -> Path:
    """Return a free name beside a file, with the name of a layer in it."""
    number, suffix = 1, image_suffix(path)
    base = f"{_stem(path)}.{_clean(name)}"
    beside = path.with_name(f"{base}{suffix}")
    while beside.exists():
        number += 1
        beside = path.with_name(f"{base}-{number}{suffix}")
    return beside


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(image_suffix(path))] or path.name


def _file_name(meta: Mapping[str, Any]) -> str:
    return _clean(str(meta.get("name", "layer")))


def _clean(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name).strip("_") or "layer"
