"""The board: goes through many images, takes a decision each by one key, and makes a set of those that are worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QInputDialog

from napari_synth.batches.manifest import BatchReport
from napari_synth.core.errors import ImageFileError, SynthError, TrainingDataError
from napari_synth.curation import Exported, ImageSet, agreement
from napari_synth.gui.jobs.curate import OpenedSet, export, measure, open_set, run_on, save_layers
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.panels.board import BoardPanel
from napari_synth.gui.settings import PLUGIN
from napari_synth.gui.widgets.curation_export import ExportBox
from napari_synth.gui.widgets.form_rows import menu_button
from napari_synth.samples import copy_curation

if TYPE_CHECKING:
    import napari

_LONGEST_LIST = 30_000
"""Letters of paths that a row of the panel Train takes."""


class CuratePanel(BoardPanel):
    """The board, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    nothing_done = "Cancelled."

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._exported: Exported | None = None
        self._by: str | None = None
        self._failures: list[str] = []
        self.export_box = ExportBox(self)
        self.more = menu_button(
            self,
            "More",
            "Other people's decisions, and what can be done with the accepted images",
            (
                (
                    "Measure the images",
                    "Noise, focus, saturation, duplicates, outliers: as columns, kept in a table",
                    self.measure,
                ),
                ("Rank by what needs a look", "Unreadable, doubtful, repeated, outlying images first", self.rank),
                ("Who decides…", "Your name as the journal has it", self._ask_for_name),
                (
                    "Merge a journal…",
                    "Take over what another person decided, and see how well you agree",
                    self._ask_for_journal,
                ),
                (
                    "Run on accepted…",
                    "Any recipe, as a batch whose results come back to the board",
                    self._ask_for_recipe,
                ),
                ("Train on accepted", "Open the panel Train with the accepted images as its source", self.train),
                (
                    "Augment accepted",
                    "Open the panel Augment to write a data set from the accepted images",
                    self.augment,
                ),
                (
                    "Open the sample folder",
                    "Good, blurred, saturated, repeated and broken images to try",
                    self.open_sample,
                ),
            ),
        )
        ends = QHBoxLayout()
        ends.addWidget(self.export_box.button, 2)
        ends.addWidget(self.more, 1)
        self._lay_out_board(self.export_box, ends)
        self.files.text.returnPressed.connect(self.open)
        self.open_button.clicked.connect(self._on_open)
        self.layers_button.clicked.connect(self.open_layers)
        self.export_box.wanted.connect(self.export)
        self._show_state()
        self._on_theme()

    # What the user does

    def open(self, *sources: str) -> None:
        """Open a set of images: see `napari_synth.curation.images.open_images`."""
        given = sources or self.files.files
        if sources:
            self.files.show_files(sources)
        self._attempt(lambda: partial(open_set, _named(given), self._by), "Looking for images", self._on_opened)

    def open_layers(self) -> None:
        """Open the image layers of the viewer: the files that they come from, and files that the others are saved to."""
        images = [one for one in self.viewer.layers if isinstance(one, ImageLayer) and kind_of(one) == ""]
        paths = list(dict.fromkeys(str(one.source.path) for one in images if one.source.path))
        unsaved = [one for one in images if not one.source.path]
        if unsaved:
            layers = [one.as_layer_data_tuple() for one in unsaved]
            place = platformdirs.user_data_path("napari-synth", appauthor=False) / "curation layers"
            then = partial(self._open_saved, paths)
            self._attempt(lambda: partial(save_layers, layers, place), "Saving layers", then)
        elif paths:
            self.open(*paths)
        else:
            self._clear()
            self._on_failed(ImageFileError("There is no image layer: open images, or a folder."))

    def open_sample(self) -> None:
        """Open a copy of the sample folder: decisions are kept beside it."""
        self.open(str(copy_curation(platformdirs.user_data_path("napari-synth", appauthor=False) / "curation sample")))

    def measure(self) -> None:
        """Measure all images in the background; what was measured before is not measured again."""
        opened = self._opened
        if opened is not None:
            self._attempt(lambda: partial(measure, opened), "Measuring", self._on_measured)

    def run_on_accepted(self, recipe: Path, folder: Path) -> None:
        """Run a recipe on what was accepted, and open the results.

        Parameters
        ----------
        recipe : pathlib.Path
            Of a recipe that a panel copied or a run wrote.
        folder : pathlib.Path
            Of the results.
        """
        self._attempt(
            lambda: partial(run_on, recipe, self._accepted_paths(), folder), "Running the recipe", self._on_ran
        )

    def rank(self) -> None:
        """Order the images by what most needs a look."""
        if "look" in self.views.model.columns:
            self.views.show_sorted("look", descending=True)
        else:
            self.messages.show_notes(["Nothing is known to rank by: open a table of measures or a batch."])

    def merge(self, path: Path, called: str | None = None) -> None:
        """Take over another person's journal, and say how well people agree.

        Parameters
        ----------
        path : pathlib.Path
        called : str, optional
            The other person's name, where both have the same.
        """
        if self._opened is None:
            return
        self._clear()
        journal = self._opened.journal
        try:
            count = journal.merge(path, called)
        except SynthError as error:
            self._on_failed(error)
            return
        self._show_known()
        said = [str(one) for one in agreement(journal.last())]
        self.messages.show_notes([f"{count} decision{'s' * (count != 1)} taken over.", *said])

    def export(self, target: Path) -> None:
        """Write the accepted images as a set into a new folder."""
        opened = self._opened
        if opened is None:
            return
        self._attempt(
            lambda: partial(export, opened.images, opened.journal.last(), target, self.export_box.plan()),
            "Exporting images",
            self._on_exported,
        )

    def train(self) -> None:
        """Open the panel Train on what was accepted: on its part to train on, where a set was exported."""
        window = getattr(self.viewer, "window", None)
        self._clear()
        try:
            files = self._accepted_files()
        except SynthError as error:
            self._on_failed(error)
            return
        if window is not None:
            _, panel = window.add_plugin_dock_widget(PLUGIN, "Train")
            panel.setup.place.setCurrentIndex(1)
            panel.setup.source.files.show_files(files)

    def augment(self) -> None:
        """Open the panel Augment, whose data set is made of the accepted images then."""
        window = getattr(self.viewer, "window", None)
        self._clear()
        try:
            paths = self._accepted_paths()
        except SynthError as error:
            self._on_failed(error)
            return
        if window is not None:
            _, panel = window.add_plugin_dock_widget(PLUGIN, "Augment")
            panel.dataset.show_files(paths)

    # What changes

    def _on_open(self, _checked: bool = False) -> None:
        self.open()

    def _on_opened(self, opened: OpenedSet) -> None:
        self._exported = None
        self.layers.forget_contrast()
        self._show_set(opened)
        count, place = len(opened.images.images), opened.journal.path
        people = [name for name in opened.journal.people if name != opened.journal.by]
        also = f" {', '.join(people)} decided here too." if people else ""
        failed, self._failures = self._failures, []
        self.messages.show_notes([f"{count} images. Every decision is kept in {place} at once.{also}", *failed])
        self._show_state()
        self.views.take_focus()

    def _open_saved(self, paths: Sequence[str], saved: Path) -> None:
        self._next = partial(self.open, *paths, str(saved))

    def _show_state(self) -> None:
        super()._show_state()
        is_open = self._opened is not None
        self.more.setEnabled(is_open)
        accepted = self.views.model.counts()["accepted"] if is_open else 0
        self.export_box.show_count(accepted, busy=self._job is not None)

    # Outcomes

    def _accepted_files(self) -> tuple[str, ...]:
        """Return the files to train on."""
        if self._exported is not None:
            folder = self._exported.folder
            parts = [folder / part for part in ("train", "images") if (folder / part).is_dir()]
            if parts:
                return (str(parts[0]),)
        paths = [str(path) for path in self._accepted_paths()]
        if sum(map(len, paths)) > _LONGEST_LIST or any(";" in path for path in paths):
            raise TrainingDataError("These are too many files to name one by one: export the set, then train on it.")
        return tuple(paths)

    def _accepted_paths(self) -> list[Path]:
        model = self.views.model
        paths = [image.path for image in model.images.images if model.state(image) == "accepted"]
        if not paths:
            raise TrainingDataError("No image is accepted: look at some and press A.")
        return paths

    def _on_measured(self, images: ImageSet) -> None:
        assert self._opened is not None
        current = self.views.current
        self._show_set(OpenedSet(images, self._opened.journal))
        if current is not None:
            self.views.go_to_image(current.name)
        bad = sum(bool(image.error) for image in images.images)
        self.messages.show_notes(
            [
                "Measured. Click a title to sort, or drag a histogram under Measures.",
                f"{bad} cannot be read: {'it comes' if bad == 1 else 'they come'} first when you rank." if bad else "",
            ]
        )

    def _on_ran(self, report: BatchReport) -> None:
        failed = [f"{record.source}: {record.error}" for record in report.failed]
        self._next = partial(self._open_results, str(report.manifest), failed)

    def _open_results(self, manifest: str, failed: Sequence[str]) -> None:
        self._failures = list(failed)
        self.open(manifest)

    def _on_exported(self, made: Exported) -> None:
        self._exported = made
        parts = ", ".join(f"{count} for {part}" for part, count in made.parts.items())
        said = [f"{len(made.files)} images{f' ({parts})' if parts else ''} are in {made.folder}."]
        said += [f"{name} {why}." for name, why in made.missing.items()]
        self.messages.show_notes([*said, *made.notes])

    def _ask_for_name(self) -> None:
        name, taken = QInputDialog.getText(self, "Who decides?", "Your name:", text=self._by or "")
        if taken and name.strip():
            self.decide_as(name.strip())

    def decide_as(self, name: str) -> None:
        """Keep decisions under another name from now on."""
        self._by = name
        if self._opened is not None:
            self._opened.journal.by = name
            self._show_known()

    def _ask_for_recipe(self) -> None:
        recipe, _ = QFileDialog.getOpenFileName(self, "The recipe to run", "", "Recipes (*.yaml *.yml)")
        folder = QFileDialog.getExistingDirectory(self, "A folder for the results") if recipe else ""
        if folder:
            self.run_on_accepted(Path(recipe), Path(folder))

    def _ask_for_journal(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Another person's decisions", "", "Journals (*.jsonl)")
        if path:
            self.merge(Path(path))


def _named(sources: Sequence[str]) -> Sequence[str]:
    if not sources:
        raise ImageFileError("No images are named: write the name of a folder, a table or a pattern.")
    return sources
