"""The commands around a batch: ``assess`` before it, ``plan`` and ``finish`` where a workflow engine starts its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from napari_synth.batches.jobs import plan_jobs
from napari_synth.batches.manifest import Manifest
from napari_synth.batches.settings import Settings
from napari_synth.batches.shards import finish as join_shards
from napari_synth.batches.table import assess_files, said_of_table
from napari_synth.cli.processing import SKIPPED, say_plan, summarised
from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say
from napari_synth.core.errors import ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import find_images, parse_series

PLAN = (
    "Say which images of a batch are left to do, as JSON for workflow engines on request; nothing is done."
    " In place of RECIPE, a task with its settings: plan denoise IN OUT --generator median --json."
)
ASSESS = "Measure the quality of images into a table: noise, focus, saturation, duplicates, and what is unusual."
FINISH = "Join what the shards of a batch remember into one manifest, once all of them are done."

RecipeFile = Annotated[Path, Parameter(name="RECIPE", help="What a run wrote beside its result, or the panel copied.")]
Source = Annotated[str, Parameter(name="IN", help="A folder, or a quoted pattern such as 'day*/*.tif'.")]
Target = Annotated[Path, Parameter(name="OUT", help="The folder of the results.")]


def plan(
    recipe: RecipeFile,
    source: Source,
    target: Target,
    /,
    *,
    json: Annotated[bool, Parameter(negative=(), help="Write the plan as JSON.")] = False,
) -> int:
    """Say which images of a batch are left to do.

    Parameters
    ----------
    recipe, source, target
        As for the command ``run``.
    json
        Whether the plan is written as JSON.
    """
    jobs, is_batch = plan_jobs(source, target)
    if not is_batch:
        raise ImageFileError("A plan is for many images: give a folder or a quoted pattern.")
    settings = Settings(Recipe.from_file(recipe))
    settings.check()
    return say_plan(jobs, settings, target, as_json=json)


def finish(target: Target, /) -> int:
    """Join the manifests of all shards."""
    found = join_shards(target)
    manifest = Manifest(target)
    for record in found.failed:
        say(Console(stderr=True), f"Skipped {manifest.path_of(record.source)}: {record.error}")
    return summarised(found, Console(stderr=True))


def assess(
    source: Annotated[str, Parameter(name="IN", help="An image, a folder, or a quoted pattern such as 'day*/*.tif'.")],
    table: Annotated[Path, Parameter(name="TABLE", help="What is written: a .csv, or a .parquet.")],
    /,
    *,
    axes: Annotated[
        str | None, Parameter(help="Roles of the dimensions, e.g. ZYX, where the files do not say.")
    ] = None,
    series: Annotated[str | None, Parameter(help="Which image of files that hold several, or all.")] = None,
    workers: Annotated[int, Parameter(help="Processes that work at once; more than one need the extra cluster.")] = 1,
    progress: Annotated[bool | None, Parameter(help="Show the progress; on a terminal where left out.")] = None,
    quiet: Annotated[bool, Parameter(negative=(), help="Say nothing but errors.")] = False,
) -> int:
    """Measure the quality of images.

    Parameters
    ----------
    source, table, axes, series, workers
        See `napari_synth.batches.table.assess_files`.
    progress, quiet
        What is told.
    """
    found, _ = find_images(source)
    errors = Console(stderr=True, quiet=quiet, force_terminal=True if progress else None)
    shown = not quiet and (errors.is_terminal if progress is None else progress)
    with cancel_on_interrupt() as token, progress_bar(errors, shown) as draw:
        rows = assess_files(
            found, table, axes=axes, series=parse_series(series), workers=workers, report=Reporter(draw, token)
        )
    bad = [row for row in rows if row["error"]]
    for row in bad:
        say(Console(stderr=True), f"Skipped {row['source']}: {row['error']}")
    for sentence in said_of_table(rows):
        say(errors, sentence)
    say(errors, f"Wrote {table}: {len(rows) - len(bad)} of {len(rows)} images are measured.")
    return SKIPPED if bad else 0
