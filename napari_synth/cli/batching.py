"""The commands ``plan`` and ``finish``: a batch in parts that a workflow engine or a cluster starts one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from napari_synth.batches.jobs import plan_jobs
from napari_synth.batches.manifest import Manifest
from napari_synth.batches.settings import Settings
from napari_synth.batches.shards import finish as join_shards
from napari_synth.cli.processing import say_plan, summarised
from napari_synth.cli.progress import say
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.recipe import Recipe

PLAN = "Say which images of a batch are left to do, as JSON for workflow engines on request; nothing is done."
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
    """Say which images of a batch are left to do."""
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
