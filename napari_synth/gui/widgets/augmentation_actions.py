"""The buttons of the panel: presets, seed, one draw, many samples, replay, the field, and the pipeline for elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_synth.augmentation.pipeline import PRESETS
from napari_synth.gui.widgets.form_rows import button, help_button, label, menu_button, rows, wrapped

PRESET_TITLES = {
    "light-microscopy": "Light microscopy",
    "electron-microscopy": "Electron microscopy",
    "histology": "Histology",
    "mri": "MRI",
    "ct": "CT",
}
"""What presets are called."""
_OWN = "Own"
PREVIEW_TOOLTIP = "Show one draw, again whenever a setting, the seed or the slice changes"
_MOST_SAMPLES = 256
_LARGEST_SEED = 2**31 - 1
_YAML = "YAML (*.yaml *.yml)"


class PresetRows(QWidget):
    """Which preset the list starts from, and the seed."""

    chosen = Signal(str)
    """The name of a preset."""
    seed_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.presets = QComboBox(self)
        self.presets.setToolTip("Fill the list with what suits such images; everything can be changed then")
        for name in PRESETS:
            self.presets.addItem(PRESET_TITLES.get(name, name), name)
        self.presets.addItem(_OWN, "")
        self.presets.activated.connect(self._on_preset)
        self.seed = QSpinBox(self)
        self.seed.setRange(0, _LARGEST_SEED)
        self.seed.setToolTip("The same seed gives the same draw")
        self.seed.valueChanged.connect(self.seed_changed)
        self.another = QPushButton("Draw again", self)
        self.another.setToolTip("Take the next seed")
        self.another.clicked.connect(self._on_another)
        self.help = help_button(self, "augmentation", "What augmentation is for, and what each transform does")
        first = QHBoxLayout()
        first.setSpacing(2)
        first.addWidget(self.presets, 1)
        first.addWidget(self.help)
        beside = QHBoxLayout()
        beside.addWidget(self.seed, 1)
        beside.addWidget(self.another)
        form = rows()
        form.addRow(label("Preset", self.presets), first)
        form.addRow(label("Seed", self.seed), beside)
        self.setLayout(form)

    def show_preset(self, name: str) -> None:
        """Say which preset the list is."""
        self.presets.setCurrentIndex(self.presets.findData(name))

    def show_own(self) -> None:
        """Say that the list is no preset any more."""
        self.presets.setCurrentIndex(self.presets.count() - 1)

    def _on_preset(self, index: int) -> None:
        if name := self.presets.itemData(index):
            self.chosen.emit(name)

    def _on_another(self) -> None:
        self.seed.setValue(self.seed.value() + 1)


class ActionBox(QWidget):
    """What can be done with the pipeline."""

    samples_wanted = Signal(int, bool)
    """How many, and whether they are shown side by side."""
    replay_wanted = Signal(str)
    """``"again"`` or ``"back"``."""
    field_wanted = Signal(str)
    """``"vectors"`` or ``"image"``."""
    copy_wanted = Signal(str)
    """``"yaml"`` or ``"python"``."""
    paste_wanted = Signal()
    reset_wanted = Signal()
    save_wanted = Signal(Path)
    load_wanted = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preview = button(self, "Preview", PREVIEW_TOOLTIP, checkable=True)
        self.samples = button(
            self, "Add draws", "Add so many draws as a stack, with the layers that move along beside it"
        )
        self.samples.clicked.connect(self._on_show)
        self.count = QSpinBox(self)
        self.count.setRange(1, _MOST_SAMPLES)
        self.count.setValue(8)
        self.count.setToolTip("How many draws; one is added where its image lies, several beginning there")
        self.grid = QCheckBox("grid", self)
        self.grid.setToolTip("Show the draws side by side rather than as a stack")
        self.replay = menu_button(
            self,
            "Last draw",
            "Use the draw that was shown last on the image that is chosen now, such as another channel of the same field",
            (
                ("Apply to the chosen image", "", partial(self.replay_wanted.emit, "again")),
                ("Move the chosen image back", "", partial(self.replay_wanted.emit, "back")),
            ),
        )
        self.field = menu_button(
            self,
            "Displacement",
            "Add where the pixels of the last draw come from",
            (
                ("As vectors", "", partial(self.field_wanted.emit, "vectors")),
                ("As an image of distances", "", partial(self.field_wanted.emit, "image")),
            ),
        )
        self.copy = menu_button(
            self,
            "Copy pipeline",
            "Copy the transforms and their settings",
            (
                ("As YAML", "", partial(self.copy_wanted.emit, "yaml")),
                ("As Python", "", partial(self.copy_wanted.emit, "python")),
            ),
        )
        self.paste = button(
            self,
            "Paste pipeline",
            "Take the transforms and their settings from the clipboard: YAML, or the path of a file; one can be dropped here too",
        )
        self.paste.clicked.connect(self.paste_wanted)
        self.reset = button(self, "Reset", "Put everything back to what it is in a new installation")
        self.reset.clicked.connect(self.reset_wanted)
        self.save = button(self, "Save pipeline…", "Write the transforms and their settings to a file, as YAML")
        self.save.clicked.connect(self._on_save)
        self.load = button(
            self, "Load pipeline…", "Fill the list from a file that this panel, Python or an export wrote"
        )
        self.load.clicked.connect(self._on_load)
        self.drawn = wrapped(self, "What was drawn for the draw that was shown last")
        self.drawn.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.drawn.hide()

        several = QHBoxLayout()
        several.addWidget(self.count, 1)
        several.addWidget(self.grid)
        several.addWidget(self.samples, 1)
        grid = QGridLayout()
        grid.setSpacing(4)
        grid.addWidget(self.preview, 0, 0)
        grid.addWidget(self.replay, 0, 1)
        grid.addLayout(several, 1, 0, 1, 2)
        grid.addWidget(self.field, 2, 0)
        grid.addWidget(self.copy, 2, 1)
        grid.addWidget(self.save, 3, 0)
        grid.addWidget(self.load, 3, 1)
        grid.addWidget(self.reset, 4, 0)
        grid.addWidget(self.paste, 4, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addWidget(self.drawn)

    def show_drawn(self, lines: tuple[str, ...]) -> None:
        """Show what was drawn."""
        self.drawn.setText("\n".join(lines))
        self.drawn.setVisible(bool(lines))

    def set_ready(self, *, image: bool, draw: bool, busy: bool) -> None:
        """Enable what can be done now.

        Parameters
        ----------
        image : bool
            Whether there is an image to augment.
        draw : bool
            Whether something was drawn that can be used again.
        busy : bool
            Whether the worker is at work.
        """
        self.samples.setEnabled(image and not busy)
        self.replay.setEnabled(image and draw and not busy)
        self.field.setEnabled(draw and not busy)

    def _on_save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Where shall the pipeline be saved?", "pipeline.yaml", _YAML)
        if chosen:
            self.save_wanted.emit(Path(chosen))

    def _on_load(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Which pipeline shall be loaded?", filter=_YAML)
        if chosen:
            self.load_wanted.emit(Path(chosen))

    def _on_show(self) -> None:
        self.samples_wanted.emit(self.count.value(), self.grid.isChecked())
