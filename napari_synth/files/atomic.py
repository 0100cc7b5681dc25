"""A file or folder appears whole or not at all, and never in the place of another one unless that is wanted."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from napari_synth.core.errors import ImageFileError, SynthError

# What is being written is called so: .NAME.HOST-PROCESS-START-TOKEN.part, and what it takes the place of has .old behind that.
_PART = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}\.part(?P<kind>\.\w+)?"
)
FORGOTTEN = 7 * 24 * 3600
"""What another machine has not touched for so long, in seconds, it will not finish."""
# numpy, torch and safetensors say that a disk is full in words alone.
_FULL_DISK = re.compile(
    r"no space left|disk quota|not enough space|\d+ requested and \d+ written|inline_container|PytorchStreamWriter"
    r"|unexpected pos \d+ vs|file write failed|os error (28|122)\b",
    re.IGNORECASE,
)


@contextmanager
def replacing(path: Path, *, overwrite: bool, first: Callable[[], None] | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is there when the block ends without an error takes its place.

    What a killed process has left in the folder is cleared away before.

    Parameters
    ----------
    path : pathlib.Path
    overwrite : bool
        Whether what is there may be replaced.
    first : callable, optional
        Called once the block has ended without an error, right before ``path`` appears.

    Raises
    ------
    ImageFileError
        The target exists and may not be overwritten, its folder is missing or vanishes, the disk is full, or nothing can be written
        there.
    """
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise ImageFileError(f"The folder {str(path.parent)!r} does not exist: make it first.")
    _clear_once(path.parent.resolve(), os.getpid())
    folder = _Folder(path.parent)
    part = path.with_name(f".{path.name}.{_owner()}-{secrets.token_hex(4)}.part")
    try:
        with naming_the_cause(path):
            yield part
            if not part.exists() or folder.is_another():
                raise ImageFileError(f"Another program removed {path.name!r} while it was written: run it again.")
            refuse_existing(path, overwrite)
            if first is not None:
                first()
            move_into_place(part, path)
    finally:
        _remove(part)
        # zarr makes a folder anew that somebody removed: nothing of it is left behind.
        if folder.is_another():
            with suppress(OSError):
                path.parent.rmdir()
        folder.close()


def clear_leftovers(folder: Path) -> int:
    """Remove what processes that were killed have left in a folder, and put back what they had moved aside.

    Returns
    -------
    int
        How many files and folders were left.
    """
    count = 0
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".") and ".part" in entry.name]
    except OSError:
        return 0
    for name in sorted(names):
        found = _PART.fullmatch(name)
        if found is None or not _is_left(folder / name, found):
            continue
        count += 1
        target = folder / found["name"]
        with suppress(OSError):
            if found["kind"] == ".old" and not target.exists():
                (folder / name).rename(target)
            else:
                _remove(folder / name)
    return count


@contextmanager
def naming_the_cause(path: Path) -> Iterator[None]:
    """Turn what the system, numpy, torch or zarr say of a write that fails into a sentence for the user."""
    try:
        yield
    except SynthError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise ImageFileError(f"The disk is full: free some space, or write {path.name!r} elsewhere.") from error
        if not isinstance(error, OSError):
            raise
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ImageFileError(f"{str(path)!r} may not be written: choose a folder that is yours.") from error
        if error.errno == errno.ENOENT:
            raise ImageFileError(f"The folder of {str(path)!r} vanished while it was written: run it again.") from error
        raise ImageFileError(f"{str(path)!r} cannot be written: {error}.") from error


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, says that there is no room left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return True
        if not isinstance(error, SynthError) and _FULL_DISK.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_place(path: Path, n_bytes: int = 0) -> None:
    """Say before the work begins that nothing can be written in the folder of a result, or not so much.

    Parameters
    ----------
    path : pathlib.Path
        Where the result will be; its folder exists.
    n_bytes : int
        That it will take at least.

    Raises
    ------
    ImageFileError
        The folder cannot be written, or its disk has too little room.
    """
    probe = path.with_name(f".{path.name}.{_owner()}-{secrets.token_hex(4)}.part")
    with naming_the_cause(path):
        try:
            probe.touch()
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise ImageFileError(
            f"The disk of {str(path.parent)!r} has {free / 2**20:.0f} MiB left and {path.name!r} takes {n_bytes / 2**20:.0f}:"
            " free some space, or write it elsewhere."
        )


class _Folder:
    """A folder that is held open, so that another one that was made in its place has another number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Systems that cannot open a folder do not let it be removed while a file in it is written, either.
        self._held: int | None = None
        if hasattr(os, "O_DIRECTORY"):
            with suppress(OSError):
                self._held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def is_another(self) -> bool:
        """Return whether the folder was removed, and another one perhaps put in its place."""
        if self._held is None:
            return not self._path.is_dir()
        before = os.fstat(self._held)
        try:
            now = self._path.stat()
        except OSError:
            return True
        return (before.st_dev, before.st_ino) != (now.st_dev, now.st_ino)

    def close(self) -> None:
        """Let go of it."""
        if self._held is not None:
            os.close(self._held)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise `ImageFileError` where something is there that may not be replaced."""
    if path.exists() and not overwrite:
        raise ImageFileError(f"{str(path)!r} exists already: choose another name, or allow to overwrite it.")


def move_into_place(part: Path, path: Path) -> None:
    """Put ``part`` at ``path``; a folder that is there is moved away first, since no system call swaps folders."""
    if not path.is_dir():
        part.replace(path)
        return
    old = path.with_name(f"{part.name}.old")
    path.rename(old)
    try:
        part.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _owner() -> str:
    """Return what tells this process from all others, now and later."""
    return f"{_host()}-{os.getpid()}-{int(psutil.Process().create_time())}"


@cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _is_left(path: Path, found: re.Match[str]) -> bool:
    """Return whether nobody writes a part any more."""
    if found["host"] != _host():
        try:
            return time.time() - path.stat().st_mtime > FORGOTTEN
        except OSError:
            return False
    try:
        return bool(abs(psutil.Process(int(found["pid"])).create_time() - int(found["start"])) > 2)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


@cache
def _clear_once(folder: Path, process: int) -> None:
    """Clear a folder the first time that a process writes there: looking through one with many files takes a while."""
    clear_leftovers(folder)
