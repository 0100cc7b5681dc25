"""Tells whether two runs left the same."""

from __future__ import annotations

import hashlib
from pathlib import Path


def content(folder: Path) -> str:
    """Return the hash of all files of a folder, names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
