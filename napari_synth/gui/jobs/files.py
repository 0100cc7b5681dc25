"""Runs the settings of a panel on files: a batch with its manifest, as the command line does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from napari_synth.batches.inputs import AS_IN_RECIPE, Masked, Pointed, Referenced, Tiles
from napari_synth.batches.jobs import Job, plan_files
from napari_synth.batches.manifest import BatchReport, JobRecord
from napari_synth.batches.run import plan_batch, run_batch
from napari_synth.batches.settings import Settings
from napari_synth.batches.work import make_folder
from napari_synth.batches.writing import RECIPE_SUFFIX
from napari_synth.batches.yardstick import joint_yardstick
from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import find_images, read_image, write_image
from napari_synth.gui.jobs.requests import SynthesisRequest
from napari_synth.gui.layers.masks import MaskRequest
from napari_synth.imaging.image import Image

MASK, REFERENCE = "mask.ome.tif", "reference.ome.tif"
"""What was chosen among the layers lies so beside the results: whoever goes on tomorrow, or elsewhere, finds it there."""
_BETWEEN = 0.1


class OnFiles(Protocol):
    """What a panel does with files: many results in a folder, with a manifest."""

    def run(self, progress: ProgressCallback, cancel: CancelToken) -> BatchReport:
        """Do what is left; every image that ends is told of as a `JobRecord`, the event of a progress.

        Parameters
        ----------
        progress, cancel
            Of the job.

        Raises
        ------
        Cancelled
            The token was set: what is done is remembered.
        SynthError
            What is wrong with every image.
        """
        ...


@dataclass(frozen=True)
class FilesRequest:
    """Files that the settings of a panel are to be run on.

    Attributes
    ----------
    recipe : Recipe
        Method, settings and device.
    sources : tuple of str
        Files, folders and patterns.
    folder : pathlib.Path
        Of the results and of the manifest.
    workers : int
        Processes that work at once.
    together : bool
        Whether intensities and noise are measured on all images together.
    overwrite : bool
        Whether results of other settings may be replaced.
    memory_budget : int or None
        Bytes that a run may take.
    masked : Masked
        What is filled: a rule, or the files of masks.
    mask : MaskRequest or None
        A mask that was drawn, for all images.
    reference : Image or None
        How results should look.
    reference_kind : {"image", "point", "tiles"}
        What the reference is.
    """

    recipe: Recipe
    sources: tuple[str, ...]
    folder: Path
    workers: int = 1
    together: bool = False
    overwrite: bool = False
    memory_budget: int | None = None
    masked: Masked = AS_IN_RECIPE
    mask: MaskRequest | None = None
    reference: Image | None = None
    reference_kind: Literal["image", "point", "tiles"] = "image"

    def jobs(self) -> list[Job]:
        """Return a job for every file; raises as `napari_synth.batches.jobs.plan_files`."""
        if not self.sources:
            raise ImageFileError("No images are named: write the name of a folder, a file or a pattern.")
        if len(self.sources) == 1:
            return plan_files(self.sources[0], self.folder)
        found = (find_images(one, ignored=RECIPE_SUFFIX, results=self.folder)[0] for one in self.sources)
        return plan_files([path for paths in found for path in paths], self.folder)

    def settings(self) -> Settings:
        """Return what decides the results; what was chosen among the layers is written beside them before.

        Raises
        ------
        SynthError
            One of its subclasses: it cannot be written, or the folder holds another one.
        """
        masked, referenced = self.masked, Referenced()
        if self.mask is not None:
            drawn = self.mask.mask()
            _keep(self.folder / MASK, drawn.with_data(np.asarray(drawn.read(), np.uint8)), "mask")
            masked = replace(masked, mask=str(self.folder / MASK))
        if self.reference is not None:
            path = self.folder / REFERENCE
            _keep(path, replace(self.reference, data=self.reference.read()), "reference")
            referenced = {
                "image": Referenced(path),
                "point": Pointed(path),
                "tiles": Tiles(pattern=str(path)),
            }[self.reference_kind]
        return Settings(
            self.recipe,
            masked=masked,
            referenced=referenced,
            memory_budget=self.memory_budget,
            overwrite=self.overwrite,
        )

    def run(self, progress: ProgressCallback, cancel: CancelToken) -> BatchReport:
        """Do what is left of the batch; see `OnFiles.run`."""
        report = Reporter(progress, cancel)
        report.start("Looking for images")
        jobs = self.jobs()
        make_folder(self.folder)
        settings = self.settings()
        if self.together:
            yardstick = joint_yardstick(jobs, settings, self.folder, report, dry=False)
            settings = replace(settings, measure_on=yardstick)
        left = sum(not item.is_done for item in plan_batch(jobs, settings, self.folder))
        teller = _Teller(progress, left, alone=self.workers == 1)
        return run_batch(
            jobs,
            settings,
            self.folder,
            workers=self.workers,
            report=Reporter(teller.show_inside, cancel),
            tell=teller.show_record,
        )


@dataclass(frozen=True)
class MakingRequest:
    """New images that are to be made into a folder, a file each.

    Attributes
    ----------
    images : SynthesisRequest
    folder : pathlib.Path
        Of the images and of the manifest.
    overwrite : bool
        Whether images of other settings may be replaced.
    """

    images: SynthesisRequest
    folder: Path
    overwrite: bool = False

    def run(self, progress: ProgressCallback, cancel: CancelToken) -> BatchReport:
        """Make the images that are not there yet; see `OnFiles.run`."""
        from napari_synth.batches.writing import write_folder

        prepared = self.images.prepare(progress, cancel)
        teller = _Teller(progress, prepared.params.count, alone=False)
        try:
            return write_folder(
                self.folder,
                prepared,
                Reporter(teller.show_inside, cancel),
                overwrite=self.overwrite,
                record=prepared.recipe,
                tell=teller.show_beside,
            )
        finally:
            prepared.device.release_memory()


class _Teller:
    """Says how many images are done, and how far the one is that is worked on."""

    def __init__(self, progress: ProgressCallback, total: int, *, alone: bool) -> None:
        self._progress, self._total, self._alone = progress, total, alone
        self._done, self._begun, self._last = 0, time.perf_counter(), 0.0
        self._inside = Progress("", 0, 0, 0.0)

    def show_inside(self, inside: Progress) -> None:
        """Show how far an image is."""
        now = time.perf_counter()
        if inside.message or (now - self._last < _BETWEEN and inside.done < inside.total):
            # A message of one image is in its notes.
            return
        self._last = now
        if not self._alone or self._total == 1:
            self._inside = inside
            self._progress(inside)
            return
        words = f"{inside.stage} {inside.done}/{inside.total}" if inside.total else inside.stage
        self._show(f"{words} · Images")

    def show_record(self, record: JobRecord) -> None:
        """Show an image that has ended."""
        self._done += 1
        self._show("Images", record)

    def show_beside(self, record: JobRecord) -> None:
        """Show an image that has ended, where the bar counts images already."""
        self._progress(replace(self._inside, event=record))

    def _show(self, stage: str, event: object | None = None) -> None:
        elapsed = time.perf_counter() - self._begun
        self._progress(Progress(stage, self._done, self._total, elapsed, event=event))


def done_in(folder: Path) -> tuple[int, int]:
    """Return how many images a batch in a folder has done, and how many it could not do; (0, 0) where there is none."""
    from napari_synth.batches.manifest import Status, known_records

    statuses = [record.status for record in known_records(folder).values()] if folder.is_dir() else []
    return statuses.count(Status.DONE), statuses.count(Status.FAILED)


def names_of(records: Sequence[JobRecord]) -> str:
    """Say which images could not be done and why, a line each."""
    return "\n".join(f"{Path(record.source or record.target).name}: {record.error}" for record in records)


def _keep(path: Path, image: Image, what: str) -> None:
    """Write an image beside the results, unless it is there already.

    Raises
    ------
    RecipeError
        Another one is there, and results that were made with it.
    """
    if path.exists():
        if not np.array_equal(read_image(path).read(), image.read()):
            raise RecipeError(
                f"{str(path.parent)!r} holds results of another {what}: choose another folder for these,"
                " since results of different settings never mix."
            )
        return
    write_image(path, image)
