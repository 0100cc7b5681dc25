"""The list of transforms: each is switched on by a box, has its settings folded under it, and is moved by its grip."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_synth.augmentation.pipeline import TRANSFORMS
from napari_synth.augmentation.transform import Transform
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import FoldButton

_INDENT = 24


class Grip(QLabel):
    """What a row is dragged by."""

    dragged = Signal(int)
    """The height of the mouse, in global coordinates."""
    dropped = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__("⠿", parent)
        self.setToolTip("Drag up or down to change the order")
        self.setCursor(Qt.CursorShape.OpenHandCursor)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take the row."""
        self.setCursor(Qt.CursorShape.ClosedHandCursor)
        if event is not None:
            event.accept()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Move it along."""
        if event is not None:
            self.dragged.emit(int(event.globalPosition().y()))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Let it go."""
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.dropped.emit()


class TransformRow(QWidget):
    """One transform: a grip, a box, and its settings, whose form is made when it is first unfolded."""

    changed = Signal()

    def __init__(self, transform: Transform, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._transform = transform
        self._form: ParamsForm | None = None
        self.grip = Grip(self)
        self.box = QCheckBox(transform.title, self)
        self.box.setToolTip(transform.summary)
        self.box.setChecked(transform.enabled)
        self.box.toggled.connect(self._on_toggled)
        self.fold = FoldButton(self, "", f"Probability and ranges of {transform.title}")
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.fold.toggled.connect(self._unfold)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(self.grip)
        head.addWidget(self.box, 1)
        head.addWidget(self.fold)
        self._place = QVBoxLayout(self)
        self._place.setContentsMargins(0, 0, 0, 0)
        self._place.setSpacing(2)
        self._place.addLayout(head)

    @property
    def form(self) -> ParamsForm | None:
        """The form of its settings, None before it was unfolded for the first time."""
        return self._form

    def transform(self) -> Transform:
        """Return the transform as it is set.

        Raises
        ------
        InvalidParameterError
            The settings do not go together.
        """
        if self._form is None:
            return self._transform.model_copy(update={"enabled": self.box.isChecked()})
        return type(self._transform).parse({**self._form.values(), "enabled": self.box.isChecked()})

    def _unfold(self, unfold: bool) -> None:
        if self._form is None:
            self._form = form = ParamsForm(type(self._transform), self, hidden=("enabled",))
            form.set_values({name: getattr(self._transform, name) for name in form.values()})
            form.setContentsMargins(_INDENT, 0, 0, 4)
            form.changed.connect(self.changed)
            self._place.addWidget(form)
        self._form.setVisible(unfold)

    def _on_toggled(self, on: bool) -> None:
        if on and self._form is None:
            self.fold.setChecked(True)
        self.changed.emit()


class TransformList(QWidget):
    """All transforms in the order in which they are applied.

    Parameters
    ----------
    parent : QWidget, optional
    """

    changed = Signal()
    """Another transform is on, its settings or the order changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[TransformRow] = []
        self.only = QCheckBox("Hide what is switched off", self)
        self.only.setToolTip("Hide the transforms that are not used")
        self.only.toggled.connect(self._filter)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._layout.addWidget(self.only)
        self.show_transforms(())

    @property
    def rows(self) -> tuple[TransformRow, ...]:
        """The rows from top to bottom."""
        return tuple(self._rows)

    def show_transforms(self, transforms: Iterable[Transform]) -> None:
        """Show a pipeline, and under it the transforms that it does not have, switched off."""
        given = list(transforms)
        missing = set(TRANSFORMS) - {transform.kind for transform in given}
        others = [TRANSFORMS[name](enabled=False) for name in TRANSFORMS if name in missing]
        for row in self._rows:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows = []
        for transform in (*given, *others):
            row = TransformRow(transform, self)
            row.changed.connect(self._on_changed)
            row.grip.dragged.connect(partial(self.drag, row))
            row.grip.dropped.connect(self.changed)
            self._rows.append(row)
            self._layout.addWidget(row)
        self._filter()
        self.changed.emit()

    def transforms(self) -> tuple[Transform, ...]:
        """Return the transforms that are switched on, in order.

        Raises
        ------
        InvalidParameterError
            Settings of one do not go together.
        """
        return tuple(row.transform() for row in self._rows if row.box.isChecked())

    def put(self, row: TransformRow, index: int) -> None:
        """Move a row to another place of the list."""
        self._rows.remove(row)
        self._rows.insert(index, row)
        self._layout.removeWidget(row)
        # The box above the rows has the first place.
        self._layout.insertWidget(index + 1, row)

    def drag(self, row: TransformRow, height: int) -> None:
        """Let a row follow the mouse: it changes places with those whose middle the mouse has passed."""
        here = self._rows.index(row)
        for index, other in enumerate(self._rows):
            middle = other.mapToGlobal(other.rect().center()).y()
            if other.isVisible() and ((index < here and height < middle) or (index > here and height > middle)):
                self.put(row, index)
                if index < here:
                    return

    def _filter(self, _on: bool = False) -> None:
        for row in self._rows:
            row.setVisible(row.box.isChecked() or not self.only.isChecked())

    def _on_changed(self) -> None:
        self.changed.emit()
