"""Finds what can be trained: built-in trainables, and those of other packages. Loads no torch.

Other packages declare theirs in the entry point group ``napari_synth.trainables``.
"""

from __future__ import annotations

import difflib
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.core.generator import Task
from napari_synth.core.trainable import Trainable

ENTRY_POINT_GROUP = "napari_synth.trainables"

# In the order in which they are listed.
_BUILT_IN = (
    "napari_synth.trainables.denoise.supervised:Supervised",
    "napari_synth.trainables.denoise.noise2noise:Noise2Noise",
    "napari_synth.trainables.denoise.noise2void:Noise2VoidOfMany",
)


def trainables(task: Task | str | None = None) -> list[Trainable[Any]]:
    """Return everything that can be trained, or that of a task."""
    return [found for found in _registered().values() if task is None or found.info.task == task]


def trainable(identifier: str) -> Trainable[Any]:
    """Return the trainable with this id.

    Raises
    ------
    UnknownGeneratorError
        There is none; the message names near ones.
    """
    registered = _registered()
    if identifier in registered:
        return registered[identifier]
    near = difflib.get_close_matches(identifier, registered, n=3, cutoff=0.4) or list(registered)
    raise UnknownGeneratorError(f"Nothing called {identifier!r} can be trained: did you mean {' or '.join(near)}?")


@cache
def _registered() -> dict[str, Trainable[Any]]:
    found: dict[str, Trainable[Any]] = {}
    for path in _BUILT_IN:
        module, name = path.split(":")
        built_in: Trainable[Any] = getattr(import_module(module), name)()
        found[built_in.info.id] = built_in
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            foreign = entry.load()()
            identifier = foreign.info.id
        except Exception as error:  # noqa: BLE001 - another package's fault must not take ours away
            warnings.warn(f"The trainable {entry.name!r} of another package cannot be loaded: {error}", stacklevel=2)
            continue
        if identifier in found:
            warnings.warn(f"The trainable id {identifier!r} of {entry.value!r} is taken: it is left out.", stacklevel=2)
            continue
        found[identifier] = foreign
    return found
