"""Does what is left of a batch, one job after the other or in several processes, and remembers every job as it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_synth.batches.deciding import decide
from napari_synth.batches.jobs import Job, prepare_job
from napari_synth.batches.manifest import NAME, BatchReport, JobRecord, Manifest, Status, known_records, only_writer
from napari_synth.batches.planning import Planned, Shard, plan
from napari_synth.batches.settings import Settings
from napari_synth.batches.shards import begin
from napari_synth.batches.work import do_job, make_folder
from napari_synth.core.errors import Cancelled
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.prepared import PreparedRun
from napari_synth.files import clear_abandoned, clear_leftovers, image_suffix

Tell = Callable[[JobRecord], None]


def plan_batch(jobs: Sequence[Job], settings: Settings, folder: Path, shard: Shard | None = None) -> list[Planned]:
    """Say of the jobs of a batch, or of a shard of it, whether they are to be done; see `napari_synth.batches.planning.plan`."""
    manifest = Manifest(folder, NAME if shard is None else shard.manifest)
    return plan(jobs if shard is None else shard.of(jobs), settings, manifest, known_records(folder))


def run_batch(
    jobs: Sequence[Job],
    settings: Settings,
    folder: Path,
    *,
    shard: Shard | None = None,
    workers: int = 1,
    dask: str | None = None,
    report: Reporter | None = None,
    tell: Tell = lambda _: None,
) -> BatchReport:
    """Do the jobs of a batch that are not done yet; a bad one is remembered and skipped.

    Parameters
    ----------
    jobs : sequence of Job
        All of the batch.
    settings : Settings
    folder : pathlib.Path
        Of the results and of the manifest; it is made where it is not there.
    shard : Shard, optional
        The part of the jobs that is done; it has a manifest of its own, which `napari_synth.batches.shards.finish` joins.
    workers : int
        Processes; with more than one the extra ``cluster`` is needed.
    dask : str, optional
        The address of a scheduler of dask.distributed, or a YAML file that describes a cluster, see
        `napari_synth.batches.cluster`.
    report : Reporter, optional
        Told of the progress of jobs that are done in this process; its cancel stops the batch.
    tell : callable
        Called with the record of each job as it ends.

    Raises
    ------
    ImageFileError
        The folder cannot be made, or another run works in it.
    RecipeError
        The folder holds results of other settings.
    Cancelled
        The user wishes to stop: what is done is remembered.
    """
    told = report or Reporter()
    settings.check()
    make_folder(folder)
    manifest = Manifest(folder, NAME if shard is None else shard.manifest)
    with only_writer(manifest):
        planned = plan_batch(jobs, settings, folder, shard)
        left = [item for item in planned if not item.is_done]
        found = BatchReport(manifest.path, kept=[item.record for item in planned if item.is_done and item.record])
        _clear(jobs)
        if shard is not None:
            begin(manifest, shard, jobs, settings)
        several = shard is not None or workers > 1 or dask is not None
        settings = _agreed(jobs, settings, manifest, told) if left else settings
        decided = _decided(jobs, settings, folder, told, several=several) if left else settings.options.dtype

        def keep(record: JobRecord) -> None:
            manifest.append(record)
            (found.done if record.status == Status.DONE else found.failed).append(record)
            tell(record)

        if left and (workers > 1 or dask is not None):
            from napari_synth.batches.cluster import do_in_workers

            do_in_workers(left, settings, manifest, decided, keep, told, workers=workers, dask=dask)
        else:
            for item in left:
                record = do_job(item, settings, manifest, decided, told)
                # All images of a batch come back alike.
                if decided == "auto" and record.dtype:
                    decided = "float32" if record.dtype == "float32" else "source"
                keep(record)
    return found


def _clear(jobs: Sequence[Job]) -> None:
    """Remove what killed runs have left in the folders of a batch, but for what it goes on with itself."""
    wanted: dict[Path, list[Path]] = {}
    for job in jobs:
        plain = job.target.name.removesuffix(image_suffix(job.target))
        wanted.setdefault(job.target.parent, []).extend((job.target, job.target.with_name(f"{plain}.ome.zarr")))
    for place, results in wanted.items():
        clear_leftovers(place)
        clear_abandoned(place, results)


def _decided(jobs: Sequence[Job], settings: Settings, folder: Path, report: Reporter, *, several: bool) -> DtypeChoice:
    """Return what holds for the dtype of all results: what is asked for, what was decided before, or what the first image says.

    Where jobs are done in ``several`` processes, the first image of the batch that can be looked at decides before they begin.
    """
    if settings.options.dtype != "auto":
        return settings.options.dtype
    for record in known_records(folder).values():
        if record.status == Status.DONE and record.recipe == settings.hash and record.dtype:
            return "float32" if record.dtype == "float32" else "source"
    if not several:
        return "auto"
    for job in jobs:
        try:
            return _looked_at(job, settings, report).dtype_choice
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 - what is wrong with it is told when its turn comes
            continue
    return "auto"


def _looked_at(job: Job, settings: Settings, report: Reporter) -> PreparedRun:
    report.cancel.check()
    return prepare_job(
        job,
        settings.settled,
        settings.options,
        report,
        axes=settings.axes,
        series=settings.series,
        masked=settings.masked,
        drawn=settings.drawn,
        referenced=settings.referenced,
        yardstick=settings.yardstick,
    )


def _agreed(jobs: Sequence[Job], settings: Settings, manifest: Manifest, report: Reporter) -> Settings:
    """Return the settings with what holds for all images of the batch where it was left open."""
    done = [
        manifest.path_of(record.target)
        for record in known_records(manifest.folder).values()
        if record.status == Status.DONE and record.recipe == settings.hash
    ]
    decision = decide(
        jobs,
        settings.recipe,
        done,
        lambda job: _looked_at(job, settings, report).recipe,
        has_reference=settings.referenced.reference is not None,
    )
    return replace(settings, decision=decision)
