"""TIFF, ImageJ TIFF and OME-TIFF with axes, spacing and units."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_synth.files.units import unit_name, unit_symbol
from napari_synth.imaging.image import AXIS_ROLES, Image, guess_axes

EAGER_BYTES = 2**28
_OME_DTYPES = {"int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"}
_LARGEST_CLASSIC_TIFF = 2**32 - 2**25
_CENTIMETER = 3


def read_tiff(path: Path) -> Image:
    """Read the first series of a TIFF file.

    Small files are loaded; of large ones only what is asked for is read: through a memory map where the pixels lie
    uncompressed one after the other, else page by page or tile by tile.
    """
    with ExitStack() as stack:
        file = stack.enter_context(tifffile.TiffFile(path))
        series = file.series[0]
        axes = _axes(series)
        spacing, units = _calibration(file)
        if series.nbytes <= EAGER_BYTES:
            data: Any = series.asarray()
        elif series.dataoffset is not None:
            dtype = series.dtype.newbyteorder(file.byteorder)
            data = np.memmap(path, dtype, mode="r", offset=series.dataoffset, shape=series.shape)
        else:
            import zarr

            store = series.aszarr(level=0)
            data = zarr.open(store, mode="r")
            # The file stays open as long as somebody may read from it.
            weakref.finalize(store, stack.pop_all().close)
    return Image(
        data,
        axes,
        {axis: spacing[axis] for axis in axes if axis in spacing},
        {axis: units[axis] for axis in axes if axis in units},
    )


def write_tiff(path: Path, image: Image, compression: str | None = None) -> None:
    """Write an OME-TIFF, plane by plane; a plain TIFF with the same facts as JSON where OME does not know the dtype."""
    order = "".join(axis for axis in image.axes if axis in "TCZ") + "YX" + ("S" if "S" in image.axes else "")
    shape = tuple(image.sizes[axis] for axis in order)
    n_bytes = image.n_pixels * image.dtype.itemsize
    ome = image.dtype.name in _OME_DTYPES
    tifffile.imwrite(
        path,
        _planes(image, order),
        shape=shape,
        dtype=image.dtype,
        ome=ome,
        bigtiff=n_bytes > _LARGEST_CLASSIC_TIFF,
        photometric="rgb" if image.sizes.get("S") in (3, 4) else "minisblack",
        planarconfig="contig" if "S" in order else None,
        compression=compression,
        metadata={"axes": order, **(_ome_calibration(image) if ome else _plain_calibration(image))},
    )


def _planes(image: Image, order: str) -> Iterator[npt.NDArray[Any]]:
    """Yield the planes (with their RGB samples) one after the other, so that a lazy image is never in memory whole."""
    lead = "".join(axis for axis in order if axis in "TCZ")
    in_file = [axis for axis in order if axis not in lead]
    for position in image.indices(lead):
        plane = image.read(**position)
        given = [axis for axis in image.axes if axis not in lead]
        yield np.ascontiguousarray(plane.transpose([given.index(axis) for axis in in_file]))


def _axes(series: tifffile.TiffPageSeries) -> str:
    axes = str(series.axes)
    if set(axes) <= set(AXIS_ROLES) and len(set(axes)) == len(axes):
        return axes
    return guess_axes(tuple(series.shape), labels=list(axes), rgb=axes.endswith("S"))


def _calibration(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str]]:
    """Return spacing and units by axis from whichever metadata the file has."""
    if file.ome_metadata:
        return _read_ome(file.ome_metadata)
    if file.imagej_metadata:
        return _read_imagej(file)
    shaped = file.shaped_metadata
    if shaped and "napari_synth" in shaped[0]:
        own = shaped[0]["napari_synth"]
        own = json.loads(own) if isinstance(own, str) else own
        return dict(own["spacing"]), dict(own["units"])
    return _read_resolution(file)


def _read_ome(xml: str) -> tuple[dict[str, float], dict[str, str]]:
    images = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    for axis, key, usual in (
        ("X", "PhysicalSizeX", "µm"),
        ("Y", "PhysicalSizeY", "µm"),
        ("Z", "PhysicalSizeZ", "µm"),
        ("T", "TimeIncrement", "s"),
    ):
        if key in pixels:
            _note(axis, pixels[key], pixels.get(f"{key}Unit", usual), spacing, units)
    return spacing, units


def _read_imagej(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str]]:
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    metadata = file.imagej_metadata or {}
    unit = metadata.get("unit")
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        size = _pixel_size(file, tag)
        if size is not None and unit_name(unit) is not None:
            own = metadata.get(f"{axis.lower()}unit", unit)
            _note(axis, size, own, spacing, units)
    if "spacing" in metadata:
        _note("Z", metadata["spacing"], metadata.get("zunit", unit), spacing, units)
    if metadata.get("finterval"):
        _note("T", metadata["finterval"], metadata.get("tunit", "s"), spacing, units)
    return spacing, units


def _read_resolution(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str]]:
    """Take the resolution of a plain TIFF where it is metric: dots an inch speak of printers, not of samples."""
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    unit = file.pages.first.tags.get("ResolutionUnit")
    if unit is not None and int(unit.value) == _CENTIMETER:
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            size = _pixel_size(file, tag)
            if size is not None:
                _note(axis, size * 1e4, "micrometer", spacing, units)
    return spacing, units


def _pixel_size(file: tifffile.TiffFile, tag_name: str) -> float | None:
    """Return the unit lengths a pixel takes, from the pixels a unit that the tag holds."""
    tag = file.pages.first.tags.get(tag_name)
    if tag is None:
        return None
    pixels, length = tag.value
    return length / pixels if pixels else None


def _note(axis: str, value: Any, unit: str | None, spacing: dict[str, float], units: dict[str, str]) -> None:
    """Keep a spacing that makes sense, and its unit."""
    size = float(value)
    if not (np.isfinite(size) and size > 0):
        return
    spacing[axis] = size
    name = unit_name(unit)
    if name is not None:
        units[axis] = name


def _ome_calibration(image: Image) -> Mapping[str, Any]:
    metadata: dict[str, Any] = {"Name": image.name}
    for axis in "XYZ":
        if axis in image.axes and (axis in image.spacing or axis in image.units):
            metadata[f"PhysicalSize{axis}"] = float(image.spacing.get(axis, 1.0))
            metadata[f"PhysicalSize{axis}Unit"] = unit_symbol(image.units.get(axis)) or "pixel"
    # OME knows no time in frames: an interval without a unit has no place there.
    time_unit = unit_symbol(image.units.get("T"))
    if "T" in image.axes and time_unit:
        metadata["TimeIncrement"] = float(image.spacing.get("T", 1.0))
        metadata["TimeIncrementUnit"] = time_unit
    return metadata


def _plain_calibration(image: Image) -> Mapping[str, Any]:
    facts = {
        "spacing": {axis: float(size) for axis, size in image.spacing.items()},
        "units": {axis: str(unit) for axis, unit in image.units.items()},
    }
    return {"napari_synth": facts}
