"""Sentences to read and to copy, which break anywhere: a path or the name of a file has no spaces."""

from __future__ import annotations

from math import ceil

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QResizeEvent, QTextOption
from qtpy.QtWidgets import QFrame, QSizePolicy, QTextEdit, QWidget

_NARROWEST = 40


class Sentences(QTextEdit):
    """HTML that is as high as it needs for the width that it is given; it can be selected, and not changed.

    Parameters
    ----------
    parent : QWidget, optional
    tooltip : str
    """

    def __init__(self, parent: QWidget | None = None, tooltip: str = "") -> None:
        super().__init__(parent)
        self._html = ""
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._fit)
        self.setReadOnly(True)
        self.setToolTip(tooltip)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(1)
        self.setStyleSheet("QTextEdit { background: transparent; border: 0; padding: 0; }")

    def text(self) -> str:
        """Return what was set last."""
        return self._html

    def setText(self, text: str | None) -> None:
        """Show HTML."""
        self._html = text or ""
        self.setHtml(self._html)
        self._fit()
        self._later.start()

    def sizeHint(self) -> QSize:
        """Return the height of the text at the width that there is."""
        return QSize(1, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        """Return the same as `sizeHint`: an editor would ask for several lines."""
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take the height that the new width needs."""
        super().resizeEvent(event)
        # What lies around it is being laid out now, and would not hear of another height.
        self._later.start()

    def _fit(self) -> None:
        document, view = self.document(), self.viewport()
        assert document is not None
        assert view is not None
        document.setDocumentMargin(0)
        if view.width() < _NARROWEST:
            # Not laid out yet: every letter would get a line of its own.
            return
        document.setTextWidth(view.width())
        wanted = ceil(document.size().height()) + max(0, self.height() - view.height())
        if wanted != self.height():
            self.setFixedHeight(wanted)
