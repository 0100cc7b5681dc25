"""Which image files a word on the command line means, of which kind each is, and in which order people number them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

from napari_synth.core.errors import ImageFileError


def find_images(
    source: str | Path, *, ignored: str = "", results: Path | None = None
) -> tuple[list[Path], Path | None]:
    """Return the images that a name, a folder or a pattern stands for.

    Parameters
    ----------
    source : str or Path
        An image, a folder (every image in it whose suffix is one of ours), or a pattern such as ``"day*/**/*.tif"``. One that names
        no suffix means images alone, as a folder does, and ``**`` goes into no OME-Zarr: that is an image itself.
    ignored : str
        How names end that a pattern does not mean, e.g. those of recipes beside images.
    results : pathlib.Path, optional
        A folder whose content a pattern does not mean where it lies below what the pattern searches: results of an earlier run are
        no sources of the next.

    Returns
    -------
    (found, root) : list of Path, and Path or None
        In natural order, 2 before 10; the folder that they have in common, None where the source is one image.

    Raises
    ------
    ImageFileError
        There is no image.
    """
    source = str(source)
    path = Path(source)
    if path.exists() and not is_folder(path):
        return [path], None
    if path.is_dir():
        found = sorted((item for item in path.iterdir() if _is_image(item)), key=natural_key)
        root = path
    elif glob.has_magic(source):
        matches = map(Path, glob.glob(source, recursive=True))  # noqa: PTH207 - it takes absolute patterns
        kept = (m for m in matches if not is_folder(m) and not (ignored and m.name.endswith(ignored)))
        found = sorted(
            (m for m in _images_of(source, kept) if not _is_result(m, source, results)),
            key=natural_key,
        )
        root = Path(os.path.commonpath([item.parent for item in found])) if found else Path()
    else:
        raise ImageFileError(f"There is no file {source!r}: check the name.")
    if not found:
        raise ImageFileError(
            f"There is no image in {source!r}: check the name, or give a pattern such as '{source}/*.czi'."
        )
    return found, root


def _images_of(pattern: str, matches: Iterable[Path]) -> Iterator[Path]:
    """Yield what a pattern means of what matches it."""
    named, parts = _named(pattern), Path(pattern).parts
    any_suffix = "." not in parts[-1]
    stores: dict[Path, bool] = {}

    def is_store(folder: Path) -> bool:
        if folder not in stores:
            stores[folder] = is_zarr(folder)
        return stores[folder]

    for match in matches:
        if any_suffix and not (_is_image(match) or is_zarr(match)):
            continue
        above = takewhile(lambda folder: folder != named and folder != folder.parent, match.parents)
        if "**" not in parts or not any(map(is_store, above)):
            yield match


def _named(pattern: str) -> Path:
    """Return the folder that a pattern begins with."""
    return Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))


def _is_result(path: Path, pattern: str, results: Path | None) -> bool:
    """Return whether a path lies in the folder of results, unless the pattern names that folder itself."""
    if results is None:
        return False
    folder = results.resolve()
    named = _named(pattern).resolve()
    return folder in path.resolve().parents and folder != named and folder not in named.parents


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or is_folder(path):
        return False
    return image_suffix(path) in READABLE_SUFFIXES or (not path.suffix and path.is_file() and holds_dicom(path))


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


_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str | Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return what sorts a name or a path naturally: its numbers as numbers, the rest without regard to case.

    Names that differ by leading zeros or by case alone keep a fixed order among themselves.
    """
    text = name.as_posix() if isinstance(name, Path) else name
    parts = _DIGITS.split(text)
    key = [(1, int(part), "") if index % 2 else (0, 0, part.casefold()) for index, part in enumerate(parts)]
    return key, text
