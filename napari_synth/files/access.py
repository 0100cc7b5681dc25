"""Chooses the format by the name of a file, and turns every failure into one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError, SynthError, plain_cause
from napari_synth.files.atomic import replacing
from napari_synth.files.choosing import Series, chosen_series
from napari_synth.files.listing import (
    DICOM_SUFFIXES,
    NPY_SUFFIXES,
    PICTURE_SUFFIXES,
    READABLE_SUFFIXES,
    TIFF_SUFFIXES,
    VOLUME_SUFFIXES,
    WRITABLE_SUFFIXES,
    ZARR_SUFFIXES,
    holds_dicom,
    image_suffix,
    is_zarr,
)
from napari_synth.files.napari_readers import read_through_napari
from napari_synth.files.origin import FileOrigin
from napari_synth.imaging.image import Image, check_axes


def read_image(path: str | Path, axes: str | None = None, *, series: Series = None) -> Image:
    """Read an image, whole or not at all, with the axes, spacing, units and channels that its file names.

    Parameters
    ----------
    path : str or pathlib.Path
        TIFF, ImageJ TIFF, OME-TIFF and the TIFF of many microscopes, OME-Zarr 0.4 or 0.5, PNG, JPEG, BMP or npy; DICOM, NIfTI,
        NRRD and MetaImage with the extra ``medical``; anything else goes through the reader plugins of an installed napari. A
        folder of DICOM files is read as one volume. OME-Zarr, npy and large TIFF files are not loaded, but read block by block
        when pixels are asked for.
    axes : str, optional
        Roles of the dimensions, e.g. ``"ZYX"``, where the file does not say or is wrong.
    series : int or "all", optional
        Which image of a file with several, counted from 0, or all of equal shape joined along one more axis; the first where it is
        left out, with a note that names them.

    Returns
    -------
    Image
        Its ``notes`` say what the user should know of the file, and its ``origin`` whether that has changed since.

    Raises
    ------
    ImageFileError
        The file is missing, corrupt, cut off, or of a format that nothing reads.
    MissingExtraError
        It needs the extra ``medical``.
    AxesError
        The axes do not fit.
    InvalidImageError
        The file holds no intensities.
    """
    path = Path(path)
    if not path.exists():
        raise ImageFileError(f"There is no file {str(path)!r}: check the name.")
    suffix = image_suffix(path)
    with _naming_the_file(path):
        origin = FileOrigin.of(path)
        image, others = _read(path, suffix, series, axes)
        origin = origin.including(others)
    stem = path.name[: len(path.name) - len(suffix)] or path.name
    return replace(_with_axes(image, axes), name=stem, origin=origin)


def _read(path: Path, suffix: str, series: Series, axes: str | None) -> tuple[Image, tuple[Path, ...]]:
    """Return the image of a file, and further files that its pixels are in."""
    if path.is_dir() and not is_zarr(path):
        from napari_synth.files.dicom import read_dicom_series

        return read_dicom_series(path, series), ()
    if suffix in TIFF_SUFFIXES:
        from napari_synth.files.tiff import read_tiff

        return read_tiff(path, series, axes)
    if path.is_dir():
        from napari_synth.files.ome_zarr import read_ome_zarr

        return read_ome_zarr(path, series), ()
    if suffix in DICOM_SUFFIXES or (suffix not in READABLE_SUFFIXES and holds_dicom(path)):
        from napari_synth.files.dicom import read_dicom

        image = read_dicom(path)
    elif suffix in VOLUME_SUFFIXES:
        from napari_synth.files.volumes import read_volume

        image = read_volume(path)
    elif suffix in PICTURE_SUFFIXES:
        from napari_synth.files.pictures import read_picture

        image = read_picture(path)
    elif suffix in NPY_SUFFIXES:
        from napari_synth.files.raw import read_npy

        image = read_npy(path)
    else:
        return read_through_napari(path, series), ()
    chosen_series(path, [image.name], [image.shape], series)
    return image, ()


def write_image(
    path: str | Path,
    image: Image,
    *,
    overwrite: bool = False,
    compression: str | None = None,
    first: Callable[[], None] | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write an image in the format that the name asks for; it appears there whole or not at all.

    Where the image was read from a file, that is looked at again once all is written: nothing appears if it changed meanwhile.

    Parameters
    ----------
    path : str or pathlib.Path
        Ends in one of `WRITABLE_SUFFIXES`.
    image : Image
        May be lazy: it is read plane by plane.
    overwrite : bool
        Whether a file of this name may be replaced.
    compression : str, optional
        Of a TIFF, e.g. ``"zlib"``.
    first : callable, optional
        Called once all is written, right before the file takes its name.
    record : mapping, optional
        What a TIFF or an OME-Zarr shall keep of layers, see `napari_synth.files.record`.

    Raises
    ------
    ImageFileError
        The format is unknown, cannot hold the image, the file exists, it cannot be written, or the source has changed.
    """
    path = Path(path)
    check_format(path, image)
    suffix = image_suffix(path)
    if suffix in ZARR_SUFFIXES:
        from napari_synth.files.ome_zarr import write_ome_zarr

        write_ome_zarr(path, image, overwrite=overwrite, first=first, record=record)
        return
    with replacing(path, overwrite=overwrite, first=first) as part:
        if suffix in TIFF_SUFFIXES:
            from napari_synth.files.tiff_writing import write_tiff

            write_tiff(part, image, suffix, compression, record)
        elif suffix == ".png":
            from napari_synth.files.pictures import write_png

            write_png(part, image)
        else:
            from napari_synth.files.raw import write_npy

            write_npy(part, image)
        if image.origin is not None:
            image.origin.check()


def check_format(path: str | Path, image: Image) -> None:
    """Raise `ImageFileError` where the format that the name asks for is unknown, or cannot hold such an image."""
    suffix = image_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageFileError(
            f"Images cannot be written as {suffix or 'a file without a suffix'}:"
            f" use one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    if suffix == ".png":
        from napari_synth.files.pictures import check_png

        check_png(image)
    if suffix in ZARR_SUFFIXES:
        from napari_synth.files.ome_zarr import check_ome_zarr

        check_ome_zarr(image)


def _with_axes(image: Image, axes: str | None) -> Image:
    """Give the dimensions other roles; spacing and units stay only where a dimension keeps its role."""
    if axes is None:
        return image
    wanted = axes.upper()
    check_axes(wanted, image.shape)
    same = {new for new, old in zip(wanted, image.axes, strict=True) if new == old}
    return replace(
        image,
        axes=wanted,
        spacing={axis: size for axis, size in image.spacing.items() if axis in same},
        units={axis: unit for axis, unit in image.units.items() if axis in same},
        channels=image.channels if "C" in same else (),
        optics=image.optics if "C" in same or "C" not in image.axes + wanted else (),
    )


@contextmanager
def _naming_the_file(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises, which may be anything for a corrupt file, into one sentence."""
    try:
        yield
    except SynthError:
        raise
    except PermissionError as error:
        raise ImageFileError(f"{str(path)!r} may not be read: ask its owner for permission.") from error
    except MemoryError as error:
        raise ImageFileError(f"{path.name!r} does not fit into memory: convert it to OME-Zarr.") from error
    except Exception as error:
        raise ImageFileError(
            f"{path.name!r} cannot be read: it is damaged, or not what its name says ({plain_cause(error)})."
        ) from error
