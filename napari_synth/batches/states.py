"""What is remembered of a file, or of all files of a folder such as an OME-Zarr, to tell later whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_HASHED = 8 * 2**30
"""Bytes above which content is not hashed: reading it would take longer than asking again."""


@dataclass(frozen=True)
class FileState:
    """Size and time of a file, or of a folder's files together.

    Attributes
    ----------
    bytes : int
        Of all files.
    time : int
        The last change, in nanoseconds since 1970.
    """

    bytes: int
    time: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """Look at a path; None where nothing is there."""
        try:
            if not path.is_dir():
                found = path.stat()
                return cls(found.st_size, found.st_mtime_ns)
            states = [entry.stat() for entry in _entries(path)]
        except OSError:
            return None
        return cls(sum(one.st_size for one in states), max((one.st_mtime_ns for one in states), default=0))


def content_hash(path: Path, most_bytes: int = MOST_HASHED) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files; empty where it is larger than ``most_bytes``.

    Raises
    ------
    OSError
        It cannot be read.
    """
    state = FileState.of(path)
    if state is None or state.bytes > most_bytes:
        return ""
    if not path.is_dir():
        return _sha256(path)
    digest = hashlib.sha256()
    for entry in sorted(_entries(path), key=lambda entry: entry.path):
        digest.update(f"{Path(entry.path).relative_to(path).as_posix()} {_sha256(Path(entry.path))}\n".encode())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder and of those in it."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    yield entry
