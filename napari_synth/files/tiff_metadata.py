"""What a TIFF file says of its pixels' spacing, units and channels, in the words of many programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_synth.core.errors import plain_cause
from napari_synth.files.units import unit_name
from napari_synth.imaging.image import ChannelInfo, ChannelOptics

OWN_AXES = "napari_synth_axes"
_CENTIMETER = 3


@dataclass
class Described:
    """What was found, filled by the readers below.

    Attributes
    ----------
    spacing : dict of str to float
        By axis, above 0.
    units : dict of str to str
    channels : list of ChannelInfo
    optics : list of ChannelOptics
        One a channel; empty where nothing is known.
    axes : str
        Those of the image before it was written, where napari-synth wrote it.
    lead : str
        The role of the only axis before Y and X, where the pages themselves do not tell.
    notes : list of str
    """

    spacing: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    channels: list[ChannelInfo] = field(default_factory=list)
    optics: list[ChannelOptics] = field(default_factory=list)
    axes: str = ""
    lead: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, axis: str, value: Any, unit: str | None, factor: float = 1.0) -> None:
        """Keep a step that makes sense, without its direction, and its unit; what was found before stays.

        Parameters
        ----------
        axis : str
        value : object
            The step as the file has it; it makes sense where it is a finite number other than 0.
        unit : str or None
        factor : float
            By which the value is multiplied.
        """
        try:
            step = abs(float(value)) * factor
        except (TypeError, ValueError):
            return
        if not (math.isfinite(step) and step > 0) or axis in self.spacing:
            return
        self.spacing[axis] = step
        name = unit_name(unit)
        if name is not None:
            self.units[axis] = name

    def swap_y_and_x(self) -> None:
        """Let what was said of Y hold for X, and the other way round."""
        change = str.maketrans("YX", "XY")
        self.spacing = {axis.translate(change): step for axis, step in self.spacing.items()}
        self.units = {axis.translate(change): unit for axis, unit in self.units.items()}


_NAMED = {"ome": "OME-XML", "imagej": "that of ImageJ", "shaped": "that of tifffile", "lsm": "that of LSM"}


def described(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Described:
    """Return what a file says of a series; metadata that cannot be understood are left out, the pixels stay readable."""
    found = Described()
    for read in _READERS:
        try:
            read(file, series, found)
        except Exception as error:  # noqa: BLE001 - metadata of other programs hold anything, and pixels come first
            what = read.__name__.removeprefix("_read_")
            found.notes.append(
                f"A part of its metadata ({_NAMED.get(what, what)}) cannot be understood: {plain_cause(error)}."
            )
    return found


def _read_ome(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    if not file.ome_metadata:
        return
    root: Any = tifffile.xml2dict(file.ome_metadata).get("OME", {})
    images = _several(root.get("Image"))
    if not images and "BinaryOnly" in root:
        _read_companion(Path(file.filehandle.path), root["BinaryOnly"], len(file.pages), found)
    if not images:
        return
    number = [one is series for one in file.series].index(True) if len(images) == len(file.series) else 0
    read_ome_pixels(images[number].get("Pixels", {}), found)
    found.optics = _ome_optics(root, images[number])


def _read_companion(path: Path, reference: Mapping[str, Any], n_pages: int, found: Described) -> None:
    """Read the description that an OME-TIFF names as being in another file, where that is there."""
    name = Path(str(reference.get("MetadataFile", ""))).name
    companion = path.with_name(name) if name else path
    if companion == path or not companion.is_file():
        found.notes.append(f"Its description {name!r} is not beside it: axes and spacing are not known.")
        return
    if companion.suffix.lower() in {".tif", ".tiff"}:
        with tifffile.TiffFile(companion) as other:
            text = other.ome_metadata or ""
    else:
        text = companion.read_text(encoding="utf-8")
    root = tifffile.xml2dict(text)["OME"]
    for image in _several(root.get("Image")):
        pixels = image.get("Pixels", {})
        named = [_several(part.get("UUID")) for part in _several(pixels.get("TiffData"))]
        if any(isinstance(one, Mapping) and one.get("FileName") == path.name for ones in named for one in ones):
            read_ome_pixels(pixels, found)
            found.optics = _ome_optics(root, image)
            long = [axis for axis in "TCZ" if int(pixels.get(f"Size{axis}", 1)) > 1]
            if len(long) == 1 and int(pixels[f"Size{long[0]}"]) == n_pages:
                found.lead = long[0]
            return


def read_ome_pixels(pixels: Mapping[str, Any], found: Described) -> None:
    """Read the Pixels element of an OME description."""
    for axis, key, usual in (
        ("X", "PhysicalSizeX", "µm"),
        ("Y", "PhysicalSizeY", "µm"),
        ("Z", "PhysicalSizeZ", "µm"),
        ("T", "TimeIncrement", "s"),
    ):
        if key in pixels:
            found.add(axis, pixels[key], pixels.get(f"{key}Unit", usual))
    channels = _several(pixels.get("Channel"))
    named = [ChannelInfo(str(channel.get("Name", "")), _ome_colour(channel.get("Color"))) for channel in channels]
    if any(channel.name or channel.colour for channel in named):
        found.channels = named


def _ome_optics(root: Mapping[str, Any], image: Mapping[str, Any]) -> list[ChannelOptics]:
    """Return what an OME description says of the light of an image's channels; nothing where it says nothing."""
    used = image.get("ObjectiveSettings", {})
    objectives = {
        one.get("ID"): one
        for instrument in _several(root.get("Instrument"))
        for one in _several(instrument.get("Objective"))
    }
    objective: Mapping[str, Any] = objectives.get(used.get("ID"), {})
    if not objective and len(objectives) == 1:
        objective = next(iter(objectives.values()))
    aperture = _positive(objective.get("LensNA"))
    medium = str(used.get("Medium") or objective.get("Immersion") or "")
    index = _positive(used.get("RefractiveIndex")) or _REFRACTIVE_INDICES.get(medium.lower())
    found = []
    for channel in _several(image.get("Pixels", {}).get("Channel")):
        waves = []
        for name in ("EmissionWavelength", "ExcitationWavelength"):
            value = _positive(channel.get(name))
            unit = _NANOMETERS.get(unit_name(channel.get(f"{name}Unit", "nm")) or "")
            waves.append(value * unit if value and unit else None)
        kind = _MICROSCOPES.get(str(channel.get("AcquisitionMode", "")), "")
        found.append(ChannelOptics(waves[0], waves[1], aperture, index, kind))
    return found if any(one.emission or one.numerical_aperture for one in found) else []


_NANOMETERS = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "meter": 1e9, "angstrom": 0.1}
_REFRACTIVE_INDICES = {"air": 1.0, "water": 1.33, "waterdipping": 1.33, "glycerol": 1.47, "oil": 1.515}
_MICROSCOPES = {
    "WideField": "wide-field",
    "LaserScanningConfocalMicroscopy": "confocal",
    "SpinningDiskConfocal": "confocal",
    "SlitScanConfocal": "confocal",
    "SPIM": "light-sheet",
}
"""Kinds of microscopes by the words of OME."""


def _positive(value: Any) -> float | None:
    """Return a finite number above 0; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _ome_colour(value: Any) -> tuple[int, int, int] | None:
    """Return the colour of a signed 32-bit number of red, green, blue and alpha; the usual -1, white, is no colour."""
    if value is None or int(value) == -1:
        return None
    bits = int(value) & 0xFFFFFFFF
    return bits >> 24, bits >> 16 & 255, bits >> 8 & 255


def _read_imagej(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    metadata = file.imagej_metadata
    if not metadata or file.ome_metadata:
        return
    unit = metadata.get("unit")
    if unit_name(unit) is not None:
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            found.add(axis, _unit_lengths(series, tag), metadata.get(f"{axis.lower()}unit", unit))
    if "spacing" in metadata:
        found.add("Z", metadata["spacing"], metadata.get("zunit", unit))
    if metadata.get("finterval"):
        found.add("T", metadata["finterval"], metadata.get("tunit", "s"))
    found.axes = str(metadata.get(OWN_AXES, ""))
    count = int(metadata.get("channels", 1))
    if count > 1:
        found.channels = _imagej_channels(metadata, count)


def _imagej_channels(metadata: Mapping[str, Any], count: int) -> list[ChannelInfo]:
    labels, tables = metadata.get("Labels"), metadata.get("LUTs")
    names = [str(label) for label in _several(labels)[:count]] or [""] * count
    colours: list[tuple[int, int, int] | None] = [None] * count
    if tables is not None and len(tables) >= count:
        colours = [_brightest(np.asarray(table)) for table in tables[:count]]
    if len(names) < count:
        return []
    channels = [ChannelInfo(name.split("\n")[0], colour) for name, colour in zip(names, colours, strict=True)]
    return channels if any(channel.name or channel.colour for channel in channels) else []


def _brightest(table: Any) -> tuple[int, int, int] | None:
    """Return the colour of the brightest pixels in a lookup table (3, 256); gray is no colour."""
    red, green, blue = (int(value) for value in table.reshape(3, -1)[:, -1])
    return None if red == green == blue else (red, green, blue)


def _read_shaped(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    """Read the JSON that tifffile writes, with what users add to it as they would for ImageJ or OME."""
    text = series.keyframe.shaped_description if series.kind == "shaped" else None
    if text is None or not text.startswith("{"):
        return
    metadata = json.loads(text)
    own = metadata.get("napari_synth")
    if own:
        own = json.loads(own) if isinstance(own, str) else own
        for axis, step in own["spacing"].items():
            found.add(axis, step, own["units"].get(axis))
        found.units.update(own["units"])
        found.axes = str(own.get("axes", ""))
        found.channels = [
            ChannelInfo(name, (colour[0], colour[1], colour[2]) if colour else None)
            for name, colour in own.get("channels", [])
        ]
        return
    read_ome_pixels({key: value for key, value in metadata.items() if key != "Channel"}, found)
    unit = metadata.get("unit")
    if "spacing" in metadata and not isinstance(metadata["spacing"], (list, tuple, dict)):
        found.add("Z", metadata["spacing"], metadata.get("zunit", unit))
    if metadata.get("finterval"):
        found.add("T", metadata["finterval"], metadata.get("tunit", "s"))
    if unit_name(unit) is not None:
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            found.add(axis, _unit_lengths(series, tag), metadata.get(f"{axis.lower()}unit", unit))
    channel = metadata.get("Channel")
    names = _several(channel.get("Name")) if isinstance(channel, Mapping) else []
    if names:
        found.channels = [ChannelInfo(str(name)) for name in names]


def _read_lsm(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    metadata = file.lsm_metadata
    if not metadata:
        return
    for axis in "XYZ":
        found.add(axis, metadata.get(f"VoxelSize{axis}"), "micrometer", 1e6)
    found.add("T", metadata.get("TimeIntervall", metadata.get("TimeInterval")), "second")
    colours = metadata.get("ChannelColors") or {}
    names = [str(name) for name in colours.get("ColorNames", [])]
    values = [tuple(int(part) for part in colour[:3]) for colour in colours.get("Colors", [])]
    if names and len(names) == len(values):
        found.channels = [ChannelInfo(name, (c[0], c[1], c[2])) for name, c in zip(names, values, strict=True)]


def _read_microscopes(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    """Read what the programs of electron microscopes and of cameras write into tags of their own."""
    zeiss: Mapping[str, Any] = file.sem_metadata or {}
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        value = zeiss.get(key)
        if value and len(value) > 2:
            for axis in "XY":
                found.add(axis, value[1], value[2])
    fei: Mapping[str, Any] = file.fei_metadata or {}
    for part in ("Scan", "EScan", "Image"):
        for axis, key in (("X", "PixelWidth"), ("Y", "PixelHeight")):
            found.add(axis, fei.get(part, {}).get(key), "nanometer", 1e9)
    olympus: Mapping[str, Any] = file.sis_metadata or {}
    for axis in "XY":
        found.add(axis, olympus.get(f"pixelsize{axis.lower()}"), "micrometer", 1e6)
    camera: Mapping[str, Any] = file.tvips_metadata or {}
    for axis in "XY":
        found.add(axis, camera.get(f"PixelSize{axis}"), "nanometer")
    stack: Mapping[str, Any] = file.stk_metadata or {}
    for axis in "XY":
        found.add(axis, stack.get(f"{axis}Calibration"), stack.get("CalibrationUnits"))
    distances = stack.get("ZDistance")
    if distances is not None and np.size(distances):
        found.add("Z", np.median(np.abs(distances)), stack.get("CalibrationUnits"))
    plane: Mapping[str, Any] = (file.metaseries_metadata or {}).get("PlaneInfo", {})
    for axis in "XY":
        found.add(axis, plane.get(f"spatial-calibration-{axis.lower()}"), plane.get("spatial-calibration-units"))
    manager: Mapping[str, Any] = (file.micromanager_metadata or {}).get("Summary", {})
    for axis in "XY":
        found.add(axis, manager.get("PixelSize_um"), "micrometer")
    found.add("Z", manager.get("z-step_um"), "micrometer")
    found.add("T", manager.get("Interval_ms"), "second", 1e-3)
    names = manager.get("ChNames")
    if isinstance(names, list) and len(names) > 1 and not found.channels:
        found.channels = [ChannelInfo(str(name)) for name in names]
    for entry in (file.fluoview_metadata or {}).get("Dimensions", ()):
        axis = str(entry[0]).strip().upper()
        if axis in {"X", "Y", "Z", "T"}:
            found.add(axis, entry[3], str(entry[4]).strip("\x00 "))


def _read_slides(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    """Read the pixel size that Aperio writes into the description of a slide."""
    if file.is_svs:
        size = tifffile.tifffile.svs_description_metadata(file.pages.first.description).get("MPP")
        for axis in "XY":
            found.add(axis, size, "micrometer")


def _read_resolution(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, found: Described) -> None:
    """Take the resolution of a plain TIFF where it is metric: dots an inch speak of printers, not of samples."""
    if file.ome_metadata or file.imagej_metadata:
        return
    unit = series.keyframe.tags.valueof("ResolutionUnit")
    if unit is not None and int(unit) == _CENTIMETER:
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            found.add(axis, _unit_lengths(series, tag), "micrometer", 1e4)


def _unit_lengths(series: tifffile.TiffPageSeries, tag_name: str) -> float | None:
    """Return the unit lengths that a pixel takes, from the pixels a unit that the tag holds."""
    value = series.keyframe.tags.valueof(tag_name)
    if value is None:
        return None
    pixels, length = value
    return float(length) / float(pixels) if pixels else None


def _several(value: Any) -> Sequence[Any]:
    """Return what XML holds once or many times as a sequence."""
    if value is None:
        return []
    return value if isinstance(value, (list, tuple)) else [value]


_READERS: Iterable[Callable[[tifffile.TiffFile, tifffile.TiffPageSeries, Described], None]] = (
    _read_ome,
    _read_imagej,
    _read_shaped,
    _read_lsm,
    _read_microscopes,
    _read_slides,
    _read_resolution,
)
