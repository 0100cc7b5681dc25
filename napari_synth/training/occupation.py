"""Sees to it that one training at a time writes into a folder and under a name, in all programs of this computer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_synth.core.errors import CheckpointError

FILE = ".training.lock"
"""In the folder of a run; the system gives it free where a program is killed, whether the file is there or not."""


class OccupiedError(CheckpointError):
    """Another training writes there."""


@contextmanager
def occupied(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, whose folder is made where it is missing.

    Parameters
    ----------
    path : Path
    what : str
        What it stands for, as the beginning of a sentence: ``"The folder runs/mine"``.

    Raises
    ------
    OccupiedError
        Another training holds it.
    CheckpointError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OccupiedError(
            f"{what} is taken by a training that goes on at this moment: wait for its end, or give another name or folder."
        ) from error
    except NotImplementedError:
        # The file system knows no locks: what was said before the training begins still holds.
        yield
        return
    except OSError as error:
        raise CheckpointError(f"{what} cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()
