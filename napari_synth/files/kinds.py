"""Which kind of file a path is, by its name and, where that does not tell, by its first bytes."""

from __future__ import annotations

from pathlib import Path

OUR_TIFF_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.btf", ".tif", ".tiff", ".btf", ".tf8")
TIFF_SUFFIXES = (*OUR_TIFF_SUFFIXES, ".lsm", ".stk", ".svs", ".ndpi", ".scn", ".qptiff")
ZARR_SUFFIXES = (".ome.zarr", ".zarr")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
NPY_SUFFIXES = (".npy",)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
READABLE_SUFFIXES = (
    *TIFF_SUFFIXES,
    *ZARR_SUFFIXES,
    *PICTURE_SUFFIXES,
    *NPY_SUFFIXES,
    *DICOM_SUFFIXES,
    *VOLUME_SUFFIXES,
)
WRITABLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".ome.zarr", ".zarr", ".png", ".npy")
_ZARR_MARKS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_DICOM_MARK = b"DICM"
_DICOM_PREAMBLE = 128


def image_suffix(path: str | Path) -> str:
    """Return the suffix of an image file in lower case, e.g. ``".ome.tif"``; the last one where it is none of ours."""
    name = Path(path).name.lower()
    known = [suffix for suffix in READABLE_SUFFIXES if name.endswith(suffix) and name != suffix]
    return max(known, key=len) if known else Path(name).suffix


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder and no image."""
    return path.is_dir() and not is_zarr(path)


def is_zarr(path: Path) -> bool:
    """Return whether a path is a zarr, by its name or by what it holds."""
    return image_suffix(path) in ZARR_SUFFIXES or any((path / name).is_file() for name in _ZARR_MARKS)


def holds_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, whatever it is called."""
    with path.open("rb") as file:
        return file.read(_DICOM_PREAMBLE + len(_DICOM_MARK)).endswith(_DICOM_MARK)
