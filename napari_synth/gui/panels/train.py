"""The panel for training: what learns from which layers or files, how it goes, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.theme import get_theme
from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMainWindow, QSizePolicy

from napari_synth.contract.generator import Task
from napari_synth.core.errors import SynthError
from napari_synth.core.progress import Progress
from napari_synth.gui.jobs.requests import TrainRequest
from napari_synth.gui.jobs.train import Examples, TrainedModel, TrainingJob, TrainingUpdate, examples, export
from napari_synth.gui.library_events import library_events
from napari_synth.gui.panels.base import Panel, dock_of
from napari_synth.gui.remembered import forget, remember, remembered
from napari_synth.gui.settings import PLUGIN
from napari_synth.gui.widgets.curve_box import CurveBox
from napari_synth.gui.widgets.form_rows import FoldButton, button, line
from napari_synth.gui.widgets.live_layer import TemporaryLayers
from napari_synth.gui.widgets.method_list import panel_title
from napari_synth.gui.widgets.resume_row import ResumeButton, ResumeNote
from napari_synth.gui.widgets.status import DeviceBadge, duration
from napari_synth.gui.widgets.trained_box import TrainedBox
from napari_synth.gui.widgets.training_ends import Answer, CloseGuard, EndingWords, ask_before_closing
from napari_synth.gui.widgets.training_preview import TrainingPreview
from napari_synth.gui.widgets.training_setup import SetupBox
from napari_synth.models import library
from napari_synth.studio.record import earlier_run, earlier_runs

if TYPE_CHECKING:
    import napari

_MODEL_FIRST = "Stop and keep the best makes the model first, and closes the window then."
_REMEMBERED, _REMEMBERED_FILES = "train", "train-files"
_KEPT = "Its last checkpoint is kept: press Earlier… to go on from there."


class TrainPanel(Panel):
    """The panel for training, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, words=_words)
        self._training: TrainingJob | None = None
        self._said: list[str] = []
        self._begun = 0.0
        self._closes: QMainWindow | None = None

        self.fold = FoldButton(self, "", "What is trained, on what, and for how long")
        self.fold.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setup = SetupBox(self.viewer, self)
        self.resume_note = ResumeNote(self)
        self.resume_button = ResumeButton(self)
        self.train_button = self.main_button = button(
            self, "Train", "Learn from the chosen images in the background; the model becomes a method of its task"
        )
        self.progress.cancel.setToolTip("Make no model, and throw away what came after the last checkpoint")
        self.pause_button = button(
            self, "Pause", "Let the training wait; a checkpoint is written meanwhile", checkable=True
        )
        self.stop_button = button(self, "Stop and keep the best", "End now: the best weights so far become the model")
        self.endings = EndingWords(self)
        self.guard = CloseGuard(self, self._is_training, self._may_close, self._may_close_window)
        self.device = DeviceBadge(self)
        self.curves = CurveBox(self)
        self.result = TrainedBox(self)
        self.preview = TrainingPreview(self.viewer, self)
        self.patches = TemporaryLayers(self.viewer, self)
        begin, running = QHBoxLayout(), QHBoxLayout()
        begin.addWidget(self.resume_button, 1)
        begin.addWidget(self.train_button, 2)
        running.addWidget(self.pause_button, 1)
        running.addWidget(self.stop_button, 2)
        self._lay_out(
            self.fold,
            self.setup,
            line(self),
            self.resume_note,
            begin,
            self.progress,
            running,
            self.endings,
            self.device,
            self.curves,
            self.result,
            self.messages,
        )
        self._connect()
        if (kept := remembered(_REMEMBERED)) is not None:
            self.setup.use(*kept)
        if (files := remembered(_REMEMBERED_FILES)) is not None:
            self.setup.show_files(files[1])
        self.fold.setChecked(True)
        self._show_state()
        self._on_theme()
        # Once the panel is on the screen: loading torch takes seconds.
        QTimer.singleShot(0, self._find_device)

    # What the user does

    def train(self) -> None:
        """Train as it is set, or go on with the earlier training that was chosen."""
        if self._job is not None:
            return
        self._clear()
        try:
            request = self.setup.request(self.resume_note.folder)
        except SynthError as error:
            # What is missing is chosen there.
            self.fold.setChecked(True)
            self._on_failed(error)
            return
        params = self.setup.form.params().model_dump(mode="json", include=set(self.setup.form.values()))
        remember(_REMEMBERED, self.setup.trainable.info.id, params)
        remember(_REMEMBERED_FILES, "", self.setup.kept_files())
        self.result.show_model(None)
        self.curves.clear()
        self.endings.clear()
        self._begin_preview(request)
        self._begun = time.time()
        self._training = job = TrainingJob(request)
        self.fold.setChecked(False)
        self.pause_button.setChecked(False)
        self._begin(job, "Preparing", self._on_trained)

    def pause(self, paused: bool = True) -> None:
        """Let the training wait, or go on."""
        if self._training is not None:
            control = self._training.control
            (control.pause if paused else control.proceed)()
        self.pause_button.setText("Resume" if paused else "Pause")

    def stop_training(self) -> None:
        """End the training with its best weights."""
        if self._training is not None:
            self._training.control.stop()
            self.stop_button.setEnabled(False)
            self.stop_button.setText("Stopping…")
            self.pause_button.setEnabled(False)

    def resume(self, folder: Path) -> None:
        """Set everything as in an earlier training, which is gone on with when Train is pressed."""
        if self._job is not None:
            return
        self.messages.show_error("")
        self.fold.setChecked(True)
        try:
            run = earlier_run(folder)
            missing = self.setup.show_record(run.record)
        except SynthError as error:
            self._on_failed(error)
            return
        self.resume_note.show_run(run)
        self._say([f"Open {', '.join(map(repr, missing))} again, and tick it as before."] if missing else ())
        self._show_state()

    def reset(self) -> None:
        """Put the settings back to their defaults, and forget those that were remembered."""
        self._clear()
        forget(_REMEMBERED)
        forget(_REMEMBERED_FILES)
        self.setup.reset()
        self._say(["All settings are as in a new installation."])

    def use(self) -> None:
        """Open the panel of the model's task with the model chosen."""
        model, window = self.result.model, getattr(self.viewer, "window", None)
        if model is None or window is None:
            return
        info = model.trained.generator.info
        _, panel = window.add_plugin_dock_widget(PLUGIN, panel_title(info.task))
        panel.choose_method(info.id)

    def export(self, out: Path) -> None:
        """Write the model as a bioimage.io package."""
        model = self.result.model
        if model is not None and self._job is None:
            self._start(partial(export, model.trained.path, out), "Exporting the model", self._on_exported)

    def show_examples(self) -> None:
        """Add a layer with patches as the training would draw them, in place of the last such layer."""
        self._attempt(lambda: partial(examples, self.setup.request()), "Drawing patches", self._on_examples)

    def stop(self) -> None:
        """Leave a training with a checkpoint, and take the preview away; the panel was closed."""
        if self._job is not None:
            self._job.leave()
        self.device.cancel()
        self.preview.end()
        self.patches.drop()

    # Closing

    def _on_docked(self) -> None:
        super()._on_docked()
        self.guard.watch(dock_of(self))

    def _is_training(self) -> bool:
        return self._training is not None

    def _may_close(self) -> bool:
        """Ask what becomes of the training, and return whether the panel may be closed."""
        if self._training is None:
            return True
        answer = ask_before_closing(self, self.setup.in_brief(), self.endings.on_closing)
        if answer is Answer.STOP:
            self.stop_training()
        return answer is Answer.CLOSE

    def _may_close_window(self, window: QMainWindow) -> bool:
        """Ask what becomes of the training, and return whether the window may close now; a model is waited for."""
        words = f"{self.endings.on_closing} {_MODEL_FIRST}"
        answer = ask_before_closing(self, self.setup.in_brief(), words, "the window")
        if answer is Answer.STOP:
            self.stop_training()
            self._closes = window
        return answer is Answer.CLOSE

    # What changes

    def _connect(self) -> None:
        self.fold.toggled.connect(self._on_fold)
        self.setup.changed.connect(self._show_fold)
        self.setup.reset_button.clicked.connect(self.reset)
        self.setup.examples.clicked.connect(self.show_examples)
        self.train_button.clicked.connect(self.train)
        self.resume_button.chosen.connect(self.resume)
        self.resume_note.dropped.connect(self._on_dropped)
        self.pause_button.toggled.connect(self.pause)
        self.stop_button.clicked.connect(self.stop_training)
        self.result.use_wanted.connect(self.use)
        self.result.export_wanted.connect(self._ask_for_export)

    def _on_fold(self, unfolded: bool) -> None:
        self.setup.setVisible(unfolded)
        self._show_fold()

    def _show_fold(self) -> None:
        unfolded = self.fold.isChecked()
        self.fold.setText("What is learnt" if unfolded else self.setup.in_brief())

    def _on_dropped(self) -> None:
        self.setup.name.clear()
        self._show_state()

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        self.curves.set_theme(theme.text.as_hex(), theme.background.as_hex())

    def _show_state(self) -> None:
        """Offer what can be done now."""
        training, busy = self._training is not None, self._job is not None
        self.setup.setEnabled(not training)
        for waiting in (self.train_button, self.resume_button):
            waiting.setVisible(not training)
            waiting.setEnabled(not busy)
        for running in (self.pause_button, self.stop_button):
            running.setVisible(training)
            running.setEnabled(training)
        self.endings.setVisible(training)
        self.stop_button.setText("Stop and keep the best")
        self.resume_note.setEnabled(not training)
        self.train_button.setText("Train" if self.resume_note.folder is None else "Resume training")
        self.result.set_busy(busy)

    # The worker

    def _begin_preview(self, request: TrainRequest) -> None:
        """Let previews look like what the model makes: its target where images are translated or painted, else its source."""
        sources, targets = request.source.layers, request.target.layers
        info = self.setup.trainable.info
        looks = targets if targets and (info.task == Task.TRANSLATE or info.source == "labels") else sources
        axes = [image.axes for image in request.source.images]
        name = f"{sources[0].name} training" if sources else "training"
        self.preview.begin(name, tuple(zip(sources, axes, strict=True)), looks[0] if looks else None)

    def _on_progressed(self, progress: Progress) -> None:
        if progress.message and self._training is not None and self._training.control.is_paused:
            self.progress.say(progress.message)
        elif progress.message:
            self._say([*self._said, progress.message])
        else:
            self.progress.show_progress(progress)
        update = progress.event
        if isinstance(update, TrainingUpdate):
            self.curves.add(update)
            self.endings.add(update)
            if update.preview is not None:
                self.preview.show(update.preview.preview)
        if self._training is not None:
            # Once it has been painted.
            QTimer.singleShot(0, self._training.set_drawn)

    def _on_trained(self, model: TrainedModel) -> None:
        self.resume_note.show_run(None)
        self.result.show_model(model, can_be_used=self._has_panel(model.trained.generator.info.task))
        self._say(model.trained.notes)
        library_events().changed.emit()

    def _on_examples(self, found: Examples) -> None:
        limits = {} if found.colours else {"contrast_limits": (0.0, 1.0)}
        pixels = np.clip(found.pixels, 0, 1)
        self.patches.show([ImageLayer(pixels, name="augmented patches", rgb=found.colours, **limits)])

    def _on_exported(self, path: Path) -> None:
        self._say([f"The package is in {path}."])

    def _on_failed(self, error: SynthError) -> None:
        super()._on_failed(error)
        self._on_ended_early()

    def _on_cancelled(self) -> None:
        kept = self._training is not None and any(
            run.modified >= self._begun for run in earlier_runs(library.folder() / "runs")
        )
        self._say(["Cancelled: there is no new model.", _KEPT if kept else ""])
        self._on_ended_early()

    def _on_ended_early(self) -> None:
        if self._training is not None:
            self.preview.end()
            self.fold.setChecked(True)

    def _on_finished(self) -> None:
        self._training = None
        super()._on_finished()
        closing, self._closes = self._closes, None
        # What failed is read first.
        if closing is not None and self.result.model is not None:
            QTimer.singleShot(0, closing.close)

    def _find_device(self) -> None:
        self.device.look_for(self._settings())

    def _clear(self) -> None:
        super()._clear()
        self._said = []

    def _say(self, sentences: Iterable[str]) -> None:
        self._said = list(dict.fromkeys(sentences))
        self.messages.show_notes(self._said)

    # After a training

    def _has_panel(self, task: Task) -> bool:
        """Tell whether the task of a model has a panel that can be opened here."""
        if getattr(self.viewer, "window", None) is None:
            return False
        names = {
            widget.display_name for widget in PluginManager.instance().iter_widgets() if widget.plugin_name == PLUGIN
        }
        return panel_title(task) in names

    def _ask_for_export(self) -> None:
        model = self.result.model
        if model is None:
            return
        wanted = f"{model.trained.card.name}.zip"
        path, _ = QFileDialog.getSaveFileName(self, "The bioimage.io package", wanted, "Packages (*.zip)")
        if path:
            self.export(Path(path))


def _words(progress: Progress) -> str:
    """Return how far a training is: ``"Step 120 of 4000 · 8 min left"``."""
    if not progress.done:
        return f"{progress.stage}…"
    if not progress.total:
        return f"Step {progress.done} · until stopped"
    left = "" if progress.remaining is None else f" · {duration(progress.remaining)} left"
    return f"Step {progress.done} of {progress.total}{left}"
