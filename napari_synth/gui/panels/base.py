"""What every panel is: a widget whose work runs in one job at a time, that tells how it goes and stops when it is closed."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QLayout,
    QMainWindow,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_synth.contract.generator import Method, Task
from napari_synth.core.errors import SynthError, UntrustedModelError
from napari_synth.core.progress import Progress
from napari_synth.gui.jobs.resources import add_model
from napari_synth.gui.jobs.worker import Job, Work
from napari_synth.gui.keys import attend, note_use
from napari_synth.gui.layers.viewer_layers import unwrapped
from napari_synth.gui.library_events import library_events
from napari_synth.gui.settings import RunSettings, read_settings
from napari_synth.gui.widgets.activity import Activity, tell_of_end
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import NARROW, help_button, put_in_scroll_area, wrapped
from napari_synth.gui.widgets.help import show_help
from napari_synth.gui.widgets.hint import Hint
from napari_synth.gui.widgets.live_layer import LiveLayer
from napari_synth.gui.widgets.method_list import MethodList, ask_for_file, ask_for_trust
from napari_synth.gui.widgets.status import DeviceBadge, Messages, ProgressRow

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel

    from napari_synth.models.library import Entry

_PAINT_MS = 30
_LAID_OUT_MS = 250
_NO_PREVIEW = "The preview shows a plane, and the viewer shows a volume."

M = TypeVar("M", bound=Method[Any])


class Panel(QWidget):
    """A panel whose work runs in one job at a time.

    Subclasses put their parts under each other with `_lay_out`, say in `_show_state` what can be done now, and call `_on_theme`
    once they are made.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    words : callable, optional
        Says how far the work is, see `napari_synth.gui.widgets.status.ProgressRow`.

    Attributes
    ----------
    main_button : QPushButton or None
        The one that stands out.
    """

    nothing_done = "Cancelled: nothing was added."
    main_button: QPushButton | None = None

    def __init__(self, napari_viewer: napari.Viewer, *, words: Callable[[Progress], str] | None = None) -> None:
        super().__init__()
        self.viewer: ViewerModel = unwrapped(napari_viewer)
        self._job: Job | None = None
        self._next: Callable[[], None] | None = None
        self._previews: list[LiveLayer[Any]] = []
        self._activity: Activity | None = None
        self._begun, self._end = 0.0, ""
        self.is_closed = False
        self.progress = ProgressRow(self, words=words)
        self.messages = Messages(self)
        self.progress.cancelled.connect(self.cancel)
        self.viewer.events.theme.connect(self._on_theme)
        attend(self)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus_moved)

    def press_main_button(self) -> None:
        """Do what the button that stands out does, where it can be done."""
        if self.main_button is not None:
            self.main_button.click()

    def cancel(self) -> None:
        """Stop whatever is computed; what previews show stays."""
        if self._job is not None:
            self._job.cancel()
        for preview in self._previews:
            preview.cancel()

    def stop(self) -> None:
        """Cancel everything, and take away what is shown for a while; the panel was closed."""
        self.cancel()
        for preview in self._previews:
            if preview.is_on:
                preview.switch(False)
                preview.switched_off.emit()

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock was closed: napari takes the panel out of it and forgets it."""
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        self.is_closed = self.parent() is None
        if self.is_closed:
            self.stop()
        else:
            note_use(self)
            # napari puts the dock into the window after the panel into the dock.
            QTimer.singleShot(0, self._on_docked)

    def _on_docked(self) -> None:
        """Take up the place that the panel was given."""
        self._share_room()

    def _share_room(self) -> None:
        """Open as a tab where another panel of ours is docked on the same side: two below each other would be squeezed."""
        dock = dock_of(self)
        window = None if dock is None else dock.parentWidget()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        side = window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            is_beside = other is not dock and not other.isFloating() and window.dockWidgetArea(other) == side
            if is_beside and other.findChild(Panel) is not None and dock not in window.tabifiedDockWidgets(other):
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    # For subclasses

    def _lay_out(self, *parts: QWidget | QLayout) -> None:
        """Put the parts of the panel under each other, so that they scroll where the window is short."""
        inner = QWidget(self)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        for part in parts:
            if isinstance(part, QLayout):
                layout.addLayout(part)
            else:
                layout.addWidget(part)
        layout.addStretch(1)
        put_in_scroll_area(inner, self)

    def _attach(self, preview: LiveLayer[Any], switch: QAbstractButton, *, with_progress: bool = True) -> None:
        """Let a button switch a preview, and the panel tell how that goes.

        Parameters
        ----------
        preview : LiveLayer
        switch : QAbstractButton
            It is checked while the preview is on.
        with_progress : bool
            Whether the row of progress is shown meanwhile; it would flicker where a preview takes a moment only.
        """
        self._previews.append(preview)
        switch.toggled.connect(preview.switch)
        switch.toggled.connect(self._clear_error)
        preview.switched_off.connect(partial(switch.setChecked, False))
        preview.began.connect(self._clear_error)
        preview.updated.connect(self.messages.show_notes)
        preview.failed.connect(self._on_failed)
        if with_progress:
            switch.toggled.connect(self._on_preview_ended)
            preview.began.connect(self._on_preview_began)
            preview.progressed.connect(self.progress.show_progress)
            preview.ended.connect(self._on_preview_ended)

    def _offer_preview_on(self, button: QAbstractButton, hint: Hint, tooltip: str, *, there: bool) -> None:
        """Enable a button for a preview of a plane, or say why there can be none and how there will be one.

        Parameters
        ----------
        button : QAbstractButton
        hint : Hint
        tooltip : str
            Of the button where there can be a preview.
        there : bool
            Whether there is an image to show.
        """
        is_volume = self.viewer.dims.ndisplay == 3
        button.setEnabled(there and not is_volume)
        button.setToolTip(_NO_PREVIEW if is_volume else tooltip)
        if not button.isEnabled():
            button.setChecked(False)
        words = _NO_PREVIEW if there and is_volume else ""
        hint.say(words, "Show in 2D", partial(setattr, self.viewer.dims, "ndisplay", 2))

    def _settings(self) -> RunSettings:
        """Return what is set in Preferences."""
        return read_settings()

    def _clear(self) -> None:
        """Take what was said before away."""
        self.messages.show_error("")
        self.messages.show_notes(())

    def _attempt(self, ask: Callable[[], Work], what: str, then: Callable[[Any], None]) -> None:
        """Do what is asked for in a thread, unless something is done already or it cannot be done, which is said then.

        Parameters
        ----------
        ask : callable
            Returns the work; raises a `SynthError` where something is missing or does not fit.
        what : str
            Names the work for the user.
        then : callable
            Is given its result, in this thread.
        """
        if self._job is not None:
            return
        self._clear()
        try:
            work = ask()
        except SynthError as error:
            self._on_failed(error)
            return
        self._start(work, what, then)

    def _start(
        self,
        work: Work,
        what: str,
        then: Callable[[Any], None],
        failed: Callable[[SynthError], None] | None = None,
    ) -> None:
        """Run work in a thread; ``then`` gets its result in this one, ``failed`` its error."""
        self._begin(Job(work, what), what, then, failed)

    def _begin(
        self,
        job: Job,
        what: str,
        then: Callable[[Any], None],
        failed: Callable[[SynthError], None] | None = None,
    ) -> None:
        """Start a job."""
        self._job = job
        self._begun, self._end = time.monotonic(), f"{what}: done."
        self._activity = Activity(what, self.cancel)
        job.returned.connect(then)
        job.progressed.connect(self._on_progressed)
        job.failed.connect(failed or self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.finished.connect(self._on_finished)
        # The window may be closed while this runs: nobody is left to press Cancel then.
        self.destroyed.connect(job.leave)
        self._show_state()
        self.progress.begin(what)
        # The click is shown first: afterwards both threads share Python's lock.
        QTimer.singleShot(_PAINT_MS, job.start)

    def _show_state(self) -> None:
        """Offer what can be done now."""

    # What happens

    def _on_progressed(self, progress: Progress) -> None:
        self.progress.show_progress(progress)
        if self._activity is not None:
            self._activity.show_progress(progress)

    def _on_focus_moved(self, _before: QWidget | None, now: QWidget | None) -> None:
        if now is not None and self.isAncestorOf(now):
            note_use(self)

    def _on_failed(self, error: SynthError) -> None:
        self._end = str(error)
        self.messages.show_error(str(error))

    def _on_cancelled(self) -> None:
        self.messages.show_notes([self.nothing_done])

    def _on_finished(self) -> None:
        cancelled = self._job is not None and self._job.is_cancelled
        self._job = None
        self._show_state()
        self.progress.end()
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        if not cancelled:
            tell_of_end(self, self._end, time.monotonic() - self._begun)
        following, self._next = self._next, None
        if following is not None:
            following()

    def _on_preview_began(self) -> None:
        self.progress.begin("Preview")

    def _on_preview_ended(self, on: bool = False) -> None:
        if self._job is None and not on:
            self.progress.end()

    def _clear_error(self, _event: object = None) -> None:
        self.messages.show_error("")

    def _on_theme(self, _event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.messages.set_colours(theme.error.as_hex(), theme.text.as_hex(), theme.foreground.as_hex())
        if self.main_button is not None:
            self.main_button.setStyleSheet(
                f"QPushButton:enabled {{ background: {theme.current.as_hex()}; font-weight: bold; }}"
            )
        self.setStyleSheet(f"#synth_line {{ background: {theme.primary.as_hex()}; }}")


class MethodPanel(Panel, Generic[M]):
    """A panel with the methods of a task, the settings of the chosen one, and a button that runs it.

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
        super().__init__(napari_viewer)
        self.task = task
        self.methods: MethodList[M] = MethodList(kind, task, self)
        self.open_model = QPushButton("+", self)
        self.open_model.setToolTip(adds)
        self.open_model.setAccessibleName("Add a model file")
        self.open_model.setFixedWidth(NARROW)
        self.help_button = help_button(
            self, "this method", "What this method does, its paper and its settings: its page of the documentation"
        )
        self.help_button.clicked.connect(self.show_help)
        self.method_row = QHBoxLayout()
        self.method_row.setSpacing(2)
        self.method_row.addWidget(self.methods, 1)
        self.method_row.addWidget(self.open_model)
        self.method_row.addWidget(self.help_button)
        self.summary = wrapped(self)
        self.form = ParamsForm(self.method.params_type, self)
        self.form_place = QVBoxLayout()
        self.form_place.addWidget(self.form)
        self._verb = task.verb.replace("-", " ").capitalize()
        self.run_button = self.main_button = QPushButton(self._verb, self)
        self.device = DeviceBadge(self)
        self.methods.chosen.connect(self._on_method)
        self.open_model.clicked.connect(self.add_model)
        self.run_button.clicked.connect(self.run)
        # Once the panel is laid out and on the screen: loading torch takes seconds, in which little else is done.
        self._device_timer = QTimer(self)
        self._device_timer.setSingleShot(True)
        self._device_timer.timeout.connect(self._find_device)
        self._device_timer.start(_LAID_OUT_MS)

    @property
    def method(self) -> M:
        """The chosen method."""
        return self.methods.method

    @abstractmethod
    def run(self) -> None:
        """Run the chosen method."""

    def choose_method(self, identifier: str) -> None:
        """Choose a method of the list by its id."""
        self.methods.choose(identifier)

    def show_help(self) -> None:
        """Open the page of the chosen method in the documentation, or what it says of itself."""
        show_help(self.method, self)

    def add_model(self) -> None:
        """Ask for a model file, and add it to the methods of its task."""
        path = ask_for_file(self)
        if path is not None and self._job is None:
            self._add_model(path, trusted=False)

    def stop(self) -> None:
        """See `Panel.stop`."""
        super().stop()
        self.device.cancel()

    def _on_method(self) -> None:
        """Show the summary and the settings of the chosen method; what another one has in common is kept."""
        info = self.method.info
        self.summary.setText(info.summary)
        self.summary.setToolTip("\n".join(filter(None, (info.summary, info.reference))))
        form = ParamsForm(self.method.params_type, self)
        form.take_over(self.form)
        self.form_place.replaceWidget(self.form, form)
        self.form.hide()
        self.form.deleteLater()
        self.form = form

    def _add_model(self, path: Path, *, trusted: bool) -> None:
        self._clear()
        work = partial(add_model, path, self.task, trusted)
        self._start(work, "Trying the model", self._on_model, partial(self._on_model_failed, path))

    def _on_model(self, entry: Entry) -> None:
        library_events().changed.emit()
        self.choose_method(entry.description.id)

    def _on_model_failed(self, path: Path, error: SynthError) -> None:
        if not isinstance(error, UntrustedModelError):
            self._on_failed(error)
        elif ask_for_trust(self, path):
            again = partial(self._add_model, path, trusted=True)
            if self._job is None:
                again()
            else:
                self._next = again

    def _find_device(self) -> None:
        self.device.look_for(self._settings())


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget lies in, None where there is none."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above
