"""Writes the result of a run, whatever made it: one file, an OME-Zarr block by block, or a folder with a file for each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.engine.prepared import PreparedRun
from napari_synth.files import (
    WRITABLE_SUFFIXES,
    check_format,
    create_ome_zarr,
    image_suffix,
    is_zarr,
    replacing,
    write_image,
)
from napari_synth.imaging.image import Image

RECIPE_SUFFIX = ".recipe.yaml"
_ZARR = {".zarr", ".ome.zarr"}
# Of a stack that does not fit into memory.
_AT_ONCE = 64


def is_folder_of_images(target: Path) -> bool:
    """Return whether images that go there get a file each."""
    return not image_suffix(target) or (target.is_dir() and not is_zarr(target))


def place_for(prepared: PreparedRun, target: Path) -> Path:
    """Return where a result goes: an OME-Zarr beside its target where it is too large for memory.

    Raises
    ------
    ImageFileError
        The format of the target is unknown, or cannot hold the result.
    """
    result = prepared.result
    if prepared.stack_axis and is_folder_of_images(target):
        return target
    check_format(target, _alone(result, prepared) if image_suffix(target) not in _ZARR else result)
    if prepared.needs_store and image_suffix(target) not in _ZARR:
        return target.with_name(target.name[: -len(image_suffix(target))] + ".ome.zarr")
    return target


def write_result(
    prepared: PreparedRun, target: Path, report: Reporter, *, overwrite: bool, write_recipe: bool
) -> Any | None:
    """Make the result of a run and write it, with the record of the run beside it.

    Returns
    -------
    numpy.ndarray or None
        The pixels, where they were in memory as a whole.
    """
    pixels, beside = None, target.with_name(target.name + RECIPE_SUFFIX)
    if prepared.stack_axis and is_folder_of_images(target):
        beside = target / f"images{RECIPE_SUFFIX}"
        _write_folder(target, prepared, report, overwrite)
    elif image_suffix(target) in _ZARR:
        cancel = report.cancel
        with create_ome_zarr(
            target, prepared.result, blocks=prepared.chunks, overwrite=overwrite, cancel=cancel
        ) as out:
            prepared.compute(out=out, report=report)
    else:
        pixels = prepared.compute(report=report)
        write_image(target, _alone(replace(prepared.result, data=pixels), prepared), overwrite=overwrite)
    if write_recipe:
        with replacing(beside, overwrite=True) as part:
            part.write_text(prepared.recipe.to_yaml(), encoding="utf-8")
    return pixels


def _alone(result: Image, prepared: PreparedRun) -> Image:
    """Return a stack of one image without the axis of the stack; anything else as it is."""
    axis = prepared.stack_axis
    return result.select(**{axis: 0}) if axis and result.sizes[axis] == 1 else result


def _write_folder(folder: Path, prepared: PreparedRun, report: Reporter, overwrite: bool) -> None:
    """Write each image of a stack into a file: PNG where that holds it without loss, else TIFF."""
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
