"""The part of the board that shows images one after the other and takes a decision on each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLayout, QLineEdit, QSizePolicy, QWidget

from napari_synth.core.errors import SynthError
from napari_synth.curation import CuratedImage, Verdict
from napari_synth.curation.thumbnails import Thumbnails
from napari_synth.files import read_image
from napari_synth.gui.jobs.background_reader import BackgroundReader
from napari_synth.gui.jobs.curate import OpenedSet
from napari_synth.gui.layers.board_layers import BoardLayers
from napari_synth.gui.panels.base import Panel
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
from napari_synth.gui.widgets.form_rows import button, wrapped
from napari_synth.gui.widgets.image_choice import FileRow

if TYPE_CHECKING:
    import napari

_AHEAD = 3
_KEPT_IMAGES, _KEPT_PICTURES = 8, 1500


class BoardPanel(Panel):
    """A panel that goes through a set of images.

    A subclass opens sets (`_show_set`), puts what it does with them below the board (`_lay_out_board`), and calls `_on_theme` once
    it is made.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._opened: OpenedSet | None = None
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
            self, "Fix contrast", "Show all images with the same contrast, which you set in the layer", checkable=True
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
        self._connect_board()

    # What the user does

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

    def stop(self) -> None:
        """See `Panel.stop`; the layer of the board goes too."""
        super().stop()
        for reader in (self.pictures, self.reader):
            reader.stop()
        self.layers.drop()

    # Layout

    def _lay_out_board(self, *below: QWidget | QLayout) -> None:
        """Put the board into the panel, with what a subclass has below it."""
        opening, looks, decisions = QHBoxLayout(), QGridLayout(), QHBoxLayout()
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
            *below,
        )
        self.views.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        inner = self.views.parentWidget()
        layout = None if inner is None else inner.layout()
        if layout is not None:
            # The images take the room that is left, not the stretch at the end.
            layout.setStretchFactor(self.views, 100)  # type: ignore[attr-defined]

    def _connect_board(self) -> None:
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
        for verdict, made in self.verdicts.items():
            made.clicked.connect(partial(self._on_verdict, verdict))

    # What changes

    def _on_verdict(self, verdict: Verdict, _checked: bool = False) -> None:
        self.decide(verdict)

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
        is_open = self._opened is not None
        for part in (self.views, self.filters, self.as_grid, self.blind, self.pairs, self.comment):
            part.setEnabled(is_open)
        for made in self.verdicts.values():
            made.setEnabled(is_open)
        for made in (self.open_button, self.layers_button):
            made.setEnabled(self._job is None)

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        self.filters.histogram.set_colours(theme.text.as_hex(), theme.background.as_hex(), theme.current.as_hex())

    # Pictures

    def _picture(self, image: CuratedImage) -> Any:
        found = self.pictures.get((image.name, image.path))
        if found is None:
            self.pictures.ask((image.name, image.path))
        return None if isinstance(found, SynthError) else found

    def _on_picture(self, key: tuple[str, Path]) -> None:
        self.views.model.show_picture(key[0])
