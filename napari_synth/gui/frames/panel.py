"""The panel that invents frames of a time-lapse. It shows, asks and places; what computes runs in a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_synth.core.errors import SynthError, UntrustedModelError
from napari_synth.core.frame_plan import check_time, guess_movie_axes
from napari_synth.core.frames import FramePredictor
from napari_synth.core.generator import Task
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.gui.device_badge import DeviceBadge
from napari_synth.gui.form import ParamsForm
from napari_synth.gui.frames.choice import FramesChoice
from napari_synth.gui.frames.work import Foretold, FramesWanted, foretell, rim_of, spread_of
from napari_synth.gui.layers import CONFIDENCE, FILLED, RESULT, Placement, appearance, fresh_name, full_resolution, mark
from napari_synth.gui.library_news import library_news
from napari_synth.gui.methods import MethodList
from napari_synth.gui.model_files import add_model, ask_for_file, ask_for_trust
from napari_synth.gui.placing import insert_layer, unwrapped
from napari_synth.gui.results import Finished, ResultBox
from napari_synth.gui.rows import label, line, put_in_scroll_area
from napari_synth.gui.settings import read_settings
from napari_synth.gui.source import SourcePicker
from napari_synth.gui.status import Messages, ProgressRow
from napari_synth.gui.worker import Job

if TYPE_CHECKING:
    import napari
    import napari.layers
    from napari.components import ViewerModel

    from napari_synth.core.runner import PreparedRun
    from napari_synth.models.library import Entry

_PAINT_MS = 30
_RIM_COLOUR = (1.0, 0.55, 0.0, 1.0)


class PredictFramesPanel(QWidget):
    """The panel for frames, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer: ViewerModel = unwrapped(napari_viewer)
        self._job: Job | None = None
        self._next: Callable[[], None] | None = None
        self._running: tuple[napari.layers.Image, Placement, FramesWanted] | None = None
        self._foretold: Foretold | None = None
        self._guessed: WeakSet[napari.layers.Image] = WeakSet()

        self.source = SourcePicker(self.viewer, self)
        self.methods: MethodList[FramePredictor[Any]] = MethodList(FramePredictor, Task.PREDICT_FRAMES, self)
        self.open_model = QPushButton("+", self)
        self.open_model.setToolTip("Add a model file of your own; the Train panel makes one of your time-lapses")
        self.open_model.setFixedWidth(28)
        self.summary = QLabel(self)
        self.summary.setWordWrap(True)
        self.frames = FramesChoice(self)
        self.form = ParamsForm(self.method.params_type, self)
        self.run_button = QPushButton("Predict frames", self)
        self.run_button.setToolTip(
            "Invent the frames in the background; the result is a new layer with the measured frames as they are"
        )
        self.device = DeviceBadge(self)
        self.progress = ProgressRow(self)
        self.messages = Messages(self)
        self.result = ResultBox(self.viewer, self)
        self._lay_out()
        self._connect()
        self._on_method()
        self._on_source()
        self._on_theme()
        # Once the panel is on the screen: loading torch takes seconds.
        QTimer.singleShot(0, self._find_device)

    # What the user does

    def run(self) -> None:
        """Invent the frames of the chosen layer."""
        if self._job is not None:
            return
        self.messages.show_error("")
        self.messages.show_notes(())
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

    def choose_method(self, identifier: str) -> None:
        """Choose a predictor of the list by its id."""
        self.methods.choose(identifier)

    def add_model(self) -> None:
        """Ask for a model file, and add it to the methods."""
        path = ask_for_file(self)
        if path is not None and self._job is None:
            self._add_model(path, trusted=False)

    def cancel(self) -> None:
        """Stop whatever is computed."""
        if self._job is not None:
            self._job.cancel()

    def stop(self) -> None:
        """Cancel everything; the panel was closed."""
        self.cancel()
        self.device.cancel()
        self.result.reset_comparison()

    # Qt

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock was closed: napari takes the panel out of it and forgets it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.stop()

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget(self)
        beside = QHBoxLayout()
        beside.addWidget(self.methods, 1)
        beside.addWidget(self.open_model)
        self.source.rows.addRow(label("Method", self.methods), beside)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.source)
        layout.addWidget(self.summary)
        layout.addWidget(self.frames)
        self._form_place = QVBoxLayout()
        self._form_place.addWidget(self.form)
        layout.addLayout(self._form_place)
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
        self.methods.chosen.connect(self._on_method)
        self.open_model.clicked.connect(self.add_model)
        self.run_button.clicked.connect(self.run)
        self.progress.cancelled.connect(self.cancel)
        self.result.confidence_wanted.connect(self._add_confidence)
        self.viewer.events.theme.connect(self._on_theme)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    # What changes

    @property
    def method(self) -> FramePredictor[Any]:
        """The chosen predictor."""
        return self.methods.method

    def _on_method(self) -> None:
        info = self.method.info
        self.summary.setText(info.summary)
        self.summary.setToolTip("\n".join(filter(None, (info.summary, info.reference))))
        form = ParamsForm(self.method.params_type, self)
        form.take_over(self.form)
        self._form_place.replaceWidget(self.form, form)
        self.form.hide()
        self.form.deleteLater()
        self.form = form

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
        self.run_button.setEnabled(layer is not None and self._job is None)

    def _on_layer_removed(self, _event: object = None) -> None:
        """Release what a run holds in memory once its result is gone."""
        finished = self.result.finished
        if finished is not None and finished.result not in self.viewer.layers:
            self.result.show_run(None)
            self._foretold = None

    def _on_theme(self, _event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.messages.set_colours(theme.error.as_hex(), theme.text.as_hex(), theme.foreground.as_hex())
        self.run_button.setStyleSheet(
            f"QPushButton:enabled {{ background: {theme.current.as_hex()}; font-weight: bold; }}"
        )
        self.setStyleSheet(f"#synth_line {{ background: {theme.primary.as_hex()}; }}")

    # The worker

    def _start(
        self,
        work: Callable[[ProgressCallback, CancelToken], Any],
        what: str,
        then: Callable[[Any], None],
        failed: Callable[[SynthError], None] | None = None,
    ) -> None:
        self._job = job = Job(work, what)
        job.progressed.connect(self.progress.show_progress)
        job.returned.connect(then)
        job.failed.connect(failed or self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.finished.connect(self._on_finished)
        self.destroyed.connect(job.cancel)
        self.run_button.setEnabled(False)
        self.result.set_busy(True)
        self.progress.begin(what)
        QTimer.singleShot(_PAINT_MS, job.start)

    def _on_finished(self) -> None:
        self._job = None
        self._running = None
        self.run_button.setEnabled(self.source.layer is not None)
        self.result.set_busy(False)
        self.progress.end()
        following, self._next = self._next, None
        if following is not None:
            following()

    def _on_failed(self, error: SynthError) -> None:
        self.messages.show_error(str(error))

    def _on_cancelled(self) -> None:
        self.messages.show_notes(["Cancelled: nothing was added."])

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
        # What the box asks of a run, a movie has as well.
        run = cast("PreparedRun", prepared)
        self.result.show_run(Finished(run, source, result, wanted.movie, foretold.levels[0], placement))
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

    # Models

    def _add_model(self, path: Path, *, trusted: bool) -> None:
        self.messages.show_error("")
        work = partial(add_model, path, Task.PREDICT_FRAMES, trusted)
        self._start(work, "Trying the model", self._on_model, partial(self._on_model_failed, path))

    def _on_model(self, entry: Entry) -> None:
        library_news().changed.emit()
        self.choose_method(entry.description.id)

    def _on_model_failed(self, path: Path, error: SynthError) -> None:
        if not isinstance(error, UntrustedModelError):
            self._on_failed(error)
        elif ask_for_trust(self, path):
            self._next = partial(self._add_model, path, trusted=True)

    def _find_device(self) -> None:
        self.device.look_for(read_settings())
