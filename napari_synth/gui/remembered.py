"""The method and the settings that were last used for each task, and how fast methods were, kept in the user's own settings.

They are a file in the folder of settings of the operating system, or in the one that the environment variable
``NAPARI_SYNTH_SETTINGS`` names. What cannot be read or written is as if it was not there: no run depends on it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from napari_synth.core.texts import TextError, read_json
from napari_synth.models.trusted import VARIABLE

_FILE = "panels.json"
_SPEEDS = "speeds"
_FARTHEST = 200
"""How many times as many pixels the time of a run is told for: how it grows beyond is not known."""


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


@dataclass(frozen=True)
class Speed:
    """How long the last run of a method took on a device.

    Attributes
    ----------
    preparing : float
        Seconds, before the first pixel was made.
    computing : float
        Seconds, of all pixels.
    pixels : int
        How many of the source were worked on.
    """

    preparing: float
    computing: float
    pixels: int

    def seconds_for(self, pixels: int) -> float | None:
        """Return how long a run over so many pixels takes, None where that cannot be told from so few."""
        if pixels > _FARTHEST * self.pixels:
            return None
        return self.preparing + self.computing * pixels / self.pixels


def note_speed(method: str, device: str, speed: Speed) -> None:
    """Keep how fast a method, an id with the settings that take long, was on a device, which is named."""
    kept = _read()
    speeds = kept.get(_SPEEDS)
    known = dict(speeds) if isinstance(speeds, Mapping) else {}
    _write({**kept, _SPEEDS: {**known, f"{method} on {device}": asdict(speed)}})


def speed_of(method: str, device: str) -> Speed | None:
    """Return how fast a method was on a device, None where it was not run there."""
    speeds = _read().get(_SPEEDS)
    kept = speeds.get(f"{method} on {device}") if isinstance(speeds, Mapping) else None
    try:
        found = Speed(float(kept["preparing"]), float(kept["computing"]), int(kept["pixels"])) if kept else None
    except (KeyError, TypeError, ValueError):
        return None
    return found if found is not None and found.pixels > 0 else None


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
