"""The part of a panel that compares methods on the visible field, side by side and with figures, and takes one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_synth.gui.jobs.comparison import Compared
from napari_synth.gui.layers.appearance import result_look
from napari_synth.gui.layers.placement import Placement, result_placement
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.widgets.elided import breakable
from napari_synth.gui.widgets.form_rows import FoldButton, button, wrapped
from napari_synth.gui.widgets.live_layer import TemporaryLayers
from napari_synth.gui.widgets.status import duration

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

    from napari_synth.gui.layers.visible_field import VisibleField

FEWEST = 2
_SHOWN_ROWS = 6
_COLUMNS = ("Method", "Error", "Time")
_MEANINGS = (
    "The method",
    "At pixels that it was not shown, in units of the noise: 1 is what the noise of these pixels alone makes, less cannot be had",
    "How long learning and restoring took on the visible field",
)


class ComparisonBox(QWidget):
    """Methods to tick, a button, and a table of what came of it; folded away at first.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    wanted = Signal()
    """The ticked methods shall be compared."""
    taken = Signal(str)
    """The method of this id is to be chosen."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._found: tuple[Compared, ...] = ()
        self._busy = False
        self.shown = TemporaryLayers(viewer, self)
        self.shown.removed.connect(self.clear)
        self.fold = FoldButton(
            self, "Compare methods", "Try several methods on the visible field, and see them side by side"
        )
        self.methods = QListWidget(self)
        self.methods.setAccessibleName("Methods to compare")
        self.methods.setToolTip(
            "Tick two or more; each is used with its usual settings, the chosen one with those above"
        )
        self.methods.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.methods.itemChanged.connect(self._offer)
        self.compare = button(self, "Compare", "")
        self.compare.clicked.connect(self.wanted)
        self.table = QTableWidget(0, len(_COLUMNS), self)
        self.table.setToolTip("What each method gave on the visible field")
        self.table.setAccessibleName("What the compared methods made")
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.itemSelectionChanged.connect(self._on_row)
        rows, columns = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.hide()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for number, words in enumerate(_MEANINGS):
            if (item := self.table.horizontalHeaderItem(number)) is not None:
                item.setToolTip(words)
        self.verdict = wrapped(self, "How the result of the chosen row was judged")
        self.take = button(self, "Take it", "Choose the method of the marked row, and put the comparison away")
        self.take.clicked.connect(self._on_take)
        self.close_button = button(self, "Put away", "Take the compared layers out of the viewer")
        self.close_button.clicked.connect(self.clear)
        ends = QHBoxLayout()
        ends.addWidget(self.take)
        ends.addWidget(self.close_button)
        self._inner, self._results = QWidget(self), QWidget(self)
        results = QVBoxLayout(self._results)
        inner = QVBoxLayout(self._inner)
        for layout in (inner, results):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(4)
        results.addWidget(self.table)
        results.addWidget(self.verdict)
        results.addLayout(ends)
        inner.addWidget(self.methods)
        inner.addWidget(self.compare)
        inner.addWidget(self._results)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self._inner)
        self._inner.hide()
        self._results.hide()
        self.fold.toggled.connect(self._inner.setVisible)
        self._offer()

    @property
    def ticked(self) -> tuple[str, ...]:
        """The ids of the ticked methods."""
        items = (self.methods.item(row) for row in range(self.methods.count()))
        return tuple(
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        )

    def list_methods(self, methods: Sequence[tuple[str, str, str]]) -> None:
        """List methods.

        Parameters
        ----------
        methods : sequence of (str, str, str)
            The id, the title, and what the method does.
        """
        before = set(self.ticked)
        blocked = self.methods.blockSignals(True)
        self.methods.clear()
        for identifier, title, summary in methods:
            item = QListWidgetItem(title)
            item.setData(Qt.ItemDataRole.UserRole, identifier)
            item.setToolTip(summary)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if identifier in before else Qt.CheckState.Unchecked)
            self.methods.addItem(item)
        self.methods.blockSignals(blocked)
        height = max(1, self.methods.sizeHintForRow(0))
        self.methods.setFixedHeight(min(len(methods), _SHOWN_ROWS) * height + 2 * self.methods.frameWidth() + 2)
        self._offer()

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        self._busy = busy
        self._offer()

    def show_compared(
        self,
        found: Sequence[Compared],
        source: napari.layers.Image,
        look: dict[str, Any],
        field: VisibleField,
    ) -> None:
        """Show what came of a comparison, in a table and in layers beside each other.

        Parameters
        ----------
        found : sequence of Compared
        source : napari.layers.Image
        look : dict
            How a result of it is shown.
        field : VisibleField
            The part that was compared.
        """
        self._found = tuple(found)
        place = Placement.of(source).refined([1.0] * source.ndim, map(float, field.start))
        layers = []
        for one in self._found:
            if one.prepared is None:
                continue
            here = result_placement(place, one.prepared)
            name = f"{source.name} {one.title}"
            layers.append(ImageLayer(one.pixels, name=name, **result_look(look, one.prepared), **here.as_kwargs()))
        self.shown.show(layers)
        grid_of(self._viewer).enabled = bool(layers)
        self._viewer.reset_view()
        self.table.setRowCount(len(self._found))
        for row, one in enumerate(self._found):
            error = "failed" if one.failure else "-" if one.error is None else f"{one.error:.3f}"
            for column, text in enumerate((one.title, error, duration(one.seconds) if not one.failure else "-")):
                item = QTableWidgetItem(text)
                item.setToolTip(" ".join((one.title, one.failure, *one.verdict)))
                self.table.setItem(row, column, item)
        header = self.table.horizontalHeader()
        assert header is not None
        height = header.sizeHint().height() + len(self._found) * self.table.rowHeight(0)
        self.table.setFixedHeight(height + 2 * self.table.frameWidth() + 2)
        self._results.setVisible(bool(self._found))
        self.table.clearSelection()
        self.table.selectRow(self._best())
        self._on_row()

    def clear(self) -> None:
        """Take the compared layers away."""
        was_shown = bool(self._found)
        self._found = ()
        self.shown.drop()
        self._results.hide()
        if was_shown:
            grid_of(self._viewer).enabled = False
            self._viewer.reset_view()

    def _best(self) -> int:
        """Return the row of the least error, the first where none is known."""
        known = [(one.error, row) for row, one in enumerate(self._found) if one.error is not None]
        return min(known)[1] if known else 0

    def _on_row(self) -> None:
        row = self.table.currentRow()
        there = 0 <= row < len(self._found)
        one = self._found[row] if there else None
        self.take.setEnabled(one is not None and not one.failure)
        self.verdict.setText("" if one is None else breakable(one.failure or " ".join(one.verdict)))
        self.verdict.setVisible(bool(self.verdict.text()))

    def _on_take(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._found):
            chosen = self._found[row].method
            self.clear()
            self.taken.emit(chosen)

    def _offer(self, _item: object = None) -> None:
        enough = len(self.ticked) >= FEWEST
        self.compare.setEnabled(enough and not self._busy)
        self.compare.setToolTip(
            "Run the ticked methods on the visible field, one after the other; nothing is added to the viewer but for a while"
            if enough
            else "Tick two or more methods first"
        )
