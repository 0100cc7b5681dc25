"""The part of the panel for a finished run: compare, look at what was removed, judge, and copy the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_synth.contract.generator import Task
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs.requests import LayerRun
from napari_synth.gui.layers.marks import CONFIDENCE, DERIVED, REMOVED, TRUST, kind_of
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.widgets.form_rows import button, line, menu_button, put_on_clipboard, wrapped
from napari_synth.spelling import as_command, as_python

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

BLINK_MS = 600

Run = TypeVar("Run", bound=LayerRun)


@dataclass(frozen=True)
class Finished(Generic[Run]):
    """A run whose result is in the viewer.

    Attributes
    ----------
    prepared : PreparedImage or PreparedMovie
    source : napari.layers.Image
        The layer that was restored; it may have been deleted since.
    result : napari.layers.Image
    pixels : array-like
        The result's.
    placement : Placement
        Where the result lies.
    """

    prepared: Run
    source: napari.layers.Image
    result: napari.layers.Image
    pixels: Any
    placement: Placement


class ResultBox(QWidget, Generic[Run]):
    """Buttons for a finished run; hidden while there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    map_wanted = Signal(str)
    """The kind of layer that judges the result: removed signal, trust or confidence."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._finished: Finished[Run] | None = None
        self._opacity = 1.0

        self.title = wrapped(self, "The result that the buttons below belong to")
        self.fade = QSlider(Qt.Orientation.Horizontal, self)
        self.fade.setRange(0, 100)
        self.fade.setValue(100)
        self.fade.setToolTip("Fade between the source (left) and the result (right)")
        self.fade.valueChanged.connect(self._on_fade)
        self.blink = button(self, "Blink", "Show source and result in turn: the eye sees what moves", checkable=True)
        self.blink.toggled.connect(self._on_blink)
        self.beside = button(
            self,
            "Side by side",
            "Show the layers beside each other in a grid",
            checkable=True,
        )
        self.beside.toggled.connect(self._on_beside)
        self.removed = button(
            self, "Removed signal", "Add a layer with source minus result: nothing of the specimen should be seen in it"
        )
        self.removed.clicked.connect(partial(self._on_map, REMOVED))
        self.trust = button(
            self,
            "Trust",
            "Add a layer that shows where noise cannot explain the change: red where the result is darker than the source,"
            " blue where it is brighter",
        )
        self.trust.clicked.connect(partial(self._on_map, TRUST))
        self.confidence = button(
            self,
            "Confidence",
            "Add a layer with how much the result varies over flips and rotations: a relative measure, large where the method"
            " is unsure",
        )
        self.confidence.clicked.connect(partial(self._on_map, CONFIDENCE))
        self.recipe = menu_button(
            self,
            "Copy recipe",
            "Copy how the result was made, so that it can be repeated",
            (
                ("As YAML", "For a file: napari-synth run RECIPE IN OUT", partial(self.copy, Recipe.to_yaml)),
                ("As Python", "For a script or a notebook", partial(self.copy, as_python)),
                ("As command line", "For a terminal, a cluster or many files", partial(self.copy, as_command)),
            ),
        )

        ends = QHBoxLayout()
        ends.addWidget(QLabel("source", self))
        ends.addWidget(self.fade, 1)
        ends.addWidget(QLabel("result", self))
        grid = QGridLayout()
        grid.setSpacing(4)
        for index, made in enumerate((self.blink, self.beside, self.removed, self.trust, self.confidence, self.recipe)):
            grid.addWidget(made, index // 2, index % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(line(self))
        layout.addWidget(self.title)
        layout.addLayout(ends)
        layout.addLayout(grid)
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK_MS)
        self._timer.timeout.connect(self._swap)
        self.hide()

    @property
    def finished(self) -> Finished[Run] | None:
        """The run that the buttons belong to."""
        return self._finished

    def show_run(self, finished: Finished[Run] | None) -> None:
        """Offer the buttons for a run, or hide them; what the last run held in memory is released."""
        self.reset_comparison()
        self._finished = finished
        self.setVisible(finished is not None)
        if finished is not None:
            self._opacity = finished.result.opacity
            self.title.setText(f"<b>{escape(finished.result.name)}</b>")
            prepared = finished.prepared
            # Only pixel by pixel can a result be subtracted from its source; what is filled was no signal, and what is
            # translated is meant to differ.
            comparable = (
                prepared.shape == prepared.source.shape
                and prepared.source.mask is None
                and prepared.method.info.task not in {Task.TRANSLATE, Task.PREDICT_FRAMES}
            )
            self.removed.setVisible(comparable)
            self.trust.setVisible(comparable)

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        for needs_worker in (self.removed, self.trust, self.confidence):
            needs_worker.setEnabled(not busy)

    def reset_comparison(self) -> None:
        """End blinking and fading, and show the result as it was."""
        self.blink.setChecked(False)
        if self.fade.value() != 100:
            self.fade.setValue(100)

    def uncover(self) -> None:
        """Hide the layers that were added to judge the result, and show the source beneath it."""
        for layer in self._viewer.layers:
            if kind_of(layer) in DERIVED:
                layer.visible = False
        if self._finished is not None:
            self._finished.source.visible = True

    def copy(self, spell: Callable[[Recipe], str]) -> None:
        """Put the recipe on the clipboard, as a function spells it."""
        if self._finished is not None:
            put_on_clipboard(spell(self._finished.prepared.recipe))

    def _on_map(self, kind: str, _checked: bool = False) -> None:
        self.map_wanted.emit(kind)

    def _on_fade(self, value: int) -> None:
        if self._finished is not None:
            self.uncover()
            self._finished.result.opacity = self._opacity * value / 100

    def _on_blink(self, blink: bool) -> None:
        if blink:
            self.uncover()
            self._timer.start()
            return
        self._timer.stop()
        if self._finished is not None:
            self._finished.result.visible = True

    def _swap(self) -> None:
        if self._finished is not None:
            self._finished.result.visible = not self._finished.result.visible

    def _on_beside(self, beside: bool) -> None:
        if beside:
            self.uncover()
        grid_of(self._viewer).enabled = beside
        self._viewer.reset_view()
