"""A set of images with what is known of each: from a folder, a table of measures, the manifest of a batch, or a plate."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_synth.batches.manifest import NAME as MANIFEST
from napari_synth.batches.manifest import read_manifest, records_as_rows
from napari_synth.core.errors import ImageFileError, MissingExtraError
from napari_synth.core.texts import TextError, read_json
from napari_synth.files import find_images, is_zarr

Value = float | str | None
"""A number, NaN or None where it is not known, or a text."""

MEASURED = "curation-measures.csv"
"""The table of measures that the board writes beside the images."""
TABLE_SUFFIXES = (".csv", ".parquet")
_SOURCE, _TARGET = "source", "target"
_COPIED = "duplicate_of"
_TEXTS = {_COPIED, "hash", "axes", "shape", "dtype", "recipe"}
_WELL = re.compile(r"(?<![A-Za-z0-9])([A-P])-?(0?[1-9]|1[0-9]|2[0-4])(?![0-9])")
_MOST_ROWS = 2_000_000


@dataclass(frozen=True)
class CuratedImage:
    """An image that can be decided on.

    Attributes
    ----------
    name : str
        What the journal calls it: its path relative to the folder of the set with ``/`` between its parts, absolute on another
        drive.
    path : pathlib.Path
        Where it lies.
    before : pathlib.Path or None
        The image that it was made of, where it is the result of a batch.
    values : mapping of str to float or str
        What was measured of it and what a batch said of it, by column.
    """

    name: str
    path: Path
    before: Path | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """Why it cannot be read, where that is known."""
        return str(self.values.get("error") or "")


@dataclass(frozen=True)
class ImageSet:
    """Images in the order of their names, and the folder that they have in common.

    Attributes
    ----------
    folder : pathlib.Path
        In which the journal of decisions lies.
    images : tuple of CuratedImage
    """

    folder: Path
    images: tuple[CuratedImage, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of which at least one image has a value, in the order in which they came."""
        there = {name: None for image in self.images for name, value in image.values.items() if is_known(value)}
        return tuple(there)

    def is_number(self, column: str) -> bool:
        """Return whether all values of a column are numbers."""
        known = [value for image in self.images if is_known(value := image.values.get(column))]
        return bool(known) and all(isinstance(value, float) for value in known)

    def with_table(self, path: str | Path) -> ImageSet:
        """Return the set with what a table of measures says of its images; raises as `open_images`."""
        known = {image.path: _named_in(self.folder, image) for image in _from_table(Path(path))}
        nothing = CuratedImage("", Path())
        images = (
            replace(image, values={**image.values, **known.get(image.path, nothing).values}) for image in self.images
        )
        return ImageSet(self.folder, tuple(images))

    def with_wells(self, pattern: str | re.Pattern[str] = _WELL) -> ImageSet:
        """Return the set with a column ``well`` that is read from the names.

        Parameters
        ----------
        pattern : str
            A regular expression; its groups are the row and the column of the well, or the well as a whole. By default a letter
            from A to P and a number from 1 to 24, such as ``B03``; used where most names have one.

        Raises
        ------
        ImageFileError
            It is no regular expression.
        """
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ImageFileError(f"{pattern!r} finds no wells ({error}): give a regular expression.") from error
        wells = [_well(compiled, image.name) for image in self.images]
        if sum(map(bool, wells)) * 2 <= len(wells):
            return self
        images = (
            replace(image, values={**image.values, "well": well})
            for image, well in zip(self.images, wells, strict=True)
        )
        return ImageSet(self.folder, tuple(images))


def open_images(*sources: str | Path) -> ImageSet:
    """Return the images that paths stand for; none of them is read.

    Parameters
    ----------
    *sources : str or pathlib.Path
        A folder of images, a pattern, an image, a table of measures (``.csv`` or ``.parquet``) as ``napari-synth assess`` writes
        it, the manifest of a batch or its folder, or a plate in OME-Zarr. A folder's measures are taken over where the board has
        written them there.

    Raises
    ------
    ImageFileError
        There is no image, or a table cannot be read.
    MissingExtraError
        A Parquet table needs the extra ``curation``.
    """
    found: dict[Path, CuratedImage] = {}
    for source in sources:
        for image in _from_one(source):
            found.setdefault(image.path, image)
    if not found:
        raise ImageFileError("No image is named: give a folder, a pattern, a table of measures or a batch's manifest.")
    folder = _common_folder([image.path for image in found.values()])
    images = tuple(_named_in(folder, image) for image in found.values())
    made = ImageSet(folder, images).with_wells()
    measured = folder / MEASURED
    return made.with_table(measured) if measured.is_file() else made


def is_known(value: Value) -> bool:
    """Return whether a value of a table says anything."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def as_value(text: Any, column: str = "") -> Value:
    """Return a cell of a table as a number, where it is one, or as a text."""
    if text is None or isinstance(text, bool):
        return None if text is None else str(text).lower()
    if column in _TEXTS:
        return str(text)
    try:
        return float(text)
    except (TypeError, ValueError):
        return str(text)


def _from_one(source: str | Path) -> Iterable[CuratedImage]:
    path = Path(source).expanduser()
    if path.suffix.lower() in TABLE_SUFFIXES and path.is_file():
        return _from_table(path)
    if path.name == MANIFEST or (path / MANIFEST).is_file():
        return _from_manifest(path)
    if path.is_dir() and is_zarr(path) and (fields := _fields_of_plate(path)):
        return fields
    found, _ = find_images(path if path.exists() else str(source), ignored=".recipe.yaml")
    return [CuratedImage(item.name, _resolved(Path(), str(item))) for item in found]


def _from_table(path: Path) -> list[CuratedImage]:
    rows = _rows_of_parquet(path) if path.suffix.lower() == ".parquet" else _rows_of_csv(path)
    images = []
    for row in rows:
        name = row.pop(_SOURCE, None) or row.pop("path", None)
        if not name:
            raise ImageFileError(
                f"{path.name!r} does not say which images it is about: give a table with a column {_SOURCE!r},"
                " as napari-synth assess writes it."
            )
        values = {column: as_value(cell, column) for column, cell in row.items() if column}
        if copied := row.get(_COPIED):
            values[_COPIED] = str(_resolved(path.parent, str(copied)))
        images.append(CuratedImage(str(name), _resolved(path.parent, str(name)), values=values))
    return images


def _rows_of_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [row for _, row in zip(range(_MOST_ROWS), reader, strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageFileError(f"The table {str(path)!r} cannot be read: give a CSV file in UTF-8.") from error
    if not rows:
        raise ImageFileError(f"The table {path.name!r} has no rows: measure the images again.")
    # What a row has too many stands under None.
    return [{key: cell for key, cell in row.items() if key is not None} for row in rows]


def _rows_of_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError.of("curation", "Parquet tables", error) from error
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise ImageFileError(f"The table {str(path)!r} cannot be read: it is damaged, or no Parquet file.") from error
    return rows


def _from_manifest(path: Path) -> list[CuratedImage]:
    manifest, records = read_manifest(path)
    rows = records_as_rows(records.values())
    hidden = {_SOURCE, _TARGET, "bytes", "time", "hash", "target_bytes"}
    return [
        CuratedImage(
            row[_TARGET],
            _resolved(manifest.folder, row[_TARGET]),
            _resolved(manifest.folder, row[_SOURCE]),
            {name: as_value(value, name) for name, value in row.items() if name not in hidden},
        )
        for row in rows
    ]


def _fields_of_plate(path: Path) -> list[CuratedImage]:
    """Return the fields of the wells of a plate in OME-Zarr (HCS), none where it is no plate."""
    plate = _attributes(path).get("plate")
    wells = plate.get("wells", []) if isinstance(plate, dict) else []
    images = []
    for well in wells:
        name = str(well.get("path", ""))
        content = _attributes(path / name).get("well", {})
        for image in content.get("images", []) if isinstance(content, dict) else []:
            place = path / name / str(image.get("path", ""))
            values: dict[str, Value] = {"well": _as_well(name.split("/")), "field": str(image.get("path", ""))}
            images.append(CuratedImage(place.name, _resolved(Path(), str(place)), values=values))
    return images


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of an OME-Zarr group, of format 2 or 3."""
    for name in ("zarr.json", ".zattrs"):
        try:
            content = read_json((folder / name).read_bytes())
        except (OSError, TextError):
            continue
        attributes = content.get("attributes", content) if isinstance(content, dict) else {}
        ome = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
        return ome if isinstance(ome, dict) else {}
    return {}


def _well(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.search(name)
    if found is None:
        return ""
    return _as_well([group for group in found.groups() if group] or [found[0]])


def _as_well(parts: Sequence[str]) -> str:
    """Return the name of a well of its row and column, such as ``B03``."""
    if len(parts) > 1 and parts[1].isdecimal():
        return f"{parts[0]}{int(parts[1]):02d}"
    return "".join(parts)


def _resolved(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder.absolute() / Path(name).expanduser()))


def _common_folder(paths: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:
        # Several drives.
        return paths[0].parent


def _named_in(folder: Path, image: CuratedImage) -> CuratedImage:
    """Return an image with names as the set has them: its own, and that of the image that it repeats."""
    copied = image.values.get(_COPIED)
    values = (
        {**image.values, _COPIED: _name_in(folder, Path(copied))}
        if isinstance(copied, str) and copied
        else image.values
    )
    return replace(image, name=_name_in(folder, image.path), values=values)


def _name_in(folder: Path, path: Path) -> str:
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.as_posix()
