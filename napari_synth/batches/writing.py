"""What is written of a stack of images that have nothing to do with each other: one file, or a file for each of them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.batches.manifest import (
    BatchReport,
    JobRecord,
    Manifest,
    Status,
    check_same_settings,
    known_records,
    only_writer,
)
from napari_synth.batches.states import FileState
from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.engine.prepared import PreparedRun
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.files import (
    WRITABLE_SUFFIXES,
    check_format,
    clear_leftovers,
    image_suffix,
    is_zarr,
    replacing,
    write_image,
)
from napari_synth.imaging.image import Image

RECIPE_SUFFIX = ".recipe.yaml"
# Of images for several planes of labels, whose planes are made one after the other.
_AT_ONCE = 64


def is_folder_of_images(target: Path) -> bool:
    """Return whether images that go there get a file each."""
    return not image_suffix(target) or (target.is_dir() and not is_zarr(target))


def alone(prepared: PreparedRun, pixels: Any = None) -> Image:
    """Return the result of a run as a file holds it: a stack of one image without the axis of the stack.

    Parameters
    ----------
    prepared : PreparedRun
    pixels : numpy.ndarray, optional
        Of the result; it is lazy where they are left out.
    """
    result, axis = prepared.result, prepared.stack_axis
    if pixels is not None:
        result = replace(result, data=pixels)
    return result.select(**{axis: 0}) if axis and result.sizes[axis] == 1 else result


IMAGES, LABELS = "images", "labels"
"""The folders of pairs."""


def labels_beside(target: Path) -> Path:
    """Return where the labels of images in one file go: into a file beside it."""
    suffix = image_suffix(target)
    return target.with_name(f"{target.name[: -len(suffix)]}_{LABELS}{'.ome.tif' if suffix == '.png' else suffix}")


@dataclass(frozen=True)
class _Place:
    """Where one image of a folder goes, and its labels."""

    image: Path
    labels: Path | None

    def is_whole(self, record: JobRecord | None) -> bool:
        """Return whether a record of it is of what is there."""
        state = FileState.of(self.image)
        there = record is not None and state is not None and state.bytes == record.target_bytes
        return there and (self.labels is None or self.labels.exists())


def write_folder(
    folder: Path,
    prepared: PreparedSynthesis,
    report: Reporter,
    *,
    overwrite: bool,
    record: Recipe | None = None,
    tell: Callable[[JobRecord], None] = lambda _: None,
) -> BatchReport:
    """Write each image of a run into a file: PNG where that holds it without loss, else TIFF.

    Every image is remembered in the manifest of the folder as it is there, so that the next call with the same settings, whatever
    ended this one, makes only those that are missing; a larger number goes on behind the last one, for an image follows from the
    seed and its number. Where labels were drawn for the images, these are in a folder ``images`` of the folder, and those in
    ``labels``, under the same names.

    Parameters
    ----------
    folder : pathlib.Path
        It is made where it is not there.
    prepared : PreparedSynthesis
    report : Reporter
        Told of every image.
    overwrite : bool
        Whether files that are there already are replaced, results of other settings among them.
    record : Recipe, optional
        Written beside the images, before the first of them.
    tell : callable
        Called with the record of each image as it is there.

    Returns
    -------
    BatchReport

    Raises
    ------
    ImageFileError
        The folder is none, another run works in it, or an image of somebody else has the name of one of these.
    RecipeError
        The folder holds results of other settings.
    """
    if folder.exists() and not folder.is_dir():
        raise ImageFileError(
            f"{str(folder)!r} is a file: name a folder, or a file that ends in one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    _make(folder)
    manifest, settings = Manifest(folder), _hash(prepared)
    with only_writer(manifest):
        known = known_records(folder)
        check_same_settings(known, settings, manifest, overwrite=overwrite)
        clear_leftovers(folder)
        places = _places(folder, prepared)
        by_number = [known.get(manifest.name_of(place.image)) for place in places]
        done = [
            record is not None and record.recipe == settings and place.is_whole(record)
            for place, record in zip(places, by_number, strict=True)
        ]
        kept = [found for found, is_done in zip(by_number, done, strict=True) if is_done and found is not None]
        written = BatchReport(manifest.path, kept=kept)
        if record is not None:
            with replacing(folder / f"{IMAGES}{RECIPE_SUFFIX}", overwrite=True) as part:
                part.write_text(record.to_yaml(), encoding="utf-8")
        since = time.perf_counter()

        def keep(number: int, image: Image, labels: Image | None) -> None:
            nonlocal since
            place, before = places[number], by_number[number]
            # What is torn, or was made by a batch of other settings that may be replaced.
            again = overwrite or before is not None
            if labels is not None and place.labels is not None:
                write_image(place.labels, labels, overwrite=again or not place.image.exists())
            write_image(place.image, image, overwrite=again)
            now = time.perf_counter()
            state = FileState.of(place.image)
            made = JobRecord(
                source="",
                target=manifest.name_of(place.image),
                status=Status.DONE,
                recipe=settings,
                target_bytes=0 if state is None else state.bytes,
                ended=datetime.now(UTC).isoformat(),
                seconds=round(now - since, 3),
                device=prepared.device.kind,
                dtype=prepared.dtype_choice,
            )
            since = now
            manifest.append(made)
            written.done.append(made)
            tell(made)

        for start, stop in _missing(done):
            _make_images(prepared, start, stop, keep, report)
    return written


def _hash(prepared: PreparedSynthesis) -> str:
    """Return what tells settings apart: all that decides an image, but neither how many there are nor the device."""
    recipe = prepared.recipe
    decides = recipe.model_dump(mode="json", include={"generator", "axes", "seed", "precision", "weights"})
    decides["params"] = {name: value for name, value in recipe.params.items() if name != "count"}
    decides["source"] = None if recipe.source is None else recipe.source.fingerprint
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _places(folder: Path, prepared: PreparedSynthesis) -> list[_Place]:
    """Return where each image goes; its name does not depend on how many there are."""
    axis = prepared.stack_axis
    suffix, inside = _suffix(prepared.result.select(**{axis: 0})), folder
    labels = None
    if prepared.makes_labels:
        inside, labels = folder / IMAGES, folder / LABELS
        like = np.broadcast_to(np.zeros((), prepared.labels_dtype), (1, *prepared.size))
        labels_suffix = _suffix(prepared.labels_image(like).select(**{axis: 0}))
        _make(labels)
    _make(inside)
    return [
        _Place(inside / f"{number:04d}{suffix}", None if labels is None else labels / f"{number:04d}{labels_suffix}")
        for number in range(1, prepared.params.count + 1)
    ]


def _missing(done: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first number and the one behind the last of each run of images that are to be made."""
    for is_done, numbers in groupby(range(len(done)), done.__getitem__):
        if not is_done:
            found = list(numbers)
            yield found[0], found[-1] + 1


class _Taking:
    """Stands for an array of the result: hands on each image that is written into it."""

    def __init__(self, take: Callable[[int, Any], None]) -> None:
        self._take = take

    def __setitem__(self, place: Any, pixels: Any) -> None:
        self._take(place[0] if isinstance(place, tuple) else place, pixels)

    def __getitem__(self, _place: Any) -> _Taking:
        return self


def _make_images(
    prepared: PreparedSynthesis,
    start: int,
    stop: int,
    keep: Callable[[int, Image, Image | None], None],
    report: Reporter,
) -> None:
    """Make some images and hand each on as it is there; those for several planes of labels, some at once, when all planes are."""
    axis = prepared.stack_axis

    def image_of(pixels: Any) -> Image:
        return prepared.image(np.asarray(pixels, prepared.dtype)[None]).select(**{axis: 0})

    if len(prepared.chunks) - len(prepared.spec.axes) > 1:
        for first in range(start, stop, _AT_ONCE):
            part = slice(first, min(stop, first + _AT_ONCE))
            for index, pixels in enumerate(prepared.compute(region={axis: part}, report=report)):
                keep(first + index, image_of(pixels), None)
        return
    if not prepared.makes_labels:
        out = _Taking(lambda index, pixels: keep(start + index, image_of(pixels), None))
        prepared.compute(region={axis: slice(start, stop)}, out=out, report=report)
        return
    waiting: dict[int, Any] = {}

    def pair(index: int, planes: Any) -> None:
        labels = prepared.labels_image(np.asarray(planes, prepared.labels_dtype)[None]).select(**{axis: 0})
        keep(start + index, image_of(waiting.pop(index)), labels)

    # An image is handed on just before its labels.
    out, labels = _Taking(waiting.__setitem__), _Taking(pair)
    prepared.compute(region={axis: slice(start, stop)}, out=out, labels=labels, report=report)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageFileError(f"The folder {str(folder)!r} cannot be made: {error.strerror}.") from error


def _suffix(image: Image) -> str:
    """Return the suffix of the format for an image of a folder."""
    try:
        check_format(Path("image.png"), image)
    except ImageFileError:
        return ".ome.tif"
    return ".png"
