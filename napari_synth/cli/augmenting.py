"""The command ``augment``: a data set to train on, from a few annotated images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say

if TYPE_CHECKING:
    from napari_synth.augmentation import Pipeline
    from napari_synth.augmentation.export import AnnotatedImage

SENTENCE = "Write a data set of augmented crops of an image, or of many, with their labels, points and shapes."

Source = Annotated[str, Parameter(name="IN", help="An image, a folder, or a quoted pattern such as 'day*/*.tif'.")]
Target = Annotated[Path, Parameter(name="OUTFOLDER", help="A new folder for the data set.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Settings:
    """What a data set is made of."""

    labels: str | None = None
    "Labels of the image; for many, a folder or a pattern such as 'labels/*_label.tif' with one of each name."
    points: str | None = None
    "Points of the image as napari saves them (CSV); for many, a folder or a pattern."
    shapes: str | None = None
    "Shapes of the image as napari saves them (CSV); for many, a folder or a pattern."
    pipeline: str = "light-microscopy"
    "light-microscopy, electron-microscopy, histology, mri, ct, or a YAML file that the panel or Python wrote."
    count: int = 100
    "Crops to train on."
    crop: int = 256
    "Edge of a crop in pixels, along Y and X."
    depth: int | None = None
    "Planes of a crop: crops are volumes then, and planes where it is left out."
    seed: int = 0
    "The same seed gives the same data set."
    validation: float = 0.2
    "Share kept for validation, 0 for none: no training crop shows anything of it."
    split: Literal["auto", "image", "region"] = "auto"
    "Whole images are kept for validation, or a part of each; auto takes images where there are several."
    format: Literal["tiff", "ome-zarr"] = "tiff"
    "Of images and labels."
    axes: str | None = None
    "Roles of the dimensions of the images, e.g. ZYX or TCYX, where the files do not say."
    series: str | None = None
    "Which image of files that hold several, counted from 0, or all of equal shape; the first where left out."
    overwrite: Annotated[bool, Parameter(negative=())] = False
    "Replace an earlier data set; a folder that holds anything else is never replaced."
    progress: bool | None = None
    "Show the progress on stderr; on a terminal where left out."
    quiet: Annotated[bool, Parameter(negative=())] = False
    "Say nothing but errors."


def augment(source: Source, target: Target, /, *, settings: Settings = Settings()) -> int:
    """Write a data set.

    Parameters
    ----------
    source : str
        An image, a folder or a pattern.
    target : Path
        The folder of the data set.
    settings : Settings
        What it is made of.
    """
    from napari_synth.augmentation.export import DatasetPlan, export_dataset
    from napari_synth.files import find_images

    errors = Console(stderr=True, quiet=settings.quiet, force_terminal=True if settings.progress else None)
    shown = not settings.quiet and (errors.is_terminal if settings.progress is None else settings.progress)
    edge = (settings.crop, settings.crop)
    plan = DatasetPlan(
        read_pipeline(settings.pipeline),
        edge if settings.depth is None else (settings.depth, *edge),
        settings.count,
        settings.seed,
        settings.validation,
        settings.split,
        settings.format,
    )
    with cancel_on_interrupt() as token, progress_bar(errors, shown) as progress:
        found, _ = find_images(source)
        written = export_dataset(
            [_read(path, settings, errors) for path in found],
            plan,
            target,
            overwrite=settings.overwrite,
            progress=progress,
            cancel=token,
        )
    say(
        errors,
        f"Wrote {written.training} crops to train on and {written.validation} for validation to {written.folder}.",
    )
    return 0


def read_pipeline(named: str) -> Pipeline:
    """Return a preset by its name, or the pipeline of a YAML file.

    Raises
    ------
    InvalidParameterError
        There is neither.
    RecipeError
        The file is no pipeline.
    """
    from napari_synth.augmentation import Pipeline, preset

    return Pipeline.from_file(named) if named.endswith((".yaml", ".yml")) else preset(named)


def _read(path: Path, settings: Settings, errors: Console) -> AnnotatedImage:
    from napari_synth.batches.annotated import Beside
    from napari_synth.files import parse_series

    beside = Beside(settings.labels, settings.points, settings.shapes)
    source, notes = beside.read(path, settings.axes, parse_series(settings.series))
    for note in notes:
        say(errors, note)
    return source
