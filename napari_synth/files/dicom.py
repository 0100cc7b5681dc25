"""DICOM: exactly one file, or the files of one series as a volume. Nothing but pixels and their spacing leaves this module."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError, MissingExtraError
from napari_synth.files.choosing import Series, chosen_series, joined
from napari_synth.files.listing import holds_dicom, natural_key
from napari_synth.files.volumes import itk_quietly
from napari_synth.imaging.image import Image

_VOLUME_MODALITIES = frozenset({"CT", "MR", "PT", "NM", "RTDOSE", "OPT"})
# Places of slices that differ by less than this, in millimetres, are one.
_SAME_PLACE = 1e-3
_UNEVEN = 0.05


def read_dicom(path: Path) -> Image:
    """Read one file: its rescaled pixels, with 0 as black, and the spacing of rows, columns, frames and times.

    Raises
    ------
    ImageFileError
        It holds no pixels, or they cannot be decoded.
    MissingExtraError
        pydicom is not installed.
    """
    return _image(path, _dataset(path))


def read_dicom_series(folder: Path, series: Series = None) -> Image:
    """Read the files of one series in a folder as a volume, sorted by where their slices lie.

    Parameters
    ----------
    folder : pathlib.Path
    series : int or "all", optional
        Which one, in the order of their numbers, where there are several.

    Raises
    ------
    ImageFileError
        There is no DICOM file, or no such series, or several and none is chosen.
    """
    groups: dict[tuple[Any, ...], list[tuple[Path, Any]]] = {}
    for path in sorted((item for item in folder.iterdir() if item.is_file()), key=natural_key):
        if not path.name.startswith(".") and holds_dicom(path):
            dataset = _dataset(path)
            if "Rows" in dataset:
                key = (str(dataset.get("SeriesInstanceUID", "")), int(dataset.Rows), int(dataset.Columns))
                groups.setdefault(key, []).append((path, dataset))
    if not groups:
        raise ImageFileError(f"{str(folder)!r} is a folder without a DICOM series: name an image in it.")
    every = sorted(groups.values(), key=lambda files: int(files[0][1].get("SeriesNumber") or 0))
    if series is None and len(every) > 1:
        sizes = ", ".join(f"{number}: {len(files)} files" for number, files in enumerate(every))
        raise ImageFileError(
            f"{folder.name!r} holds {len(every)} DICOM series ({sizes}): choose one with --series N, in Python series=N."
        )
    titles = [f"{len(files)} files" for files in every]
    volumes = {n: _volume(files) for n, files in enumerate(every) if series == "all" or n == (series or 0)}
    kinds = [volumes[n].shape if n in volumes else n for n in range(len(every))]
    numbers, notes = chosen_series(folder, titles, kinds, series)
    image = joined([volumes[number] for number in numbers])
    return replace(image, notes=(*image.notes, *notes))


def _dataset(path: Path) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError.of("medical", "DICOM files", error) from error
    with _quietly():
        return pydicom.dcmread(path, force=not holds_dicom(path))


def _image(path: Path, dataset: Any) -> Image:
    """Return the pixels of a file with their spacing."""
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageFileError(
            f"{path.name!r} holds no pixels, or ends before them: choose another file, or copy it again."
        )
    pixels, is_rescaled = _decoded(path, dataset)
    frames = int(dataset.get("NumberOfFrames") or 1)
    coloured = pixels.ndim - (frames > 1) == 3
    notes: list[str] = []
    if frames > 1 and pixels.shape[0] != frames:
        raise ImageFileError(f"{path.name!r} declares {frames} frames and holds {pixels.shape[0]}: copy it again.")
    if not coloured and not is_rescaled:
        slopes, intercepts = _rescaling(dataset, frames)
        plain = bool((slopes == 1).all() and (intercepts == 0).all())
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            if plain and pixels.dtype.kind in "iu":
                pixels = _white_up(pixels, dataset)
            else:
                notes.append(f"{path.name!r} is to be shown with its lowest values white: they are read as they are.")
        if not plain:
            pixels = _rescaled(pixels, slopes, intercepts)
    spacing, times = _plane_spacing(dataset), _time_step(dataset)
    axes = "YXS" if coloured else "YX"
    if frames > 1:
        pixels, lead, step = _frames_in_order(dataset, pixels, frames)
        axes = lead + axes
        if "Z" in lead and step:
            spacing["Z"] = step
    units = dict.fromkeys(spacing, "millimeter")
    if "T" in axes and times:
        spacing["T"], units["T"] = times, "millisecond"
    spacing = {axis: size for axis, size in spacing.items() if axis in axes}
    units = {axis: unit for axis, unit in units.items() if axis in axes}
    return Image(np.ascontiguousarray(pixels), axes, spacing, units, notes=tuple(notes))


def _decoded(path: Path, dataset: Any) -> tuple[npt.NDArray[Any], bool]:
    """Return the pixels, colours as RGB, and whether they are rescaled already."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID, RLELossless

    syntax = UID(dataset.file_meta.TransferSyntaxUID) if "TransferSyntaxUID" in dataset.file_meta else None
    with _quietly():
        if syntax is not None and syntax.is_compressed and not get_decoder(syntax).is_available:
            return _decoded_by_itk(path, dataset), True
        # Other decoders of run lengths end the program where a file is damaged.
        pixels = np.asarray(pixel_array(dataset, decoding_plugin="pydicom" if syntax == RLELossless else ""))
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            pixels = np.asarray(apply_color_lut(pixels, dataset))
    return pixels, False


def _decoded_by_itk(path: Path, dataset: Any) -> npt.NDArray[Any]:
    """Return the rescaled pixels of a file that is compressed in a way that pydicom has no free decoder for."""
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise MissingExtraError.of("medical", "DICOM files that are compressed like this one", error) from error
    reader = sitk.ImageFileReader()
    # Only this one file, and never others of its series.
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with itk_quietly():
            pixels = np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError as error:
        raise ImageFileError(
            f"{path.name!r} cannot be decoded, it is damaged or compressed in an unknown way: export it uncompressed."
        ) from error
    return pixels[0] if int(dataset.get("NumberOfFrames") or 1) == 1 else pixels


def _white_up(pixels: npt.NDArray[Any], dataset: Any) -> npt.NDArray[Any]:
    """Return stored values turned over, so that the highest is white."""
    bits = int(dataset.BitsStored)
    if pixels.dtype.kind == "i":
        return np.asarray(-1 - pixels, pixels.dtype)
    return np.asarray((2**bits - 1 - pixels.astype(np.int64)).clip(0), pixels.dtype)


def _rescaling(dataset: Any, frames: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return slope and intercept of each frame, 1 and 0 where there are none."""
    slopes, intercepts = np.ones(frames), np.zeros(frames)
    for index in range(frames):
        group = _group(dataset, index, "PixelValueTransformationSequence") or dataset
        slopes[index] = float(group.get("RescaleSlope") or 1)
        intercepts[index] = float(group.get("RescaleIntercept") or 0)
    return slopes, intercepts


def _rescaled(
    pixels: npt.NDArray[Any], slopes: npt.NDArray[np.float64], intercepts: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """Return values in the unit of the scanner: integers where slope and intercept are whole numbers, else float32."""
    per_frame = (-1,) + (1,) * (pixels.ndim - 1)
    slope, intercept = (v.reshape(per_frame) if len(v) > 1 else v[0] for v in (slopes, intercepts))
    whole = bool((slopes == np.rint(slopes)).all() and (intercepts == np.rint(intercepts)).all())
    if not whole or pixels.dtype.kind not in "iu":
        return (pixels.astype(np.float64) * slope + intercept).astype(np.float32)
    values = pixels.astype(np.int64) * np.asarray(slope, np.int64) + np.asarray(intercept, np.int64)
    low, high = int(values.min()), int(values.max())
    for dtype in (np.int16, np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values


def _plane_spacing(dataset: Any) -> dict[str, float]:
    """Return the distances of rows and columns, and of slices where the file itself tells, in millimetres."""
    measures = _group(dataset, 0, "PixelMeasuresSequence") or dataset
    found: dict[str, float] = {}
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        value = measures.get(keyword)
        if value is not None and len(value) == 2:
            found |= {"Y": abs(float(value[0])), "X": abs(float(value[1]))}
            break
    regions = dataset.get("SequenceOfUltrasoundRegions")
    if not found and regions and int(regions[0].get("PhysicalUnitsXDirection") or 0) == 3:
        # Ultrasound tells it in centimetres.
        found = {axis: 10 * abs(float(regions[0].get(f"PhysicalDelta{axis}") or 0)) for axis in "YX"}
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = measures.get(keyword)
        if value and "Z" not in found:
            found["Z"] = abs(float(value))
    return {axis: step for axis, step in found.items() if step > 0}


def _time_step(dataset: Any) -> float | None:
    """Return the time between frames in milliseconds."""
    if dataset.get("FrameTime"):
        return abs(float(dataset.FrameTime))
    steps = [float(step) for step in dataset.get("FrameTimeVector") or ()]
    if len(steps) > 1:
        return float(np.median(np.abs(steps[1:])))
    rate = dataset.get("CineRate") or dataset.get("RecommendedDisplayFrameRate")
    return 1000 / float(rate) if rate else None


def _frames_in_order(dataset: Any, pixels: npt.NDArray[Any], frames: int) -> tuple[npt.NDArray[Any], str, float | None]:
    """Return frames as planes, as times, or as both, with their axes and the distance of planes in millimetres."""
    places = [_place(dataset, index) for index in range(frames)]
    if all(place is not None for place in places):
        return _sorted_by_place(pixels, [place for place in places if place is not None])
    offsets = dataset.get("GridFrameOffsetVector")
    if offsets is not None and len(offsets) == frames:
        return pixels, "Z", float(np.median(np.abs(np.diff([float(o) for o in offsets]))))
    is_volume = str(dataset.get("Modality", "")) in _VOLUME_MODALITIES or "SpacingBetweenSlices" in dataset
    return pixels, "T" if _time_step(dataset) or not is_volume else "Z", None


def _sorted_by_place(pixels: npt.NDArray[Any], places: Sequence[float]) -> tuple[npt.NDArray[Any], str, float | None]:
    """Return planes (N, ...) by rising place: as Z, as T where all have one place, or as T and Z where each has several."""
    rounded = np.round(np.asarray(places) / _SAME_PLACE)
    distinct = np.unique(rounded)
    if len(distinct) == 1:
        return pixels, "T", None
    step = float(np.median(np.diff(distinct))) * _SAME_PLACE
    order = np.argsort(rounded, kind="stable")
    if len(distinct) == len(places):
        return pixels[order], "Z", step
    each = len(places) // len(distinct)
    if each * len(distinct) != len(places) or len(set(np.unique(rounded, return_counts=True)[1])) != 1:
        raise ImageFileError(
            "Some places of the volume have more slices than others: some are missing, so copy it again."
        )
    stacked = pixels[order].reshape(len(distinct), each, *pixels.shape[1:])
    return stacked.swapaxes(0, 1), "TZ", step


def _place(dataset: Any, frame: int | None = None) -> float | None:
    """Return where a slice lies along the normal of its plane, in millimetres."""
    position, orientation = dataset, dataset
    if frame is not None:
        position = _group(dataset, frame, "PlanePositionSequence") or {}
        orientation = _group(dataset, frame, "PlaneOrientationSequence") or dataset
    at, directions = position.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    if at is None or len(at) != 3:
        return None
    if directions is None or len(directions) != 6:
        return float(at[2])
    along = np.asarray(directions, dtype=float)
    return float(np.cross(along[:3], along[3:]) @ np.asarray(at, dtype=float))


def _group(dataset: Any, frame: int, keyword: str) -> Any:
    """Return what a multi-frame file says of a frame, or of all of them; None where it says nothing."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for item in (own[frame] if frame < len(own) else None, shared[0] if shared else None):
        found = None if item is None else item.get(keyword)
        if found:
            return found[0]
    return None


def _volume(files: Sequence[tuple[Path, Any]]) -> Image:
    """Return the slices of a series as one image."""
    images = [_image(path, dataset) for path, dataset in files]
    first = images[0]
    if len(images) == 1:
        return first
    if len({(image.axes, image.shape) for image in images}) > 1 or "Z" in first.axes or "T" in first.axes:
        raise ImageFileError("The files of this series are not the slices of one volume: give them one by one.")
    dtype = np.result_type(*(image.dtype for image in images))
    pixels = np.stack([image.data.astype(dtype) for image in images])
    instants = [int(dataset.get("InstanceNumber") or 0) for _, dataset in files]
    order = np.argsort(instants, kind="stable")
    pixels, files = pixels[order], [files[index] for index in order]
    places = [_place(dataset) for _, dataset in files]
    spacing = dict(_plane_spacing(files[0][1]))
    lead, step = "Z", spacing.get("Z")
    notes = list(first.notes)
    if all(place is not None for place in places):
        known = [place for place in places if place is not None]
        pixels, lead, step = _sorted_by_place(pixels, known)
        gaps = np.diff(np.unique(np.round(np.asarray(known) / _SAME_PLACE))) * _SAME_PLACE
        if step and len(gaps) and (np.abs(gaps - step) > _UNEVEN * step).any():
            notes.append(
                f"The slices are not evenly spaced, {gaps.min():.3g} to {gaps.max():.3g} mm apart: some may be missing."
            )
    axes = lead + first.axes
    sizes: Mapping[str, float] = {
        **{axis: spacing[axis] for axis in "YX" if axis in spacing},
        **({"Z": step} if step else {}),
    }
    sizes = {axis: size for axis, size in sizes.items() if axis in axes}
    return Image(pixels, axes, sizes, dict.fromkeys(sizes, "millimeter"), notes=tuple(notes))


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what pydicom thinks of a file's fine print away from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
