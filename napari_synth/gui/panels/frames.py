"""The panel that predicts frames of a time-lapse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Task
from napari_synth.engine.frame_plan import check_time
from napari_synth.engine.frame_run import PreparedMovie
from napari_synth.engine.recipe import FramesRecord, Recipe
from napari_synth.gui.jobs.files import FilesRequest
from napari_synth.gui.jobs.frames import predict, rim_of
from napari_synth.gui.jobs.requests import MovieRequest
from napari_synth.gui.jobs.restore import RunResult
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.keys import RUN, with_key
from napari_synth.gui.layers.appearance import appearance
from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.marks import FILLED, RESULT, mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import insert_layer
from napari_synth.gui.panels.layer_panel import LayerPanel
from napari_synth.gui.widgets.elided import NameBox
from napari_synth.gui.widgets.files_box import FilesBox, FilesParams
from napari_synth.gui.widgets.form_rows import label, line
from napari_synth.gui.widgets.frames_choice import FramesChoice
from napari_synth.gui.widgets.hint import Hint
from napari_synth.gui.widgets.result_box import Finished
from napari_synth.imaging.image import guess_movie_axes

if TYPE_CHECKING:
    import napari
    import napari.layers

_ADDS = "Add a model file of your own; the Train panel makes one of your time-lapses"
_RUN = "Invent the frames in the background; the result is a new layer with the measured frames as they are"
_STILL = "This image has no time axis: open a time-lapse, or give one of its axes the role T above."
_UNTIMED = "None of its axes is time."
_NO_REGION = (
    "Invented frames are whole: where no frame was measured, no pixels of a source stand around a part of one. Crop the"
    " layer first. Methods are compared by hand: give a measured frame as missing to Fill, and hold the results against it."
)
_RIM_COLOUR = (1.0, 0.55, 0.0, 1.0)


class PredictFramesPanel(LayerPanel[FramePredictor[Any], PreparedMovie]):
    """The panel for frames, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    _doing = "Predicting"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, FramePredictor, Task.PREDICT_FRAMES, _ADDS)
        self._guessed: WeakSet[napari.layers.Image] = WeakSet()
        self.frames = FramesChoice(self)
        self.frames.changed.connect(self._clear_error)
        self.time_hint = Hint(self)
        self._add_method_row()
        # What cannot be chosen here is said where it is looked for.
        self.region = NameBox(self)
        self.region.addItem("Whole frames")
        self.region.setEnabled(False)
        self.region.setToolTip(_NO_REGION)
        self.source.rows.addRow(label("Region", self.region), self.region)
        self._lay_out(
            self.source,
            self.summary,
            self.frames,
            self.form_place,
            self.settings_row,
            line(self),
            self.run_button,
            self.estimate,
            self.time_hint,
            self.progress,
            self.device,
            self.result,
            self.result_actions,
            self.messages,
            self.history,
            self.files_box,
        )
        self._on_method()
        self._on_source()
        self._on_theme()
        self._recall()

    def _take_more(self, recipe: Recipe) -> tuple[str, ...]:
        """Ask for the same frames."""
        if recipe.frames is not None:
            self.frames.take(recipe.frames.request)
        return ()

    def _ask(self, layer: napari.layers.Image) -> Work:
        movie = self.source.image(layer)
        check_time(movie)
        params = self.form.params().model_dump()
        return partial(
            predict, MovieRequest(self.method.info.id, movie, self.frames.request(), params, self._settings())
        )

    def _ask_for_files(self, recipe: Recipe, box: FilesBox[FilesParams]) -> FilesRequest:
        how, layer = box.how, self.source.layer
        frames = FramesRecord(**self.frames.request().model_dump())
        axes = None if layer is None else self.source.axes.axes_of(layer)
        return FilesRequest(
            recipe.model_copy(update={"frames": frames, "axes": axes}),
            box.images.files,
            box.target,
            how.workers,
            how.together,
            how.overwrite,
            self._settings().memory_budget,
        )

    def _on_source(self) -> None:
        layer = self.source.layer
        if layer is not None and layer not in self._guessed:
            self._guessed.add(layer)
            # A stack of unknown meaning is a movie to whoever opens this panel; napari's own labels are negative numbers.
            is_unnamed = all(label.lstrip("-").isdigit() for label in layer.axis_labels)
            axes = guess_movie_axes(tuple(full_resolution(layer).shape))
            if is_unnamed and axes is not None and "T" not in self.source.roles:
                self.source.axes.setCurrentText(axes)
        super()._on_source()

    def _show_state(self) -> None:
        """Say before the click where there is no time, and how there will be one."""
        super()._show_state()
        layer = self.source.layer
        is_still = layer is not None and "T" not in self.source.axes.axes
        self.run_button.setToolTip(_STILL if is_still else with_key(_RUN, RUN))
        if layer is None or not is_still:
            self.time_hint.say("")
            return
        self.run_button.setEnabled(False)
        axes = guess_movie_axes(tuple(full_resolution(layer).shape))
        step = None if axes is None else partial(self.source.axes.setCurrentText, axes)
        self.time_hint.say(_STILL if axes is None else _UNTIMED, "It is a movie" if step else "", step)

    # The result

    def _described(
        self, source: napari.layers.Image, place: Placement, run: PreparedMovie
    ) -> tuple[str, dict[str, Any], Placement, dict[str, Any]]:
        time = run.source.axes.index("T")
        scale = np.array([step / run.plan.parts if axis == time else step for axis, step in enumerate(place.scale)])
        recipe = run.recipe.model_dump(mode="json")
        metadata = mark(RESULT, recipe, synthetic=bool(run.invented), invented=list(run.invented))
        return f"{source.name} predicted (synthetic)", metadata, replace(place, scale=scale), appearance(source)

    def _add_more(self, result: RunResult[PreparedMovie], finished: Finished[PreparedMovie]) -> str:
        """Add a rim around invented frames, show the first of them, and say so."""
        run = result.prepared
        if not run.invented:
            return ""
        assert finished.source is not None
        rim = Labels(
            rim_of(run),
            name=f"{finished.source.name} invented frames",
            metadata=mark(FILLED, invented=list(run.invented), of=str(finished.result.unique_id)),
            colormap=DirectLabelColormap(color_dict={1: _RIM_COLOUR, None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}),
            opacity=0.9,
            **finished.placement.as_kwargs(),
        )
        insert_layer(self.viewer, rim, finished.result)
        self._show_frame(finished.result, run.source.axes.index("T"), run.invented[0])
        return f"Invented frames have an orange rim: the layer {rim.name!r}."

    def _show_frame(self, layer: napari.layers.Image, time: int, frame: int) -> None:
        """Move the viewer to a frame of a layer."""
        place = np.zeros(layer.ndim)
        place[time] = frame
        axis = self.viewer.dims.ndim - layer.ndim + time
        self.viewer.dims.set_point(axis, float(layer.data_to_world(place)[time]))
