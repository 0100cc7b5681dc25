"""Recipes and pipelines that are dropped on a panel."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QMimeData, QObject
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

_HEEDED = (QEvent.Type.DragEnter, QEvent.Type.Drop)


class TextDrops(QObject):
    """Lets a panel take a file of YAML, or text, that is dropped on it.

    Parameters
    ----------
    panel : QWidget
    take : callable
        Called with the text, or with the path of the file.
    """

    def __init__(self, panel: QWidget, take: Callable[[str], None]) -> None:
        super().__init__(panel)
        self._take = take
        panel.setAcceptDrops(True)
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Heed what is dragged to the panel and dropped on it."""
        if isinstance(event, QDropEvent) and event.type() in _HEEDED and (text := _text_of(event.mimeData())):
            event.acceptProposedAction()
            if event.type() == QEvent.Type.Drop:
                self._take(text)
            return True
        return super().eventFilter(watched, event)


def _text_of(data: QMimeData | None) -> str:
    """Return the path of a dropped file, or dropped text; "" where neither can be a recipe."""
    if data is None:
        return ""
    files = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
    if files:
        return files[0] if files[0].endswith((".yaml", ".yml")) else ""
    return data.text() if data.hasText() else ""
