"""What is written of a stack of images that have nothing to do with each other: one file, or a file for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.engine.prepared import PreparedRun
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


def write_folder(folder: Path, prepared: PreparedRun, report: Reporter, *, overwrite: bool) -> None:
    """Write each image of a stack into a file: PNG where that holds it without loss, else TIFF.

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
    suffix = ".png"
    try:
        check_format(folder / "image.png", prepared.result.select(**{prepared.stack_axis: 0}))
    except ImageFileError:
        suffix = ".ome.tif"
    digits = max(4, len(str(prepared.result.sizes[prepared.stack_axis])))
    for number, image in enumerate(_each(prepared, report), 1):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageFileError(f"The folder {str(folder)!r} cannot be made: {error.strerror}.") from error
        write_image(folder / f"{number:0{digits}d}{suffix}", image, overwrite=overwrite)


def _each(prepared: PreparedRun, report: Reporter) -> Iterator[Image]:
    """Make and yield the images of a stack: some at once where not all of them fit into memory."""
    axis = prepared.stack_axis
    count = prepared.result.sizes[axis]
    step = _AT_ONCE if prepared.needs_store else count
    for start in range(0, count, step):
        part = slice(start, min(count, start + step))
        made = replace(prepared.result, data=prepared.compute(region={axis: part}, report=report))
        yield from (made.select(**{axis: index}) for index in range(made.sizes[axis]))
