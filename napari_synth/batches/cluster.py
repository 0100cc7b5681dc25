"""The jobs of a batch in several processes, on this machine or on a cluster, through dask.distributed.

The scheduler is trusted with nothing: what is done is in files. A worker that is lost has its job done again by another one, up to
`ALLOWED_FAILURES` times, since clusters lose workers for many reasons that have nothing to do with the job.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from napari_synth.batches.manifest import JobRecord, Manifest, Status
from napari_synth.batches.planning import Planned
from napari_synth.batches.settings import Settings
from napari_synth.batches.spreading import write_units_in_workers
from napari_synth.batches.work import do_job
from napari_synth.core.arguments import whole
from napari_synth.core.errors import GeneratorError, InvalidParameterError, MissingExtraError
from napari_synth.core.progress import Reporter
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.core.texts import TextError, read_yaml
from napari_synth.files import ZARR_SUFFIXES, image_suffix

T = TypeVar("T")

ALLOWED_FAILURES = 10
_MOST_WORKERS = 1024
_PATIENCE = 0.5
_MODULES = ("dask_jobqueue", "distributed")


def do_in_workers(
    items: list[Planned],
    settings: Settings,
    manifest: Manifest,
    dtype: DtypeChoice,
    keep: Callable[[JobRecord], None],
    report: Reporter,
    *,
    workers: int,
    dask: str | None,
) -> None:
    """Do jobs in workers, and keep the record of each as it ends.

    Parameters
    ----------
    items : list of Planned
    settings : Settings
    manifest : Manifest
        Which calls the files; only this process writes it, through ``keep``.
    dtype : str
        What was decided of the results' dtype.
    keep : callable
        Called in this thread with each record.
    report : Reporter
        Told of the jobs that are done; its cancel stops the workers.
    workers : int
    dask : str or None
        See `napari_synth.batches.run.run_batch`.

    Raises
    ------
    MissingExtraError
        The extra ``cluster`` is not installed.
    InvalidParameterError
        There is no such cluster.
    Cancelled
        The user wishes to stop.
    """
    with client_of(workers, dask) as client:
        here = [_anywhere(item) for item in items]
        # With fewer images than workers, the blocks of a large result are shared among these.
        few = len(here) < max(workers, len(client.scheduler_info()["workers"]))
        shared = [item for item in here if few and image_suffix(item.job.target) in ZARR_SUFFIXES]
        alone = [item for item in here if item not in shared]
        tasks = {client.submit(_do, item, settings, manifest, dtype, pure=False, retries=0): item for item in alone}
        for item in shared:
            keep(do_job(item, settings, manifest, dtype, report, partial(write_units_in_workers, client=client)))
        report.start("Working on images", len(items))
        report.advance(len(shared))
        for task, item in results_of(tasks, report):
            keep(_record_of(task, item, settings, manifest))
            report.advance()


def results_of(tasks: Mapping[Any, T], report: Reporter) -> Iterator[tuple[Any, T]]:
    """Yield tasks of a cluster as they end, each with what it was for.

    Parameters
    ----------
    tasks : mapping of distributed.Future to object
    report : Reporter
        Whose cancel is heeded while nothing ends.

    Raises
    ------
    Cancelled
        The user wishes to stop.
    """
    from distributed import wait

    waiting = set(tasks)
    while waiting:
        try:
            ended, waiting = wait(waiting, timeout=_PATIENCE, return_when="FIRST_COMPLETED")
        except TimeoutError:
            report.cancel.check()
            continue
        for task in ended:
            yield task, tasks[task]


def _anywhere(item: Planned) -> Planned:
    """Return a job whose paths do not depend on the folder in which a worker was started."""
    job = item.job
    source = None if job.source is None else job.source.absolute()
    return replace(item, job=replace(job, source=source, target=job.target.absolute()))


@contextmanager
def client_of(workers: int, dask: str | None) -> Iterator[Any]:
    """Give a client of a cluster: one on this machine, one that is there, or one that a file describes.

    Parameters
    ----------
    workers : int
        Of a cluster on this machine.
    dask : str or None
        An address such as ``"tcp://node7:8786"``, or a YAML file with ``class`` (``dask_jobqueue.SLURMCluster`` or another of
        dask_jobqueue or distributed), ``jobs`` and the arguments of the class under ``args``.

    Raises
    ------
    MissingExtraError
        The extra ``cluster`` is not installed.
    InvalidParameterError
        There is no such cluster.
    """
    try:
        import dask as dask_itself
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError.of("cluster", "Several workers", error) from error
    count = whole("The number of workers", workers, 1, _MOST_WORKERS)
    # Threads of arithmetic are shared out; each worker does one job at a time.
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with dask_itself.config.set(
        {
            "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
            "distributed.nanny.pre-spawn-environ": environment,
            "distributed.worker.memory.terminate": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.target": False,
        }
    ):
        if dask is None:
            cluster: Any = _local(count)
        elif Path(dask).suffix in {".yaml", ".yml"}:
            cluster = _described(Path(dask))
        else:
            cluster = None
        try:
            client = Client(cluster if cluster is not None else dask, timeout=30)
        except (OSError, ValueError, TimeoutError) as error:
            raise InvalidParameterError(
                f"There is no scheduler at {dask!r} ({error}): start one with dask scheduler, or name a YAML file."
            ) from error
        try:
            yield client
        finally:
            client.close()
            if cluster is not None:
                cluster.close()


def _local(count: int) -> Any:
    """Return a cluster of processes on this machine."""
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            # Any free port: two batches may run at once.
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        )
    except (RuntimeError, OSError, TimeoutError) as error:
        cause = " ".join(str(error).split())
        raise GeneratorError(
            f"{count} workers could not be started ({cause}): run it again, with fewer of them where memory is short."
        ) from error


def _described(path: Path) -> Any:
    """Return the cluster that a file describes, with its jobs asked for."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameterError(f"The cluster file {str(path)!r} cannot be read: check the name.") from error
    except TextError as error:
        raise InvalidParameterError(f"The cluster file {str(path)!r} is no YAML: {error}.") from error
    known = isinstance(content, dict) and isinstance(content.get("class"), str)
    module, _, name = str(content["class"]).rpartition(".") if known else ("", "", "")
    if module not in _MODULES or not name.endswith("Cluster"):
        raise InvalidParameterError(
            f"The cluster file {str(path)!r} names no cluster: give a class such as dask_jobqueue.SLURMCluster,"
            " the number of jobs, and args."
        )
    try:
        cluster = getattr(importlib.import_module(module), name)(**content.get("args", {}))
        if jobs := content.get("jobs"):
            cluster.scale(jobs=whole("The number of jobs", jobs, 1, _MOST_WORKERS)) if module == _MODULES[0] else (
                cluster.scale(whole("The number of jobs", jobs, 1, _MOST_WORKERS))
            )
    except InvalidParameterError:
        raise
    except Exception as error:
        raise InvalidParameterError(
            f"The cluster of {str(path)!r} cannot be started ({type(error).__name__}: {error}): check its args."
        ) from error
    return cluster


def _do(item: Planned, settings: Settings, manifest: Manifest, dtype: DtypeChoice) -> JobRecord:
    """Do a job in a worker."""
    return do_job(item, _with_own_device(settings), manifest, dtype)


def _with_own_device(settings: Settings) -> Settings:
    """Return the settings with a GPU of the worker's own, where the device is left to us and there are several."""
    import torch
    from distributed import get_worker

    name = str(get_worker().name)
    count = torch.cuda.device_count() if settings.options.device == "auto" and torch.cuda.is_available() else 0
    if count < 2 or not name.isdecimal():
        return settings
    recipe = settings.recipe.model_copy(update={"device": f"cuda:{int(name) % count}"})
    return replace(settings, recipe=recipe)


def _record_of(task: Any, item: Planned, settings: Settings, manifest: Manifest) -> JobRecord:
    """Return what a worker says of its job, or that it was lost with each of its workers."""
    if task.status == "finished":
        record: JobRecord = task.result()
        return record
    error = task.exception()
    return JobRecord(
        source="" if item.job.source is None else manifest.name_of(item.job.source),
        target=manifest.name_of(item.job.target),
        status=Status.FAILED,
        recipe=settings.hash,
        error=f"Its workers were lost ({' '.join(str(error).split())}): run it again, with fewer workers where memory is short.",
    )
