"""The units of one large result, shared among the workers of a cluster.

The run that was prepared here is written once beside the store that is under way; each worker loads it, so that nothing is
measured twice and all units are made alike. Images are opened by their paths there. A unit has one writer, is begun and marked in
files as in a single process, and a worker that is killed costs only its unit: the scheduler gives it to another one. Whoever stops
takes the file of the run away, which the workers see within a block.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.batches.units import Unit, units_of, write_units
from napari_synth.core.errors import Cancelled, GeneratorError, ImageFileError, SynthError
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.engine.block_run import BlockRun
from napari_synth.engine.prepared import PreparedRun
from napari_synth.files import OmeZarrTarget

RUN = "run"
"""The name of the file of the run, in the folder of what is under way."""
_WINDOW = 4
_FEWEST_WAITING = 16
_PATIENCE = 0.5
_GRACE = 30


@dataclass(frozen=True)
class SharedRun:
    """A prepared run in a file, and the store that it writes into.

    Attributes
    ----------
    path : pathlib.Path
    hash : str
        SHA-256 of its content.
    axes : str
        Of the result.
    """

    path: Path
    hash: str
    axes: str


def write_units_in_workers(run: PreparedRun, target: OmeZarrTarget, report: Reporter, *, client: Any) -> None:
    """Make a result unit by unit in workers, but for the units that an earlier process has made.

    Parameters
    ----------
    run : PreparedRun
        One that makes no blocks is made in this process.
    target : OmeZarrTarget
    report : Reporter
        Told of every unit; a cancel takes effect within a block.
    client : distributed.Client

    Raises
    ------
    GeneratorError
        All workers that took up a unit were lost.
    SynthError
        Whatever a single process would raise.
    """
    if not isinstance(run, BlockRun) or target.found is None:
        write_units(run, target, report)
        return
    units = units_of(run, target.chunks)
    left = [unit for unit in units if not target.has_unit(unit.index)]
    report.start("Restoring", len(units))
    if left:
        report.advance(len(units) - len(left))
        folder = target.found.folder.absolute()
        shared = share(run, folder / RUN)
        try:
            for _ in _done_in_workers(shared, left, report, client):
                report.advance()
        finally:
            shared.path.unlink(missing_ok=True)
    for unit in units:
        if not target.has_unit(unit.index, deep=False):
            raise ImageFileError("Another program changed the result while it was written: run it again.")


def _done_in_workers(shared: SharedRun, units: Sequence[Unit], report: Reporter, client: Any) -> Iterator[Unit]:
    """Hand units out, some more than there are workers at a time, and yield each that is done."""
    from distributed import wait

    waiting, tasks, watch = list(reversed(units)), dict[Any, Unit](), WorkerWatch(client)
    try:
        while waiting or tasks:
            watch.check()
            most = max(_FEWEST_WAITING, _WINDOW * len(client.scheduler_info()["workers"]))
            while waiting and len(tasks) < most:
                unit = waiting.pop()
                tasks[client.submit(do_unit, shared, unit, pure=False, retries=0)] = unit
            report.cancel.check()
            try:
                ended = wait(list(tasks), timeout=_PATIENCE, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for task in ended:
                unit = tasks.pop(task)
                _check(task)
                yield unit
    finally:
        if tasks:
            # Workers stop within a block once the file of the run is gone; nobody may write when the folder is removed.
            # They are waited for before their units are given up: what was given up counts as ended while it still runs.
            shared.path.unlink(missing_ok=True)
            with suppress(Exception):
                wait(list(tasks), timeout=_GRACE)
            client.cancel(list(tasks))


class WorkerWatch:
    """Notices when all workers of a cluster on this machine are lost for good, since nothing would ever end then.

    Those of a cluster elsewhere may wait in a queue for hours.

    Parameters
    ----------
    client : distributed.Client
    patience : float
        Seconds without any worker.
    """

    def __init__(self, client: Any, patience: float = 120.0) -> None:
        self._client, self._patience = client, patience
        self._is_ours = type(getattr(client, "cluster", None)).__name__ == "LocalCluster"
        self._since: float | None = None

    def check(self) -> None:
        """Raise `GeneratorError` where there was no worker for too long."""
        if not self._is_ours or self._client.scheduler_info()["workers"]:
            self._since = None
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > self._patience:
            raise GeneratorError(
                "All workers were lost: run it again, which goes on there, with fewer workers where memory is short."
            )


def _check(task: Any) -> None:
    """Raise what a unit has failed with."""
    if task.status == "finished":
        return
    error = task.exception()
    if isinstance(error, SynthError):
        raise error
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    raise GeneratorError(
        f"The workers of a block were lost ({cause}): run it again, which goes on there, with fewer workers where memory is short."
    )


# In a worker

_loaded: dict[str, BlockRun] = {}


def do_unit(shared: SharedRun, unit: Unit) -> None:
    """Make a unit and mark it as done.

    Parameters
    ----------
    shared : SharedRun
    unit : Unit

    Raises
    ------
    Cancelled
        The file of the run was taken away.
    """
    run, token = _run_of(shared), _WhileThere(shared.path)
    target = OmeZarrTarget.under_way(shared.path.parent, shared.axes)

    def make() -> Any:
        pixels = run.compute(region=unit.region, report=Reporter(cancel=token))
        token.check()
        return pixels

    target.write_unit(unit.index, make)


def _run_of(shared: SharedRun) -> BlockRun:
    """Return the run, which is loaded once a worker."""
    if shared.hash not in _loaded:
        try:
            content = shared.path.read_bytes()
        except FileNotFoundError as error:
            raise Cancelled("The run was cancelled: nothing was changed.") from error
        if hashlib.sha256(content).hexdigest() != shared.hash:
            raise ImageFileError("The file of the run was changed by another program: run it again.")
        _loaded.clear()
        # What this hash has is what the process that asks has written.
        _loaded[shared.hash] = pickle.loads(content)
    return _loaded[shared.hash]


class _WhileThere(CancelToken):
    """A wish to stop that is a file which is gone."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    @property
    def is_cancelled(self) -> bool:
        """Whether the file was taken away."""
        return not self._path.exists()


def share(run: BlockRun, path: Path) -> SharedRun:
    """Write a prepared run into a file from which workers load it.

    Parameters
    ----------
    run : BlockRun
    path : pathlib.Path
    """
    buffer = io.BytesIO()
    # What was worked out of the run meanwhile is left behind.
    _pickler()(buffer).dump(replace(run))
    content = buffer.getvalue()
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return SharedRun(path, hashlib.sha256(content).hexdigest(), run.axes)


def _pickler() -> Any:
    """Return what pickles functions that are made in functions, and mapped files by their names."""
    from cloudpickle import Pickler

    class ByPath(Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, np.memmap) and (found := _mapped(value)) is not None:
                return _open_map, found
            return super().reducer_override(value)

    return ByPath


Mapped = tuple[str, int, int, int, tuple[int, ...], tuple[int, ...], str]


def _mapped(array: np.memmap[Any, Any]) -> Mapped | None:
    """Return where the pixels of a mapped file lie: its name, start and length, and offset, shape, steps and dtype therein."""
    root: Any = array
    while isinstance(root.base, np.memmap):
        root = root.base
    if root.filename is None:
        return None
    shift = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return str(root.filename), int(root.offset), root.nbytes, shift, array.shape, array.strides, array.dtype.str


def _open_map(
    name: str, start: int, length: int, shift: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str
) -> npt.NDArray[Any]:
    """Return the same part of a mapped file."""
    whole = np.memmap(name, np.uint8, "r", start, (length,))
    return np.ndarray.__new__(np.memmap, shape, np.dtype(dtype), whole, shift, strides)
