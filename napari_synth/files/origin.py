"""Remembers the files of an image, so that a run can tell whether they changed under it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_synth.core.errors import ImageFileError

# More files than this are not looked at one by one: listing them would take longer than many a run.
MOST_FILES = 100_000
_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})


@dataclass(frozen=True)
class FileOrigin:
    """The files of an image as they were when it was opened.

    Attributes
    ----------
    path : pathlib.Path
        What the user named: a file, or the folder of a Zarr or of a series.
    states : tuple of (str, tuple of int)
        Path of each file, its size in bytes, the time of its last change in nanoseconds, and its number in the file system; none
        where it was not looked at yet.
    """

    path: Path
    states: tuple[tuple[str, tuple[int, int, int]], ...]

    @classmethod
    def of(cls, path: Path, others: Iterable[Path] = ()) -> FileOrigin:
        """Look at a file, or at every file of a folder (at most `MOST_FILES`, and all of a Zarr that describe it)."""
        states: dict[str, tuple[int, int, int]] = {}
        for item in (path, *others):
            for file in _files(item) if item.is_dir() else [str(item)]:
                state = _state(file)
                if state is not None:
                    states[file] = state
        return cls(path, tuple(states.items()))

    def including(self, others: Iterable[Path]) -> FileOrigin:
        """Return the same with further files that pixels come from."""
        new = FileOrigin.of(self.path, others).states
        known = dict(self.states)
        return FileOrigin(self.path, (*self.states, *((file, state) for file, state in new if file not in known)))

    def renewed(self) -> FileOrigin:
        """Look at the same path anew, and remember what is there now."""
        return FileOrigin.of(self.path)

    def check(self) -> None:
        """Look again.

        Raises
        ------
        ImageFileError
            A file is gone, or is not what it was.
        """
        for file, before in self.states:
            now = _state(file)
            if now == before:
                continue
            inside = "" if file == str(self.path) else f" (its part {Path(file).name!r})"
            what = "vanished" if now is None else "changed"
            raise ImageFileError(
                f"{self.path.name!r}{inside} {what} while it was worked on: its result is withdrawn, so run it again"
                " once the file is complete."
            )


def _files(folder: Path) -> Iterator[str]:
    """Return the files of a folder: those that describe a Zarr first, so that they are among those that are looked at."""
    others: list[str] = []
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=True):
                    waiting.append(entry.path)
                elif entry.name in _METADATA:
                    yield entry.path
                else:
                    others.append(entry.path)
        if len(others) > MOST_FILES:
            break
    yield from others[:MOST_FILES]


def _state(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - for many files, of which no Path needs to be made
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
