"""Chooses the format by the name of a file, and turns every failure into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from napari_synth.core.errors import ImageFileError, SynthError
from napari_synth.files.atomic import replacing
from napari_synth.files.napari_readers import read_through_napari
from napari_synth.imaging.image import Image, check_axes

_TIFF = (".ome.tif", ".ome.tiff", ".ome.btf", ".tif", ".tiff", ".btf", ".tf8")
_ZARR = (".ome.zarr", ".zarr")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_NPY = (".npy",)
READABLE_SUFFIXES = _TIFF + _ZARR + _PICTURES + _NPY
WRITABLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".ome.zarr", ".zarr", ".png", ".npy")


def image_suffix(path: str | Path) -> str:
    """Return the suffix of an image file in lower case, e.g. ``".ome.tif"``; the last one where it is none of ours."""
    name = Path(path).name.lower()
    known = [suffix for suffix in READABLE_SUFFIXES if name.endswith(suffix) and name != suffix]
    return max(known, key=len) if known else Path(name).suffix


def read_image(path: str | Path, axes: str | None = None) -> Image:
    """Read an image with the axes, spacing and units that its file holds.

    Parameters
    ----------
    path : str or pathlib.Path
        TIFF, ImageJ TIFF, OME-TIFF, OME-Zarr 0.4 or 0.5, PNG, JPEG, BMP or npy; anything else goes through the reader
        plugins of an installed napari. OME-Zarr, npy and large TIFF files are not loaded, but read block by block when
        pixels are asked for.
    axes : str, optional
        Roles of the dimensions, e.g. ``"ZYX"``, where the file does not say or is wrong.

    Raises
    ------
    ImageFileError
        The file is missing, corrupt, or of a format that nothing reads.
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
        if path.is_dir():
            from napari_synth.files.ome_zarr import read_ome_zarr

            image = read_ome_zarr(path)
        elif suffix in _TIFF:
            from napari_synth.files.tiff import read_tiff

            image = read_tiff(path)
        elif suffix in _PICTURES:
            from napari_synth.files.plain import read_picture

            image = read_picture(path)
        elif suffix in _NPY:
            from napari_synth.files.plain import read_npy

            image = read_npy(path)
        else:
            image = read_through_napari(path)
    stem = path.name[: len(path.name) - len(suffix)] or path.name
    return replace(_with_axes(image, axes), name=stem)


def write_image(path: str | Path, image: Image, *, overwrite: bool = False, compression: str | None = None) -> None:
    """Write an image in the format that the name asks for; it appears there whole or not at all.

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

    Raises
    ------
    ImageFileError
        The format is unknown, cannot hold the image, the file exists, or it cannot be written.
    """
    path = Path(path)
    check_format(path, image)
    suffix = image_suffix(path)
    if suffix in _ZARR:
        from napari_synth.files.ome_zarr import write_ome_zarr

        write_ome_zarr(path, image, overwrite=overwrite)
        return
    with replacing(path, overwrite=overwrite) as part:
        if suffix in _TIFF:
            from napari_synth.files.tiff import write_tiff

            write_tiff(part, image, compression)
        elif suffix == ".png":
            from napari_synth.files.plain import write_png

            write_png(part, image)
        else:
            from napari_synth.files.plain import write_npy

            write_npy(part, image)


def check_format(path: str | Path, image: Image) -> None:
    """Raise `ImageFileError` where the format that the name asks for is unknown, or cannot hold such an image."""
    suffix = image_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageFileError(
            f"Images cannot be written as {suffix or 'a file without a suffix'}:"
            f" use one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    if suffix == ".png":
        from napari_synth.files.plain import check_png

        check_png(image)
    if suffix in _ZARR:
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
            f"{path.name!r} cannot be read: it is damaged, or not what its name says ({error or type(error).__name__})."
        ) from error
