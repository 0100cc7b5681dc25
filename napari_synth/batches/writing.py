"""What is written of a stack of images that have nothing to do with each other: one file, or a file for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.engine.prepared import PreparedRun
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.files import WRITABLE_SUFFIXES, check_format, image_suffix, is_zarr, write_image
from napari_synth.imaging.image import Image

RECIPE_SUFFIX = ".recipe.yaml"
# Of a stack that does not fit into memory.
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


def write_folder(folder: Path, prepared: PreparedRun, report: Reporter, *, overwrite: bool) -> None:
    """Write each image of a stack into a file: PNG where that holds it without loss, else TIFF.

    Where labels were drawn for the images, these are in a folder ``images`` of the folder, and those in ``labels``, under the same
    names.

    Parameters
    ----------
    folder : Path
        It is made where it is not there.
    prepared : PreparedRun
        Whose result is a stack.
    report : Reporter
        Told of every block.
    overwrite : bool
        Whether files that are there already are replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise ImageFileError(
            f"{str(folder)!r} is a file: name a folder, or a file that ends in one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    digits = max(4, len(str(prepared.result.sizes[prepared.stack_axis])))
    pairs = isinstance(prepared, PreparedSynthesis) and prepared.makes_labels
    suffix = _suffix(prepared.result.select(**{prepared.stack_axis: 0}))
    for number, (image, labels) in enumerate(_each(prepared, report), 1):
        name = f"{number:0{digits}d}"
        if labels is not None:
            _write(folder / LABELS / f"{name}{_suffix(labels)}", labels, overwrite=overwrite)
        _write((folder / IMAGES if pairs else folder) / f"{name}{suffix}", image, overwrite=overwrite)


def _suffix(image: Image) -> str:
    """Return the suffix of the format for an image of a folder."""
    try:
        check_format(Path("image.png"), image)
    except ImageFileError:
        return ".ome.tif"
    return ".png"


def _write(path: Path, image: Image, *, overwrite: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageFileError(f"The folder {str(path.parent)!r} cannot be made: {error.strerror}.") from error
    write_image(path, image, overwrite=overwrite)


def _each(prepared: PreparedRun, report: Reporter) -> Iterator[tuple[Image, Image | None]]:
    """Make and yield the images of a stack, with their labels: some at once where not all of them fit into memory."""
    axis = prepared.stack_axis
    count = prepared.result.sizes[axis]
    step = _AT_ONCE if prepared.needs_store else count
    for start in range(0, count, step):
        part = slice(start, min(count, start + step))
        labels = None
        if isinstance(prepared, PreparedSynthesis) and prepared.makes_labels:
            planes = np.empty((part.stop - part.start, *prepared.size), prepared.labels_dtype)
            pixels = prepared.compute(region={axis: part}, labels=planes, report=report)
            labels = prepared.labels_image(planes)
        else:
            pixels = prepared.compute(region={axis: part}, report=report)
        made = replace(prepared.result, data=pixels)
        for index in range(made.sizes[axis]):
            yield made.select(**{axis: index}), None if labels is None else labels.select(**{axis: index})
