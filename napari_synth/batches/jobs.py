"""Which files a batch works on, and the work on one of them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_synth import registry
from napari_synth.batches.inputs import (
    AS_IN_RECIPE,
    AS_RECORDED,
    NO_REFERENCE,
    Drawn,
    Masked,
    Referenced,
    names_its_axes,
    with_axes_of_recipe,
)
from napari_synth.batches.writing import RECIPE_SUFFIX, alone, is_folder_of_images, labels_beside, write_folder
from napari_synth.contract.generator import Chain, Method
from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.recipe import Recipe, Source
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.files import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    WRITABLE_SUFFIXES,
    ZARR_SUFFIXES,
    Resume,
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

if TYPE_CHECKING:
    from napari_synth.engine.prepared import PreparedRun
    from napari_synth.files import OmeZarrTarget


Write: TypeAlias = "Callable[[PreparedRun, OmeZarrTarget, Reporter], None]"
"""Makes a result into an OME-Zarr."""


@dataclass(frozen=True)
class Job:
    """An image and where its result goes; no image where random numbers are enough."""

    source: Path | None
    target: Path
    is_named: bool = True
    "Whether the user named the target; else it was made of the source's name, and may get a suffix that can hold the result."


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    target : pathlib.Path
        Where the result is.
    notes : tuple of str
        What the user should know, a sentence each.
    dtype : str
        What was decided of the result's dtype, for the others of a batch.
    recipe : Recipe
        The record of the run, with the verdict.
    """

    target: Path
    notes: tuple[str, ...]
    dtype: DtypeChoice
    recipe: Recipe


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
    return _jobs_of(found, root, target), True


def jobs_of_synthesis(source: str | None, target: Path) -> tuple[list[Job], Path | None]:
    """Return the jobs of what makes images, and the folder of the results where they are a batch.

    Parameters
    ----------
    source : str, optional
        What images are made of or for: one image; or a folder or a pattern, where each gets a file of its own.
    target : pathlib.Path
        A file, or a folder.

    Raises
    ------
    ImageFileError
        There is no image.
    """
    if source is None:
        return [Job(None, target)], None
    path = Path(source)
    # What is not there is told of when it is read.
    is_many = is_folder(path) if path.exists() else glob.has_magic(source)
    return (plan_files(source, target), target) if is_many else ([Job(path, target)], None)


def plan_files(sources: str | Path | Sequence[str | Path], target: Path) -> list[Job]:
    """Return the jobs of a batch.

    Parameters
    ----------
    sources : str, pathlib.Path, or sequence of them
        A folder, a pattern, or files; a single file is a batch of one.
    target : pathlib.Path
        The folder of the results.

    Raises
    ------
    ImageFileError
        There is no image, or the target is a file.
    """
    if isinstance(sources, (str, Path)):
        found, root = find_images(sources, ignored=RECIPE_SUFFIX, results=target)
        return _jobs_of(found, found[0].parent if root is None else root, target)
    found = [Path(source) for source in sources]
    if not found:
        raise ImageFileError("There is no image: give a folder, a pattern, or files.")
    if missing := [path for path in found if not path.exists()]:
        raise ImageFileError(f"There is no file {str(missing[0])!r}: check the name.")
    found = list(dict.fromkeys(path.absolute() for path in found))
    try:
        root = Path(os.path.commonpath([path.parent for path in found]))
    except ValueError as error:
        raise ImageFileError("The images lie on different drives: run a batch for each of them.") from error
    return _jobs_of(found, root, target)


def _jobs_of(found: list[Path], root: Path, target: Path) -> list[Job]:
    """Return a job for each image, with its place below a folder kept, and no two with one target."""
    if target.exists() and not is_folder(target):
        raise ImageFileError(f"{str(target)!r} is a file: results of several images need a folder.")
    plain = [item.relative_to(root).parent / _result_name(item, by_suffix=False) for item in found]
    names = Counter(plain)
    return [
        Job(item, target / (name if names[name] == 1 else name.with_name(_result_name(item, by_suffix=True))), False)
        for item, name in zip(found, plain, strict=True)
    ]


def run_job(
    job: Job,
    recipe: Recipe,
    options: RunOptions,
    report: Reporter,
    *,
    axes: str | None = None,
    series: Series = None,
    masked: Masked = AS_IN_RECIPE,
    drawn: Drawn = AS_RECORDED,
    referenced: Referenced = NO_REFERENCE,
    yardstick: Image | None = None,
    batch: str = "",
    said: str = "",
    resumes: bool = False,
    overwrite: bool,
    write_recipe: bool,
    write: Write | None = None,
) -> Outcome:
    """Read an image, run the recipe on it and write the result, with the record of the run beside it.

    The record appears before the result does, so that no result is ever without it, whatever ends the run; one that lost its record
    otherwise gets it again where it is what the run makes.

    Parameters
    ----------
    job : Job
        A target that was made of the source's name gets the suffix of a format that can hold the result.
    recipe : Recipe
    options : RunOptions
    report : Reporter
    axes : str, optional
        What the user says of this image. The axes of the recipe hold only where the file has none and they have as many letters as
        the image has dimensions, so that a recipe made on a plane also runs on a stack, and one of colours on channels.
    series : int or "all", optional
        Which of the images of a file.
    masked : Masked
        What is filled, where that is not as in the recipe.
    drawn : Drawn
        What the run is limited to, where that was drawn.
    referenced : Referenced
        How the result should look.
    yardstick : Image, optional
        Whose intensities and noise are taken for those of the image.
    batch : str
        Hash of the settings of the batch, for the record.
    said : str
        What is to be noted of what was decided for all images of the batch.
    resumes : bool
        Whether an earlier run of the same batch may have ended between a result and what is remembered of it.
    overwrite : bool
        Whether a result may be replaced.
    write_recipe : bool
    write : callable, optional
        Makes the units of a result that is written unit by unit; in this process where it is left out, see
        `napari_synth.batches.units.write_units`.

    Returns
    -------
    Outcome
        A result that ends in ``.zarr``, or is larger than the memory budget, is written unit by unit as it is made: after a kill
        the next call goes on where it stopped.

    Raises
    ------
    SynthError
        One of its subclasses; nothing is left of the result then.
    """
    import dask.array as da

    from napari_synth.batches.units import token_of, write_units
    from napari_synth.engine.verdict import judged

    method = registry.of_recipe(recipe)
    into_folder = method.makes_many and is_folder_of_images(job.target)
    is_repair = not into_folder and _lacks_its_recipe(job, overwrite, write_recipe or resumes)
    if not into_folder:
        _check_target(job.source, job.target, overwrite or is_repair)
        check_place(job.target)
    prepared = prepare_job(
        job,
        recipe,
        options,
        report,
        axes=axes,
        series=series,
        masked=masked,
        drawn=drawn,
        referenced=referenced,
        yardstick=yardstick,
    )
    image = prepared.source
    notes = [*(image.notes if image is not None else ()), *prepared.notes, *([said] if said else [])]
    target = job.target if into_folder else _fitting(job, alone(prepared))
    if target != job.target:
        _check_target(job.source, target, overwrite)
        notes.append(f"{image_suffix(job.target)} cannot hold the result: it is written to {target.name}.")
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        notes.append(difference)
    beside = None
    if isinstance(prepared, PreparedSynthesis) and prepared.makes_labels and not into_folder:
        if prepared.needs_store or image_suffix(target) in ZARR_SUFFIXES:
            raise ImageFileError(
                "Images and their labels are written to a folder, or to one TIFF each that fits into memory: name a folder."
            )
        beside = labels_beside(target)
        _check_target(None, beside, overwrite)
    if prepared.needs_store and not into_folder and image_suffix(target) not in ZARR_SUFFIXES:
        target = target.with_name(target.name[: -len(image_suffix(target))] + ".ome.zarr")
        _check_target(job.source, target, overwrite)
        notes.append(f"The result is larger than the memory that a run may take: it is written to {target.name}.")
    result = prepared.result
    made = prepared.recipe.model_copy(
        update={"batch": batch, "notes": (*prepared.recipe.notes, *([said] if said else []))}
    )
    if into_folder:
        assert isinstance(prepared, PreparedSynthesis)
        written = write_folder(target, prepared, report, overwrite=overwrite, record=made if write_recipe else None)
        if written.kept:
            count = f"{len(written.kept)} of {len(written.kept) + len(written.done)}"
            notes.append(f"{count} images were there already, made with the same settings.")
        return Outcome(target, tuple(notes), prepared.dtype_choice, made)
    record = target.with_name(target.name + RECIPE_SUFFIX)

    def with_verdict(pixels: Any) -> Recipe:
        return made.model_copy(update={"verdict": judged(prepared, pixels)})

    with _recorded(record, write_recipe) as write_record:
        if image_suffix(target) in ZARR_SUFFIXES and not is_repair:
            with create_ome_zarr(
                target,
                result,
                blocks=prepared.chunks,
                overwrite=overwrite,
                cancel=report.cancel,
                first=lambda: write_record(made),
                resume=Resume(token_of(prepared.recipe, prepared), keeps=bool(batch)),
            ) as out:
                (write or write_units)(prepared, out, report)
                made = with_verdict(da.from_array(out, chunks=out.chunks))
        else:
            check_place(target, 0 if image_suffix(target) == ".png" else result.n_pixels * result.dtype.itemsize)
            if beside is not None and isinstance(prepared, PreparedSynthesis):
                pixels, planes = prepared.pairs(report)
                labels = prepared.labels_image(planes)
                labels = labels.select(**{prepared.stack_axis: 0}) if len(planes) == 1 else labels
                write_image(beside, labels, overwrite=overwrite)
                notes.append(f"The labels are in {beside.name}.")
            else:
                pixels = prepared.compute(report=report)
            made = with_verdict(pixels)
            if is_repair:
                _check_same(target, pixels)
                write_record(made)
                if write_recipe:
                    notes.append(f"{target.name} was there without its recipe, which is written now.")
            else:
                write_image(target, alone(prepared, pixels), overwrite=overwrite, first=lambda: write_record(made))
    if made.verdict is not None:
        notes += made.verdict.sentences
    return Outcome(target, tuple(notes), prepared.dtype_choice, made)


def prepare_job(
    job: Job,
    recipe: Recipe,
    options: RunOptions,
    report: Reporter,
    *,
    axes: str | None = None,
    series: Series = None,
    masked: Masked = AS_IN_RECIPE,
    drawn: Drawn = AS_RECORDED,
    referenced: Referenced = NO_REFERENCE,
    yardstick: Image | None = None,
) -> PreparedRun:
    """Read an image and let the method of a recipe look at it; nothing is made or written yet.

    Parameters
    ----------
    job, recipe, options, report, axes, series, masked, drawn, referenced, yardstick
        As for `run_job`.

    Raises
    ------
    SynthError
        One of its subclasses.
    """
    from napari_synth.engine import door
    from napari_synth.engine.prepared import Inputs

    method = registry.of_recipe(recipe)
    image = None if job.source is None else _read(job.source, axes, series, recipe, method)
    if image is not None and job.source is not None:
        image = masked.applied(image, recipe, job.source)
        if method.info.channels == "mapped" and not method.makes_many:
            # What the format cannot hold is told before minutes of work.
            _fitting(job, image)
    region = None if job.source is None else drawn.of(job.source)
    if image is not None and isinstance(method, Chain):
        references = referenced.of_steps(method.steps, recipe, image)
        inputs = Inputs(image, references=references, region=region, yardstick=yardstick)
    else:
        reference = None if image is None else referenced.of(image)
        inputs = Inputs(image, reference, region=region, yardstick=yardstick)
    return door.open(method, recipe, inputs, options, report)


def made_before(
    job: Job, recipe: Recipe, batch: str, axes: str | None, series: Series
) -> tuple[Path, Recipe, bool] | None:
    """Return what a batch made of an image before it was stopped, by the record beside it.

    Parameters
    ----------
    job : Job
    recipe : Recipe
    batch : str
        Hash of the settings of the batch.
    axes, series
        As for `run_job`.

    Returns
    -------
    (target, record, is_same) : tuple of pathlib.Path, Recipe and bool, or None
        Whether it was made of the image as it is now; None where no such result is there.
    """
    plain = job.target.name.removesuffix(image_suffix(job.target))
    for name in dict.fromkeys((job.target.name, f"{plain}.ome.tif", f"{plain}.ome.zarr")):
        target = job.target.with_name(name)
        beside = target.with_name(name + RECIPE_SUFFIX)
        if not (target.exists() and beside.is_file()):
            continue
        try:
            record = Recipe.from_file(beside)
        except RecipeError:
            continue
        if record.batch != batch:
            continue
        if job.source is None:
            return target, record, True
        seen = Source.of(_read(job.source, axes, series, recipe, registry.of_recipe(recipe)))
        return target, record, record.source is not None and record.source.fingerprint == seen.fingerprint
    return None


def _read(path: Path, axes: str | None, series: Series, recipe: Recipe, method: Method[Any]) -> Image:
    """Read an image with the axes that are said, those of its file, those of the recipe, or those that a method guesses."""
    image = read_image(path, axes, series=series)
    if axes is not None:
        return image
    image = with_axes_of_recipe(image, path, recipe.axes)
    guessed = method.guess_axes(image.shape)
    return image if guessed is None or "T" in image.axes or names_its_axes(path) else replace(image, axes=guessed)


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
def _recorded(path: Path, wanted: bool) -> Iterator[Callable[[Recipe], None]]:
    """Give what writes the record of a run; it is withdrawn where the run fails after that.

    Parameters
    ----------
    path : Path
        Of the record.
    wanted : bool
        Whether a record is written at all.
    """
    is_new = not path.exists()

    def write(recipe: Recipe) -> None:
        if wanted:
            with replacing(path, overwrite=True) as part:
                part.write_text(recipe.to_yaml(), encoding="utf-8")

    try:
        yield write
    except BaseException:
        if wanted and is_new:
            path.unlink(missing_ok=True)
        raise


def _lacks_its_recipe(job: Job, overwrite: bool, repairs: bool) -> bool:
    """Return whether the result of an image of a batch is there already, but for its recipe."""
    target = job.target
    record = target.with_name(target.name + RECIPE_SUFFIX)
    return repairs and not overwrite and not job.is_named and target.exists() and not record.exists()


def _check_same(target: Path, pixels: npt.NDArray[Any]) -> None:
    """Raise `ImageFileError` unless a file holds these pixels: it is somebody else's then."""
    if not np.array_equal(read_image(target).read(), pixels, equal_nan=pixels.dtype.kind == "f"):
        raise ImageFileError(f"{str(target)!r} exists already: choose another name, or add --overwrite.")


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
    return stem + (".png" if suffix in PICTURE_SUFFIXES else ".ome.tif")
