"""A file or folder appears whole or not at all, and never in the place of another one unless that is wanted."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_synth.core.errors import ImageFileError, SynthError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is there when the block ends without an error takes its place.

    Raises
    ------
    ImageFileError
        The target exists and may not be overwritten, its folder is missing, or nothing can be written there.
    """
    _refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise ImageFileError(f"The folder {str(path.parent)!r} does not exist: make it first.")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _naming_the_cause(path):
            yield part
            _refuse_existing(path, overwrite)
            _move(part, path)
    finally:
        _remove(part)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ImageFileError(f"{str(path)!r} exists already: choose another name, or allow to overwrite it.")


def _move(part: Path, path: Path) -> None:
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
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _naming_the_cause(path: Path) -> Iterator[None]:
    """Turn what the system says into a sentence for the user."""
    try:
        yield
    except SynthError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ImageFileError(f"The disk is full: free some space, or write {path.name!r} elsewhere.") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ImageFileError(f"{str(path)!r} may not be written: choose a folder that is yours.") from error
        raise ImageFileError(f"{str(path)!r} cannot be written: {error}.") from error
