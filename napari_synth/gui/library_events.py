"""Tells whoever lists models that there are others now: a model may come from one panel and be used in another."""

from __future__ import annotations

from functools import cache

from qtpy.QtCore import QObject, Signal


class LibraryNews(QObject):
    """What is heard of the library of models."""

    changed = Signal()
    """A model was added or removed, or a training left a checkpoint; emitted in the main thread."""


@cache
def library_news() -> LibraryNews:
    """Return what tells of the library, the same for the whole program."""
    return LibraryNews()
