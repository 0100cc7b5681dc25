"""Which files a command works on, and the work on one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_synth.cli.axes import with_axes_of_recipe
from napari_synth.cli.frames import as_movie
from napari_synth.cli.masks import AS_IN_RECIPE, Masked
from napari_synth.cli.references import NO_REFERENCE, Referenced
from napari_synth.core import registry
from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.core.recipe import Recipe
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.files import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    check_format,
    create_ome_zarr,
    find_images,
    image_suffix,
    is_folder,
    is_zarr,
    read_image,
    replacing,
    write_image,
)

RECIPE_SUFFIX = ".recipe.yaml"


@dataclass(frozen=True)
class Job:
    """An image and where its result goes."""

    source: Path
    target: Path


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
    *,
    axes: str | None = None,
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

    A result that ends in ``.zarr``, or is larger than the memory budget, is written block by block as it is made; any other is
    judged against its source.

    Raises
    ------
    SynthError
        One of its subclasses; nothing is left of the result then.
    """
    from napari_synth.core.judging import verdicts
    from napari_synth.core.movies import PreparedMovie, prepare_again
    from napari_synth.core.runner import PreparedRun, prepare

    target = job.target
    _check_target(job.source, target, overwrite)
    image = read_image(job.source, axes)
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
        check_format(target, image)
        prepared = prepare_again(recipe, image, {}, **how)
    else:
        image = masked.applied(image, recipe, job.source)
        if registry.generator(recipe.generator).info.channels == "mapped":
            check_format(target, image)
        prepared = prepare(recipe.generator, image, recipe.params, reference=referenced.of(image), **how)
    check_format(target, prepared.result)
    notes = list(prepared.notes)
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        notes.append(difference)
    if prepared.needs_store and image_suffix(target) not in {".zarr", ".ome.zarr"}:
        target = target.with_name(target.name[: -len(image_suffix(target))] + ".ome.zarr")
        _check_target(job.source, target, overwrite)
        notes.append(f"The result is larger than the memory that a run may take: it is written to {target.name}.")
    result = prepared.result
    pixels = None
    if image_suffix(target) in {".zarr", ".ome.zarr"}:
        with create_ome_zarr(target, result, blocks=prepared.chunks, overwrite=overwrite, cancel=cancel) as out:
            prepared.compute(out=out, progress=progress, cancel=cancel)
    else:
        pixels = prepared.compute(progress=progress, cancel=cancel)
        write_image(target, replace(result, data=pixels), overwrite=overwrite)
    if write_recipe:
        with replacing(target.with_name(target.name + RECIPE_SUFFIX), overwrite=True) as part:
            part.write_text(prepared.recipe.to_yaml(), encoding="utf-8")
    if pixels is not None and isinstance(prepared, PreparedRun):
        notes += verdicts(prepared, pixels)
    return Outcome(target, tuple(notes), prepared.dtype_choice)


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
    return stem + (".png" if suffix in READABLE_SUFFIXES else ".ome.tif")
