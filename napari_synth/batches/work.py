"""Does one job of a batch, and says what is to be remembered of it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from napari_synth.batches.jobs import Outcome, Write, made_before, run_job
from napari_synth.batches.manifest import JobRecord, Manifest, Status
from napari_synth.batches.planning import Planned
from napari_synth.batches.settings import Settings
from napari_synth.batches.states import FileState, content_hash
from napari_synth.core.errors import Cancelled, ImageFileError, SynthError
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.files import read_image


def do_job(
    item: Planned,
    settings: Settings,
    manifest: Manifest,
    dtype: DtypeChoice,
    report: Reporter | None = None,
    write: Write | None = None,
) -> JobRecord:
    """Do a job and return what is to be remembered of it, whatever is wrong with its image.

    Parameters
    ----------
    item : Planned
    settings : Settings
    manifest : Manifest
        Which calls the files; nothing is written into it.
    dtype : str
        What was decided of the results' dtype.
    report : Reporter, optional
    write : callable, optional
        See `napari_synth.batches.jobs.run_job`.

    Raises
    ------
    Cancelled
        The user wishes to stop.
    """
    job, start = item.job, time.perf_counter()
    record = JobRecord(
        source="" if job.source is None else manifest.name_of(job.source),
        target=manifest.name_of(job.target),
        status=Status.FAILED,
        recipe=settings.hash,
    )
    try:
        if job.source is not None and (state := FileState.of(job.source)) is not None:
            record = replace(record, bytes=state.bytes, time=state.time)
        if job.source is not None and job.source.exists():
            record = replace(record, hash=content_hash(job.source))
        make_folder(job.target.parent)
        record = _with_outcome(record, _outcome(item, settings, manifest, dtype, report or Reporter(), write), manifest)
    except Cancelled:
        raise
    except SynthError as error:
        record = replace(record, error=str(error))
    except Exception as error:  # noqa: BLE001 - one image must not take the others away, whatever is wrong with it
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        record = replace(record, error=f"Something that was not foreseen went wrong ({cause}).")
    return replace(record, ended=datetime.now(UTC).isoformat(), seconds=round(time.perf_counter() - start, 3))


def make_folder(folder: Path) -> None:
    """Make a folder where it is not there; raises `ImageFileError` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageFileError(f"The folder {str(folder)!r} cannot be made: {error.strerror}.") from error


def _outcome(
    item: Planned,
    settings: Settings,
    manifest: Manifest,
    dtype: DtypeChoice,
    report: Reporter,
    write: Write | None,
) -> Outcome:
    """Return what comes of a job: what is there of it already, or what is made now."""
    job, overwrite = item.job, settings.overwrite or item.replaces
    if item.reason == "result changed" and item.record is not None and not settings.overwrite:
        _check_torn(manifest.path_of(item.record.target))
    elif not overwrite and job.source is not None:
        before = made_before(job, settings.recipe, settings.hash, settings.axes, settings.series)
        if before is not None and before[2]:
            target, made, _ = before
            said = () if made.verdict is None else made.verdict.sentences
            return Outcome(target, (*made.notes, *said), made.dtype, made)
        overwrite = before is not None
    return run_job(
        job,
        settings.settled,
        replace(settings.options, dtype=dtype),
        report,
        axes=settings.axes,
        series=settings.series,
        masked=settings.masked,
        drawn=settings.drawn,
        referenced=settings.referenced,
        yardstick=settings.yardstick,
        batch=settings.hash,
        said=settings.decision.said,
        resumes=manifest.path.exists(),
        overwrite=overwrite,
        write_recipe=settings.write_recipe,
        write=write,
    )


def _check_torn(target: Path) -> None:
    """Raise `ImageFileError` where a result is whole, though not as it was made: somebody changed it on purpose."""
    try:
        read_image(target).data[...]
    except SynthError:
        return
    except Exception:  # noqa: BLE001 - whatever a decoder says of a torn file
        return
    raise ImageFileError(
        f"{str(target)!r} was changed after the batch had made it: move it elsewhere, or allow to overwrite it."
    )


def _with_outcome(record: JobRecord, outcome: Outcome, manifest: Manifest) -> JobRecord:
    made = outcome.recipe
    noise = max((one for one in made.noise if one is not None), key=lambda one: one.sigma, default=None)
    state = FileState.of(outcome.target)
    return replace(
        record,
        target=manifest.name_of(outcome.target),
        status=Status.DONE,
        target_bytes=0 if state is None else state.bytes,
        device=made.device,
        dtype=outcome.dtype,
        noise=None if noise is None else noise.sigma,
        gain=None if noise is None else noise.gain,
        chi2=None if made.verdict is None or made.verdict.chi2 is None else float(f"{made.verdict.chi2:.6g}"),
        verdict="" if made.verdict is None else made.verdict.verdict,
        notes=outcome.notes,
    )
