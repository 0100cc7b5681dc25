"""Units of work: parts of a result that own their files outright, so that whatever is killed goes on where it stopped.

A result that is under way lies beside its target in ``.NAME.underway``: the store, a marker for every unit that is done, and the
token of what makes it. A unit is begun by removing its marker and what a torn attempt has left of its files; it is done once its
marker lists the files that it wrote, with their sizes and checksums. It counts as done later only where each of these files is as
listed and no other of its files is there. Another token, that is other settings or another source, begins anew.

References
----------
The protocol of the stores of iohub, https://github.com/czbiohub-sf/iohub.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_synth.core.errors import Cancelled, ImageFileError
from napari_synth.files import atomic

STORE, _MARKERS, _TOKEN = "store", "units", "token"
_LEFT = re.compile(r"\.(.+\.zarr)\.(?:underway|lock)")


@dataclass(frozen=True)
class Resume:
    """How a result goes on after a kill.

    Attributes
    ----------
    token : str
        Tells what makes the result: only what was begun with the same one is gone on with.
    keeps : bool
        Whether a wish to stop keeps what is done, too.
    """

    token: str
    keeps: bool = False


class UnderWay:
    """A result that is being made, unit by unit.

    Parameters
    ----------
    folder : pathlib.Path
        Where it lies while it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / STORE
        self._markers = folder / _MARKERS

    def holds(self, token: str) -> bool:
        """Return whether it was begun with a token."""
        try:
            return (self.folder / _TOKEN).read_text(encoding="utf-8") == token
        except (OSError, UnicodeDecodeError):
            return False

    def begun(self, token: str) -> None:
        """Remember the token, once there is what units can be written into."""
        self._markers.mkdir(exist_ok=True)
        _write_whole(self.folder / _TOKEN, token)

    def is_done(self, unit: str, files: Iterable[str], *, deep: bool = True) -> bool:
        """Return whether a unit is done: what its marker lists is there and whole, and no other of its files.

        Parameters
        ----------
        unit : str
            Its name.
        files : iterable of str
            All files that it may own, relative to the store.
        deep : bool
            Whether the files are read; else their sizes tell.
        """
        try:
            listed = json.loads((self._markers / unit).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if not isinstance(listed, dict):
            return False
        for name in files:
            path = self.store / name
            if name not in listed:
                if path.exists():
                    return False
                continue
            try:
                size, checksum = listed[name]
                if path.stat().st_size != size or (deep and _checksum(path) != checksum):
                    return False
            except (OSError, ValueError, TypeError):
                return False
        return True

    def begin(self, unit: str, files: Iterable[str]) -> None:
        """Take up a unit: nothing of an earlier attempt is left."""
        (self._markers / unit).unlink(missing_ok=True)
        for name in files:
            (self.store / name).unlink(missing_ok=True)

    def complete(self, unit: str, files: Iterable[str]) -> None:
        """Say that a unit is done, with all of its files that were written."""
        listed = {}
        for name in files:
            path = self.store / name
            with suppress(FileNotFoundError):
                listed[name] = [path.stat().st_size, _checksum(path)]
        _write_whole(self._markers / unit, json.dumps(listed))


@contextmanager
def under_way(path: Path, resume: Resume, *, overwrite: bool) -> Iterator[UnderWay]:
    """Give what of a result is under way, and put it in its place when the block ends without an error.

    Parameters
    ----------
    path : pathlib.Path
        Of the result.
    resume : Resume
    overwrite : bool
        Whether what is there may be replaced.

    Raises
    ------
    ImageFileError
        The target exists, its folder is missing, another process makes it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    atomic.refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise ImageFileError(f"The folder {str(path.parent)!r} does not exist: make it first.")
    folder = path.with_name(f".{path.name}.underway")
    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ImageFileError(f"Another process writes {path.name!r}: wait for it, or choose another name.") from error
    except OSError as error:
        raise ImageFileError(f"{str(path)!r} may not be written: choose a folder that is yours.") from error
    found = UnderWay(folder)
    try:
        with atomic.naming_the_cause(path):
            if not found.holds(resume.token):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            yield found
            atomic.refuse_existing(path, overwrite)
            atomic.move_into_place(found.store, path)
            shutil.rmtree(folder, ignore_errors=True)
    except (Cancelled, KeyboardInterrupt):
        if not resume.keeps:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)


def clear_abandoned(folder: Path, wanted: Collection[Path] | None = None) -> int:
    """Remove what killed processes have left under way in a folder and nobody will go on with.

    That is what has its result in place already, what belongs to none of the results that are wanted, and, where these are not
    known, what was not touched for a week. What another process works on stays.

    Parameters
    ----------
    folder : pathlib.Path
    wanted : collection of pathlib.Path, optional
        All results that are, or may later be, made in the folder.

    Returns
    -------
    int
        How many were removed.
    """
    from filelock import FileLock, Timeout

    try:
        entries = [entry.name for entry in os.scandir(folder) if _LEFT.fullmatch(entry.name)]
    except OSError:
        return 0
    names = None if wanted is None else {path.name for path in wanted}
    count = 0
    for name in sorted({found[1] for entry in entries if (found := _LEFT.fullmatch(entry))}):
        lock = folder / f".{name}.lock"
        with suppress(OSError, Timeout), FileLock(lock, blocking=False):
            left = folder / f".{name}.underway"
            if left.is_dir() and _is_abandoned(left, folder / name, names):
                shutil.rmtree(left, ignore_errors=True)
                count += 1
            lock.unlink(missing_ok=True)
    return count


def _is_abandoned(left: Path, result: Path, names: Collection[str] | None) -> bool:
    if result.exists() and not (left / STORE).exists():
        return True
    if names is not None:
        return result.name not in names
    try:
        latest = max(path.stat().st_mtime for path in (left, left / _MARKERS) if path.exists())
    except (OSError, ValueError):
        return False
    return time.time() - latest > atomic.FORGOTTEN


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while part := file.read(2**22):
            found = zlib.crc32(part, found)
    return found


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
