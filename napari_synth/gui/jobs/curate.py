"""The work of the board that takes a while: opening a set, measuring it, exporting it, and reading many images as one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_synth.batches.manifest import BatchReport
from napari_synth.batches.table import assess_files
from napari_synth.batches.work import make_folder
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.curation import Decision, Exported, ExportPlan, ImageSet, Journal, export_set, open_images
from napari_synth.curation.images import MEASURED
from napari_synth.curation.journal import journal_of
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs.result_store import free_folder, plain_name
from napari_synth.gui.layers.saved import write_layers


@dataclass(frozen=True)
class OpenedSet:
    """A set with its journal."""

    images: ImageSet
    journal: Journal


def open_set(sources: Sequence[str], by: str | None, progress: ProgressCallback, cancel: CancelToken) -> OpenedSet:
    """Look for images and for what is known of them.

    Parameters
    ----------
    sources : sequence of str
        See `napari_synth.curation.images.open_images`.
    by : str, optional
        Who decides.
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Looking for images")
    images = open_images(*sources)
    return OpenedSet(images, Journal(journal_of(images.folder), by))


def measure(opened: OpenedSet, progress: ProgressCallback, cancel: CancelToken) -> ImageSet:
    """Measure every image that was not measured before, and return the set with the measures; the table lies beside the journal.

    Parameters
    ----------
    opened : OpenedSet
    progress, cancel
        Of the job.
    """
    table = opened.journal.path.with_name(MEASURED)
    assess_files([image.path for image in opened.images.images], table, report=Reporter(progress, cancel))
    return opened.images.with_table(table)


def run_on(
    recipe: Path, paths: Sequence[Path], folder: Path, progress: ProgressCallback, cancel: CancelToken
) -> BatchReport:
    """Run a recipe on files, see `napari_synth.batch`; what an earlier run has done stays.

    Parameters
    ----------
    recipe : pathlib.Path
        Of the recipe.
    paths : sequence of pathlib.Path
    folder : pathlib.Path
        Of the results.
    progress, cancel
        Of the job.
    """
    from napari_synth.verbs import batch

    return batch(Recipe.from_file(recipe), paths, folder, progress=progress, cancel=cancel)


def save_layers(
    layers: Sequence[tuple[Any, dict[str, Any], str]], place: Path, progress: ProgressCallback, cancel: CancelToken
) -> Path:
    """Save layers that come from no file, so that decisions on them can be kept; return their folder.

    Parameters
    ----------
    layers : sequence of (array, dict, str)
        As napari hands them over.
    place : pathlib.Path
        In which a folder is made for them.
    progress, cancel
        Of the job.

    Raises
    ------
    ImageFileError
        They cannot be written.
    """
    report = Reporter(progress, cancel)
    report.start("Saving layers", len(layers))
    folder = free_folder(place, f"{datetime.now():%Y-%m-%d %H.%M}")
    make_folder(folder)
    names: set[str] = set()
    for layer in layers:
        name, number = plain_name(str(layer[1].get("name", "layer"))), 1
        while name in names:
            number += 1
            name = f"{plain_name(str(layer[1]['name']))} {number}"
        names.add(name)
        write_layers(folder / f"{name}.ome.tif", [layer])
        report.advance()
    return folder


def export(
    images: ImageSet,
    decisions: Sequence[Decision],
    target: Path,
    plan: ExportPlan,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> Exported:
    """Write a set, see `napari_synth.curation.export.export_set`."""
    return export_set(images, decisions, target, plan, progress=progress, cancel=cancel)
