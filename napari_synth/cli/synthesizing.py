"""The command ``synthesize``: new images from a model of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console

from napari_synth import registry
from napari_synth.cli.jobs import RECIPE_SUFFIX, recorded
from napari_synth.cli.options import with_settings
from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say
from napari_synth.contract.generator import Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.synthesis_run import PreparedSynthesis, prepare_synthesis
from napari_synth.files import (
    WRITABLE_SUFFIXES,
    ZARR_SUFFIXES,
    check_format,
    check_place,
    create_ome_zarr,
    image_suffix,
    is_zarr,
    parse_series,
    read_image,
    write_image,
)
from napari_synth.imaging.image import Image, Origin

SENTENCE = "Make new images that look like those that a model was trained on."

Model = Annotated[str, Parameter(name="MODEL", help="The name of a model of your library, or a model file.")]
Target = Annotated[
    Path,
    Parameter(name="OUT", help="One file for all (.ome.tif, .tif, .zarr, .npy), or a folder for one file each."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Making:
    """How images are made, and where they go."""

    source: str | None = None
    "The image or the labels that some methods need."
    axes: str | None = None
    "Roles of the dimensions of the source, e.g. ZYX, where the file does not say."
    series: str | None = None
    "Which image of a source file that holds several, counted from 0, or all; the first where left out."
    seed: int = 0
    "The same seed gives the same images; the first ones are the same however many are made."
    device: str = "auto"
    "auto, cpu, cuda, cuda:1 or mps."
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    "Of the network's arithmetic."
    overwrite: Annotated[bool, Parameter(negative=())] = False
    "Replace what is there already."
    recipe: bool = True
    "Write the record of the run beside the images, as OUT.recipe.yaml."
    progress: bool | None = None
    "Show the progress on stderr; on a terminal where left out."
    quiet: Annotated[bool, Parameter(negative=())] = False
    "Say nothing but errors."


def add_command(app: App, words: Sequence[str]) -> None:
    """Add the command with the options of the model that the words name; without one it lists the models."""
    named = next((word for word in words[1:2] if words[:1] == ["synthesize"] and not word.startswith("-")), None)
    app.command(_list if named is None else _command(named), name="synthesize", help=SENTENCE)


def make(recipe: Recipe, target: Path, how: Making) -> int:
    """Make the images of a recipe, and write them.

    Parameters
    ----------
    recipe : Recipe
    target : Path
        Where the images are written.
    how : Making
    """
    errors = Console(stderr=True, quiet=how.quiet, force_terminal=True if how.progress else None)
    shown = not how.quiet and (errors.is_terminal if how.progress is None else how.progress)
    source = None if how.source is None else read_image(how.source, how.axes, series=parse_series(how.series))
    with cancel_on_interrupt() as token, progress_bar(errors, shown) as progress:
        prepared = prepare_synthesis(
            recipe.generator,
            recipe.params,
            source=source,
            device=recipe.device,
            precision=recipe.precision,
            seed=recipe.seed,
            progress=progress,
            cancel=token,
        )
        _write(prepared, target, how, progress, token, None if source is None else source.origin)
    for note in () if source is None else source.notes:
        say(errors, note)
    if (difference := recipe.differing_weights(prepared.recipe)) is not None:
        say(errors, difference)
    for note in prepared.notes:
        say(errors, note)
    say(errors, f"Wrote {target}.")
    return 0


def _list() -> int:
    """List what can make images."""
    console = Console()
    for found in registry.listed(Synthesizer, Task.SYNTHESIZE):
        needed = {"nothing": "", "image": " --source IMAGE", "labels": " --source LABELS"}[found.needs]
        say(console, f"{found.info.name}{needed}: {found.info.summary}")
    say(console, "Train one: napari-synth train. Each has settings of its own: napari-synth synthesize MODEL --help.")
    return 0


def _command(named: str) -> Callable[..., int]:
    from napari_synth.verbs import identifier_of

    chosen: Synthesizer[Any] = registry.found(Synthesizer, identifier_of(named))

    def command(model: Model, target: Target, /, *, how: Making = Making(), params: Mapping[str, Any]) -> int:
        recipe = Recipe(
            generator=chosen.info.id,
            params=dict(params),
            seed=how.seed,
            device=how.device,
            precision=how.precision,
        )
        return make(recipe, target, how)

    return with_settings(command, chosen)


def _write(
    prepared: PreparedSynthesis,
    target: Path,
    how: Making,
    progress: ProgressCallback | None,
    cancel: CancelToken,
    origin: Origin | None,
) -> None:
    """Write all images into one file, or each into a file of a folder; nothing where the source has changed meanwhile."""
    result = replace(prepared.image(np.broadcast_to(np.zeros((), prepared.spec.dtype), prepared.shape)), origin=origin)
    suffix = image_suffix(target)
    if target.is_dir() and not is_zarr(target):
        suffix = ""
    if not suffix:
        images = _each(replace(result, data=prepared.compute(progress=progress, cancel=cancel)))
        _write_folder(target, images, how)
        with recorded(target / f"images{RECIPE_SUFFIX}", prepared.recipe, how.recipe) as write_record:
            write_record()
        return
    if target.parent.is_dir():
        check_place(target)
    with recorded(target.with_name(target.name + RECIPE_SUFFIX), prepared.recipe, how.recipe) as write_record:
        if suffix in ZARR_SUFFIXES:
            check_format(target, result)
            with create_ome_zarr(target, result, overwrite=how.overwrite, cancel=cancel, first=write_record) as out:
                prepared.compute(out=out, progress=progress, cancel=cancel)
        else:
            check_format(target, _each(result)[0] if len(result.data) == 1 else result)
            made = replace(result, data=prepared.compute(progress=progress, cancel=cancel))
            image = _each(made)[0] if len(made.data) == 1 else made
            write_image(target, image, overwrite=how.overwrite, first=write_record)


def _each(stack: Image) -> list[Image]:
    """Return the images of a stack."""
    return [stack.select(**{stack.axes[0]: index}) for index in range(stack.shape[0])]


def _write_folder(folder: Path, images: Sequence[Image], how: Making) -> None:
    """Write each image into a file: PNG where that holds it without loss, else TIFF."""
    if folder.exists() and not folder.is_dir():
        raise ImageFileError(
            f"{str(folder)!r} is a file: name a folder, or a file that ends in one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageFileError(f"The folder {str(folder)!r} cannot be made: {error.strerror}.") from error
    suffix = ".png"
    try:
        check_format(folder / "image.png", images[0])
    except ImageFileError:
        suffix = ".ome.tif"
    digits = max(4, len(str(len(images))))
    for number, image in enumerate(images, 1):
        write_image(folder / f"{number:0{digits}d}{suffix}", image, overwrite=how.overwrite)


def make_again(recipe: Recipe, source: str, target: Path | None, how: Making) -> int:
    """Make the images of a recipe again, where a run needs none or one source.

    Parameters
    ----------
    recipe : Recipe
    source : str
        The source; the target where the recipe needs no source.
    target : Path or None
        Where the images are written, where there is a source.
    how : Making

    Raises
    ------
    RecipeError
        The source is missing or not wanted.
    """
    needs = registry.found(Synthesizer, recipe.generator).needs
    if needs == "nothing" and target is not None:
        raise RecipeError("This recipe makes images of random numbers alone: give the recipe and OUT.")
    if needs != "nothing" and target is None:
        raise RecipeError(f"This recipe needs {needs}: give the recipe, IN and OUT.")
    return make(
        recipe, Path(source) if target is None else target, replace(how, source=None if target is None else source)
    )
