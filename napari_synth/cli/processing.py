"""Runs a recipe on the images of a command, and tells what comes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from napari_synth.batches.inputs import AS_IN_RECIPE, AS_RECORDED, NO_REFERENCE, Drawn, Masked, Referenced
from napari_synth.batches.jobs import Job, run_job
from napari_synth.batches.manifest import BatchReport, JobRecord, Manifest, Status
from napari_synth.batches.planning import Planned, Shard, as_table, plan
from napari_synth.batches.run import plan_batch, run_batch
from napari_synth.batches.settings import Settings
from napari_synth.batches.yardstick import ALL, joint_yardstick
from napari_synth.cli.options import ONE_BY_ONE, Many, Output
from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say
from napari_synth.core.errors import Cancelled, InvalidParameterError
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import parse_series

SKIPPED = 1


def process(
    jobs: list[Job],
    folder: Path | None,
    recipe: Recipe,
    output: Output,
    axes: str | None = None,
    series: str | None = None,
    masked: Masked = AS_IN_RECIPE,
    referenced: Referenced = NO_REFERENCE,
    many: Many = ONE_BY_ONE,
    drawn: Drawn = AS_RECORDED,
) -> int:
    """Run a recipe on one image, or on many: there a bad one is told of and skipped, and what is done stays done.

    Parameters
    ----------
    jobs : list of Job
    folder : pathlib.Path or None
        Of the results of a batch, the images of a folder or a pattern; None where there is one image.
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
    many : Many
        How the images of a batch are gone through.
    drawn : Drawn
        What runs are limited to, where that was drawn.

    Returns
    -------
    int
        0, or `SKIPPED` where images of a batch were.

    Raises
    ------
    SynthError
        One of its subclasses, for what is wrong with every image.
    """
    settings = Settings(
        recipe,
        axes,
        parse_series(series),
        masked,
        referenced,
        None if many.measure_on in (None, ALL) else Path(str(many.measure_on)),
        _bytes(output.memory_budget),
        output.overwrite,
        output.recipe,
        drawn,
    )
    with cancel_on_interrupt() as token:
        settings.check()
        errors = Console(stderr=True, quiet=output.quiet, force_terminal=True if output.progress else None)
        shown = not output.quiet and (errors.is_terminal if output.progress is None else output.progress)
        if folder is None:
            return _one(jobs[0], settings, many, errors, shown, token)
        shard = None if many.shard is None else Shard.parse(many.shard)
        with progress_bar(errors, shown) as draw:
            report = Reporter(draw, token)
            if many.measure_on == ALL:
                settings = replace(
                    settings, measure_on=joint_yardstick(jobs, settings, folder, report, dry=many.dry_run)
                )
            if many.dry_run:
                return _dry(plan_batch(jobs, settings, folder, shard), errors)
            told = _Told(errors, folder)
            try:
                found = run_batch(
                    jobs,
                    settings,
                    folder,
                    shard=shard,
                    workers=many.workers,
                    dask=many.dask,
                    report=report,
                    tell=told,
                )
            except Cancelled:
                say(errors, f"{told.done} of {len(jobs)} images were done before.")
                raise
        return summarised(found, errors)


def say_plan(jobs: list[Job], settings: Settings, folder: Path, *, as_json: bool) -> int:
    """Say which jobs of a batch are left to do, in words or as JSON.

    Parameters
    ----------
    jobs : list of Job
    settings : Settings
    folder : pathlib.Path
        Of the results.
    as_json : bool
    """
    planned = plan_batch(jobs, settings, folder)
    if not as_json:
        return _dry(planned, Console())
    # Whoever reads this is a program: no line is folded.
    Console(soft_wrap=True).print_json(json.dumps(as_table(planned, settings, Manifest(folder))))
    return 0


def summarised(found: BatchReport, errors: Console) -> int:
    """Say how many images are done and name those that failed; return the exit code."""
    kept = f", {len(found.kept)} of them by an earlier run" if found.kept and found.done else ""
    done, failed = len(found.done) + len(found.kept), len(found.failed)
    before = " by an earlier run" if found.kept and not found.done else ""
    say(errors, f"{done} of {done + failed} images are done{before}{kept}, {failed} skipped.")
    return SKIPPED if failed else 0


class _Told:
    """Says of each job what came of it, and counts."""

    def __init__(self, errors: Console, folder: Path) -> None:
        self.done = 0
        self._errors, self._manifest = errors, Manifest(folder)

    def __call__(self, record: JobRecord) -> None:
        if record.status == Status.FAILED:
            source = self._manifest.path_of(record.source) if record.source else record.target
            # Even where nothing else is told.
            say(Console(stderr=True), f"Skipped {source}: {record.error}")
            return
        self.done += 1
        for note in record.notes:
            say(self._errors, note)
        say(self._errors, f"Wrote {self._manifest.path_of(record.target)}.")


def _one(job: Job, settings: Settings, many: Many, errors: Console, shown: bool, token: CancelToken) -> int:
    """Do a single job, of which no manifest is kept."""
    unfit = [name for name in ("shard", "dask") if getattr(many, name) is not None]
    if unfit or many.measure_on == ALL:
        what = f"--{unfit[0]}" if unfit else "--measure-on all"
        raise InvalidParameterError(f"{what} is for many images: give a folder or a quoted pattern.")
    if many.dry_run:
        return _dry(plan([job], settings, Manifest(job.target.parent), {}), errors)
    with progress_bar(errors, shown) as draw:
        outcome = run_job(
            job,
            settings.recipe,
            settings.options,
            Reporter(draw, token),
            axes=settings.axes,
            series=settings.series,
            masked=settings.masked,
            drawn=settings.drawn,
            referenced=settings.referenced,
            yardstick=settings.yardstick,
            overwrite=settings.overwrite,
            write_recipe=settings.write_recipe,
        )
    for note in outcome.notes:
        say(errors, note)
    say(errors, f"Wrote {outcome.target}.")
    return 0


def _dry(planned: list[Planned], console: Console) -> int:
    """Say what would be done."""
    left = [item for item in planned if not item.is_done]
    for item in left:
        why = "" if item.reason == "new" else f" ({item.reason})"
        say(console, f"Would make {item.job.target} of {item.job.source}{why}.")
    say(console, f"{len(left)} of {len(planned)} images would be done, {len(planned) - len(left)} are done already.")
    return 0


def _bytes(gibibytes: float | None) -> int | None:
    """Return a memory budget in bytes."""
    if gibibytes is None:
        return None
    if not (math.isfinite(gibibytes) and gibibytes > 0):
        raise InvalidParameterError(
            f"A memory budget of {gibibytes:g} GiB cannot be: give a number above 0, or leave it out."
        )
    return max(1, int(gibibytes * 2**30))
