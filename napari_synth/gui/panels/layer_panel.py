"""A panel that makes a new layer of the chosen one, shows how they compare, and adds maps that judge the result."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari.layers import Image as ImageLayer

from napari_synth.contract.generator import Method, Task
from napari_synth.gui.jobs.quality_maps import MAPS, QualityMap
from napari_synth.gui.jobs.requests import LayerRun
from napari_synth.gui.jobs.restore import RunResult
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.appearance import trust_colormap
from napari_synth.gui.layers.marks import CONFIDENCE, REMOVED, TRUST, mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import insert_layer, layer_of_levels
from napari_synth.gui.panels.base import MethodPanel
from napari_synth.gui.widgets.form_rows import label
from napari_synth.gui.widgets.result_box import Finished, ResultBox
from napari_synth.gui.widgets.source_picker import SourcePicker

if TYPE_CHECKING:
    import napari
    import napari.layers

M = TypeVar("M", bound=Method[Any])
R = TypeVar("R", bound=LayerRun)

_MAP_NAMES = {REMOVED: "removed signal", TRUST: "trust", CONFIDENCE: "confidence"}


class LayerPanel(MethodPanel[M], Generic[M, R]):
    """A panel whose methods make a layer of a layer.

    A subclass says what is to be done (`_ask`), where and how the result is shown (`_described`), and what else is added with it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    kind : type of Method
        What is listed.
    task : Task
    adds : str
        The tooltip of the button that adds a model.
    """

    _doing = "Working"
    """What a row of progress says during a run."""

    def __init__(self, napari_viewer: napari.Viewer, kind: type[M], task: Task, adds: str) -> None:
        super().__init__(napari_viewer, kind, task, adds)
        self._running: tuple[napari.layers.Image, Placement] | None = None
        self.source = SourcePicker(self.viewer, self)
        self.result: ResultBox[R] = ResultBox(self.viewer, self)
        self.source.changed.connect(self._on_source)
        self.result.map_wanted.connect(self.add_map)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    # What the user does

    def run(self) -> None:
        """Run the method over the chosen layer."""
        self._attempt(self._ask_for_run, self._doing, self._on_result)

    def show_for(self, layer: napari.layers.Image) -> None:
        """Choose a layer; what else is needed the user has to say."""
        self.source.choose(layer)

    def show_and_run(self, layer: napari.layers.Image, method: str | None = None, **params: Any) -> None:
        """Choose a layer and run.

        Parameters
        ----------
        layer : napari.layers.Image
        method : str, optional
            Id of the method that is chosen; the one that is chosen already where it is left out.
        **params
            Settings that are changed before.
        """
        if self._job is not None:
            self.messages.show_error("The panel is at work: wait until it is done or cancel it, then do this again.")
            return
        self.source.choose(layer)
        if method is not None:
            if refusal := self.methods.refusal(method):
                self.messages.show_error(refusal)
                return
            self.methods.choose(method)
        self.form.set_values(params)
        self.run()

    def add_map(self, kind: str) -> None:
        """Add a layer that judges the result, of one of the kinds in `napari_synth.gui.jobs.quality_maps.MAPS`."""
        finished = self.result.finished
        if finished is None or self._job is not None:
            return
        compute, doing = MAPS[kind]
        work = partial(compute, finished.prepared, finished.pixels, self._settings())
        self._start(work, doing, partial(self._on_map, kind))

    def stop(self) -> None:
        """Cancel everything, and show source and result as they were; the panel was closed."""
        super().stop()
        self.result.reset_comparison()

    # What a subclass says

    @abstractmethod
    def _ask(self) -> Work:
        """Return what makes the `RunResult`; raise a `SynthError` where something is missing or does not fit."""

    @abstractmethod
    def _described(
        self, source: napari.layers.Image, place: Placement, run: R
    ) -> tuple[str, dict[str, Any], Placement, dict[str, Any]]:
        """Return the name, the metadata, the place and the look of the layer of a result."""

    def _add_more(self, result: RunResult[R], finished: Finished[R]) -> str:
        """Add what belongs to a result besides its layer, and return a sentence on it."""
        return ""

    # What changes

    def _on_source(self) -> None:
        if roles := self.source.roles:
            self.methods.offer_for(roles)
        self._show_state()

    def _on_layer_removed(self, _event: object = None) -> None:
        """Release what a run holds in memory once its result is gone."""
        finished = self.result.finished
        if finished is not None and finished.result not in self.viewer.layers:
            self.result.show_run(None)

    def _add_method_row(self) -> None:
        """Put the list of methods under the rows of the source."""
        self.source.rows.addRow(label("Method", self.methods), self.method_row)

    # The worker

    def _show_state(self) -> None:
        self.run_button.setEnabled(self.source.layer is not None and self._job is None)
        self.result.set_busy(self._job is not None)

    def _ask_for_run(self) -> Work:
        work = self._ask()
        layer = self.source.layer
        assert layer is not None
        self._running = layer, Placement.of(layer)
        return work

    def _on_finished(self) -> None:
        self._running = None
        super()._on_finished()

    def _on_result(self, result: RunResult[R]) -> None:
        if self._running is None:
            return
        source, place = self._running
        if source.ndim == len(place.scale):
            # It may have been moved meanwhile.
            place = Placement.of(source)
        run = result.prepared
        name, metadata, place, look = self._described(source, place, run)
        layer = layer_of_levels(ImageLayer, result.levels, name, metadata, place, **look)
        insert_layer(self.viewer, layer, source)
        if source.blending == "additive":
            source.visible = False
        finished = Finished(run, source, layer, result.levels[0], place)
        more = self._add_more(result, finished)
        self.result.show_run(finished)
        self.device.show_device(run.device)
        stored = f"The result is larger than the memory budget: it is in {result.path}." if result.path else ""
        self.messages.show_notes([stored, *result.verdict, *run.notes, more])

    def _on_map(self, kind: str, found: QualityMap) -> None:
        finished = self.result.finished
        if finished is None:
            return
        self.result.uncover()
        signed = -found.limit, found.limit
        look: dict[str, Any] = {
            REMOVED: {"colormap": "gray", "contrast_limits": signed},
            TRUST: {"colormap": trust_colormap(), "contrast_limits": signed},
            CONFIDENCE: {"colormap": "inferno", "contrast_limits": (0.0, found.limit)},
        }[kind]
        name = f"{finished.source.name} {_MAP_NAMES[kind]}"
        layer = layer_of_levels(ImageLayer, found.levels, name, mark(kind), finished.placement, rgb=False, **look)
        insert_layer(self.viewer, layer, finished.result)
        if found.notes:
            self.messages.show_notes(found.notes)
