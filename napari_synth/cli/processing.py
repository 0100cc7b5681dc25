"""Runs a recipe on the images of a command, and tells what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from napari_synth.cli.inputs import AS_IN_RECIPE, NO_REFERENCE, Masked, Referenced
from napari_synth.cli.jobs import Job, run_job
from napari_synth.cli.options import Output
from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say
from napari_synth.contract.generator import Method
from napari_synth.core.errors import Cancelled, ImageFileError, InvalidParameterError, SynthError
from napari_synth.core.progress import Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import clear_leftovers, parse_series
from napari_synth.registry import found

SKIPPED = 1


def process(
    jobs: list[Job],
    is_batch: bool,
    recipe: Recipe,
    output: Output,
    axes: str | None = None,
    series: str | None = None,
    masked: Masked = AS_IN_RECIPE,
    referenced: Referenced = NO_REFERENCE,
) -> int:
    """Run a recipe on one image, or on many: there a bad one is told of and skipped.

    Parameters
    ----------
    jobs : list of Job
    is_batch : bool
        Whether they are the images of a folder or a pattern.
    recipe : Recipe
    output : Output
    axes : str, optional
        What the user says of the images.
    series : str, optional
        Which of the images of each file: a number, or "all".
    masked : Masked
        What is filled.
    referenced : Referenced
        How results should look.

    Returns
    -------
    int
        0, or `SKIPPED` where images of a batch were.

    Raises
    ------
    SynthError
        One of its subclasses, for what is wrong with every image.
    """
    from napari_synth.core.device import resolve_device

    options = recipe.options(memory_budget=_bytes(output.memory_budget))
    with cancel_on_interrupt() as token:
        chosen = parse_series(series)
        # What is wrong with every image is better told once, and at once.
        found(Method, recipe.generator).params_type.parse(recipe.params)
        resolve_device(options.device, options.precision)
        masked.check(recipe)
        referenced.check()
        errors = Console(stderr=True, quiet=output.quiet, force_terminal=True if output.progress else None)
        shown = not output.quiet and (errors.is_terminal if output.progress is None else output.progress)

        decided = options.dtype

        def work(job: Job) -> None:
            nonlocal decided
            with progress_bar(errors, shown) as progress:
                outcome = run_job(
                    job,
                    recipe,
                    replace(options, dtype=decided),
                    Reporter(progress, token),
                    axes=axes,
                    series=chosen,
                    masked=masked,
                    referenced=referenced,
                    overwrite=output.overwrite,
                    write_recipe=output.recipe,
                )
            # All images of a batch come back alike.
            decided = outcome.dtype
            for note in outcome.notes:
                say(errors, note)
            say(errors, f"Wrote {outcome.target}.")

        if is_batch:
            return _batch(jobs, work, errors)
        work(jobs[0])
    return 0


def _batch(jobs: list[Job], work: Callable[[Job], None], errors: Console) -> int:
    """Do all jobs; tell of those that fail and go on."""
    done = skipped = 0
    for folder in {job.target.parent for job in jobs}:
        clear_leftovers(folder)
    for job in jobs:
        try:
            _make_folder(job.target.parent)
            work(job)
            done += 1
        except Cancelled:
            say(errors, f"{done} of {len(jobs)} images were done before.")
            raise
        except SynthError as error:
            skipped += 1
            say(Console(stderr=True), f"Skipped {job.source}: {error}")
        except Exception as error:  # noqa: BLE001 - one image must not take the others away, whatever is wrong with it
            skipped += 1
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            say(Console(stderr=True), f"Skipped {job.source}: something that was not foreseen went wrong ({cause}).")
    say(errors, f"{done} of {len(jobs)} images are done, {skipped} skipped.")
    return SKIPPED if skipped else 0


def _bytes(gibibytes: float | None) -> int | None:
    """Return a memory budget in bytes."""
    if gibibytes is None:
        return None
    if not (math.isfinite(gibibytes) and gibibytes > 0):
        raise InvalidParameterError(
            f"A memory budget of {gibibytes:g} GiB cannot be: give a number above 0, or leave it out."
        )
    return max(1, int(gibibytes * 2**30))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageFileError(f"The folder {str(folder)!r} cannot be made: {error.strerror}.") from error
