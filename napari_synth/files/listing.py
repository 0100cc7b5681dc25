"""Which image files a word on the command line means."""

from __future__ import annotations

import glob
import os
from itertools import takewhile
from pathlib import Path

from napari_synth.core.errors import ImageFileError
from napari_synth.files.kinds import READABLE_SUFFIXES, holds_dicom, image_suffix, is_folder
from napari_synth.files.order import natural_key


def find_images(
    source: str | Path, *, ignored: str = "", results: Path | None = None
) -> tuple[list[Path], Path | None]:
    """Return the images that a name, a folder or a pattern stands for.

    Parameters
    ----------
    source : str or Path
        An image, a folder (every image in it whose suffix is one of ours), or a pattern such as ``"day*/**/*.tif"``.
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
        found = sorted((m for m in kept if not _is_result(m, source, results)), key=natural_key)
        root = Path(os.path.commonpath([item.parent for item in found])) if found else Path()
    else:
        raise ImageFileError(f"There is no file {source!r}: check the name.")
    if not found:
        raise ImageFileError(
            f"There is no image in {source!r}: check the name, or give a pattern such as '{source}/*.czi'."
        )
    return found, root


def _is_result(path: Path, pattern: str, results: Path | None) -> bool:
    """Return whether a path lies in the folder of results, unless the pattern names that folder itself."""
    if results is None:
        return False
    folder = results.resolve()
    named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)).resolve()
    return folder in path.resolve().parents and folder != named and folder not in named.parents


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or is_folder(path):
        return False
    return image_suffix(path) in READABLE_SUFFIXES or (not path.suffix and path.is_file() and holds_dicom(path))
