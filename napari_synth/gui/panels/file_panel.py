"""A panel whose settings can be run on files too: the batch of the command line, with its manifest, in the viewer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_synth.batches.manifest import BatchReport, JobRecord
from napari_synth.contract.generator import Method, Task
from napari_synth.core.progress import Progress
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs.files import OnFiles, names_of
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.opened import OpenedResult, read_result
from napari_synth.gui.layers.viewer_layers import insert_layer
from napari_synth.gui.panels.recalling import RecallingPanel
from napari_synth.gui.remembered import remember, remembered
from napari_synth.gui.settings import PLUGIN
from napari_synth.gui.widgets.files_box import RUN_ON_FILES, FilesBox, FilesKind

if TYPE_CHECKING:
    import napari

M = TypeVar("M", bound=Method[Any])


class FilePanel(RecallingPanel[M], Generic[M]):
    """A panel whose method can be run on files.

    A subclass says what is to be run (`_ask_for_files`) and puts the `files_box` into its layout.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    kind : type of Method
        What is listed.
    task : Task
    adds : str
        The tooltip of the button that adds a model.
    files : FilesKind
        What is made of files.
    """

    _doing = "Working"
    """What a row of progress says during a run."""

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        kind: type[M],
        task: Task,
        adds: str,
        files: FilesKind[Any] = RUN_ON_FILES,
    ) -> None:
        super().__init__(napari_viewer, kind, task, adds)
        self._on_files = False
        self.files_box = FilesBox(replace(files, masks=task == Task.INPAINT), self)
        self.files_box.wanted.connect(self.run_on_files)
        self.files_box.open_wanted.connect(self.open_result)
        self.files_box.curate_wanted.connect(self.curate)
        kept = remembered(self._files_key)
        if kept is not None:
            self.files_box.show_kept(kept[1])

    def run_on_files(self) -> None:
        """Run the method as it is set on the files that are named; what an earlier run has done is not done again."""
        if self._job is None:
            self._attempt(self._ask_for_batch, f"{self._doing} files", self._on_batch)
            self._on_files = self._job is not None

    def open_result(self, path: Path) -> None:
        """Show a result of the files as a layer."""
        self._attempt(lambda: partial(read_result, path), "Opening", self._on_opened)

    def curate(self, folder: Path) -> None:
        """Open the board on the results of a folder."""
        window = getattr(self.viewer, "window", None)
        if window is not None:
            _, board = window.add_plugin_dock_widget(PLUGIN, "Curate")
            board.open(str(folder))

    # What a subclass says

    @abstractmethod
    def _ask_for_files(self, recipe: Recipe, box: FilesBox[Any]) -> OnFiles:
        """Return what is to be run on the files; raise a `SynthError` where something is missing or belongs to one image.

        Parameters
        ----------
        recipe : Recipe
            Of the method as it is set.
        box : FilesBox
            Which files, and where to.
        """

    # What happens

    @property
    def _files_key(self) -> str:
        return f"{self.task}-files"

    def _ask_for_batch(self) -> Work:
        params = self.form.params().model_dump(mode="json")
        settings = self._settings()
        recipe = Recipe(
            generator=self.method.info.id,
            params=params,
            device=settings.device,
            precision=settings.precision,
            dtype=settings.dtype,
        )
        request = self._ask_for_files(recipe, self.files_box)
        changed = self.form.params().model_dump(mode="json", include=set(self.form.values()))
        remember(self.task, self.method.info.id, changed)
        remember(self._files_key, self.method.info.id, self.files_box.kept())
        self.files_box.begin()
        return request.run

    def _on_progressed(self, progress: Progress) -> None:
        # The bar in the activity dock lets further events in, so that the next image would be listed before this one.
        if isinstance(progress.event, JobRecord):
            self.files_box.add(progress.event)
        super()._on_progressed(progress)

    def _on_batch(self, report: BatchReport) -> None:
        done, before, failed = len(report.done), len(report.kept), len(report.failed)
        earlier = f", {before} of them by an earlier run" if before else ""
        self.messages.show_notes(
            [
                f"{done + before} of {done + before + failed} images are done{earlier}: they are in {report.manifest.parent}."
            ]
        )
        self.messages.show_error(f"{failed} could not be done:\n{names_of(report.failed)}" if failed else "")

    def _on_opened(self, opened: OpenedResult) -> None:
        insert_layer(self.viewer, opened.as_layer())

    def _on_cancelled(self) -> None:
        if self._on_files:
            self.messages.show_notes([f"Stopped: what is done stays done. {self.files_box.kind.start} again to go on."])
        else:
            super()._on_cancelled()

    def _on_finished(self) -> None:
        super()._on_finished()
        self._on_files = False
        self.files_box.set_busy(self._job is not None)

    def _show_state(self) -> None:
        super()._show_state()
        self.files_box.set_busy(self._job is not None)
