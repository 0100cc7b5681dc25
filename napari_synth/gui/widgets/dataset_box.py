"""The part of the panel that writes a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from napari.layers import Shapes
from pydantic import Field
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_synth.augmentation.export import AnnotatedImage, DatasetPlan, Written, export_dataset
from napari_synth.augmentation.pipeline import Pipeline
from napari_synth.batches.annotated import Beside
from napari_synth.contract.params import Params
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.files import find_images
from napari_synth.gui.jobs.result_store import free_folder
from napari_synth.gui.layers.augmentation_layers import SampleLayers
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import FoldButton, button, label, rows
from napari_synth.gui.widgets.image_choice import FileRow

_KINDS = {
    "labels": "Labels of the images",
    "points": "Points as napari saves them (CSV)",
    "shapes": "Shapes as napari saves them (CSV)",
}
_PATTERNS = {"labels": "labels/*_label.tif", "points": "points/*.csv", "shapes": "shapes/*.csv"}


class DatasetParams(Params):
    """What a data set is made of, as the panel asks for it."""

    count: int = Field(100, ge=1, le=100000, title="Crops", description="Augmented crops to train on.")
    crop: int = Field(256, ge=8, le=4096, title="Edge", description="Of a crop in pixels, along Y and X.")
    depth: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="Planes",
        description="Of a crop: crops are volumes then, and planes where it is left on automatic.",
    )
    validation: float = Field(
        0.2,
        ge=0.0,
        le=0.5,
        title="Validation",
        description="Part of the image that is kept for validation: no training crop shows anything of it.",
    )
    format: Literal["tiff", "ome-zarr"] = Field("tiff", title="Format", description="Of images and labels.")


class DatasetBox(QWidget):
    """Settings of a data set, folded under a button, and the button that writes it."""

    wanted = Signal(object)
    """The folder in which the data set shall be made."""
    changed = Signal()
    """Whether files are named may have changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fold = FoldButton(
            self, "Data set on disk", "Write augmented crops with their labels and points to a folder, to train on"
        )
        self.fold.toggled.connect(self._unfold)
        self.form = ParamsForm(DatasetParams, self)
        self._files: tuple[Path, ...] = ()
        self.images = FileRow(self)
        self.images.text.setPlaceholderText("the layer above")
        self.beside = {name: FileRow(self) for name in ("labels", "points", "shapes")}
        for name, row in self.beside.items():
            row.text.setPlaceholderText("none")
            row.text.setToolTip(
                f"{_KINDS[name]}: a folder with one of each image's name, or a pattern such as {_PATTERNS[name]}"
            )
        self.images.changed.connect(self._on_images)
        self._file_rows = rows()
        self._file_rows.addRow(label("Images", self.images), self.images)
        self._beside_labels = [label(name.capitalize(), row) for name, row in self.beside.items()]
        for named, row in zip(self._beside_labels, self.beside.values(), strict=True):
            self._file_rows.addRow(named, row)
        self.from_files = button(self, "", "Press to make crops of the chosen layer again")
        self.from_files.clicked.connect(partial(self.show_files, ()))
        self.write = button(self, "Write data set…", "Choose where the folder of the data set shall be made")
        self.write.clicked.connect(self._ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._named = QWidget(self)
        self._named.setLayout(self._file_rows)
        layout.addWidget(self.fold)
        layout.addWidget(self._named)
        layout.addWidget(self.form)
        layout.addWidget(self.from_files)
        layout.addWidget(self.write)
        self._unfold(False)

    def show_files(self, paths: Sequence[Path], _checked: bool = False) -> None:
        """Make crops of these images instead of the layer's; of the layer where there are none.

        Parameters
        ----------
        paths : sequence of pathlib.Path
            Of image files without labels.
        """
        self._files = tuple(paths)
        self.from_files.setText(f"✗ Of {len(self._files)} accepted images")
        if self._files:
            self.fold.setChecked(True)
        self._unfold(self.fold.isChecked())

    @property
    def is_of_files(self) -> bool:
        """Whether crops are of files, so that no layer is needed."""
        return bool(self._files or self.images.files)

    def kept(self) -> dict[str, str]:
        """Return the files that are named, to be shown again another day."""
        every = {"images": self.images, **self.beside}
        return {name: row.text.text().strip() for name, row in every.items()}

    def show_kept(self, kept: Mapping[str, Any]) -> None:
        """Show the files that were named another day."""
        for name, row in {"images": self.images, **self.beside}.items():
            row.text.setText(str(kept.get(name, "")))

    def work(self, layers: SampleLayers | None, pipeline: Pipeline, seed: int, folder: Path) -> partial[Written]:
        """Return what writes the data set, to be called in a worker with progress and cancel.

        Parameters
        ----------
        layers : SampleLayers, optional
            What is augmented, where no files are named.
        pipeline : Pipeline
        seed : int
        folder : pathlib.Path
            In which the folder of the data set is made.

        Raises
        ------
        InvalidParameterError
            A setting is out of bounds.
        ImageFileError
            There is no file where one was named.
        """
        params = self.form.params()
        assert isinstance(params, DatasetParams)
        edge = (params.crop, params.crop)
        plan = DatasetPlan(
            pipeline,
            edge if params.depth is None else (params.depth, *edge),
            params.count,
            seed,
            params.validation,
            "region",
            params.format,
        )
        if self._files:
            return partial(_write_of_files, self._files, Beside(), plan, free_folder(folder, "accepted augmented"))
        if self.images.files:
            found = [path for one in self.images.files for path in find_images(one)[0]]
            named = {name: "; ".join(row.files) or None for name, row in self.beside.items()}
            name = f"{found[0].parent.name or 'images'} augmented"
            return partial(_write_of_files, found, Beside(**named), plan, free_folder(folder, name))
        assert layers is not None
        types = [kind for layer in layers.companions if isinstance(layer, Shapes) for kind in layer.shape_type]
        source = AnnotatedImage(layers.sample, layers.source.name, layers.units, types)
        return partial(_write, source, plan, free_folder(folder, f"{layers.source.name} augmented"))

    def _unfold(self, unfold: bool) -> None:
        self.form.setVisible(unfold)
        self.write.setVisible(unfold)
        self._named.setVisible(unfold and not self._files)
        self._on_images()
        self.from_files.setVisible(unfold and bool(self._files))

    def _on_images(self) -> None:
        """Ask for what lies in the images where files are named; layers have it beside them."""
        for widget in (*self._beside_labels, *self.beside.values()):
            widget.setVisible(bool(self.images.files))
        self.changed.emit()

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Where shall the folder of the data set be made?")
        if chosen:
            self.wanted.emit(Path(chosen))


def _write_of_files(
    paths: Sequence[Path],
    beside: Beside,
    plan: DatasetPlan,
    folder: Path,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> Written:
    report, sources = Reporter(progress, cancel), []
    report.start("Reading the images", len(paths))
    for path in paths:
        sources.append(beside.read(path)[0])
        report.advance()
    # With several images, whole ones are kept for validation.
    return export_dataset(sources, replace(plan, split="auto"), folder, progress=progress, cancel=cancel)


def _write(
    source: AnnotatedImage, plan: DatasetPlan, folder: Path, progress: ProgressCallback, cancel: CancelToken
) -> Written:
    return export_dataset([source], plan, folder, progress=progress, cancel=cancel)
