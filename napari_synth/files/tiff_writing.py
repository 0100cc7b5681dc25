"""Writes TIFF: for ImageJ, for what reads OME, and pyramids of tiles for what is too large to be shown at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_synth.files.levels import halved, n_levels
from napari_synth.files.record import KEY, NAMESPACE, to_text
from napari_synth.files.tiff_metadata import OWN_AXES
from napari_synth.files.units import unit_symbol
from napari_synth.imaging.image import Image

LARGEST_PLANE = 4096
TILE = 512
_OME_DTYPES = frozenset({"int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"})
_IMAGEJ_DTYPES = frozenset({"uint8", "uint16", "float32"})
_LARGEST_CLASSIC_TIFF = 2**32 - 2**25
# What is kept in memory of the smaller levels of a pyramid; the rest waits in files.
_LEVELS_IN_MEMORY = 2**28


def write_tiff(
    path: Path, image: Image, suffix: str, compression: str | None = None, record: Mapping[str, Any] | None = None
) -> None:
    """Write an image plane by plane.

    A name with ``.ome`` gives OME-TIFF, tiled and with smaller levels where a plane is longer than `LARGEST_PLANE` pixels. Any
    other gives the TIFF of ImageJ, or a plain one with the same facts as JSON where ImageJ does not know the dtype or the size.

    Parameters
    ----------
    path : pathlib.Path
        Where it is written, whatever this name ends in.
    image : Image
    suffix : str
        What the file's name will end in.
    compression : str, optional
        As tifffile calls it.
    record : mapping, optional
        What is kept of layers, see `napari_synth.files.record`; an ImageJ TIFF has no place for it.
    """
    if ".ome" in suffix and image.dtype.name in _OME_DTYPES:
        if max(image.sizes["Y"], image.sizes["X"]) > LARGEST_PLANE:
            _write_pyramid(path, image, compression, record)
        else:
            _write_ome(path, image, compression, record)
    elif record is None and _suits_imagej(image) and suffix in {".tif", ".tiff"}:
        _write_imagej(path, image, compression)
    else:
        _write_shaped(path, image, compression, record)


def _write_ome(path: Path, image: Image, compression: str | None, record: Mapping[str, Any] | None) -> None:
    order = _plane_order(image)
    tifffile.imwrite(
        path,
        _planes(image, order),
        shape=tuple(image.sizes[axis] for axis in order),
        dtype=image.dtype,
        ome=True,
        bigtiff=_n_bytes(image) > _LARGEST_CLASSIC_TIFF,
        photometric=_photometric(image),
        planarconfig="contig" if "S" in order else None,
        compression=compression,
        metadata={"axes": order, **_ome_facts(image, record)},
    )


def _write_pyramid(path: Path, image: Image, compression: str | None, record: Mapping[str, Any] | None) -> None:
    """Write tiles, and each smaller level in the SubIFDs of the plane that it belongs to."""
    order = _plane_order(image)
    lead = [image.sizes[axis] for axis in order if axis in "TCZ"]
    samples = (image.sizes["S"],) if "S" in order else ()
    plane = (image.sizes["Y"], image.sizes["X"])
    levels = n_levels(plane, 2 * TILE)
    options: dict[str, Any] = {
        "dtype": image.dtype,
        "tile": (TILE, TILE),
        "photometric": _photometric(image),
        "planarconfig": "contig" if samples else None,
        "compression": compression,
    }
    with ExitStack() as stack:
        writer = stack.enter_context(tifffile.TiffWriter(path, ome=True, bigtiff=True))
        smaller: list[Any] = []
        size = plane
        for _ in range(levels - 1):
            size = (-(-size[0] // 2), -(-size[1] // 2))
            place = path.with_name(f"{path.name}.level{len(smaller)}")
            smaller.append(_scratch(stack, place, (prod(lead), *size, *samples), image.dtype))
        tiles = _image_tiles(image, order, smaller[0])
        facts = {"axes": order, **_ome_facts(image, record)}
        writer.write(tiles, shape=(*lead, *plane, *samples), subifds=levels - 1, metadata=facts, **options)
        for number, level in enumerate(smaller):
            below = smaller[number + 1] if number + 1 < len(smaller) else None
            tiles = _level_tiles(level, below)
            writer.write(tiles, shape=(*lead, *level.shape[1:]), subfiletype=1, metadata=None, **options)


def _scratch(stack: ExitStack, place: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return where a level waits until it is written: in memory, or in files beside the result where it is large."""
    if prod(shape) * dtype.itemsize <= _LEVELS_IN_MEMORY:
        return np.empty(shape, dtype)
    import zarr

    stack.callback(shutil.rmtree, place, ignore_errors=True)
    chunks = (1, *(min(TILE, size) for size in shape[1:3]), *shape[3:])
    return zarr.create_array(str(place), shape=shape, chunks=chunks, dtype=dtype)


def _image_tiles(image: Image, order: str, level: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield the tiles of all planes, band by band, and put each band at half its size into a level."""
    lead = "".join(axis for axis in order if axis in "TCZ")
    wanted = [axis for axis in order if axis not in lead]
    given = [axis for axis in image.axes if axis not in lead]
    for number, position in enumerate(image.indices(lead)):
        for start in range(0, image.sizes["Y"], TILE):
            rows = slice(start, min(start + TILE, image.sizes["Y"]))
            band = image.read(**position, Y=rows).transpose([given.index(axis) for axis in wanted])
            # First, since nobody asks for anything behind the last tile.
            _put(level, number, start, band)
            yield from _tiles(band)


def _level_tiles(level: Any, below: Any) -> Iterator[npt.NDArray[Any]]:
    for number in range(level.shape[0]):
        for start in range(0, level.shape[1], TILE):
            band = np.asarray(level[number, start : start + TILE])
            if below is not None:
                _put(below, number, start, band)
            yield from _tiles(band)


def _put(level: Any, number: int, start: int, band: npt.NDArray[Any]) -> None:
    half = halved(band, [0, 1])
    level[number, start // 2 : start // 2 + half.shape[0]] = half


def _tiles(band: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, band.shape[1], TILE):
        part = band[:, start : start + TILE]
        missing = [(0, TILE - part.shape[0]), (0, TILE - part.shape[1]), *[(0, 0)] * (part.ndim - 2)]
        yield np.ascontiguousarray(np.pad(part, missing, mode="edge") if any(after for _, after in missing) else part)


def _suits_imagej(image: Image) -> bool:
    """Return whether ImageJ can hold an image: no colours but 8 bits of red, green and blue, and at most 4 GB."""
    if image.dtype.name not in _IMAGEJ_DTYPES or _n_bytes(image) > _LARGEST_CLASSIC_TIFF:
        return False
    coloured = "C" not in image.axes and image.sizes.get("S") == 3 and image.dtype == np.uint8
    return "S" not in image.axes or coloured


def _write_imagej(path: Path, image: Image, compression: str | None) -> None:
    order = "".join(axis for axis in "TZCYXS" if axis in image.axes)
    facts: dict[str, Any] = {"axes": order, OWN_AXES: image.axes}
    resolution = None
    # ImageJ knows one unit of length, and further ones of Y and Z where they differ.
    steps = {axis: float(image.spacing.get(axis, 1.0)) for axis in "XYZ" if axis in image.axes}
    symbols = {axis: unit_symbol(image.units.get(axis)) or "pixel" for axis in steps}
    if any(axis in image.spacing or axis in image.units for axis in steps):
        resolution = (1 / steps["X"], 1 / steps["Y"])
        facts["unit"] = _ascii(symbols["X"])
        facts |= {f"{axis.lower()}unit": _ascii(symbols[axis]) for axis in "YZ" if axis in symbols}
        if "Z" in steps:
            facts["spacing"] = steps["Z"]
    time_unit = unit_symbol(image.units.get("T"))
    if "T" in image.axes and "T" in image.spacing:
        facts["finterval"] = float(image.spacing["T"])
        facts["tunit"] = _ascii({"s": "sec"}.get(time_unit or "", time_unit or "frame"))
    facts |= _imagej_channels(image, order)
    tifffile.imwrite(
        path,
        _planes(image, order),
        shape=tuple(image.sizes[axis] for axis in order),
        dtype=image.dtype,
        imagej=True,
        photometric=_photometric(image),
        planarconfig="contig" if "S" in order else None,
        compression=compression,
        resolution=resolution,
        resolutionunit=None if resolution is None else "NONE",
        metadata=facts,
    )


def _imagej_channels(image: Image, order: str) -> dict[str, Any]:
    """Return names as the labels of planes, colours as lookup tables, as ImageJ keeps them."""
    count = image.sizes.get("C", 1)
    if len(image.channels) != count or "S" in order:
        return {}
    facts: dict[str, Any] = {}
    if any(channel.name for channel in image.channels):
        n_planes = prod(image.sizes[axis] for axis in order if axis in "TZC")
        facts["Labels"] = [image.channels[plane % count].name for plane in range(n_planes)]
    if any(channel.colour for channel in image.channels):
        # ImageJ shows at most seven channels on top of each other.
        facts["mode"] = "composite" if 1 < count <= 7 else "color"
        ramp = np.arange(256)
        facts["LUTs"] = [
            np.stack([ramp * part // 255 for part in channel.colour or (255, 255, 255)]).astype(np.uint8)
            for channel in image.channels
        ]
    return facts


def _write_shaped(path: Path, image: Image, compression: str | None, record: Mapping[str, Any] | None) -> None:
    order = _plane_order(image)
    facts = {
        "spacing": {axis: float(step) for axis, step in image.spacing.items()},
        "units": {axis: str(unit) for axis, unit in image.units.items()},
        "channels": [[channel.name, channel.colour] for channel in image.channels],
        "axes": image.axes,
    }
    tifffile.imwrite(
        path,
        _planes(image, order),
        shape=tuple(image.sizes[axis] for axis in order),
        dtype=image.dtype,
        ome=False,
        bigtiff=_n_bytes(image) > _LARGEST_CLASSIC_TIFF,
        photometric=_photometric(image),
        planarconfig="contig" if "S" in order else None,
        compression=compression,
        metadata={"axes": order, "napari_synth": json.dumps(facts), **({KEY: to_text(record)} if record else {})},
    )


def _planes(image: Image, order: str) -> Iterator[npt.NDArray[Any]]:
    """Yield the planes (with their RGB samples) one after the other, so that a lazy image is never in memory whole."""
    lead = "".join(axis for axis in order if axis in "TCZ")
    in_file = [axis for axis in order if axis not in lead]
    given = [axis for axis in image.axes if axis not in lead]
    for position in image.indices(lead):
        plane = image.read(**position)
        yield np.ascontiguousarray(plane.transpose([given.index(axis) for axis in in_file]))


def _plane_order(image: Image) -> str:
    return "".join(axis for axis in image.axes if axis in "TCZ") + "YX" + ("S" if "S" in image.axes else "")


def _photometric(image: Image) -> str:
    return "rgb" if image.sizes.get("S") in (3, 4) else "minisblack"


def _n_bytes(image: Image) -> int:
    return image.n_pixels * image.dtype.itemsize


def _ascii(symbol: str) -> str:
    """Return a unit's symbol in letters that every program reads in a TIFF: ImageJ itself writes micrometers so."""
    return symbol.replace("µ", "u").replace("Å", "angstrom")


def _ome_facts(image: Image, record: Mapping[str, Any] | None) -> Mapping[str, Any]:
    facts: dict[str, Any] = {"Name": image.name}
    if record:
        facts["CommentAnnotation"] = {"Namespace": NAMESPACE, "Value": to_text(record)}
    for axis in "XYZ":
        if axis in image.axes and (axis in image.spacing or axis in image.units):
            facts[f"PhysicalSize{axis}"] = float(image.spacing.get(axis, 1.0))
            facts[f"PhysicalSize{axis}Unit"] = unit_symbol(image.units.get(axis)) or "pixel"
    # OME knows no time in frames: an interval without a unit has no place there.
    time_unit = unit_symbol(image.units.get("T"))
    if "T" in image.axes and time_unit:
        facts["TimeIncrement"] = float(image.spacing.get("T", 1.0))
        facts["TimeIncrementUnit"] = time_unit
    if len(image.channels) == image.sizes.get("C", 0) > 0:
        facts["Channel"] = {"Name": [channel.name for channel in image.channels]}
        if any(channel.colour for channel in image.channels):
            facts["Channel"]["Color"] = [_ome_colour(channel.colour) for channel in image.channels]
    return facts


def _ome_colour(colour: tuple[int, int, int] | None) -> int:
    """Return a colour as the signed 32-bit number of red, green, blue and alpha that OME keeps; white where there is none."""
    red, green, blue = colour or (255, 255, 255)
    bits = red << 24 | green << 16 | blue << 8 | 255
    return bits - 2**32 if bits >= 2**31 else bits
