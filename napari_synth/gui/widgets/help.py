"""Opens the page of a method in the documentation, or shows what the method says of itself where the site is not at hand."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

import napari_synth
from napari_synth.contract.generator import Method
from napari_synth.contract.trainable import Trainable


def page_of(method: Method[Any] | Trainable[Any]) -> Path | None:
    """Return the page of a method or of a training in the site, see `site_page`."""
    trained = "train-" if isinstance(method, Trainable) else ""
    return site_page(f"methods/{trained}{method.info.id.replace('/', '-')}.html")


def site_page(name: str) -> Path | None:
    """Return a page of the site that was built beside this copy of the package, None where there is none."""
    page = Path(napari_synth.__file__).resolve().parents[1] / "build" / "docs" / name
    return page if page.is_file() else None


def show_help(method: Method[Any] | Trainable[Any], parent: QWidget) -> None:
    """Open the page of a method in the browser; its card in a dialog where there is no page or no browser."""
    show_page(page_of(method), method.info.title, card(method), parent)


def show_page(page: Path | None, title: str, html: str, parent: QWidget) -> None:
    """Open a page in the browser; what stands in for it in a dialog where there is no page or no browser."""
    if page is None or not QDesktopServices.openUrl(QUrl.fromLocalFile(str(page))):
        HelpDialog(title, html, parent).open()


class HelpDialog(QDialog):
    """What a method says of itself: what it is for, its paper, its settings with what they do.

    Parameters
    ----------
    title : str
    html : str
    parent : QWidget
    """

    def __init__(self, title: str, html: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.text = QTextBrowser(self)
        self.text.setAccessibleName(f"What {title} does")
        self.text.setOpenExternalLinks(True)
        self.text.setHtml(html)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(close)
        self.resize(460, 520)


def card(method: Method[Any] | Trainable[Any]) -> str:
    """Return what a method says of itself as HTML."""
    info = method.info
    facts = {
        "Id": info.id,
        "Paper": info.reference,
        "Learns": "from the image that it is given" if getattr(info, "trains", False) else "",
        "Result": "holds invented content, and is marked as synthetic" if getattr(info, "invents", False) else "",
    }
    rows = "".join(f"<p><b>{name}:</b> {escape(str(value))}</p>" for name, value in facts.items() if value)
    settings = "".join(
        f"<p><b>{escape(title)}</b> <i>({escape(usual)})</i><br>{escape(words)}</p>"
        for title, usual, words in _settings(method.params_type.settable())
    )
    return (
        f"<h3>{escape(info.title)}</h3><p>{escape(info.summary)}</p>{rows}<h4>Settings</h4>{settings or 'It has none.'}"
    )


def _settings(fields: dict[str, FieldInfo]) -> Iterator[tuple[str, str, str]]:
    for name, field in fields.items():
        usual = field.get_default(call_default_factory=True)
        said = {None: "chosen for the image", True: "on", False: "off"}.get(usual, usual) if _is_word(usual) else usual
        yield field.title or name, f"usually {said}", field.description or ""


def _is_word(value: object) -> bool:
    return value is None or isinstance(value, bool)
