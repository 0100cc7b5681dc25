"""One image that stands for all images of a batch, so that their intensities and noise are measured together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.batches.jobs import Job
from napari_synth.batches.settings import MEASURED_ON, Settings
from napari_synth.core.errors import Cancelled, ImageFileError
from napari_synth.core.progress import Reporter
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_windows

ALL = "all"
"""What is measured on where no file is named but the images of the batch themselves."""

_MOST_PIXELS, _LARGEST, _SMALLEST = 2**22, 512, 64
_FEWEST = 16
_OF_ONE = 4


def joint_yardstick(
    jobs: Sequence[Job], settings: Settings, folder: Path, report: Reporter, *, dry: bool
) -> Path | None:
    """Write a stack of pieces of all images of a batch beside its results, and return its path.

    What is there from an earlier run is kept, since results that were measured on it are there as well.

    Parameters
    ----------
    jobs : sequence of Job
    settings : Settings
        Whose axes and series say how images are read.
    folder : pathlib.Path
        Of the results.
    report : Reporter
    dry : bool
        Whether nothing is written: None is returned then where nothing is there.

    Raises
    ------
    ImageFileError
        No image can be read, or they have different channels, colours or dtypes.
    """
    path = folder / MEASURED_ON
    if path.exists() or dry:
        return path if path.exists() else None
    edge = int(np.clip((_MOST_PIXELS / len(jobs)) ** 0.5, _SMALLEST, _LARGEST))
    pieces: list[tuple[str, npt.NDArray[Any]]] = []
    report.start("Measuring all images", len(jobs))
    for job in jobs:
        report.advance()
        if job.source is None:
            continue
        try:
            pieces += _pieces(read_image(job.source, settings.axes, series=settings.series), edge)
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 - what is wrong with it is told when its turn comes
            continue
    if not pieces:
        raise ImageFileError("None of the images can be measured: check that they can be read.")
    # The others fail with a sentence when their turn comes.
    kinds = [(axes, str(part.dtype), part.shape[:-2]) for axes, part in pieces]
    usual = Counter(kinds).most_common(1)[0][0]
    axes, fitting = usual[0], [part for kind, (_, part) in zip(kinds, pieces, strict=True) if kind == usual]
    height, width = (min(part.shape[axis] for part in fitting) for axis in (-2, -1))
    stack = np.stack([part[..., :height, :width] for part in fitting])
    if axes.startswith("S"):
        stack, axes = np.moveaxis(stack, 1, -1), axes[1:] + "S"
    folder.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(stack, "T" + axes))
    return path


def _pieces(image: Image, edge: int) -> list[tuple[str, npt.NDArray[Any]]]:
    """Return some pieces of an image, ([C,] [S,] Y, X), each with its axes; none of an image of a few pixels."""
    kept = "".join(axis for axis in "CS" if axis in image.axes)
    if min(image.sizes["Y"], image.sizes["X"]) < _FEWEST:
        return []
    found = []
    for at in sample_windows(image.select(**dict.fromkeys(kept, 0)), _OF_ONE * edge * edge, edge)[:_OF_ONE]:
        part = image.read(**at)
        there = [axis for axis in image.axes if axis in kept + "YX"]
        part = part.transpose([there.index(axis) for axis in kept + "YX"])
        found.append((kept + "YX", part[..., :edge, :edge]))
    return found
