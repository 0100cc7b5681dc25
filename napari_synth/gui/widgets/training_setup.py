"""The part of the panel that says what is trained, on what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_synth.contract.trainable import Trainable, TrainParams
from napari_synth.core.errors import InvalidImageError, SynthError, TrainingDataError
from napari_synth.gui.jobs.requests import TrainRequest
from napari_synth.gui.layers.images import guessed_axes
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.layers.training_images import ChosenImages, check_pairs, chosen_layers, doubts, pairing
from napari_synth.gui.settings import read_settings
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import button, help_button, label, rows, wrapped
from napari_synth.gui.widgets.help import show_help
from napari_synth.gui.widgets.image_choice import FileRow, ImageChoice
from napari_synth.gui.widgets.layer_lists import LayerChoice
from napari_synth.gui.widgets.method_list import TrainableList
from napari_synth.gui.widgets.source_picker import AxesBox, size_in_words
from napari_synth.registry import trainable
from napari_synth.studio.record import TrainingRecord

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_TARGETS = {
    "paired": (
        "Target",
        "What the model shall make of each source: layers of the same fields, in the same order from bottom to top",
    ),
    "unpaired": (
        "Look like",
        "Layers of the kind that the source shall be turned into; other fields than the source's",
    ),
}
_UNTIL_STOPPED = "until stopped"


class TimeRow(QWidget):
    """The times that a training suggests; another one is set among its settings."""

    chosen = Signal(float)
    """Minutes, 0 for until it is stopped."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[float, QPushButton] = {}
        self.words = ""
        """The time that is set."""
        self.setToolTip("About how long to train; another time is set under More settings")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)

    def show_presets(self, params_type: type[TrainParams]) -> None:
        """Offer the times of a training."""
        extra = params_type.model_fields["minutes"].json_schema_extra
        presets = extra.get("presets") if isinstance(extra, dict) else None
        listed = presets if isinstance(presets, list) else []
        times = [float(minutes) for minutes in listed if isinstance(minutes, (int, float))]
        if times == list(self.buttons):
            return
        for old in self.buttons.values():
            self._row.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.buttons = {}
        for minutes in times:
            tooltip = f"Train for about {_in_words(minutes)}" if minutes else "Train until you press Stop"
            made = button(self, _in_words(minutes).capitalize(), tooltip, checkable=True)
            made.clicked.connect(partial(self._on_clicked, minutes))
            self.buttons[minutes] = made
            self._row.addWidget(made, 2 if minutes else 3)

    def show_time(self, minutes: float, steps: int | None) -> None:
        """Show what is set: one of the buttons is down, or none."""
        self.words = _in_words(minutes) if steps is None else f"{steps} steps"
        for time, made in self.buttons.items():
            made.setChecked(steps is None and time == minutes)

    def _on_clicked(self, minutes: float, _checked: bool = False) -> None:
        self.buttons[minutes].setChecked(True)
        self.chosen.emit(minutes)


class SetupBox(QWidget):
    """What is trained, its sources and targets, the name, the time, and the settings.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._like: napari.layers.Image | None = None
        self.methods = TrainableList(self)
        self.help = help_button(
            self, "this training", "What this training does, its paper and its settings: its page of the documentation"
        )
        self.summary = wrapped(self)
        self.place = QComboBox(self)
        self.place.addItems(["open layers", "files"])
        self.place.setToolTip("Whether layers of this viewer are learnt from, or files that need not be open")
        self.source = ImageChoice(
            viewer, "The layers to learn from, any number; one that you select in the layer list is ticked", self
        )
        self.target = ImageChoice(viewer, "", self)
        self.axes = AxesBox(self)
        self.described = wrapped(self, "The size of the first image along each axis, and the type of its pixels")
        self.pairs = wrapped(self, "Which image is learnt from which")
        self.region = LayerChoice(viewer, _is_region, "everywhere", self)
        self.region.setToolTip("Learn only where something is drawn on a Labels layer, wherever it lies in space")
        self.file_region = FileRow(self)
        self.file_region.text.setPlaceholderText("everywhere")
        self.file_region.text.setToolTip(
            "Labels, not zero where the files may be learnt from: one for all, or a folder or pattern with one for each"
        )
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("made from the image's name")
        self.name.setToolTip("What the model will be called: lower-case letters, digits, and hyphens between them")
        self.time = TimeRow(self)
        self.examples = button(
            self,
            "Preview augmentation",
            "Add a layer with patches as the training would draw them, changed at random as it is set under Augmentation",
        )
        self.reset_button = button(
            self, "Reset", "Put all settings of this training back to what they are in a new installation"
        )
        self.form = self._made_form()
        self._lay_out()
        self._connect()
        self._on_method()
        self._follow()

    # What is set

    @property
    def trainable(self) -> Trainable[Any]:
        """What is to be trained."""
        return self.methods.trainable

    @property
    def is_from_files(self) -> bool:
        """Whether files are learnt from."""
        return self.place.currentIndex() == 1

    def request(self, folder: Path | None = None) -> TrainRequest:
        """Return what is to be learnt; no pixel is read.

        Parameters
        ----------
        folder : Path, optional
            Of an earlier run that is gone on with.

        Raises
        ------
        SynthError
            Something is missing or does not fit.
        """
        params = self.form.params().model_dump()
        source, target = self.source_chosen(), self.target_chosen()
        if self.trainable.info.images == "paired":
            check_pairs(source, target)
        name = self.name.text().strip()
        return TrainRequest(self.trainable.info.id, source, target, params, name, folder, read_settings())

    def source_chosen(self) -> ChosenImages:
        """Return what is learnt from; raises as `request`."""
        if self.is_from_files:
            if not self.source.files.files:
                raise TrainingDataError("No file is named: write the name of a folder, a file or a pattern.")
            return ChosenImages(
                files=self.source.files.files,
                file_axes=self.axes.axes or None,
                file_limits=self.file_region.files,
            )
        layers = self.source.layers.chosen
        if not layers:
            none = not self.source.layers.layers
            if none and self.trainable.info.source == "labels":
                raise InvalidImageError(
                    "There is no Labels layer: open one, or draw on a new one what the image shows."
                )
            opening = "open one, or take one of File > Open Sample > napari-synth"
            raise InvalidImageError(f"There is no image: {opening}." if none else "No source is ticked: tick a layer.")
        return chosen_layers(layers, self.axes.axes, region=self.region.layer)

    def target_chosen(self) -> ChosenImages:
        """Return what is learnt towards, empty where one set of images is learnt from; raises as `request`."""
        if self.trainable.info.images == "one":
            return ChosenImages()
        if self.is_from_files:
            if not self.target.files.files:
                raise TrainingDataError(
                    "No file is named as the target: write the name of a folder, a file or a pattern."
                )
            return ChosenImages(files=self.target.files.files)
        if not self.target.layers.chosen:
            raise TrainingDataError("No target is ticked: tick the layers that the model shall learn to make.")
        return chosen_layers(self.target.layers.chosen, self.axes.axes, like=self._like)

    def in_brief(self) -> str:
        """Return what is set in a line."""
        source = self.source.files.files if self.is_from_files else [layer.name for layer in self.source.layers.chosen]
        first = Path(source[0]).name if source and self.is_from_files else source[0] if source else "no image"
        more = f" and {len(source) - 1} more" if len(source) > 1 else ""
        return f"{self.trainable.info.title} · {first}{more} · {self.time.words}"

    def use(self, method: str, params: Mapping[str, Any]) -> None:
        """Set a training and what of its settings is given, where it is still there and they still fit."""
        try:
            known = trainable(method).params_type.settable()
            values = {name: value for name, value in params.items() if name in known}
            trainable(method).params_type.parse(values)
        except SynthError:
            return
        self.methods.choose(method)
        self.form.set_values(values)
        self._on_form()

    def kept_files(self) -> dict[str, str]:
        """Return the files that are named, to be shown again another day; nothing where layers are learnt from."""
        rows = {"source": self.source.files, "target": self.target.files, "region": self.file_region}
        return {name: row.text.text().strip() for name, row in rows.items()} if self.is_from_files else {}

    def show_files(self, kept: Mapping[str, Any]) -> None:
        """Name files that were learnt from another day."""
        rows = {"source": self.source.files, "target": self.target.files, "region": self.file_region}
        for name, row in rows.items():
            row.text.setText(str(kept.get(name, "")))
        self.place.setCurrentIndex(int(bool(kept)))

    def reset(self) -> None:
        """Put all settings of the chosen training back to their defaults."""
        self.form.set_values(self.trainable.params_type().model_dump(include=set(self.form.values())))
        self._on_form()

    def show_record(self, record: TrainingRecord) -> tuple[str, ...]:
        """Set everything as it was in an earlier training, and return the names of layers that are not there.

        Raises
        ------
        UnknownGeneratorError
            What was trained is not installed.
        """
        self.methods.choose(record.method)
        known = self.form.values()
        self.form.set_values({name: value for name, value in record.params.items() if name in known})
        self.name.setText(record.model)
        self.place.setCurrentIndex(int(record.source.are_files))
        missing: list[str] = []
        for choice, origin in ((self.source, record.source), (self.target, record.target)):
            if origin.are_files:
                choice.files.show_files(origin.names)
                continue
            there = {layer.name: layer for layer in choice.layers.layers}
            missing += [name for name in origin.names if name not in there]
            choice.layers.tick_only(*(there[name] for name in origin.names if name in there))
        if record.region.are_files:
            self.file_region.show_files(record.region.names)
        if record.axes:
            self.axes.setCurrentText(record.axes)
        return tuple(missing)

    # Layout

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        first = QHBoxLayout()
        first.setSpacing(2)
        first.addWidget(self.methods, 1)
        first.addWidget(self.help)
        layout.addLayout(first)
        layout.addWidget(self.summary)
        form = rows()
        form.addRow(label("Learn from", self.place), self.place)
        form.addRow(self.source)
        self.axes_label = label("Axes", self.axes)
        form.addRow(self.axes_label, self.axes)
        form.addRow(self.described)
        self.target_label = label("Target", self.target)
        form.addRow(self.target_label)
        form.addRow(self.target)
        form.addRow(self.pairs)
        self.region_label = label("Region", self.region)
        form.addRow(self.region_label, self.region)
        self.file_region_label = label("Region", self.file_region)
        form.addRow(self.file_region_label, self.file_region)
        form.addRow(label("Name", self.name), self.name)
        form.addRow(self.time)
        layout.addLayout(form)
        self._form_place = QVBoxLayout()
        self._form_place.addWidget(self.form)
        layout.addLayout(self._form_place)
        last = QHBoxLayout()
        last.setSpacing(4)
        last.addWidget(self.examples, 2)
        last.addWidget(self.reset_button, 1)
        layout.addLayout(last)

    def _connect(self) -> None:
        self.methods.chosen.connect(self._on_method)
        self.help.clicked.connect(self._show_help)
        self.place.currentIndexChanged.connect(self._on_place)
        self.source.changed.connect(self._on_source)
        self.target.changed.connect(self._describe)
        self.axes.currentTextChanged.connect(self._describe)
        self.time.chosen.connect(self._on_time)
        self._viewer.layers.selection.events.active.connect(self._follow)
        self._viewer.layers.events.inserted.connect(self._follow)
        self._viewer.layers.events.removed.connect(self._follow)

    def _made_form(self) -> ParamsForm:
        form = ParamsForm(self.trainable.params_type, self, folded=True)
        form.changed.connect(self._on_form)
        return form

    # What changes

    def _on_method(self) -> None:
        info = self.trainable.info
        self.summary.setText(info.summary)
        self.summary.setToolTip(f"{info.summary}\n{info.reference}".strip())
        form = self._made_form()
        form.take_over(self.form)
        form.more.setChecked(self.form.more.isChecked())
        self._form_place.replaceWidget(self.form, form)
        self.form.hide()
        self.form.deleteLater()
        self.form = form
        self.time.show_presets(self.trainable.params_type)
        self.examples.setVisible(form.more.isChecked())
        form.more.toggled.connect(self.examples.setVisible)
        self._on_form()
        if info.images in _TARGETS:
            title, tooltip = _TARGETS[info.images]
            self.target_label.setText(title)
            for widget in (self.target_label, self.target.layers):
                widget.setToolTip(tooltip)
        self.source.layers.list_kind(info.source)
        self._on_place()
        if not self.source.layers.chosen:
            self._follow()

    def _show_help(self) -> None:
        show_help(self.trainable, self)

    def _on_place(self, _index: int = 0) -> None:
        files, targets = self.is_from_files, self.trainable.info.images in _TARGETS
        for choice in (self.source, self.target):
            choice.show_files(files)
        for widget in (self.target, self.target_label):
            widget.setVisible(targets)
        for part in (self.region, self.region_label):
            part.setVisible(not files)
        for part in (self.file_region, self.file_region_label):
            part.setVisible(files)
        self._like = None
        if files:
            self.axes.show_files()
        self._on_source()

    def _on_source(self) -> None:
        """Take the axes of the first layer, and the other layer as the target where there is only one other."""
        if not self.is_from_files:
            chosen = self.source.layers.chosen
            first = chosen[0] if chosen else None
            if first is not self._like or first is None:
                self._like = first
                self.axes.show_layer(first)
            self._suggest_target()
        self._describe()

    def _suggest_target(self) -> None:
        """Tick the only layer that can be the target."""
        chosen = self.source.layers.chosen
        others = [layer for layer in self.target.layers.layers if layer not in chosen]
        if len(chosen) == len(others) == 1:
            self.target.layers.tick_only(*others)

    def _on_time(self, minutes: float) -> None:
        self.form.set_values({"minutes": minutes, "steps": None})

    def _on_form(self) -> None:
        values = self.form.values()
        self.time.show_time(values["minutes"], values["steps"])
        self.changed.emit()

    def _follow(self, _event: object = None) -> None:
        """Tick the active layer, unless several were ticked, or it may be what the model shall make."""
        source = self.source.layers
        active = self._viewer.layers.selection.active
        stays = len(source.chosen) > (0 if self.trainable.info.images in _TARGETS else 1)
        if not stays and active in source.layers:
            source.tick_only(active)
        elif not source.chosen and source.layers:
            source.tick_only(source.layers[0])
        self._suggest_target()

    def _describe(self, _text: str = "") -> None:
        """Say how large the images are, which belong together, and what is wrong with that."""
        like, axes = self._like, self.axes.axes
        self.described.setVisible(like is not None)
        if like is not None:
            self.described.setText(size_in_words(like, axes or guessed_axes(like)))
        lines, wrong = self._pairing()
        self.pairs.setVisible(bool(lines or wrong))
        shown = [escape(line, quote=False) for line in lines]
        shown += [f"<b>!</b> {escape(line, quote=False)}" for line in wrong]
        self.pairs.setText("<br>".join(shown))
        self.changed.emit()

    def _pairing(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self.trainable.info.images != "paired" or self.is_from_files or not self.target.layers.chosen:
            return (), ()
        try:
            source, target = self.source_chosen(), self.target_chosen()
            check_pairs(source, target)
        except SynthError as error:
            return (), (str(error),)
        return pairing(source, target), doubts(source, target)


def _is_region(layer: napari.layers.Layer) -> bool:
    """Tell whether a layer can limit what is learnt from."""
    return isinstance(layer, Labels) and not kind_of(layer)


def _in_words(minutes: float) -> str:
    return f"{minutes:g} min" if minutes else _UNTIL_STOPPED
