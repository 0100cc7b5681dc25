"""Which files the user allowed to execute what they hold: by their hashes, in the user's own settings.

No file can say so of itself, and no folder of its files: a library that somebody else made brings no trust along. The settings
are a file in the user's folder of settings of the operating system, or in the one that the environment variable
``NAPARI_SYNTH_SETTINGS`` names.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import platformdirs

from napari_synth.core.errors import ModelFileError
from napari_synth.core.texts import TextError, read_json

VARIABLE = "NAPARI_SYNTH_SETTINGS"
_FILE = "trusted-models.json"


def is_trusted(sha256: str) -> bool:
    """Return whether the user trusts a file with this hash; settings that cannot be read trust nothing."""
    return sha256 in _trusted()


def trust(sha256: str) -> None:
    """Remember that the user trusts a file with this hash.

    Raises
    ------
    ModelFileError
        The settings cannot be written.
    """
    _write([*_trusted(), sha256] if not is_trusted(sha256) else _trusted())


def forget(sha256: str) -> None:
    """Trust a file no longer; raises as `trust`."""
    known = _trusted()
    if sha256 in known:
        _write([other for other in known if other != sha256])


def _path() -> Path:
    given = os.environ.get(VARIABLE)
    folder = Path(given) if given else platformdirs.user_config_path("napari-synth", appauthor=False)
    try:
        return folder.expanduser() / _FILE
    except RuntimeError:  # there is no such home folder
        return folder / _FILE


def _trusted() -> list[str]:
    try:
        known = read_json(_path().read_bytes())
    except (OSError, TextError):
        return []
    return [entry for entry in known if isinstance(entry, str)] if isinstance(known, list) else []


def _write(known: list[str]) -> None:
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=1)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelFileError(
            f"That the file is trusted cannot be kept in {path} ({error.strerror}): free the disk, or set {VARIABLE} to another"
            " folder."
        ) from error
