"""A panel that makes a new layer of the chosen one, shows how they compare, and adds maps that judge the result."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari.layers import Image as ImageLayer

from napari_synth.contract.generator import Method, Task
from napari_synth.core.errors import InvalidImageError, SynthError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback
from napari_synth.engine.recipe import Step
from napari_synth.gui.history import PastRun, history_of
from napari_synth.gui.jobs.again import RepeatRequest, SourceAlone
from napari_synth.gui.jobs.mixture import mixed_levels
from napari_synth.gui.jobs.quality_maps import MAPS, QualityMap
from napari_synth.gui.jobs.report import Report, make_report
from napari_synth.gui.jobs.requests import LayerRun
from napari_synth.gui.jobs.restore import RunResult
from napari_synth.gui.jobs.series import SeriesItem, run_in_turn
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.appearance import appearance, trust_colormap
from napari_synth.gui.layers.images import full_resolution, to_image
from napari_synth.gui.layers.marks import REMOVED, RESULT, TRUST, UNCERTAINTY, mark, note, note_of
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.results import notes_of_run, said_of
from napari_synth.gui.layers.saved import write_in_job
from napari_synth.gui.layers.viewer_layers import insert_layer, layer_of_levels
from napari_synth.gui.panels.file_panel import FilePanel
from napari_synth.gui.remembered import Speed, note_speed, remember, speed_of
from napari_synth.gui.widgets.form_rows import label, wrapped
from napari_synth.gui.widgets.report_file import write_report
from napari_synth.gui.widgets.result_actions import ResultActions
from napari_synth.gui.widgets.result_box import Finished, ResultBox, report_request
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.gui.widgets.status import duration

if TYPE_CHECKING:
    import napari
    import napari.layers

M = TypeVar("M", bound=Method[Any])
R = TypeVar("R", bound=LayerRun)

WORTH_SAYING = 5.0
"""Seconds: who starts a run that is over sooner need not know."""
_MAP_NAMES = {REMOVED: "removed signal", TRUST: "trust", UNCERTAINTY: "relative uncertainty"}
_MEANINGS = {
    REMOVED: "Source minus result: bright where signal was taken away, dark where it was added. Structures of the specimen should"
    " not be seen in it.",
    TRUST: "What noise cannot explain: red where the result is darker than the source, blue where it is brighter, transparent"
    " where noise explains the change.",
    UNCERTAINTY: "Relative uncertainty: bright where the answers over flips and rotations differ. It ranks errors, and is no"
    " error bar.",
}
"""What the colours of each map mean."""


class LayerPanel(FilePanel[M], Generic[M, R]):
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

    def __init__(self, napari_viewer: napari.Viewer, kind: type[M], task: Task, adds: str) -> None:
        super().__init__(napari_viewer, kind, task, adds)
        self._running: tuple[_Origin, ...] = ()
        self.estimate = wrapped(self, "How long a run would take, from an earlier run or from one block of this image")
        self.estimate.hide()
        self.device.found.connect(self._show_estimate)
        self._asked: dict[str, Any] = {}
        self._asked_then: tuple[Step, ...] = ()
        self._key = ""
        self._done_of_several: list[str] = []
        self._failed_of_several: list[str] = []
        self.source = SourcePicker(self.viewer, self)
        self.result: ResultBox[R] = ResultBox(self.viewer, task, self)
        self.result_actions = ResultActions(self.viewer, self.result, self)
        self.result_actions.blend_wanted.connect(self.add_blend)
        self.source.changed.connect(self._on_source)
        self.source.selection_changed.connect(self._on_selection)
        self.result.map_wanted.connect(self.add_map)
        self.result.save_wanted.connect(self.save)
        self.result.report_wanted.connect(self.write_report)
        self.result.chosen.connect(self._on_result_chosen)
        self._on_result_chosen()

    # What the user does

    def run(self) -> None:
        """Run the method over the chosen layer, or over each of several that are selected."""
        several = len(self.source.selected) > 1
        self._attempt(self._ask_for_run, self._doing, self._on_series if several else self._on_result)

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

    def repeat_last(self) -> None:
        """Run the method with the settings of the last run of this viewer on the layers that are selected now."""
        runs = history_of(self.viewer).runs(self.task)
        if self._job is None and runs:
            if self.apply_recipe(runs[0].as_set()):
                self.run()
        else:
            self.run()

    def choose_next_result(self) -> None:
        """Choose the next of the results that are listed; the first behind the last."""
        if (count := self.result.choice.count()) > 1:
            self.result.choice.setCurrentIndex((self.result.choice.currentIndex() + 1) % count)

    def add_map(self, kind: str) -> None:
        """Add a layer that judges the result, of one of the kinds in `napari_synth.gui.jobs.quality_maps.MAPS`."""
        finished = self.result.finished
        if finished is None or finished.source is None or self._job is not None or finished.refusal(kind):
            return
        compute, doing = MAPS[kind]
        axes = finished.recipe.axes or self.source.axes.axes_of(finished.source)
        settings = self._settings()

        def ask() -> Work:
            assert finished.source is not None
            image = to_image(finished.source, axes)
            run = finished.prepared or (
                RepeatRequest(finished.recipe, image, settings) if kind == UNCERTAINTY else SourceAlone(image)
            )
            return partial(compute, run, finished.pixels, settings)

        self._attempt(ask, doing, partial(self._on_map, kind, finished))

    def add_blend(self, share: float) -> None:
        """Add a mixture of the chosen result and its source as a layer, which is a result too.

        Parameters
        ----------
        share : float
            Of the result, 0 to 1.
        """
        finished = self.result.finished
        if finished is None or finished.source is None:
            return
        axes = finished.recipe.axes or self.source.axes.axes_of(finished.source)
        image = to_image(finished.source, axes)
        work = partial(mixed_levels, image, finished.pixels, share, self._settings())
        self._attempt(lambda: work, "Mixing", partial(self._on_blend, share, finished))

    def save(self, path: Path) -> None:
        """Write the chosen result to a file with all that it carries, see `napari_synth.gui.layers.saved.write_layers`."""
        finished = self.result.finished
        if finished is not None:
            if not path.suffix:
                path = path.with_name(f"{path.name}.ome.tif")
            work = partial(write_in_job, path, [finished.result.as_layer_data_tuple()])
            self._attempt(lambda: work, "Saving", self._on_saved)

    def write_report(self, path: Path) -> None:
        """Write a page on the chosen result, as HTML, PDF or PNG by the name of the file."""
        finished = self.result.finished
        if finished is not None:
            ask = partial(report_request, self.viewer, finished, self.source.axes.axes_of, self._settings())
            self._attempt(lambda: partial(make_report, ask()), "Making the report", partial(self._on_report, path))

    def stop(self) -> None:
        """Cancel everything, and show source and result as they were; the panel was closed."""
        super().stop()
        self.result.reset_comparison()

    def _steps_behind(self) -> tuple[Step, ...]:
        """Return the steps that follow the method in the same run."""
        return ()

    # What a subclass says

    @abstractmethod
    def _ask(self, layer: napari.layers.Image) -> Work:
        """Return what makes the `RunResult` of a layer; raise a `SynthError` where something is missing or does not fit."""

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
        self._clear_error()
        if roles := self.source.roles:
            self.methods.offer_for(roles)
        self._show_state()

    def _on_selection(self) -> None:
        self._show_state()

    def _on_method(self) -> None:
        super()._on_method()
        self._clear_error()
        self.form.changed.connect(self._clear_error)
        self.form.changed.connect(self._show_estimate)
        self._show_estimate()

    def _show_estimate(self) -> None:
        """Say how long a run over what is selected would take, where that is known."""
        said = "" if self._job is not None or not self._is_whole else self._words_on_time()
        self.estimate.setText(said)
        self.estimate.setVisible(bool(said))

    def _words_on_time(self) -> str:
        """Return the estimate; "" where none can be given, or a run is over too soon."""
        device, layers = self.device.device, self.source.selected
        speed = None if device is None else speed_of(self._speed_key(), device.title)
        if speed is None:
            return ""
        times = [speed.seconds_for(pixels_of(layer)) for layer in layers]
        if None in times or (seconds := sum(filter(None, times))) < WORTH_SAYING:
            return ""
        return f"About {duration(seconds)}, as fast as the last run of this method on this device was."

    @property
    def _is_whole(self) -> bool:
        """Whether all of each layer is worked on."""
        return True

    def _speed_key(self) -> str:
        """Return the id of the method with those of its settings that take long."""
        values, words = self.form.values(), [str(self.method.info.id)]
        for name, field in self.method.params_type.settable().items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("slow"):
                words.append(f"{name}={values.get(name)}")
        words += [f"then {step.generator}" for step in self._steps_behind()]
        return " ".join(words)

    def _on_result_chosen(self) -> None:
        """Say what was said of the result that is chosen now; nothing where there is none."""
        finished = self.result.finished
        if self._job is None:
            self._show_said(finished)

    def _show_said(self, finished: Finished[R] | None) -> None:
        if finished is None:
            self.messages.show_notes(())
        else:
            self.messages.show_notes(said_of(finished.result), about=finished.result.name)

    def _add_method_row(self) -> None:
        """Put the list of methods under the rows of the source."""
        self.source.rows.addRow(label("Method", self.methods), self.method_row)

    # The worker

    def _show_state(self) -> None:
        super()._show_state()
        several = len(self.source.selected)
        self.run_button.setText(f"{self._verb} {several} layers" if several > 1 else self._verb)
        self.run_button.setEnabled(several > 0 and self._job is None)
        self.result.set_busy(self._job is not None)
        self.result_actions.set_busy(self._job is not None)
        self._show_estimate()

    def _ask_for_run(self) -> Work:
        layers = self.source.selected
        if not layers:
            raise InvalidImageError(self.source.why_empty())
        ask = self._ask if len(layers) == 1 else self._ask_for_one_of_several
        works = [(layer.name, ask(layer)) for layer in layers]
        self._running = tuple(_Origin(layer, Placement.of(layer)) for layer in layers)
        self._key = self._speed_key()
        self._asked = self.form.params().model_dump(mode="json", include=set(self.form.values()))
        self._asked_then = self._steps_behind()
        remember(self.task, self.method.info.id, self._asked)
        self._done_of_several, self._failed_of_several = [], []
        return works[0][1] if len(works) == 1 else partial(run_in_turn, works, self._doing)

    def _ask_for_one_of_several(self, layer: napari.layers.Image) -> Work:
        """Return the work for a layer; one that fails at once where nothing can be done with it, so that the others are done."""
        try:
            return self._ask(layer)
        except SynthError as error:
            return partial(_refuse, error)

    def _on_finished(self) -> None:
        self._running = ()
        super()._on_finished()

    def _on_progressed(self, progress: Progress) -> None:
        super()._on_progressed(progress)
        item = progress.event
        if not isinstance(item, SeriesItem) or item.index >= len(self._running):
            return
        origin = self._running[item.index]
        if item.error is None:
            self._add_result(origin, item.result)
            self._done_of_several.append(origin.layer.name)
        else:
            self._failed_of_several.append(f"{origin.layer.name}: {item.error}")
        self._report()

    def _on_series(self, _items: object) -> None:
        self._report()

    def _on_cancelled(self) -> None:
        if self._done_of_several:
            self._report("Cancelled: what was done before stays.")
        else:
            super()._on_cancelled()

    def _report(self, *more: str) -> None:
        """Say what became of several layers."""
        done, count = self._done_of_several, len(self._running)
        self.messages.show_notes([f"{len(done)} of {count} layers are done: {', '.join(done) or 'none'}.", *more])
        self.messages.show_error(" ".join(self._failed_of_several))

    def _on_result(self, result: RunResult[R]) -> None:
        if self._running:
            finished = self._add_result(self._running[0], result)
            self._show_said(finished)

    def _add_result(self, origin: _Origin, result: RunResult[R]) -> Finished[R]:
        """Add the layer of a result beside its source, with all that was found."""
        source, place = origin.layer, origin.place
        if source.ndim == len(place.scale):
            # It may have been moved meanwhile.
            place = Placement.of(source)
        run = result.prepared
        name, metadata, place, look = self._described(source, place, run)
        layer = layer_of_levels(ImageLayer, result.levels, name, metadata, place, **look)
        finished = Finished(run.recipe, source, layer, run)
        stored = f"The result is larger than the memory budget: it is in {result.path}." if result.path else ""
        note(layer, **notes_of_run(source, (stored, *result.verdict, *run.notes)))
        insert_layer(self.viewer, layer, source)
        if source.blending == "additive" and source.visible:
            source.visible = False
            note(layer, hid_source=True)
        more = self._add_more(result, finished)
        note(layer, said=[*said_of(layer), *filter(None, (more,))])
        self.result.show_run(finished)
        said = (*result.verdict, *run.notes)
        history_of(self.viewer).add(
            PastRun(source.name, run.recipe, self._asked, datetime.now(), said, self._asked_then)
        )
        note_speed(self._key, run.device.title, Speed(*result.seconds, result.worked_on))
        self.device.show_device(run.device)
        return finished

    def _on_blend(self, share: float, finished: Finished[R], levels: tuple[Any, ...]) -> None:
        source, result = finished.source, finished.result
        if source is None or result not in self.viewer.layers:
            return
        recipe = finished.recipe.model_copy(update={"blend": finished.recipe.blend * share})
        said = f"A mixture: {share:.0%} of {result.name!r} and {1 - share:.0%} of {source.name!r}."
        metadata = mark(RESULT, recipe.model_dump(mode="json"), synthetic=bool(note_of(result, "synthetic")))
        look = appearance(result)
        layer = layer_of_levels(ImageLayer, levels, f"{result.name} {share:.0%}", metadata, finished.placement, **look)
        note(layer, **notes_of_run(source, (said,)))
        self.result.reset_comparison()
        insert_layer(self.viewer, layer, result)
        made = Finished[R](recipe, source, layer)
        self.result.show_run(made)
        self._show_said(made)

    def _on_saved(self, written: list[Path]) -> None:
        self.messages.show_notes([f"Written: {path}" for path in written])

    def _on_report(self, path: Path, report: Report) -> None:
        try:
            write_report(path, report)
        except SynthError as error:
            self._on_failed(error)
            return
        self.messages.show_notes([f"The report is in {path}."])

    def _on_map(self, kind: str, finished: Finished[R], found: QualityMap) -> None:
        if finished.source is None or finished.result not in self.viewer.layers:
            return
        self.result.uncover()
        signed = -found.limit, found.limit
        look: dict[str, Any] = {
            REMOVED: {"colormap": "gray", "contrast_limits": signed},
            TRUST: {"colormap": trust_colormap(), "contrast_limits": signed},
            UNCERTAINTY: {"colormap": "inferno", "contrast_limits": (0.0, found.limit)},
        }[kind]
        name = f"{finished.source.name} {_MAP_NAMES[kind]}"
        metadata = mark(kind, unit=found.unit, said=list(found.notes), of=str(finished.result.unique_id))
        layer = layer_of_levels(ImageLayer, found.levels, name, metadata, finished.placement, rgb=False, **look)
        insert_layer(self.viewer, layer, finished.result)
        self.result.explain(layer, _MEANINGS[kind], found.unit)
        self.messages.show_notes(found.notes, about=layer.name)


@dataclass(frozen=True)
class _Origin:
    """A layer that is worked on, and where it lay when that began."""

    layer: napari.layers.Image
    place: Placement


def pixels_of(layer: napari.layers.Image) -> int:
    """Return how many pixels a layer has, colours left out."""
    return math.prod(map(int, full_resolution(layer).shape[: layer.ndim]))


def _refuse(error: SynthError, _progress: ProgressCallback, _cancel: CancelToken) -> None:
    raise error
