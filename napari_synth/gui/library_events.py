"""Events of the library of models: one may come from one panel and be used in another."""

from __future__ import annotations

from functools import cache

from qtpy.QtCore import QObject, Signal


class LibraryEvents(QObject):
    """Signals of the library of models."""

    changed = Signal()
    """A model was added or removed, or a training left a checkpoint; emitted in the main thread."""


@cache
def library_events() -> LibraryEvents:
    """Return the events, the same for the whole program."""
    return LibraryEvents()
