"""The part of a panel that runs its settings on files: which, where to, how, and what came of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_synth.batches.manifest import JobRecord, Manifest, Status
from napari_synth.contract.params import Params
from napari_synth.core.errors import ImageFileError, SynthError
from napari_synth.gui.jobs.files import done_in
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import FoldButton, button, label, rows, wrapped
from napari_synth.gui.widgets.image_choice import FileRow

_MOST_LISTED = 500
_SHOWN_ROWS = 6
_PATH = Qt.ItemDataRole.UserRole


class FilesParams(Params):
    """How many files are gone through."""

    workers: int = Field(
        1, ge=1, le=64, title="Processes", description="That work at once; more than one need the extra cluster."
    )
    together: bool = Field(
        False,
        title="Comparable",
        description="Measure noise and brightness on all images together, so that a series stays comparable.",
    )
    overwrite: bool = Field(
        False, title="Overwrite", description="Replace results of other settings that are in the folder."
    )


class MakingParams(Params):
    """How a folder of made images is filled."""

    overwrite: bool = Field(
        False, title="Overwrite", description="Replace images of other settings that are in the folder."
    )


H = TypeVar("H", bound=Params)


@dataclass(frozen=True)
class FilesKind(Generic[H]):
    """What is made of files in a panel.

    Attributes
    ----------
    title, tooltip : str
        Of what unfolds the box.
    start : str
        Of the button that begins.
    params : type of Params
        How the files are gone through.
    needs_images : bool
        Whether files must be named.
    masks : bool
        Whether masks are asked for.
    """

    title: str
    tooltip: str
    start: str
    params: type[H]
    needs_images: bool = True
    masks: bool = False


RUN_ON_FILES = FilesKind(
    "Run on files…",
    "Run these settings on a folder of images, with a manifest that survives a crash",
    "Run on files",
    FilesParams,
)
MAKE_INTO_FOLDER = FilesKind(
    "Make into a folder…",
    "Make many images, a file each, in a folder with a manifest that survives a crash",
    "Make into the folder",
    MakingParams,
    needs_images=False,
)


class FilesBox(QWidget, Generic[H]):
    """Images, a folder for the results, and a list of what was done; folded away until it is asked for.

    Parameters
    ----------
    kind : FilesKind
        What is made of the files.
    parent : QWidget, optional
    """

    wanted = Signal()
    """The settings of the panel shall be run on the files."""
    open_wanted = Signal(object)
    """The path of a result that shall be shown."""
    curate_wanted = Signal(object)
    """The folder whose results shall be shown on the board."""

    def __init__(self, kind: FilesKind[H], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = kind
        self.fold = FoldButton(self, kind.title, kind.tooltip)
        self.images = FileRow(self)
        self.masks = FileRow(self)
        self.masks.text.setPlaceholderText("as chosen above")
        self.masks.text.setToolTip("A mask for all images, or a folder or pattern with one of each name")
        self.folder = QLineEdit(self)
        self.folder.setPlaceholderText("folder of the results")
        self.folder.setToolTip("Results keep the names of their sources there; manifest.jsonl says what was done")
        self.browse = QPushButton("…", self)
        self.browse.setFixedWidth(36)
        self.browse.setToolTip("Choose the folder of the results")
        self.params = ParamsForm(kind.params, self)
        self.state = wrapped(self, "What an earlier run has done in this folder")
        self.start = button(self, kind.start, "")
        self.list = QListWidget(self)
        self.list.setAccessibleName("Results of this run")
        self.list.setToolTip("What came of each image: its verdict, or why it could not be done")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.open = button(self, "Open", "Show the chosen result, or the first one, as a layer")
        self.curate = button(self, "Curate these", "Show all results of the folder on the board, with their verdicts")
        self._inner = QWidget(self)
        self._busy = False
        self._lay_out()
        self._connect()
        self._inner.hide()
        self.show_state()

    @property
    def target(self) -> Path:
        """The folder of the results.

        Raises
        ------
        ImageFileError
            None is named.
        """
        text = self.folder.text().strip()
        if not text:
            raise ImageFileError(
                "No folder for the results is named: write one, or choose it with the button beside it."
            )
        return Path(text).expanduser()

    @property
    def how(self) -> H:
        """How the files are gone through; raises `InvalidParameterError` where a setting is out of bounds."""
        params = self.params.params()
        assert isinstance(params, self.kind.params)
        return params

    def ask_for(self, name: str, tooltip: str) -> None:
        """Ask for files of another kind than images, which may be left out; for none where there is no name."""
        self._images_label.setText(name)
        self.images.text.setPlaceholderText("as chosen above")
        self.images.text.setToolTip(tooltip)
        for widget in (self._images_label, self.images):
            widget.setVisible(bool(name))
        self.show_state()

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that are named, none where none are asked for."""
        return self.images.files if self.images.isVisibleTo(self._inner) else ()

    def kept(self) -> dict[str, Any]:
        """Return what is written, to be shown again another day."""
        masks = "; ".join(self.masks.files)
        files = {"images": "; ".join(self.images.files), "folder": self.folder.text().strip(), "masks": masks}
        # What replaces results is asked for each time.
        return files | self.how.model_dump(exclude={"overwrite"})

    def show_kept(self, kept: dict[str, Any]) -> None:
        """Show what was written another day."""
        for name, row in (("images", self.images.text), ("folder", self.folder), ("masks", self.masks.text)):
            row.setText(str(kept.get(name, "")))
        known = set(self.kind.params.settable()) - {"overwrite"}
        self.params.set_values({name: kept[name] for name in known & set(kept)})

    def begin(self) -> None:
        """Show that nothing is done yet."""
        self.list.clear()
        self._fit()

    def add(self, record: JobRecord) -> None:
        """Show what came of an image."""
        done = record.status == Status.DONE
        name = Path(record.target if done else record.source or record.target).name
        item = QListWidgetItem(
            f"✓ {name}" + (f" · {record.verdict}" if record.verdict else "") if done else f"✗ {name}"
        )
        item.setToolTip("\n".join(record.notes) if done else record.error)
        item.setData(_PATH, str(Manifest(self.target).path_of(record.target)) if done else "")
        self.list.addItem(item)
        if self.list.count() > _MOST_LISTED:
            self.list.takeItem(0)
        self._fit()

    def set_busy(self, busy: bool) -> None:
        """Let nothing be started while the panel works."""
        if busy != self._busy:
            self._busy = busy
            self.show_state()

    def show_state(self, _event: object = None) -> None:
        """Say what is in the folder, and offer what can be done now."""
        text = self.folder.text().strip()
        done, failed = 0, 0
        if text and not self._busy:
            # What is wrong with the folder is told when it is used.
            with suppress(SynthError):
                done, failed = done_in(Path(text).expanduser())
            there = f"In this folder {done} image{'s' * (done != 1)} {'are' if done != 1 else 'is'} done"
            could_not = f" and {failed} could not be done" if failed else ""
            self.state.setText(f"{there}{could_not}; the same settings go on with the rest." if done + failed else "")
            self.state.setVisible(bool(done + failed))
        needs_images = self.kind.needs_images
        ready = bool(text and (self.images.files or not needs_images))
        self.start.setEnabled(ready and not self._busy)
        self.start.setToolTip(
            "Work through the files in the background; what is done stays done"
            if ready
            else f"Name {'the images and ' if needs_images else ''}a folder for the results first"
        )
        results = [row for row in range(self.list.count()) if self._path(row)]
        self.open.setEnabled(bool(results) and not self._busy)
        self.curate.setEnabled(bool(text and (results or done)) and not self._busy)

    def _lay_out(self) -> None:
        where, lower, fields = QHBoxLayout(), QHBoxLayout(), rows()
        where.addWidget(self.folder, 1)
        where.addWidget(self.browse)
        self._images_label = label("Images", self.images)
        fields.addRow(self._images_label, self.images)
        if self.kind.masks:
            fields.addRow(label("Masks", self.masks), self.masks)
        else:
            self.masks.hide()
        fields.addRow(label("Results", self.folder), where)
        lower.addWidget(self.open, 1)
        lower.addWidget(self.curate, 1)
        inner = QVBoxLayout(self._inner)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addLayout(fields)
        for part in (self.params, self.state, self.start, self.list):
            inner.addWidget(part)
        inner.addLayout(lower)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self._inner)
        self._fit()

    def _connect(self) -> None:
        self.fold.toggled.connect(self._inner.setVisible)
        self.images.changed.connect(self.show_state)
        self.folder.textChanged.connect(self.show_state)
        self.browse.clicked.connect(self._ask)
        self.start.clicked.connect(self._on_start)
        self.open.clicked.connect(self._on_open)
        self.list.itemDoubleClicked.connect(self._on_open)
        self.curate.clicked.connect(self._on_curate)

    def _path(self, row: int) -> str:
        item = self.list.item(row)
        return "" if item is None else str(item.data(_PATH))

    def _fit(self) -> None:
        height = self.list.sizeHintForRow(0) if self.list.count() else 0
        self.list.setFixedHeight(min(self.list.count(), _SHOWN_ROWS) * height + 2 * self.list.frameWidth() + 2)
        self.list.setVisible(bool(self.list.count()))

    def _ask(self, _checked: bool = False) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder for the results"):
            self.folder.setText(folder)

    def _on_start(self, _checked: bool = False) -> None:
        self.wanted.emit()

    def _on_open(self, _what: object = None) -> None:
        row = self.list.currentRow()
        chosen = [self._path(row)] if row >= 0 and self._path(row) else []
        every = chosen or [path for one in range(self.list.count()) if (path := self._path(one))]
        if every and not self._busy:
            self.open_wanted.emit(Path(every[0]))

    def _on_curate(self, _checked: bool = False) -> None:
        self.curate_wanted.emit(self.target)
