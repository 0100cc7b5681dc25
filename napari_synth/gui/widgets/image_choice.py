"""Lists of layers to learn from, and the names of files in their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QPushButton, QWidget

from napari_synth.gui.layers.marks import is_source, kind_of
from napari_synth.gui.widgets.form_rows import add_entry
from napari_synth.gui.widgets.layer_lists import LayerList

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_SEPARATOR = ";"


class ImageList(LayerList):
    """The image layers of the viewer, or its Labels layers, any number of them to be ticked.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    _kind: Literal["image", "labels"] = "image"

    def list_kind(self, kind: Literal["image", "labels"]) -> None:
        """List layers of this kind from now on."""
        if kind != self._kind:
            self._kind = kind
            self.refresh()

    def is_listed(self, layer: napari.layers.Layer) -> bool:
        """Return whether a layer can be learnt from."""
        if self._kind == "labels":
            return isinstance(layer, Labels) and not kind_of(layer)
        return is_source(layer)

    def tick_only(self, *layers: napari.layers.Layer) -> None:
        """Tick these layers and no others."""
        if set(layers) == set(self.chosen):
            return
        self.blockSignals(True)
        for layer in self._layers:
            self.tick(layer, layer in layers)
        self.blockSignals(False)
        self.changed.emit()

    @property
    def layers(self) -> tuple[napari.layers.Layer, ...]:
        """All that are listed, the uppermost first."""
        return tuple(self._layers)


class FileRow(QWidget):
    """The names of files: paths, folders or patterns with ``;`` between them."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLineEdit(self)
        self.text.setPlaceholderText("folder, file or day*/*.tif")
        self.text.setToolTip(
            f"An image, a folder of images, or a pattern such as day*/*.tif; several with {_SEPARATOR} between them"
        )
        self.text.textChanged.connect(self.changed)
        self.browse = QPushButton("…", self)
        self.browse.setFixedWidth(36)
        self.browse.setToolTip("Choose a folder or files")
        menu = QMenu(self.browse)
        for title, ask in (("Folder…", self._ask_for_folder), ("Files…", self._ask_for_files)):
            add_entry(menu, title, "", ask)
        self.browse.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 1)
        row.addWidget(self.browse)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths and patterns."""
        parts = (part.strip() for part in self.text.text().split(_SEPARATOR))
        return tuple(str(Path(part).expanduser()) for part in parts if part)

    def show_files(self, files: tuple[str, ...]) -> None:
        """Show paths and patterns."""
        self.text.setText(f"{_SEPARATOR} ".join(files))

    def _ask_for_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder of images"):
            self.show_files((folder,))

    def _ask_for_files(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, "Images to learn from")
        if files:
            self.show_files(tuple(files))


class ImageChoice(QWidget):
    """Layers or, in their place, files.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    tooltip : str
        Of the list of layers.
    parent : QWidget, optional
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = ImageList(viewer, self)
        self.layers.setToolTip(tooltip)
        self.files = FileRow(self)
        self.layers.changed.connect(self.changed)
        self.files.changed.connect(self.changed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.layers)
        row.addWidget(self.files)
        self.files.hide()

    def show_files(self, files: bool) -> None:
        """Ask for files rather than for layers, or the other way round."""
        self.files.setVisible(files)
        self.layers.setVisible(not files)
