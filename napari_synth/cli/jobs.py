"""Which files a command works on, and the work on one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_synth import registry
from napari_synth.cli.axes import names_its_axes, with_axes_of_recipe
from napari_synth.cli.masks import AS_IN_RECIPE, Masked
from napari_synth.cli.references import NO_REFERENCE, Referenced
from napari_synth.cli.writing import RECIPE_SUFFIX, is_folder_of_images, place_for, write_result
from napari_synth.contract.generator import Method
from napari_synth.core.errors import ImageFileError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    check_format,
    find_images,
    image_suffix,
    is_folder,
    is_zarr,
    read_image,
)
from napari_synth.imaging.image import Image


@dataclass(frozen=True)
class Job:
    """An image and where its result goes; no image where random numbers are enough."""

    source: Path | None
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What came of a job: where the result is, and what the user should know."""

    target: Path
    notes: tuple[str, ...]


def plan_jobs(source: str, target: Path) -> tuple[list[Job], bool]:
    """Return the jobs, and whether they are a batch.

    Parameters
    ----------
    source : str
        An image, a folder (every image in it whose suffix is one of ours), or a pattern such as ``"day*/**/*.tif"``.
    target : pathlib.Path
        The result of one image; for a folder or a pattern the folder in which results keep the names of their sources.

    Raises
    ------
    ImageFileError
        There is no image, or the target does not fit.
    """
    # Results may lie among the sources from an earlier run, each with its recipe: those are no images.
    found, root = find_images(source, ignored=RECIPE_SUFFIX)
    if root is None:
        inside = target.is_dir() and not is_zarr(target)
        return [Job(found[0], target / _result_name(found[0], by_suffix=False) if inside else target)], False
    if target.exists() and not is_folder(target):
        raise ImageFileError(f"{str(target)!r} is a file: results of several images need a folder.")
    plain = [item.relative_to(root).parent / _result_name(item, by_suffix=False) for item in found]
    names = Counter(plain)
    jobs = [
        Job(item, target / (name if names[name] == 1 else name.with_name(_result_name(item, by_suffix=True))))
        for item, name in zip(found, plain, strict=True)
    ]
    return jobs, True


def run_job(
    job: Job,
    recipe: Recipe,
    options: RunOptions,
    report: Reporter,
    *,
    axes: str | None = None,
    masked: Masked = AS_IN_RECIPE,
    referenced: Referenced = NO_REFERENCE,
    overwrite: bool,
    write_recipe: bool,
) -> Outcome:
    """Read an image, run the recipe on it and write the result, with the record of the run beside it.

    Parameters
    ----------
    job : Job
    recipe : Recipe
    options : RunOptions
    report : Reporter
    axes : str, optional
        What the user says of this image. The axes of the recipe hold only where the file has none and they have as many letters as
        the image has dimensions, so that a recipe made on a plane also runs on a stack, and one of colours on channels.
    masked : Masked
        What is filled, where that is not as in the recipe.
    referenced : Referenced
        How the result should look.
    overwrite : bool
        Whether a result may be replaced.
    write_recipe : bool

    Returns
    -------
    Outcome
        A result that ends in ``.zarr``, or is larger than the memory budget, is written block by block as it is made; any other is
        judged against its source.

    Raises
    ------
    SynthError
        One of its subclasses; nothing is left of the result then.
    """
    from napari_synth.engine import door
    from napari_synth.engine.prepared import Inputs
    from napari_synth.engine.verdict import verdicts

    method = registry.found(Method, recipe.generator)
    if not (method.makes_many and is_folder_of_images(job.target)):
        _check_target(job.source, job.target, overwrite)
    image = None if job.source is None else _read(job.source, axes, recipe, method)
    if image is not None and job.source is not None:
        image = masked.applied(image, recipe, job.source)
        if method.info.channels == "mapped" and not method.makes_many:
            # What the format cannot hold is told before minutes of work.
            check_format(job.target, image)
    reference = None if image is None else referenced.of(image)
    prepared = door.open(method, recipe, Inputs(image, reference), options, report)
    notes = list(prepared.notes)
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        notes.append(difference)
    target = place_for(prepared, job.target)
    if target != job.target:
        _check_target(job.source, target, overwrite)
        notes.append(f"The result is larger than the memory that a run may take: it is written to {target.name}.")
    pixels = write_result(prepared, target, report, overwrite=overwrite, write_recipe=write_recipe)
    if pixels is not None:
        notes += verdicts(prepared, pixels)
    return Outcome(target, tuple(notes))


def _read(path: Path, axes: str | None, recipe: Recipe, method: Method[Any]) -> Image:
    """Read an image with the axes that are said, those of its file, those of the recipe, or those that a method guesses."""
    image = read_image(path, axes)
    if axes is not None:
        return image
    image = with_axes_of_recipe(image, path, recipe.axes)
    guessed = method.guess_axes(image.shape)
    return image if guessed is None or "T" in image.axes or names_its_axes(path) else replace(image, axes=guessed)


def _check_target(source: Path | None, target: Path, overwrite: bool) -> None:
    """Say before the work begins what would spoil its end."""
    if source is not None and target.exists() and target.resolve() == source.resolve():
        raise ImageFileError(f"The result would replace its source {str(source)!r}: give it another name or folder.")
    if target.exists() and not overwrite:
        raise ImageFileError(f"{str(target)!r} exists already: choose another name, or add --overwrite.")
    if not target.parent.is_dir():
        raise ImageFileError(f"The folder {str(target.parent)!r} does not exist: make it first.")


def _result_name(source: Path, *, by_suffix: bool) -> str:
    """Return the name of a result in a folder: the source's, in a format that can be written."""
    suffix = image_suffix(source)
    if suffix in WRITABLE_SUFFIXES:
        return source.name
    stem = source.name if by_suffix else source.name[: len(source.name) - len(suffix)]
    return stem + (".png" if suffix in READABLE_SUFFIXES else ".ome.tif")
