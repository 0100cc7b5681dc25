"""The board: goes through many images, takes a decision each by one key, and makes a set of those that are worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from napari.layers import Image as ImageLayer
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QGridLayout, QHBoxLayout, QInputDialog, QLineEdit, QSizePolicy

from napari_synth.batches.manifest import BatchReport
from napari_synth.core.errors import ImageFileError, SynthError, TrainingDataError
from napari_synth.curation import CuratedImage, Exported, ImageSet, Verdict, agreement
from napari_synth.curation.thumbnails import Thumbnails
from napari_synth.files import read_image
from napari_synth.gui.jobs.background_reader import BackgroundReader
from napari_synth.gui.jobs.curate import OpenedSet, export, measure, open_set, run_on
from napari_synth.gui.layers.board_layers import BoardLayers
from napari_synth.gui.layers.marks import kind_of
from napari_synth.gui.panels.base import Panel
from napari_synth.gui.settings import PLUGIN
from napari_synth.gui.widgets.curation_export import ExportBox
from napari_synth.gui.widgets.curation_filters import FilterBox
from napari_synth.gui.widgets.curation_model import GLYPHS
from napari_synth.gui.widgets.curation_views import (
    COMMENT,
    LEFT_BETTER,
    NEXT,
    PREVIOUS,
    RIGHT_BETTER,
    UNDO,
    WORDS,
    BoardViews,
)
from napari_synth.gui.widgets.elided import NameLabel
from napari_synth.gui.widgets.form_rows import button, menu_button, wrapped
from napari_synth.gui.widgets.image_choice import FileRow
from napari_synth.samples import copy_curation

if TYPE_CHECKING:
    import napari

_AHEAD = 3
_KEPT_IMAGES, _KEPT_PICTURES = 8, 1500
_LONGEST_LIST = 30_000
"""Letters of paths that a row of the panel Train takes."""


class CuratePanel(Panel):
    """The board, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    nothing_done = "Cancelled."

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._opened: OpenedSet | None = None
        self._exported: Exported | None = None
        self._by: str | None = None
        self._failures: list[str] = []
        self._shows_before = False
        self._awaited: Path | None = None
        self.layers = BoardLayers(self.viewer)
        self.thumbnails = Thumbnails()
        self.pictures = BackgroundReader(lambda key: self.thumbnails.read(key[1]), _KEPT_PICTURES, self)
        self.reader = BackgroundReader(read_image, _KEPT_IMAGES, self, threads=2)

        self.files = FileRow(self)
        self.files.text.setPlaceholderText("folder, table.csv, batch or day*/*.tif")
        self.files.text.setToolTip(
            "A folder of images, a pattern, a table of measures, the folder of a batch, or a plate; several with ; between them"
        )
        self.open_button = button(self, "Open", "Show these images on the board")
        self.layers_button = button(
            self, "Open layers", "Take the files of the image layers that are open in the viewer"
        )
        self.views = BoardViews(self._picture, self)
        self.filters = FilterBox(self.views.model, self)
        self.as_grid = button(self, "Grid", "Show pictures side by side instead of a table", checkable=True)
        self.blind = button(
            self, "Blind", "Hide names and measures and shuffle the order, so that nothing sways you", checkable=True
        )
        self.pairs = button(
            self,
            "Pair",
            "Show two results of one source side by side; J or K says which one is better, the left or the right",
            checkable=True,
        )
        self.locked = button(
            self, "Lock contrast", "Show all images with the same contrast, which you set in the layer", checkable=True
        )
        self.locked.setChecked(True)
        self.name = NameLabel(self)
        self.comment = QLineEdit(self)
        self.comment.setPlaceholderText("Comment (C): why?")
        self.comment.setToolTip("Your reason; Return keeps it and goes back to the images")
        self.verdicts = {
            verdict: button(self, f"{GLYPHS[verdict]} {verdict.value.capitalize()}", f"Key {verdict.value[0].upper()}")
            for verdict in Verdict
        }
        self.help = wrapped(self, "These keys act while the images have the focus: click one first")
        self.help.setText(WORDS)
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
        self._lay_out_board()
        self._connect()
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
        """Open the files of the image layers of the viewer."""
        images = [one for one in self.viewer.layers if isinstance(one, ImageLayer) and kind_of(one) == ""]
        paths = list(dict.fromkeys(str(one.source.path) for one in images if one.source.path))
        if not paths:
            self._clear()
            self._on_failed(ImageFileError("No layer was opened from a file: save the layers first, or open a folder."))
            return
        self.open(*paths)

    def decide(self, wish: object) -> None:
        """Do what a key means: see `napari_synth.gui.widgets.curation_views.KEYS`."""
        if wish == NEXT:
            self.views.go(1)
        elif wish == PREVIOUS:
            self.views.go(-1)
        elif wish == COMMENT:
            self.comment.setFocus()
            self.comment.selectAll()
        elif wish == UNDO:
            self.undo()
        elif wish in (LEFT_BETTER, RIGHT_BETTER):
            self._prefer(right=wish == RIGHT_BETTER)
        elif isinstance(wish, Verdict):
            self._note(verdict=wish)
            self.views.go(1)
        elif isinstance(wish, int):
            self._note(grade=wish)

    def undo(self) -> None:
        """Take the last decision back and look at its image again."""
        if self._opened is None:
            return
        try:
            name = self._opened.journal.undo()
        except SynthError as error:
            self._on_failed(error)
            return
        if name is None:
            self.messages.show_notes(["There is nothing left to take back."])
            return
        self._show_known(name)
        self.views.go_to_image(name)

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

    def stop(self) -> None:
        """See `Panel.stop`; the layer of the board goes too."""
        super().stop()
        for reader in (self.pictures, self.reader):
            reader.stop()
        self.layers.drop()

    # Layout

    def _lay_out_board(self) -> None:
        opening, looks, decisions, ends = QHBoxLayout(), QGridLayout(), QHBoxLayout(), QHBoxLayout()
        opening.addWidget(self.open_button, 1)
        opening.addWidget(self.layers_button, 1)
        for place, switch in enumerate((self.as_grid, self.blind, self.pairs, self.locked)):
            looks.addWidget(switch, 0, place)
            looks.setColumnStretch(place, 2 if switch is self.locked else 1)
            # Keys go on to act on the images.
            switch.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for made in self.verdicts.values():
            made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            decisions.addWidget(made, 1)
        ends.addWidget(self.export_box.button, 2)
        ends.addWidget(self.more, 1)
        self._lay_out(
            self.files,
            opening,
            self.filters,
            looks,
            self.views,
            self.name,
            decisions,
            self.comment,
            self.help,
            self.progress,
            self.messages,
            self.export_box,
            ends,
        )
        self.views.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        inner = self.views.parentWidget()
        layout = None if inner is None else inner.layout()
        if layout is not None:
            # The images take the room that is left, not the stretch at the end.
            layout.setStretchFactor(self.views, 100)  # type: ignore[attr-defined]

    def _connect(self) -> None:
        self.files.text.returnPressed.connect(self.open)
        self.open_button.clicked.connect(self._on_open)
        self.layers_button.clicked.connect(self.open_layers)
        self.views.chosen.connect(self._on_chosen)
        self.views.keys.pressed.connect(self.decide)
        self.views.keys.before.connect(self.show_before)
        self.filters.changed.connect(self._show_name)
        self.as_grid.toggled.connect(self.views.show_grid)
        self.blind.toggled.connect(self._on_blind)
        self.pairs.toggled.connect(self._on_pairs)
        self.locked.toggled.connect(self._on_locked)
        self.comment.returnPressed.connect(self._on_comment)
        self.pictures.ready.connect(self._on_picture)
        self.reader.ready.connect(self._on_read)
        self.export_box.wanted.connect(self.export)
        for verdict, made in self.verdicts.items():
            made.clicked.connect(partial(self._on_verdict, verdict))

    # What changes

    def _on_open(self, _checked: bool = False) -> None:
        self.open()

    def _on_verdict(self, verdict: Verdict, _checked: bool = False) -> None:
        self.decide(verdict)

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

    def _show_set(self, opened: OpenedSet) -> None:
        self._opened = opened
        self.blind.setChecked(False)
        self.views.model.show_set(opened.images, opened.journal)
        self.filters.show_set()
        self.views.show_sorted(None, descending=False)

    def _on_chosen(self, image: CuratedImage | None) -> None:
        self._shows_before = False
        self._show_name()
        if image is None:
            return
        partner = self.views.model.partner(image) if self.pairs.isChecked() else None
        if self.pairs.isChecked() and partner is None:
            self.layers.drop_second()
        shown = [image, *([partner] if partner else []), *self.views.following(_AHEAD)]
        before = [image.before] if image.before else []
        self.reader.want([one.path for one in shown[: 1 + bool(partner)]] + before + [one.path for one in shown[1:]])
        self._awaited = image.path
        self._show_read()

    def show_before(self, before: bool) -> None:
        """Show the source of a result while a key is held."""
        current = self.views.current
        if current is None or before == self._shows_before:
            return
        if before and current.before is None:
            self.messages.show_notes(["Nothing is known of what this image was made of: open a batch's folder."])
            return
        self._shows_before = before
        self._awaited = current.before if before else current.path
        if self._awaited is not None:
            self.reader.ask(self._awaited)
        self._show_read()

    def _on_read(self, path: Path) -> None:
        current = self.views.current
        partner = self.views.model.partner(current) if current and self.pairs.isChecked() else None
        if path == self._awaited or (partner is not None and path == partner.path):
            self._show_read()

    def _show_read(self) -> None:
        """Show what was read of what is looked at."""
        current = self.views.current
        if current is None or self._awaited is None:
            return
        found = self.reader.get(self._awaited)
        if isinstance(found, SynthError):
            self.messages.show_error(str(found))
        elif found is not None:
            self.messages.show_error("")
            name = self.views.model.shown_name(current)
            self._show_image(found, f"{name} before" if self._shows_before else name, 0)
        partner = self.views.model.partner(current) if self.pairs.isChecked() else None
        other = None if partner is None else self.reader.get(partner.path)
        if partner is not None and other is not None and not isinstance(other, SynthError):
            self._show_image(other, self.views.model.shown_name(partner), 1)

    def _show_image(self, image: Any, name: str, place: int) -> None:
        try:
            self.layers.show(image, name, place)
        except SynthError as error:
            self._on_failed(error)

    def _on_blind(self, blind: bool) -> None:
        self.filters.show_blind(blind)
        self.views.model.show_blind(blind)
        self.views.go_to(0)
        self._on_chosen(self.views.current)

    def _on_pairs(self, pairs: bool) -> None:
        self.layers.show_pair(pairs)
        self._on_chosen(self.views.current)

    def _on_locked(self, locked: bool) -> None:
        self.layers.keeps_contrast = locked
        self._show_read()

    def _on_comment(self) -> None:
        self._note(comment=self.comment.text().strip())
        self.views.take_focus()

    def _note(self, **changes: Any) -> None:
        """Keep a decision on the image that is looked at."""
        current = self.views.current
        if self._opened is None or current is None:
            return
        try:
            self._opened.journal.decide(current.name, blind=self.views.model.is_blind, **changes)
        except SynthError as error:
            self._on_failed(error)
            return
        self._show_known(current.name)

    def _prefer(self, *, right: bool) -> None:
        """Accept the better of two results of one source, and note which one it was better than."""
        current = self.views.current
        partner = self.views.model.partner(current) if current and self.pairs.isChecked() else None
        if self._opened is None or current is None or partner is None:
            self.messages.show_notes(["Press Pair, and choose an image of which there are two results."])
            return
        better, other = (partner, current) if right else (current, partner)
        try:
            self._opened.journal.decide(
                better.name, verdict=Verdict.ACCEPT, better_than=other.name, blind=self.views.model.is_blind
            )
        except SynthError as error:
            self._on_failed(error)
            return
        self._show_known(better.name)
        self.views.go(1)
        if self.views.current is not None and self.views.current.name == partner.name:
            self.views.go(1)

    def _show_known(self, *names: str) -> None:
        self.views.model.refresh(*names)
        self.filters.show_counts()
        self._show_name()
        self._show_state()

    def _show_name(self) -> None:
        current, model = self.views.current, self.views.model
        shown, count = model.rowCount(), len(model.images.images)
        if current is None or self._opened is None:
            self.name.show_name("No image passes the filters." if count else "")
            return
        decision = self._opened.journal.of(current.name)
        words = [f"{self.views.row + 1} of {shown}", model.shown_name(current)]
        if decision is not None:
            words += [f"{GLYPHS[decision.verdict]} {decision.verdict}"] if decision.verdict else []
            words += [f"grade {decision.grade}"] if decision.grade else []
        self.name.show_name(" · ".join(words))
        if not self.comment.hasFocus():
            self.comment.setText(decision.comment if decision else "")

    def _show_state(self) -> None:
        """Offer what can be done now."""
        is_open, busy = self._opened is not None, self._job is not None
        for part in (self.views, self.filters, self.as_grid, self.blind, self.pairs, self.comment, self.more):
            part.setEnabled(is_open)
        for made in self.verdicts.values():
            made.setEnabled(is_open)
        accepted = self.views.model.counts()["accepted"] if is_open else 0
        self.export_box.show_count(accepted, busy=busy)
        for made in (self.open_button, self.layers_button):
            made.setEnabled(not busy)

    # Pictures

    def _picture(self, image: CuratedImage) -> Any:
        found = self.pictures.get((image.name, image.path))
        if found is None:
            self.pictures.ask((image.name, image.path))
        return None if isinstance(found, SynthError) else found

    def _on_picture(self, key: tuple[str, Path]) -> None:
        self.views.model.show_picture(key[0])

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
                f"{bad} cannot be read: they come first when you rank." if bad else "",
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

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        self.filters.histogram.set_colours(theme.text.as_hex(), theme.background.as_hex(), theme.current.as_hex())


def _named(sources: Sequence[str]) -> Sequence[str]:
    if not sources:
        raise ImageFileError("No images are named: write the name of a folder, a table or a pattern.")
    return sources
