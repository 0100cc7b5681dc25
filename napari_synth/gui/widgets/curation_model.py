"""The images of a set as Qt's tables and lists show them: only what is on the screen is ever asked for."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap

from napari_synth.core.texts import three_digits
from napari_synth.curation import Combined, CuratedImage, Decision, ImageSet, Journal, Verdict, combined
from napari_synth.curation.images import is_known
from napari_synth.curation.ranking import needs_a_look

GLYPHS = {Verdict.ACCEPT: "✓", Verdict.REJECT: "✗", Verdict.FLAG: "⚑"}
COLOURS = {Verdict.ACCEPT: "#2e9d5b", Verdict.REJECT: "#d1493f", Verdict.FLAG: "#b06c0c"}
OPEN, ACCEPTED, REJECTED, FLAGGED, DISPUTED = "open", "accepted", "rejected", "flagged", "disputed"
STATES = (OPEN, ACCEPTED, REJECTED, FLAGGED, DISPUTED)
_STATE_OF = {None: OPEN, Verdict.ACCEPT: ACCEPTED, Verdict.REJECT: REJECTED, Verdict.FLAG: FLAGGED}
_OWN = ("image", "decision", "grade", "comment", "look")
_BLIND = ("image", "decision", "grade", "comment")
_HIDDEN = {"error", "bytes", "time", "hash", "recipe", "target_bytes", "notes", "ended"}
_TELLING = {"well", "verdict", "chi2", "focus", "snr", "saturated", "duplicate", "outlier"}
"""Columns that come first."""
_EXPLAINED = {
    "image": "The name and a small picture",
    "decision": "What you decided; ≠ where several people do not agree",
    "grade": "1 (worst) to 5 (best)",
    "comment": "Your reason",
    "look": "What most needs a look comes first: unreadable, doubtful, repeated, outlying, saturated",
}

Index = QModelIndex
_ROOT = QModelIndex()
Row = int


class ImageModel(QAbstractTableModel):
    """The rows of a set that pass the filters, in the order that was chosen.

    Parameters
    ----------
    pixmap_of : callable
        Returns the picture (Y, X, 3) of an image where it was made already, else None, and sees to it that it is.
    parent : QObject, optional
    """

    def __init__(self, pixmap_of: Callable[[CuratedImage], Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._picture_of = pixmap_of
        self.images = ImageSet(Path(), ())
        self.journal: Journal | None = None
        self._all: tuple[CuratedImage, ...] = ()
        self._columns: tuple[str, ...] = _OWN
        self._rows: list[int] = []
        self._row_of: dict[int, int] = {}
        self._number_of: dict[str, int] = {}
        self._numeric: tuple[str, ...] = ()
        self._shuffled: list[int] | None = None
        self._place_of: dict[int, int] = {}
        self._sorted: tuple[str, bool] | None = None
        self._looks: tuple[float, ...] = ()
        self._states: list[str] = []
        self._passes: Callable[[CuratedImage], bool] | None = None

    # What is shown

    def show_set(self, images: ImageSet, journal: Journal) -> None:
        """Show another set with its journal."""
        self.beginResetModel()
        self.images, self.journal, self._all = images, journal, images.images
        self._number_of = {image.name: number for number, image in enumerate(self._all)}
        self._looks = needs_a_look(images)
        own = _OWN if any(self._looks) else _OWN[:-1]
        told = [name for name in images.columns if name not in {*_HIDDEN, *own} and not self._is_constant(name)]
        self._columns = (*own, *sorted(told, key=lambda name: name not in _TELLING))
        self._numeric = tuple(name for name in self._columns if name in {"grade", "look"} or images.is_number(name))
        self._passes = self._sorted = self._shuffled = None
        self._learn()
        self._arrange()
        self.endResetModel()

    def filter_by(self, passes: Callable[[CuratedImage], bool] | None) -> None:
        """Show only images for which a function is true; all for None."""
        self._passes = passes
        self._rearrange()

    def sort_by(self, column: str | None, descending: bool = False) -> None:
        """Order the images by a column; by their names for None."""
        self._sorted = None if column is None else (column, descending)
        self._rearrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order by the column whose title was clicked; blind order stays."""
        if self._shuffled is None and 0 <= column < len(self._columns):
            self.sort_by(self._columns[column], order == Qt.SortOrder.DescendingOrder)

    def show_blind(self, blind: bool) -> None:
        """Hide names and measures and shuffle the order, or show them again."""
        self.beginResetModel()
        self._shuffled = random.Random().sample(range(len(self._all)), len(self._all)) if blind else None
        self._place_of = {number: place for place, number in enumerate(self._shuffled or ())}
        self._learn()
        self._arrange()
        self.endResetModel()

    @property
    def is_blind(self) -> bool:
        """Whether names and measures are hidden."""
        return self._shuffled is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are shown."""
        return _BLIND if self.is_blind else self._columns

    # Images and rows

    def image(self, row: Row) -> CuratedImage:
        """Return the image in a row."""
        return self._all[self._rows[row]]

    def row_of(self, name: str) -> Row | None:
        """Return the row of an image, None where it is filtered out."""
        number = self._number_of.get(name)
        return None if number is None else self._row_of.get(number)

    def shown_name(self, image: CuratedImage) -> str:
        """Return what the user may see of a name."""
        if self._shuffled is None:
            return image.name
        return f"image {self._place_of[self._number_of[image.name]] + 1}"

    @property
    def shown(self) -> list[CuratedImage]:
        """The images that pass the filters, in their order."""
        return [self._all[number] for number in self._rows]

    def partner(self, image: CuratedImage) -> CuratedImage | None:
        """Return another result of the same source, None where there is none."""
        if image.before is None:
            return None
        same = [one for one in self._all if one.before == image.before and one.name != image.name]
        return same[0] if same else None

    def state(self, image: CuratedImage) -> str:
        """Return which of `STATES` an image is in, as the one who decides here sees it."""
        return self._states[self._number_of[image.name]]

    def counts(self) -> dict[str, int]:
        """Return how many images are in each state."""
        found = Counter(self._states)
        return {state: found[state] for state in STATES}

    def number(self, image: CuratedImage, column: str) -> float:
        """Return a number of an image, NaN where there is none."""
        value = self._value(image, column)
        return value if isinstance(value, float) else math.nan

    def numbers(self, column: str) -> Any:
        """Return the numbers of a column for all images, (n,), NaN where there is none."""
        return np.array([self.number(image, column) for image in self._all])

    @property
    def number_columns(self) -> tuple[str, ...]:
        """The columns that hold numbers."""
        return self._numeric

    def refresh(self, *names: str) -> None:
        """Show anew what is known of images, of all where none is named."""
        self._learn(*names)
        rows = [row for name in names if (row := self.row_of(name)) is not None]
        if not names and self._rows:
            rows = [0, len(self._rows) - 1]
        if rows:
            last = len(self.columns) - 1
            self.dataChanged.emit(self.index(min(rows), 0), self.index(max(rows), last))

    def show_picture(self, name: str) -> None:
        """Show a picture that was made."""
        row = self.row_of(name)
        if row is not None:
            self.dataChanged.emit(self.index(row, 0), self.index(row, 0), [Qt.ItemDataRole.DecorationRole])

    # Qt

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Return how many images are shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Return how many columns are shown."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> Any:
        """Return the title of a column.

        See `QAbstractItemModel.headerData`.
        """
        if orientation != Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        name = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return name.replace("_", " ")
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{_EXPLAINED.get(name, name.replace('_', ' '))}; click to sort"
        return None

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Return what is shown of an image in a column."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        image, column = self.image(index.row()), self.columns[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and column == "image":
            return self._icon(image)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._words(image, column)
        if role == Qt.ItemDataRole.ForegroundRole and column == "decision":
            verdict = self._verdict(image)
            return QColor(COLOURS[verdict]) if verdict is not None else None
        return None

    # What is known

    def _words(self, image: CuratedImage, column: str) -> str:
        decision = self._decision(image)
        if column == "image":
            return self.shown_name(image)
        if column == "decision":
            verdict = self._verdict(image)
            marks = [GLYPHS[verdict], verdict.value] if verdict is not None else []
            return " ".join([*marks, "≠"] if self._is_disputed(image) else marks)
        if column == "comment":
            return decision.comment if decision else ""
        value = self._value(image, column)
        if isinstance(value, float):
            return "" if math.isnan(value) else three_digits(value)
        return value or ""

    def _value(self, image: CuratedImage, column: str) -> float | str | None:
        decision = self._decision(image)
        if column == "grade":
            return float(decision.grade) if decision and decision.grade is not None else None
        if column == "look":
            return self._looks[self._number_of[image.name]]
        return image.values.get(column)

    def _is_constant(self, column: str) -> bool:
        """Return whether a text is the same for all images: it would take room and tell nothing."""
        known = [value for image in self._all if is_known(value := image.values.get(column))]
        return len(known) > 1 and isinstance(known[0], str) and len(set(known)) == 1

    def _decision(self, image: CuratedImage) -> Decision | None:
        return None if self.journal is None else self.journal.of(image.name)

    def _verdict(self, image: CuratedImage) -> Verdict | None:
        decision = self._decision(image)
        return decision.verdict if decision else None

    def _is_disputed(self, image: CuratedImage) -> bool:
        return self._states[self._number_of[image.name]] == DISPUTED

    def _learn(self, *names: str) -> None:
        """Look at what is decided on images, on all where none is named: a key must not wait for ten thousand others."""
        if not names:
            self._states = [OPEN] * len(self._all)
        if self.journal is None:
            return
        # Whoever grades blind must not see what others think.
        several = len(self.journal.people) > 1 and not self.is_blind
        for number in [self._number_of[name] for name in names] if names else range(len(self._all)):
            name = self._all[number].name
            mine = self.journal.of(name)
            state = _STATE_OF[mine.verdict if mine else None]
            if several and combined(self.journal.about(name)).get(name, Combined()).is_disputed:
                state = DISPUTED
            self._states[number] = state

    def _icon(self, image: CuratedImage) -> QIcon | None:
        """Return the picture with its decision; an icon, since views fit those into their rows."""
        picture = self._picture_of(image)
        if picture is None and image.error:
            picture = _unreadable()
        if picture is None:
            return None
        height, width = picture.shape[:2]
        pixels = np.asarray(picture, order="C")
        made = QPixmap.fromImage(QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888))
        verdict = self._verdict(image)
        if verdict is not None:
            painter = QPainter(made)
            edge = max(3, min(width, height) // 3)
            painter.fillRect(0, 0, edge, edge, QColor(COLOURS[verdict]))
            painter.setPen(QColor("white"))
            font = painter.font()
            font.setPixelSize(max(3, edge - 4))
            painter.setFont(font)
            painter.drawText(0, 0, edge, edge, int(Qt.AlignmentFlag.AlignCenter), GLYPHS[verdict])
            painter.end()
        icon = QIcon(made)
        # As it is, where it is chosen too: Qt would tint it.
        icon.addPixmap(made, QIcon.Mode.Selected)
        return icon

    # Order

    def _rearrange(self) -> None:
        self.beginResetModel()
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        order = list(range(len(self._all))) if self._shuffled is None else list(self._shuffled)
        if self._passes is not None:
            order = [number for number in order if self._passes(self._all[number])]
        if self._sorted is not None and self._shuffled is None:
            order = self._ordered(order, *self._sorted)
        self._rows = order
        self._row_of = {number: row for row, number in enumerate(order)}

    def _ordered(self, order: Sequence[int], column: str, descending: bool) -> list[int]:
        """Return images ordered by a column; those without a value come last either way."""
        if column == "image":
            return list(order)[::-1] if descending else list(order)
        keyed: list[tuple[Any, int]] = []
        last: list[int] = []
        is_text = column in ("decision", "comment") or column not in self.number_columns
        for number in order:
            image = self._all[number]
            key: Any = self._words(image, column) if is_text else self.number(image, column)
            if key == "" or (isinstance(key, float) and math.isnan(key)):
                last.append(number)
            else:
                keyed.append((key, number))
        keyed.sort(key=lambda pair: pair[0], reverse=descending)
        return [number for _, number in keyed] + last


@cache
def _unreadable() -> npt.NDArray[np.uint8]:
    """Return the picture of an image that has none: a cross on grey, (64, 64, 3)."""
    picture = np.full((64, 64, 3), 90, np.uint8)
    y, x = np.mgrid[:64, :64]
    for distance in (np.abs(x - y), np.abs(63 - x - y)):
        picture[(distance < 2) & (np.abs(x - 31.5) < 18)] = 200
    return picture
