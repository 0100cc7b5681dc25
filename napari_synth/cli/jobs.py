"""Which files a command works on, and the work on one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth import registry
from napari_synth.cli.axes import with_axes_of_recipe
from napari_synth.cli.frames import as_movie
from napari_synth.cli.masks import AS_IN_RECIPE, Masked
from napari_synth.cli.references import NO_REFERENCE, Referenced
from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.recipe import Recipe
from napari_synth.files import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    WRITABLE_SUFFIXES,
    ZARR_SUFFIXES,
    Series,
    check_format,
    check_place,
    create_ome_zarr,
    find_images,
    holds_dicom,
    image_suffix,
    is_folder,
    read_image,
    replacing,
    write_image,
)
from napari_synth.imaging.image import Image

RECIPE_SUFFIX = ".recipe.yaml"


@dataclass(frozen=True)
class Job:
    """An image and where its result goes."""

    source: Path
    target: Path
    is_named: bool = True
    "Whether the user named the target; else it was made of the source's name, and may get a suffix that can hold the result."


@dataclass(frozen=True)
class Outcome:
    """What came of a job: where the result is, what the user should know, and what was decided of the result's dtype."""

    target: Path
    notes: tuple[str, ...]
    dtype: DtypeChoice


def plan_jobs(source: str, target: Path) -> tuple[list[Job], bool]:
    """Return the jobs, and whether they are a batch.

    Parameters
    ----------
    source : str
        An image, a folder (every image in it whose suffix is one of ours), or a pattern such as ``"day*/**/*.tif"``.
    target : pathlib.Path
        The result of one image; for a folder or a pattern the folder in which results keep the names of their sources. A folder of
        DICOM files is one volume where the target names a file.

    Raises
    ------
    ImageFileError
        There is no image, or the target does not fit.
    """
    if is_folder(Path(source)) and _names_a_file(target) and holds_dicom_files(Path(source)):
        return [Job(Path(source), target)], False
    # Results may lie among the sources from an earlier run, each with its recipe: those are no images.
    found, root = find_images(source, ignored=RECIPE_SUFFIX, results=target)
    if root is None:
        if is_folder(target):
            return [Job(found[0], target / _result_name(found[0], by_suffix=False), is_named=False)], False
        return [Job(found[0], target)], False
    if target.exists() and not is_folder(target):
        raise ImageFileError(f"{str(target)!r} is a file: results of several images need a folder.")
    plain = [item.relative_to(root).parent / _result_name(item, by_suffix=False) for item in found]
    names = Counter(plain)
    jobs = [
        Job(item, target / (name if names[name] == 1 else name.with_name(_result_name(item, by_suffix=True))), False)
        for item, name in zip(found, plain, strict=True)
    ]
    return jobs, True


def run_job(
    job: Job,
    recipe: Recipe,
    *,
    axes: str | None = None,
    series: Series = None,
    masked: Masked = AS_IN_RECIPE,
    referenced: Referenced = NO_REFERENCE,
    overwrite: bool,
    write_recipe: bool,
    memory_budget: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Outcome:
    """Read an image, run the recipe on it and write the result, with the record of the run beside it.

    ``axes`` are what the user says of this image. Those of the recipe hold only where the file has none and they have as many
    letters as the image has dimensions, so that a recipe made on a plane also runs on a stack, and one of colours on channels.
    ``masked`` says what is filled, where that is not as in the recipe, and ``referenced`` how the result should look.

    ``series`` chooses among the images of a file. The record appears before the result does, so that no result is ever without it,
    whatever ends the run; one that lost its record otherwise gets it again where it is what the run makes. A target that was made
    of the source's name gets the suffix of a format that can hold the result.

    A result that ends in ``.zarr``, or is larger than the memory budget, is written block by block as it is made; any other is
    judged against its source.

    Parameters
    ----------
    job : Job
        The source, and the target.
    recipe : Recipe
        What is run.
    axes : str, optional
        What the user says of this image.
    series : int or str, optional
        Which of the images of a file is meant.
    masked : Masked
        What is filled, where that is not as in the recipe.
    referenced : Referenced
        How the result should look.
    overwrite : bool
        Whether a result that is there already is replaced.
    write_recipe : bool
        Whether the record is written beside the result.
    memory_budget : int, optional
        Bytes that the run may take.
    progress : callable, optional
        Told of every step, see `napari_synth.denoise`.
    cancel : CancelToken, optional
        Stops the run.

    Raises
    ------
    SynthError
        One of its subclasses; nothing is left of the result then.
    """
    from napari_synth.engine.frame_run import PreparedMovie, prepare_again
    from napari_synth.engine.runner import PreparedRun, prepare
    from napari_synth.engine.verdict import verdicts

    target = job.target
    is_repair = _lacks_its_recipe(job, overwrite, write_recipe)
    _check_target(job.source, target, overwrite or is_repair)
    check_place(target)
    image = read_image(job.source, axes, series=series)
    if axes is None:
        image = with_axes_of_recipe(image, job.source, recipe.axes)
    how: dict[str, Any] = {
        "device": recipe.device,
        "precision": recipe.precision,
        "dtype": recipe.dtype,
        "seed": recipe.seed,
        "tile": recipe.tile,
        "memory_budget": memory_budget,
        "progress": progress,
        "cancel": cancel,
    }
    prepared: PreparedRun | PreparedMovie
    if recipe.frames is not None:
        if axes is None:
            image = as_movie(image, job.source)
        target = _fitting(job, image)
        prepared = prepare_again(recipe, image, {}, **how)
    else:
        image = masked.applied(image, recipe, job.source)
        if registry.generator(recipe.generator).info.channels == "mapped":
            target = _fitting(job, image)
        prepared = prepare(recipe.generator, image, recipe.params, reference=referenced.of(image), **how)
    target = _fitting(job, prepared.result)
    notes = [*image.notes, *prepared.notes]
    if target != job.target:
        _check_target(job.source, target, overwrite)
        notes.append(f"{image_suffix(job.target)} cannot hold the result: it is written to {target.name}.")
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        notes.append(difference)
    if prepared.needs_store and image_suffix(target) not in ZARR_SUFFIXES:
        target = target.with_name(target.name[: -len(image_suffix(target))] + ".ome.zarr")
        _check_target(job.source, target, overwrite)
        notes.append(f"The result is larger than the memory that a run may take: it is written to {target.name}.")
    result = prepared.result
    pixels = None
    record = target.with_name(target.name + RECIPE_SUFFIX)
    with recorded(record, prepared.recipe, write_recipe) as write_record:
        if image_suffix(target) in ZARR_SUFFIXES and not is_repair:
            with create_ome_zarr(
                target, result, blocks=prepared.chunks, overwrite=overwrite, cancel=cancel, first=write_record
            ) as out:
                prepared.compute(out=out, progress=progress, cancel=cancel)
        else:
            check_place(target, 0 if image_suffix(target) == ".png" else result.n_pixels * result.dtype.itemsize)
            pixels = prepared.compute(progress=progress, cancel=cancel)
            if is_repair:
                _check_same(target, pixels)
                write_record()
                notes.append(f"{target.name} was there without its recipe, which is written now.")
            else:
                write_image(target, replace(result, data=pixels), overwrite=overwrite, first=write_record)
    if pixels is not None and isinstance(prepared, PreparedRun):
        notes += verdicts(prepared, pixels)
    return Outcome(target, tuple(notes), prepared.dtype_choice)


def holds_dicom_files(folder: Path) -> bool:
    """Return whether every image in a folder is DICOM."""
    files = [item for item in folder.iterdir() if item.is_file() and not item.name.startswith(".")]
    return bool(files) and all(image_suffix(item) in DICOM_SUFFIXES or holds_dicom(item) for item in files)


def _names_a_file(target: Path) -> bool:
    return image_suffix(target) in WRITABLE_SUFFIXES and not is_folder(target)


def _fitting(job: Job, image: Image) -> Path:
    """Return where an image goes: with another suffix where that of the target cannot hold it and the user did not name it."""
    try:
        check_format(job.target, image)
    except ImageFileError:
        if job.is_named:
            raise
        return job.target.with_name(job.target.name[: -len(image_suffix(job.target))] + ".ome.tif")
    return job.target


@contextmanager
def recorded(path: Path, recipe: Recipe, wanted: bool) -> Iterator[Callable[[], None]]:
    """Give what writes the record of a run; it is withdrawn where the run fails after that.

    Parameters
    ----------
    path : Path
        Of the record.
    recipe : Recipe
    wanted : bool
        Whether a record is written at all.
    """
    is_new = not path.exists()

    def write() -> None:
        if wanted:
            with replacing(path, overwrite=True) as part:
                part.write_text(recipe.to_yaml(), encoding="utf-8")

    try:
        yield write
    except BaseException:
        if wanted and is_new:
            path.unlink(missing_ok=True)
        raise


def _lacks_its_recipe(job: Job, overwrite: bool, write_recipe: bool) -> bool:
    """Return whether the result of an image of a batch is there already, but for its recipe."""
    target = job.target
    record = target.with_name(target.name + RECIPE_SUFFIX)
    return write_recipe and not overwrite and not job.is_named and target.exists() and not record.exists()


def _check_same(target: Path, pixels: npt.NDArray[Any]) -> None:
    """Raise `ImageFileError` unless a file holds these pixels: it is somebody else's then."""
    if not np.array_equal(read_image(target).read(), pixels, equal_nan=pixels.dtype.kind == "f"):
        raise ImageFileError(f"{str(target)!r} exists already: choose another name, or add --overwrite.")


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Say before the work begins what would spoil its end."""
    if target.exists() and target.resolve() == source.resolve():
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
    return stem + (".png" if suffix in PICTURE_SUFFIXES else ".ome.tif")
