"""TIFF of every kind that tifffile knows: read whole or not at all, with axes, spacing, units and channels."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_synth.core.errors import AxesError, ImageFileError, plain_cause
from napari_synth.files.choosing import Series, chosen_series, joined
from napari_synth.files.pixels import (
    as_dask,
    changed,
    colours_of_ink,
    oriented,
    samples_last,
    transposed,
    without_bools,
)
from napari_synth.files.raw import EAGER_BYTES, RawArray
from napari_synth.files.tiff_metadata import described
from napari_synth.imaging.image import AXIS_ROLES, Image, guess_axes

# What tifffile says where pixels are missing or cannot be decoded; it goes on with fewer planes, or with zeros.
_LOST = re.compile(
    r"zeroed|is missing|corrupted|invalid page offset|invalid offset to page|index out of range|Offsets count|ByteCounts count"
    r"|missing data offset|missing ByteCounts|missing data ByteCounts|failed to re|circular reference|could not read all"
    r"|discontiguous|invalid TiffData index"
)
_BAD_TAG = re.compile(r"TiffTag (\d+) .*invalid value ?_?offset")
# Tags without which the pixels, or how many planes there should be, cannot be known.
_NEEDED_TAGS = frozenset({270, 273, 278, 279, 320, 324, 325, 330, 347, 34412, 50838, 50839})
_COLOURS = frozenset({"RGB", "YCBCR", "SEPARATED", "CIELAB", "ICCLAB", "ITULAB"})
_ALPHA = (1, 2)


def read_tiff(path: Path, series: Series = None, axes: str | None = None) -> tuple[Image, tuple[Path, ...]]:
    """Read a series of a TIFF file, the first where none is named.

    Small files are loaded; of large ones only what is asked for is read: row by row where the pixels lie uncompressed one after
    the other, else page by page or tile by tile.

    Parameters
    ----------
    path : Path
    series : int or str, optional
        Which image of the file is meant; the first where left out.
    axes : str, optional
        What the user says of the dimensions, needed where they cannot be guessed.

    Returns
    -------
    (image, others) : Image, and tuple of Path
        The other files of a series that lies in several.

    Raises
    ------
    ImageFileError
        Pixels are missing, or there is no such series.
    """
    with _listening() as records, _opened(path) as file:
        every = list(file.series)
        if not every or not len(file.pages):
            raise ImageFileError(f"{path.name!r} cannot be read: it holds no image, so choose another file.")
        titles = [f"{one.name!r}, {' x '.join(map(str, one.shape))} along {one.axes}" for one in every]
        numbers, notes = chosen_series(path, titles, [(one.shape, str(one.dtype)) for one in every], series)
        images: list[Image] = []
        others: set[Path] = set()
        _judged(path, records)
        for number in numbers:
            notes += _check_complete(path, file, every[number])
            images.append(_image(path, file, every[number], _pixels(path, file, every[number], number), axes))
            others |= {Path(page.parent.filehandle.path) for page in every[number].pages if page is not None}
        notes += _judged(path, records)
    image = joined(images)
    further = tuple(sorted(others - {path.resolve(), path.absolute()}))
    if further:
        notes.append(
            f"The image lies in {len(further) + 1} files, of which {path.name!r} is one: it is read from all of them."
        )
    return replace(image, notes=(*image.notes, *notes)), further


def names_axes(path: Path) -> bool:
    """Return whether a file says what its dimensions are: what is a series of pages, and nothing more, has letters of its own."""
    with _listening(), _opened(path) as file:
        return set(file.series[0].axes) <= set(AXIS_ROLES)


def _opened(path: Path) -> tifffile.TiffFile:
    """Open a file; a description in OME-XML that lacks what it must have is left aside, as if it were not there."""
    file = tifffile.TiffFile(path)
    try:
        _ = file.series
    except Exception:
        is_described = file.is_ome
        file.close()
        if not is_described:
            raise
        logging.getLogger("tifffile").warning("the description in OME-XML lacks what it must have")
        return tifffile.TiffFile(path, is_ome=False)
    return file


def _check_complete(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> list[str]:
    """Return notes about a series whose pixels are all in the file.

    Raises
    ------
    ImageFileError
        They are not.
    """
    pages = [page for page in series.pages if page is not None]
    size, lost = file.filehandle.size, len(series.pages) - len(pages)
    if lost:
        raise ImageFileError(
            f"{path.name!r} declares {len(series.pages)} planes, of which {lost} are not there: copy it again."
        )
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > size:
            missing = series.dataoffset + series.nbytes - size
            raise ImageFileError(
                f"{path.name!r} ends too early: {missing} bytes of its pixels are missing, copy it again."
            )
        return []
    there = sum(int(page.size) for page in pages)
    if there != prod(series.get_shape(squeeze=False)):
        raise ImageFileError(
            f"{path.name!r} declares {' x '.join(map(str, series.shape))} pixels, but its {len(pages)} pages hold {there}:"
            " it is damaged."
        )
    sparse = 0
    for page in pages:
        size = page.parent.filehandle.size
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset == 0 or count == 0:
                sparse += 1
            elif offset + count > size:
                raise ImageFileError(
                    f"{path.name!r} ends too early: plane {page.index} of {len(pages)} is not complete, so copy it again."
                )
    return [f"{sparse} tiles or strips of {path.name!r} were never written: their pixels are 0."] if sparse else []


def _pixels(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, number: int) -> Any:
    if series.nbytes <= EAGER_BYTES:
        return series.asarray()
    if series.dataoffset is not None and series.keyframe.is_memmappable and series.transform is None:
        return RawArray(path, series.dtype.newbyteorder(file.byteorder), series.shape, series.dataoffset)
    import zarr

    # The file stays open as long as somebody may read from it.
    opened = _opened(path)
    store = opened.series[number].aszarr(level=0)
    weakref.finalize(store, opened.close)
    return zarr.open(store, mode="r")


def _image(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, data: Any, given: str | None) -> Image:
    """Return pixels as their file says that they are to be seen."""
    page, found = series.keyframe, described(file, series)
    data, letters, notes = _as_shown(path, page, without_bools(data), str(series.axes))
    if found.lead and len(letters.replace("S", "")) == 3:
        letters = found.lead + letters[1:]
    axes = _roles(letters, tuple(data.shape), given)
    data, swapped = oriented(data, axes, int(page.tags.valueof("Orientation") or 1))
    if swapped:
        found.swap_y_and_x()
    data, axes = _as_written(data, axes, found.axes)
    count = dict(zip(axes, data.shape, strict=True)).get("C")
    channels = tuple(found.channels) if len(found.channels) == count else ()
    optics = tuple(found.optics) if len(found.optics) == (1 if count is None else count) else ()
    return Image(
        data,
        axes,
        {axis: found.spacing[axis] for axis in axes if axis in found.spacing},
        {axis: found.units[axis] for axis in axes if axis in found.units},
        channels=channels,
        optics=optics,
        notes=(*notes, *(f"{path.name!r}: {note}" for note in found.notes)),
    )


def _as_shown(path: Path, page: tifffile.TiffPage, data: Any, letters: str) -> tuple[Any, str, list[str]]:
    """Return pixels in which white is high and colours are red, green and blue, with the letters of their axes, and notes."""
    photometric, notes = getattr(page.photometric, "name", ""), []
    data, letters = samples_last(data, letters)
    samples = data.shape[-1] if "S" in letters else 1
    if photometric == "MINISWHITE":
        if data.dtype.kind == "u":
            top = data.dtype.type(2 ** min(page.bitspersample, 8 * data.dtype.itemsize) - 1)
            data = changed(data, lambda values: top - values)
        else:
            notes.append(f"{path.name!r} declares its lowest values white: they are read as they are.")
    elif photometric == "PALETTE" and page.colormap is not None and "S" not in letters:
        data, coloured = _through_palette(data, page)
        letters += "S" * coloured
    elif photometric == "SEPARATED" and samples >= 4 and data.dtype.kind == "u":
        data = (
            colours_of_ink(data) if isinstance(data, np.ndarray) else _blockwise_samples(as_dask(data), colours_of_ink)
        )
    elif photometric in {"CIELAB", "ICCLAB"} and samples == 3 and data.dtype == np.uint8:
        convert = partial(_lab_to_rgb, signed=photometric == "CIELAB")
        data = convert(data) if isinstance(data, np.ndarray) else _blockwise_samples(as_dask(data), convert)
    elif samples > 1 and not _is_colour(photometric, page.extrasamples, samples) and "C" not in letters:
        # Channels of a microscope that lie side by side in each pixel are no colours.
        at = len(letters) - 3
        order = [*range(at), len(letters) - 1, at, at + 1]
        data, letters = transposed(data, order), f"{letters[:at]}C{letters[at:-1]}"
    return data, letters, notes


def _is_colour(photometric: str, extra: Sequence[int], samples: int) -> bool:
    """Return whether samples are those of a colour, the last perhaps its alpha, rather than channels."""
    if photometric in _COLOURS:
        return samples in (3, 4)
    return samples == 2 and len(extra) == 1 and int(extra[0]) in _ALPHA


def _through_palette(data: Any, page: tifffile.TiffPage) -> tuple[Any, bool]:
    """Return pixels as the colours or grays of a palette, and whether they are colours.

    A palette that grows brighter from its first to its last entry only shows intensities, which are kept.
    """
    palette = np.asarray(page.colormap)
    if not (palette % 257).any():
        palette = (palette // 257).astype(np.uint8)
    elif not (palette % 256).any():
        palette = (palette // 256).astype(np.uint8)
    brightness = np.array([0.299, 0.587, 0.114]) @ palette.astype(float)
    is_gray = bool((palette == palette[:1]).all())
    rises = bool((np.diff(brightness) >= 0).all()) and brightness[-1] > brightness[0]
    if rises or page.is_imagej:
        return data, False
    table = np.ascontiguousarray(palette[0] if is_gray else palette.T)
    if isinstance(data, np.ndarray):
        return table[data], not is_gray
    lazy = as_dask(data)
    if is_gray:
        return lazy.map_blocks(table.__getitem__, dtype=table.dtype), False
    return lazy.map_blocks(table.__getitem__, dtype=table.dtype, new_axis=lazy.ndim, chunks=(*lazy.chunks, (3,))), True


def _blockwise_samples(data: Any, change: Callable[[Any], Any]) -> Any:
    """Return a dask array whose last axis becomes three colours."""
    whole = data.rechunk({data.ndim - 1: -1})
    return whole.map_blocks(change, dtype=data.dtype, chunks=(*whole.chunks[:-1], (3,)))


def _lab_to_rgb(values: npt.NDArray[np.uint8], *, signed: bool) -> npt.NDArray[np.uint8]:
    """Return lightness and two opponent colours of 8 bits (..., 3) as red, green and blue."""
    from skimage.color import lab2rgb

    opponents = values[..., 1:].view(np.int8).astype(float) if signed else values[..., 1:] - 128.0
    lab = np.concatenate((values[..., :1] * (100 / 255), opponents), axis=-1)
    return np.asarray(np.rint(lab2rgb(lab) * 255), np.uint8)


def _roles(letters: str, shape: tuple[int, ...], given: str | None) -> str:
    """Return the role of every dimension; what the user gave where nothing can be guessed."""
    if set(letters) <= set(AXIS_ROLES) and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters):
        return letters
    try:
        return guess_axes(shape, labels=list(letters), rgb=letters.endswith("S"))
    except AxesError:
        if given is None or len(given) != len(shape):
            raise
        return given.upper()


def _as_written(data: Any, axes: str, own: str) -> tuple[Any, str]:
    """Return pixels in the order of axes in which napari-synth was given them, and with the axes of length 1 that it had."""
    missing = [axis for axis in own if axis not in axes]
    if not own or set(axes) - set(own) or len(set(own)) != len(own):
        return data, axes
    if missing:
        index = (*(None,) * len(missing), ...)
        data, axes = (data if isinstance(data, np.ndarray) else as_dask(data))[index], "".join(missing) + axes
    return transposed(data, [axes.index(axis) for axis in own]), own


def _judged(path: Path, records: Sequence[str]) -> list[str]:
    """Return a note of what tifffile said that does not touch the pixels.

    Raises
    ------
    ImageFileError
        It said that pixels are missing or cannot be decoded.
    """
    harmless = []
    for record in records:
        tag = _BAD_TAG.search(record)
        if (tag and int(tag[1]) in _NEEDED_TAGS) or (not tag and _LOST.search(record)):
            raise ImageFileError(
                f"{path.name!r} cannot be read whole, it is damaged or cut off ({_in_plain_words(record)}): copy it again."
            )
        harmless.append(f"the tag {tag[1]}" if tag else _in_plain_words(record))
    return [f"A part of the metadata of {path.name!r} is not understood ({harmless[0]})."] if harmless else []


def _in_plain_words(record: str) -> str:
    """Return what tifffile said, without what only its authors understand, in the middle of a sentence."""
    if counts := re.search(r"expected (\d+) frames?, got (\d+)", record):
        return f"it speaks of {counts[1]} planes, and the file holds {counts[2]}"
    if other := re.search(r"failed to re\w+ '?([^'\s]+\.\w+)", record):
        return f"the file {Path(other[1]).name!r}, in which parts of it lie, cannot be read"
    return plain_cause(record)


class _Listener(logging.Filter):
    """Takes what tifffile says in this thread, instead of whoever else listens."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record of this thread to ourselves."""
        if record.thread != self._thread:
            return True
        self.records.append(record.getMessage())
        return False


@contextmanager
def _listening() -> Iterator[list[str]]:
    listener = _Listener()
    logger = logging.getLogger("tifffile")
    logger.addFilter(listener)
    try:
        yield listener.records
    finally:
        logger.removeFilter(listener)
