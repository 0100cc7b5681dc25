"""The images of a set as a table and as a grid of pictures, which take keys while they have the focus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, QObject, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QListView,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_synth.curation import CuratedImage, Verdict
from napari_synth.files import image_suffix
from napari_synth.gui.widgets.curation_model import ImageModel

_ICON, _PICTURE = 40, 96
_NAME_WIDTH = 170
_HEIGHT = 220
_KEY = Qt.Key
NEXT, PREVIOUS, COMMENT, UNDO, LEFT_BETTER, RIGHT_BETTER = "next", "previous", "comment", "undo", "left", "right"
KEYS: dict[Any, object] = {
    _KEY.Key_A: Verdict.ACCEPT,
    _KEY.Key_R: Verdict.REJECT,
    _KEY.Key_F: Verdict.FLAG,
    **{getattr(_KEY, f"Key_{grade}"): grade for grade in range(1, 6)},
    _KEY.Key_C: COMMENT,
    _KEY.Key_N: NEXT,
    _KEY.Key_Right: NEXT,
    _KEY.Key_Space: NEXT,
    _KEY.Key_P: PREVIOUS,
    _KEY.Key_Left: PREVIOUS,
    _KEY.Key_U: UNDO,
    _KEY.Key_J: LEFT_BETTER,
    _KEY.Key_K: RIGHT_BETTER,
}
"""What the keys mean, without Ctrl, Alt or Meta."""
BEFORE_KEY = _KEY.Key_B
WORDS = "A accept · R reject · F flag · 1 to 5 grade · C comment · N, P next, previous · hold B before · J, K better · U undo"
_WITH_OTHERS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier


class BoardKeys(QObject):
    """Turns keys that are pressed in a view into wishes, and keeps them from all shortcuts of the window.

    Parameters
    ----------
    parent : QObject
    """

    pressed = Signal(object)
    """One of the values of `KEYS`."""
    before = Signal(bool)
    """Whether the key that shows the image before is held."""

    def watch(self, view: QWidget) -> None:
        """Take the keys of a widget."""
        view.installEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Take a key that means something here."""
        if not isinstance(event, QKeyEvent):
            if event is not None and event.type() == QEvent.Type.FocusOut:
                self.before.emit(False)
            return False
        wish = self._wish(event)
        is_before = event.key() == BEFORE_KEY and not event.modifiers() & _WITH_OTHERS
        if wish is None and not is_before:
            return False
        if event.type() == QEvent.Type.ShortcutOverride:
            # The window would take it for a shortcut of its own.
            event.accept()
            return True
        if is_before:
            if not event.isAutoRepeat() and event.type() in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
                self.before.emit(event.type() == QEvent.Type.KeyPress)
            return True
        if event.type() == QEvent.Type.KeyPress:
            # A key that is held moves on, and decides once.
            if not event.isAutoRepeat() or wish in (NEXT, PREVIOUS):
                self.pressed.emit(wish)
            return True
        return event.type() == QEvent.Type.KeyRelease

    def _wish(self, event: QKeyEvent) -> object | None:
        if event.key() == _KEY.Key_Z and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            return UNDO
        return None if event.modifiers() & _WITH_OTHERS else KEYS.get(_KEY(event.key()))


class PictureDelegate(QStyledItemDelegate):
    """Paints a picture above its name; the style sheet of napari leaves pictures in lists too little room.

    Parameters
    ----------
    parent : QObject
    """

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a picture, its name, and a frame around the one that is looked at.

        See `QStyledItemDelegate.paint`.
        """
        if painter is None:
            return
        place, palette = option.rect, option.palette
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(place.adjusted(1, 1, -1, -1), palette.highlight())
        icon = index.data(Qt.ItemDataRole.DecorationRole)
        inside = place.adjusted(8, 4, -8, -22)
        if isinstance(icon, QIcon):
            icon.paint(painter, inside)
        else:
            painter.setPen(palette.mid().color())
            painter.drawRect(inside)
        name = str(index.data())
        # What all names have in common takes room from what tells them apart.
        name = name[: len(name) - len(image_suffix(name))] or name
        name = option.fontMetrics.elidedText(name, Qt.TextElideMode.ElideMiddle, place.width() - 8)
        painter.setPen(palette.text().color())
        painter.drawText(place.adjusted(4, place.height() - 20, -4, 0), int(Qt.AlignmentFlag.AlignHCenter), name)
        painter.restore()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size of a picture with its name."""
        return QSize(_PICTURE + 16, _PICTURE + 26)


class BoardViews(QStackedWidget):
    """A table and a grid of the same images with the same one chosen.

    Parameters
    ----------
    picture_of : callable
        See `napari_synth.gui.widgets.curation_model.ImageModel`.
    parent : QWidget, optional
    """

    chosen = Signal(object)
    """The `CuratedImage` that is looked at now, or None."""

    def __init__(self, picture_of: Callable[[CuratedImage], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ImageModel(picture_of, self)
        self.keys = BoardKeys(self)
        self.table, self.grid = QTableView(self), QListView(self)
        self._set_up_table()
        self._set_up_grid()
        for view in (self.table, self.grid):
            self._set_up(view)
            self.addWidget(view)
        self.grid.setSelectionModel(self.table.selectionModel())
        selection = self.table.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(self._on_row)
        self.model.modelReset.connect(self._on_reset)
        self.setMinimumHeight(_HEIGHT)
        self._last: CuratedImage | None = None

    @property
    def current(self) -> CuratedImage | None:
        """The image that is looked at."""
        index = self.table.currentIndex()
        return self.model.image(index.row()) if index.isValid() and index.row() < self.model.rowCount() else None

    @property
    def row(self) -> int:
        """The row of that image, -1 where there is none."""
        return self.table.currentIndex().row()

    def go(self, steps: int) -> bool:
        """Look at an image so many rows further down; return whether there is one."""
        row = self.row + steps
        if not 0 <= row < self.model.rowCount():
            return False
        self.go_to(row)
        return True

    def go_to(self, row: int) -> None:
        """Look at the image in a row."""
        index = self.model.index(row, 0)
        self.table.setCurrentIndex(index)
        for view in (self.table, self.grid):
            view.scrollTo(index)

    def go_to_image(self, name: str) -> None:
        """Look at an image, if it passes the filters."""
        row = self.model.row_of(name)
        if row is not None:
            self.go_to(row)

    def show_grid(self, grid: bool) -> None:
        """Show pictures side by side, or a table."""
        has_focus = self.has_focus
        self.setCurrentWidget(self.grid if grid else self.table)
        if self.row >= 0:
            self.go_to(self.row)
        if has_focus:
            self.take_focus()

    def show_sorted(self, column: str | None, descending: bool) -> None:
        """Order by a column, and mark its title."""
        header = self.table.horizontalHeader()
        assert header is not None
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        index = self.model.columns.index(column) if column in self.model.columns else -1
        header.setSortIndicator(index, order)
        if index < 0:
            self.model.sort_by(None)

    @property
    def has_focus(self) -> bool:
        """Whether keys act on the images."""
        return self.table.hasFocus() or self.grid.hasFocus()

    def take_focus(self) -> None:
        """Let keys act on the images."""
        widget = self.currentWidget()
        if widget is not None:
            widget.setFocus()

    def following(self, count: int) -> list[CuratedImage]:
        """Return the images after the current one, and the one before it last."""
        rows = [*range(self.row + 1, min(self.row + 1 + count, self.model.rowCount())), self.row - 1]
        return [self.model.image(row) for row in rows if 0 <= row < self.model.rowCount()]

    def _set_up(self, view: QAbstractItemView) -> None:
        view.setModel(self.model)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        view.setAccessibleName("Images of the set")
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.keys.watch(view)

    def _set_up_table(self) -> None:
        table = self.table
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setIconSize(QSize(_ICON, _ICON))
        table.setShowGrid(False)
        table.setWordWrap(False)
        # Tab leaves the table: a cell has nothing to do by itself.
        table.setTabKeyNavigation(False)
        rows, columns = table.verticalHeader(), table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(_ICON + 6)
        columns.setSectionsMovable(True)
        columns.setDefaultSectionSize(84)
        columns.setHighlightSections(False)
        columns.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        table.setSortingEnabled(True)
        table.setToolTip(f"Click an image, then press keys: {WORDS}")

    def _set_up_grid(self) -> None:
        grid = self.grid
        grid.setViewMode(QListView.ViewMode.IconMode)
        grid.setResizeMode(QListView.ResizeMode.Adjust)
        grid.setMovement(QListView.Movement.Static)
        grid.setLayoutMode(QListView.LayoutMode.Batched)
        grid.setUniformItemSizes(True)
        grid.setIconSize(QSize(_PICTURE, _PICTURE))
        grid.setGridSize(QSize(_PICTURE + 16, _PICTURE + 26))
        grid.setModelColumn(0)
        grid.setItemDelegate(PictureDelegate(grid))
        grid.setToolTip(f"Click an image, then press keys: {WORDS}")

    def _on_row(self, _current: QModelIndex, _previous: QModelIndex) -> None:
        self._tell()

    def _on_reset(self) -> None:
        """Stay at the image that was looked at, where it is still shown."""
        self.table.setColumnWidth(0, _NAME_WIDTH)
        kept = None if self._last is None else self.model.row_of(self._last.name)
        if kept is not None:
            self.go_to(kept)
        elif self.model.rowCount():
            self.go_to(0)
        self._tell()

    def _tell(self) -> None:
        current = self.current
        if current is not self._last:
            self._last = current
            self.chosen.emit(current)
