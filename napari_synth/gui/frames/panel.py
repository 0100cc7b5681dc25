"""The panel that invents frames of a time-lapse. It shows, asks and places; what computes runs in a job."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Task
from napari_synth.core.errors import SynthError
from napari_synth.engine.frame_plan import check_time
from napari_synth.gui.frames.choice import FramesChoice
from napari_synth.gui.frames.work import Foretold, FramesWanted, foretell, rim_of, spread_of
from napari_synth.gui.layers import CONFIDENCE, FILLED, RESULT, Placement, appearance, fresh_name, full_resolution, mark
from napari_synth.gui.placing import insert_layer
from napari_synth.gui.results import Finished, ResultBox
from napari_synth.gui.rows import label, line, put_in_scroll_area
from napari_synth.gui.settings import read_settings
from napari_synth.gui.source import SourcePicker
from napari_synth.gui.work_panel import MethodPanel
from napari_synth.imaging.image import guess_movie_axes

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_synth.engine.frame_run import PreparedMovie


_RIM_COLOUR = (1.0, 0.55, 0.0, 1.0)


class PredictFramesPanel(MethodPanel[FramePredictor[Any]]):
    """The panel for frames, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(
            napari_viewer,
            FramePredictor,
            Task.PREDICT_FRAMES,
            "Add a model file of your own; the Train panel makes one of your time-lapses",
        )
        self._running: tuple[napari.layers.Image, Placement, FramesWanted] | None = None
        self._foretold: Foretold | None = None
        self._guessed: WeakSet[napari.layers.Image] = WeakSet()

        self.source = SourcePicker(self.viewer, self)
        self.frames = FramesChoice(self)
        self.run_button.setToolTip(
            "Invent the frames in the background; the result is a new layer with the measured frames as they are"
        )
        self.result: ResultBox[PreparedMovie] = ResultBox(self.viewer, self)
        self._lay_out()
        self._connect()
        self._on_method()
        self._on_source()
        self._on_theme()

    # What the user does

    def run(self) -> None:
        """Invent the frames of the chosen layer."""
        if self._job is not None:
            return
        self._clear()
        try:
            movie = self.source.image()
            check_time(movie)
            params = self.form.params().model_dump()
            wanted = FramesWanted(self.method.info.id, movie, self.frames.request(), params, read_settings())
        except SynthError as error:
            self._on_failed(error)
            return
        layer = self.source.layer
        assert layer is not None
        self._running = (layer, Placement.of(layer), wanted)
        self._start(partial(foretell, wanted), "Predicting", self._on_foretold)

    def show_for(self, layer: napari.layers.Image) -> None:
        """Choose a layer; what else is needed the user has to say."""
        self.source.choose(layer)

    def stop(self) -> None:
        """Cancel everything; the panel was closed."""
        super().stop()
        self.result.reset_comparison()

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget(self)
        self.source.rows.addRow(label("Method", self.methods), self.method_row)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.source)
        layout.addWidget(self.summary)
        layout.addWidget(self.frames)
        layout.addLayout(self.form_place)
        layout.addWidget(line(self))
        layout.addWidget(self.run_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.device)
        layout.addWidget(self.result)
        layout.addWidget(self.messages)
        layout.addStretch(1)
        put_in_scroll_area(inner, self)

    def _connect(self) -> None:
        self.source.changed.connect(self._on_source)
        self.result.confidence_wanted.connect(self._add_confidence)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    # What changes

    def _on_source(self) -> None:
        layer = self.source.layer
        if layer is not None and layer not in self._guessed:
            self._guessed.add(layer)
            # A stack of unknown meaning is a movie to whoever opens this panel; napari's own labels are negative numbers.
            is_unnamed = all(label.lstrip("-").isdigit() for label in layer.axis_labels)
            axes = guess_movie_axes(tuple(full_resolution(layer).shape))
            if is_unnamed and axes is not None and "T" not in self.source.roles:
                self.source.axes.setCurrentText(axes)
        if roles := self.source.roles:
            self.methods.offer_for(roles)
        self._show_state()

    def _on_layer_removed(self, _event: object = None) -> None:
        """Release what a run holds in memory once its result is gone."""
        finished = self.result.finished
        if finished is not None and finished.result not in self.viewer.layers:
            self.result.show_run(None)
            self._foretold = None

    # The worker

    def _show_state(self) -> None:
        self.run_button.setEnabled(self.source.layer is not None and self._job is None)
        self.result.set_busy(self._job is not None)

    def _on_finished(self) -> None:
        self._running = None
        super()._on_finished()

    def _on_foretold(self, foretold: Foretold) -> None:
        if self._running is None:
            return
        source, placement, wanted = self._running
        prepared = foretold.prepared
        time, parts = prepared.source.axes.index("T"), prepared.plan.parts
        scale = np.array([step / parts if axis == time else step for axis, step in enumerate(placement.scale)])
        placement = replace(placement, scale=scale)
        recipe = prepared.recipe.model_dump(mode="json")
        result = self._add(
            foretold.levels,
            f"{source.name} predicted (synthetic)",
            mark(RESULT, recipe, synthetic=bool(prepared.invented), invented=list(prepared.invented)),
            placement,
            source,
            **appearance(source),
        )
        if source.blending == "additive":
            source.visible = False
        self._foretold = foretold
        self.result.show_run(Finished(prepared, source, result, wanted.movie, foretold.levels[0], placement))
        self.device.show_device(prepared.device)
        stored = f"The result is larger than the memory budget: it is in {foretold.path}." if foretold.path else ""
        said = [stored, *prepared.notes]
        if prepared.invented:
            said.append(self._add_rim(foretold, source, placement, result))
            self._show_frame(result, time, prepared.invented[0])
        self.messages.show_notes(said)

    def _add(
        self,
        levels: tuple[Any, ...],
        name: str,
        metadata: dict[str, Any],
        placement: Placement,
        above: napari.layers.Layer,
        **kwargs: Any,
    ) -> napari.layers.Image:
        pyramid = len(levels) > 1
        layer = ImageLayer(
            levels if pyramid else levels[0],
            name=fresh_name(name, (other.name for other in self.viewer.layers)),
            metadata=metadata,
            **placement.as_kwargs(),
            **(kwargs | {"multiscale": pyramid}),
        )
        insert_layer(self.viewer, layer, above)
        return layer

    def _add_rim(
        self, foretold: Foretold, source: napari.layers.Image, placement: Placement, above: napari.layers.Layer
    ) -> str:
        """Add a rim around invented frames, and say so."""
        layer = LabelsLayer(
            rim_of(foretold.prepared),
            name=fresh_name(f"{source.name} invented frames", (other.name for other in self.viewer.layers)),
            metadata=mark(FILLED, invented=list(foretold.prepared.invented)),
            colormap=DirectLabelColormap(color_dict={1: _RIM_COLOUR, None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}),
            opacity=0.9,
            **placement.as_kwargs(),
        )
        insert_layer(self.viewer, layer, above)
        return f"Invented frames have an orange rim: the layer {layer.name!r}."

    def _show_frame(self, layer: napari.layers.Image, time: int, frame: int) -> None:
        """Move the viewer to a frame of a layer."""
        place = np.zeros(layer.ndim)
        place[time] = frame
        axis = self.viewer.dims.ndim - layer.ndim + time
        self.viewer.dims.set_point(axis, float(layer.data_to_world(place)[time]))

    def _add_confidence(self) -> None:
        if self._foretold is None or self._job is not None:
            return
        work = partial(spread_of, self._foretold.prepared, read_settings())
        self._start(work, "Computing the confidence", self._on_confidence)

    def _on_confidence(self, found: tuple[tuple[Any, ...], float]) -> None:
        finished = self.result.finished
        if finished is None:
            return
        levels, limit = found
        self.result.uncover()
        self._add(
            levels,
            f"{finished.source.name} confidence",
            mark(CONFIDENCE),
            finished.placement,
            finished.result,
            rgb=False,
            colormap="inferno",
            contrast_limits=(0.0, limit),
        )
