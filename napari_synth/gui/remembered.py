"""The method and the settings that were last used for each task, kept from one day to the next in the user's own settings.

They are a file in the folder of settings of the operating system, or in the one that the environment variable
``NAPARI_SYNTH_SETTINGS`` names. What cannot be read or written is as if it was not there: no run depends on it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from napari_synth.core.texts import TextError, read_json
from napari_synth.models.trusted import VARIABLE

_FILE = "panels.json"


def remembered(task: str) -> tuple[str, dict[str, Any]] | None:
    """Return the id of the method that was last used for a task with its settings; None where there is none."""
    kept = _read().get(task)
    if not isinstance(kept, Mapping):
        return None
    method, params = kept.get("method"), kept.get("params")
    return (method, dict(params)) if isinstance(method, str) and isinstance(params, Mapping) else None


def remember(task: str, method: str, params: Mapping[str, Any]) -> None:
    """Keep what was used for a task.

    Parameters
    ----------
    task, method : str
        The method is an id.
    params : mapping of str to object
        Plain values.
    """
    _write({**_read(), task: {"method": method, "params": dict(params)}})


def forget(task: str) -> None:
    """Keep nothing of a task any more."""
    kept = _read()
    if task in kept:
        _write({name: value for name, value in kept.items() if name != task})


def _path() -> Path:
    given = os.environ.get(VARIABLE)
    return (Path(given) if given else platformdirs.user_config_path("napari-synth", appauthor=False)) / _FILE


def _read() -> dict[str, Any]:
    try:
        content = read_json(_path().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TextError):
        return {}
    return dict(content) if isinstance(content, Mapping) else {}


def _write(content: Mapping[str, Any]) -> None:
    path = _path()
    with suppress(OSError, TypeError, ValueError):
        text = json.dumps(content, indent=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
