"""Writes a report as HTML, PDF or PNG: one page that needs no other file."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import numpy as np
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, QSizeF
from qtpy.QtGui import QColor, QImage, QPageSize, QPainter, QPdfWriter, QTextDocument

from napari_synth.core.errors import ImageFileError
from napari_synth.gui.jobs.report import Picture, Report, colours_of, to_html

KINDS = "HTML (*.html);;PDF (*.pdf);;PNG (*.png)"
_WIDTH = 794
"""Pixels: that of an A4 page on a screen."""
_SHARPER = 2
_RESOLUTION = 96


def write_report(path: Path, report: Report) -> None:
    """Write a report in the format that the name asks for.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.html``, ``.pdf`` or ``.png``; what is there is replaced.
    report : Report

    Raises
    ------
    ImageFileError
        The name ends in something else, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    page = to_html(report, {picture.title: _address(picture) for picture in report.pictures})
    try:
        if suffix in {".html", ".htm"}:
            path.write_text(page, encoding="utf-8")
        elif suffix == ".pdf":
            _write_pdf(path, page)
        elif suffix == ".png":
            _write_png(path, page)
        else:
            raise ImageFileError(f"A report cannot be written as {path.name!r}: end its name in .html, .pdf or .png.")
    except OSError as error:
        raise ImageFileError(
            f"The report cannot be written to {str(path)!r} ({error.strerror or error}): choose another folder."
        ) from error


def _write_pdf(path: Path, page: str) -> None:
    # Opened first: Qt says nothing where it cannot write.
    path.touch()
    writer = QPdfWriter(str(path))
    writer.setPageSize(QPageSize(QPageSize.PageSizeId.A4))
    writer.setResolution(_RESOLUTION)
    document = _document(page, QSizeF(writer.width(), writer.height()))
    document.print(writer)


def _write_png(path: Path, page: str) -> None:
    document = _document(page, QSizeF(_WIDTH, 1e6))
    document.setTextWidth(_WIDTH)
    size = document.size()
    image = QImage(_SHARPER * _WIDTH, _SHARPER * round(size.height()), QImage.Format.Format_RGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    painter.scale(_SHARPER, _SHARPER)
    document.drawContents(painter)
    painter.end()
    if not image.save(str(path), "PNG"):
        raise OSError(None, "it may not be written")


def _document(page: str, size: QSizeF) -> QTextDocument:
    document = QTextDocument()
    document.setDefaultStyleSheet("body { color: #111111; }")
    document.setHtml(page)
    document.setPageSize(size)
    return document


def _address(picture: Picture) -> str:
    """Return a picture as an address that holds all of it."""
    pixels = np.ascontiguousarray(colours_of(picture))
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(content.data()).decode('ascii')}"
