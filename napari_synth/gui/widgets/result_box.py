"""The part of the panel for a finished run: compare, look at what was removed, judge, and copy the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_synth.contract.generator import Task
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs.again import why_not_again
from napari_synth.gui.jobs.report import ReportRequest
from napari_synth.gui.jobs.requests import LayerRun
from napari_synth.gui.keys import NEXT, SOURCE, with_key
from napari_synth.gui.layers.images import full_resolution, guessed_axes, to_image
from napari_synth.gui.layers.marks import DERIVED, REMOVED, TRUST, UNCERTAINTY, kind_of
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.results import recipe_of, results_of, said_of, source_of
from napari_synth.gui.layers.viewer_layers import grid_of
from napari_synth.gui.layers.visible_field import slice_of
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.widgets.elided import NameBox
from napari_synth.gui.widgets.form_rows import button, line, menu_button, put_on_clipboard
from napari_synth.gui.widgets.map_legend import MapLegend
from napari_synth.gui.widgets.report_file import KINDS as REPORT_KINDS
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_command, as_python

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

BLINK_MS = 600

_SOURCE_GONE = "Its source is not in this viewer any more: open that layer again."
_BLINK = "Show source and result in turn: the eye sees what moves"
_BESIDE = "Show the layers beside each other in a grid"
_REMOVED = "Add a layer with source minus result: nothing of the specimen should be seen in it"
_TRUST = (
    "Add a layer that shows where noise cannot explain the change: red where the result is darker than the source,"
    " blue where it is brighter"
)
_UNCERTAINTY = (
    "Add a layer with how much the result varies over flips and rotations: it ranks where the method is unsure, bright where"
    " it is, and is no error bar"
)

Run = TypeVar("Run", bound=LayerRun)


@dataclass(frozen=True)
class Finished(Generic[Run]):
    """A result that is in the viewer.

    Attributes
    ----------
    recipe : Recipe
    source : napari.layers.Image or None
        The layer that was worked on; None where it is gone.
    result : napari.layers.Image
    prepared : PreparedImage or PreparedMovie or None
        Where the run is still in memory: that of the last one is.
    """

    recipe: Recipe
    source: napari.layers.Image | None
    result: napari.layers.Image
    prepared: Run | None = None

    @property
    def pixels(self) -> Any:
        """The pixels of the result at full resolution."""
        return full_resolution(self.result)

    @property
    def placement(self) -> Placement:
        """Where the result lies."""
        return Placement.of(self.result)

    def refusal(self, kind: str) -> str:
        """Say why a map of some kind cannot be made of it, "" where it can."""
        if self.source is None:
            return _SOURCE_GONE
        task = Task(self.recipe.generator.split("/")[0])
        if task == Task.CORRECT:
            return "A correction is meant to change what was measured: what was changed says nothing of its quality."
        if kind == UNCERTAINTY:
            return "" if self.prepared is not None else why_not_again(self.recipe)
        if task == Task.TRANSLATE:
            return "A translation is meant to differ from its source: what was changed says nothing of its quality."
        if task == Task.DECONVOLVE:
            return (
                "A sharper image is meant to differ from its source: the verdict compares them after blurring it again."
            )
        if task == Task.PREDICT_FRAMES:
            return "Invented frames have no source to be compared with; the measured ones are as they were."
        if self.recipe.mask is not None:
            return "What was filled was no signal, and every other pixel is as it was: there is nothing to compare."
        if tuple(full_resolution(self.source).shape) != tuple(self.pixels.shape):
            return "The result lies on another grid than its source: they cannot be compared pixel by pixel."
        return ""


class ResultBox(QWidget, Generic[Run]):
    """Every result of a task in this viewer, and buttons for the chosen one; hidden while there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    task : Task
        Whose results are listed.
    parent : QWidget, optional
    """

    map_wanted = Signal(str)
    """The kind of layer that judges the result: removed signal, trust or relative uncertainty."""
    save_wanted = Signal(Path)
    report_wanted = Signal(Path)
    chosen = Signal()
    """Another result was chosen, or the chosen one is gone."""

    def __init__(self, viewer: ViewerModel, task: Task, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._task = task
        self._layers: list[napari.layers.Image] = []
        self._finished: Finished[Run] | None = None
        self._last: Finished[Run] | None = None
        self._opacity = 1.0
        self._seen: tuple[tuple[napari.layers.Layer, bool], ...] = ()
        self._busy = False

        self.choice: QComboBox = NameBox(self)
        self.choice.setToolTip(
            with_key("The result that the buttons below belong to: any of this task in this viewer; the next one", NEXT)
        )
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.fade = QSlider(Qt.Orientation.Horizontal, self)
        self.fade.setAccessibleName("From the source to the result")
        self.fade.setRange(0, 100)
        self.fade.setValue(100)
        self.fade.valueChanged.connect(self._on_fade)
        self.blink = button(self, "Blink", _BLINK, checkable=True)
        self.blink.toggled.connect(self._on_blink)
        self.beside = button(self, "Side by side", _BESIDE, checkable=True)
        self.beside.toggled.connect(self._on_beside)
        self.removed = button(self, "Removed signal", _REMOVED)
        self.removed.clicked.connect(partial(self._on_map, REMOVED))
        self.trust = button(self, "Trust", _TRUST)
        self.trust.clicked.connect(partial(self._on_map, TRUST))
        self.uncertainty = button(self, "Uncertainty", _UNCERTAINTY)
        self.uncertainty.clicked.connect(partial(self._on_map, UNCERTAINTY))
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
        self.save = button(
            self,
            "Save…",
            "Write the result as OME-TIFF or OME-Zarr, with its place, units, look and recipe; opened again, it is as it was",
        )
        self.save.clicked.connect(self._ask_where_to_save)
        self.report = button(
            self,
            "Report…",
            "Write one page with source, result, maps, verdict, method, paper, settings, versions and a sentence for your paper",
        )
        self.report.clicked.connect(self._ask_where_to_report)
        self.legend = MapLegend(self)

        ends = QHBoxLayout()
        ends.addWidget(QLabel("source", self))
        ends.addWidget(self.fade, 1)
        ends.addWidget(QLabel("result", self))
        self.grid = QGridLayout()
        self.grid.setSpacing(4)
        rows = (
            (self.blink, self.beside),
            (self.removed, self.trust),
            (self.uncertainty, self.recipe),
            (self.save, self.report),
        )
        for index, made in enumerate(made for row in rows for made in row):
            self.grid.addWidget(made, index // 2, index % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(line(self))
        layout.addWidget(self.choice)
        layout.addLayout(ends)
        layout.addLayout(self.grid)
        layout.addWidget(self.legend)
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK_MS)
        self._timer.timeout.connect(self._swap)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            emitter.connect(self.refresh)
        viewer.layers.selection.events.active.connect(self._follow)
        self.hide()
        self.refresh()

    @property
    def finished(self) -> Finished[Run] | None:
        """The result that the buttons belong to."""
        return self._finished

    def show_run(self, finished: Finished[Run]) -> None:
        """Choose the result of a run that has ended; what the last run held in memory is released."""
        self._last = finished
        self._list()
        self._show(finished.result)

    def refresh(self, _event: object = None) -> None:
        """List the results as they are now; the choice stays where it is still there."""
        if self._last is not None and self._last.result not in self._viewer.layers:
            self._last = None
        self._list()
        finished = self._finished
        if finished is not None and finished.result in self._layers:
            self._show(finished.result)
        else:
            self._show(self._layers[0] if self._layers else None)

    def set_busy(self, busy: bool) -> None:
        """Disable what needs the worker while it works."""
        self._busy = busy
        self._offer()

    def reset_comparison(self) -> None:
        """End blinking and fading, and show the result as it was."""
        self.blink.setChecked(False)
        if self.fade.value() != 100:
            self.fade.setValue(100)

    def hold_source(self, held: bool) -> None:
        """Show the source alone as long as something is held, and all as it was before afterwards."""
        finished = self._finished
        if not held:
            for layer, visible in self._seen:
                layer.visible = visible
            self._seen = ()
        elif finished is not None and finished.source is not None and not self._seen:
            judging = [layer for layer in self._viewer.layers if kind_of(layer) in DERIVED]
            changed = [finished.source, finished.result, *judging]
            self._seen = tuple((layer, layer.visible) for layer in changed)
            for layer in changed:
                layer.visible = layer is finished.source

    def uncover(self) -> None:
        """Hide the layers that were added to judge the result, and show the source beneath it."""
        for layer in self._viewer.layers:
            if kind_of(layer) in DERIVED:
                layer.visible = False
        if self._finished is not None and self._finished.source is not None:
            self._finished.source.visible = True

    def explain(self, layer: napari.layers.Image, words: str, unit: str) -> None:
        """Say what a map of the chosen result shows, as long as it is in the viewer.

        Parameters
        ----------
        layer : napari.layers.Image
            The map.
        words : str
            A sentence.
        unit : str
            Of its values; "" where they have none.
        """
        self.legend.show_map(layer, words, unit)

    def copy(self, spell: Callable[[Recipe], str]) -> None:
        """Put the recipe on the clipboard, as a function spells it."""
        if self._finished is not None:
            put_on_clipboard(spell(self._finished.recipe))

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

    def _ask_where_to_save(self) -> None:
        if self._finished is not None:
            name = f"{self._finished.result.name}.ome.tif"
            chosen, _ = QFileDialog.getSaveFileName(
                self, "Where shall the result be saved?", name, "OME-TIFF (*.ome.tif);;OME-Zarr (*.ome.zarr)"
            )
            if chosen:
                self.save_wanted.emit(Path(chosen))

    def _ask_where_to_report(self) -> None:
        if self._finished is not None:
            name = f"{self._finished.result.name}.html"
            chosen, _ = QFileDialog.getSaveFileName(self, "Where shall the report be written?", name, REPORT_KINDS)
            if chosen:
                self.report_wanted.emit(Path(chosen))

    # Which result

    def _list(self) -> None:
        for layer in self._layers:
            layer.events.name.disconnect(self._on_name)
        self._layers = results_of(self._viewer, self._task)
        for layer in self._layers:
            layer.events.name.connect(self._on_name)
        blocked = self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems([layer.name for layer in self._layers])
        self.choice.blockSignals(blocked)

    def _on_name(self, _event: object = None) -> None:
        for index, layer in enumerate(self._layers):
            self.choice.setItemText(index, layer.name)

    def _on_choice(self, index: int) -> None:
        self._show(self._layers[index] if 0 <= index < len(self._layers) else None)

    def _follow(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self._layers:
            self.choice.setCurrentIndex(self._layers.index(active))

    def _show(self, layer: napari.layers.Image | None) -> None:
        """Offer the buttons for a result, or hide them."""
        before = self._finished
        if layer is None or before is None or before.result is not layer:
            self.reset_comparison()
        blocked = self.choice.blockSignals(True)
        self.choice.setCurrentIndex(-1 if layer is None else self._layers.index(layer))
        self.choice.blockSignals(blocked)
        self._finished = None if layer is None else self._opened(layer)
        if self._finished is not None and (before is None or before.result is not self._finished.result):
            self._opacity = self._finished.result.opacity
        self.setVisible(self._finished is not None)
        if self.legend.layer is not None and (self.legend.layer not in self._viewer.layers or before != self._finished):
            self.legend.show_map(None)
        self._offer()
        if (before and before.result) is not (self._finished and self._finished.result):
            self.chosen.emit()

    def _opened(self, layer: napari.layers.Image) -> Finished[Run] | None:
        recipe = recipe_of(layer)
        if recipe is None:
            return None
        last = self._last
        prepared = last.prepared if last is not None and last.result is layer else None
        return Finished(recipe, source_of(self._viewer, layer), layer, prepared)

    def _offer(self) -> None:
        """Enable what can be done, and say of the rest why it cannot."""
        finished = self._finished
        if finished is None:
            return
        gone = "" if finished.source is not None else _SOURCE_GONE
        for control, tooltip in (
            (
                self.fade,
                with_key("Fade between the source (left) and the result (right); hold to see the source", SOURCE),
            ),
            (self.blink, _BLINK),
            (self.beside, _BESIDE),
        ):
            _allow(control, tooltip, gone)
        for control in (self.save, self.report):
            control.setEnabled(not self._busy)
        for kind, control, tooltip in (
            (REMOVED, self.removed, _REMOVED),
            (TRUST, self.trust, _TRUST),
            (UNCERTAINTY, self.uncertainty, _UNCERTAINTY),
        ):
            _allow(control, tooltip, finished.refusal(kind) or ("Wait until the panel is done." if self._busy else ""))


def _allow(control: QPushButton | QSlider, tooltip: str, refusal: str) -> None:
    """Enable a control, or disable it with the reason as its tooltip."""
    control.setEnabled(not refusal)
    control.setToolTip(refusal or tooltip)
    if refusal and isinstance(control, QPushButton) and control.isCheckable():
        control.setChecked(False)


def report_request(
    viewer: ViewerModel, finished: Finished[Any], axes_of: Callable[[Any], str], settings: RunSettings
) -> ReportRequest:
    """Return what a report on a result is made of: the plane of Y and X that the viewer is at.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    finished : Finished
    axes_of : callable
        Returns the roles of a layer's axes.
    settings : RunSettings

    Raises
    ------
    AxesError
        The axes of a layer do not fit it.
    """
    source, result = finished.source, finished.result
    own = guessed_axes(result)
    axes = axes_of(source) if source is not None else own
    result_axes = axes if source is not None and len(axes) == full_resolution(result).ndim else own
    comparable = not finished.refusal(REMOVED)
    limits = (0.0, 255.0) if result.rgb else result.contrast_limits
    return ReportRequest(
        recipe=finished.recipe,
        name=result.name,
        said=said_of(result),
        source=None if source is None else _plane(viewer, source, axes),
        result=_plane(viewer, result, result_axes),
        limits=(float(limits[0]), float(limits[1])),
        comparable=comparable,
        settings=settings,
    )


def _plane(viewer: ViewerModel, layer: napari.layers.Image, axes: str) -> Image:
    """Return the plane of a layer that the viewer is at; no pixel is read."""
    at = slice_of(layer, viewer, axes)
    return to_image(layer, axes).select(**{axis: place for axis, place in at.items() if axis not in "YXS"})
