"""What the worker of the panel for augmentation does: functions of samples that know neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.pipeline import TRANSFORMS, Pipeline
from napari_synth.augmentation.sample import Sample
from napari_synth.augmentation.transform import NOISE, Value
from napari_synth.core.errors import OutOfMemoryError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.texts import three_digits

_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Drawn:
    """Samples with the draws that they were made with."""

    samples: tuple[Sample, ...]
    draws: tuple[Draw, ...]


def draw_samples(
    pipeline: Pipeline, sample: Sample, seeds: Sequence[int], progress: ProgressCallback, cancel: CancelToken
) -> Drawn:
    """Augment a sample once for each seed.

    Parameters
    ----------
    pipeline : Pipeline
    sample : Sample
    seeds : sequence of int
    progress, cancel
        Of the job.

    Raises
    ------
    OutOfMemoryError
        The results need more memory than is free.
    """
    reporter = Reporter(progress, cancel)
    reporter.start("Augmenting", len(seeds))
    samples: list[Sample] = []
    draws: list[Draw] = []
    for seed in seeds:
        draw = pipeline.draw(seed, sample)
        if not draws:
            _check_memory(sample, draw, len(seeds))
        samples.append(pipeline.apply(sample, draw))
        draws.append(draw)
        reporter.advance()
    return Drawn(tuple(samples), tuple(draws))


def replay(pipeline: Pipeline, sample: Sample, draw: Draw, progress: ProgressCallback, cancel: CancelToken) -> Drawn:
    """Apply a draw that was made before to another sample.

    Parameters
    ----------
    pipeline : Pipeline
    sample : Sample
    draw : Draw
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Augmenting")
    return Drawn((pipeline.apply(sample, draw.for_another()),), (draw,))


def undo(pipeline: Pipeline, sample: Sample, draw: Draw, progress: ProgressCallback, cancel: CancelToken) -> Drawn:
    """Move what a draw moved back to where it came from, as far as it is in view; intensities stay.

    Parameters
    ----------
    pipeline : Pipeline
    sample : Sample
        What the draw made, or another sample of the same size.
    draw : Draw
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Moving back")
    return Drawn((pipeline.invert(sample, draw),), (draw,))


def mosaic(samples: Sequence[Sample]) -> Sample:
    """Return samples of one size side by side along Y and X, as one sample; tracks are left out."""
    first = samples[0]
    columns = ceil(sqrt(len(samples)))
    height, width = (first.sizes[axis] for axis in "YX")
    labels, points, vectors = None, None, None
    if first.labels is not None:
        labels = _mosaic([sample.labels for sample in samples], first.labels_axes)
    shapes: list[npt.NDArray[np.float64]] | None = None if first.shapes is None else []
    origin: dict[str, list[npt.NDArray[np.int64]]] = {}
    for number, sample in enumerate(samples):
        shift = np.array([number // columns * height, number % columns * width], dtype=np.float64)
        for name, rows in sample.origin.items():
            origin.setdefault(name, []).append(rows)
        if sample.points is not None:
            points = _joined(points, _shifted(sample.points, shift))
        if sample.vectors is not None:
            moved = np.array(sample.vectors, dtype=np.float64)
            moved[:, 0, -2:] += shift
            vectors = _joined(vectors, moved)
        if shapes is not None:
            shapes += [_shifted(shape, shift) for shape in sample.shapes or ()]
    return Sample(
        _mosaic([sample.image for sample in samples], first.axes),
        first.axes,
        labels,
        first.labels_axes if labels is not None else "",
        points,
        shapes,
        vectors,
        spacing=first.spacing,
        origin={name: np.concatenate(rows) for name, rows in origin.items()},
    )


def tiled(arrays: Sequence[Any], y: int, x: int, gap: int = 0) -> npt.NDArray[Any]:
    """Return arrays of one shape side by side, about as many in a row as there are rows; what is left over is 0.

    Parameters
    ----------
    arrays : sequence of array-like
    y, x : int
        The axes along which they are put together.
    gap : int
        So many pixels of 0 come behind each of them along both axes.
    """
    columns = ceil(sqrt(len(arrays)))
    tiles = [np.asarray(array) for array in arrays]
    if gap:
        tiles = [np.pad(tile, [(0, gap if axis in (y, x) else 0) for axis in range(tile.ndim)]) for tile in tiles]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[first : first + columns], axis=x) for first in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=y)


def _mosaic(arrays: Sequence[Any], axes: str) -> npt.NDArray[Any]:
    return tiled(arrays, axes.index("Y"), axes.index("X"))


def _shifted(rows: npt.ArrayLike, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    moved = np.array(rows, dtype=np.float64)
    moved[..., -2:] += shift
    return moved


def _joined(before: npt.NDArray[np.float64] | None, more: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return more if before is None else np.concatenate([before, more])


def draw_slice(
    pipeline: Pipeline,
    sample: Sample,
    seed: int,
    position: dict[str, int],
    progress: ProgressCallback,
    cancel: CancelToken,
) -> Drawn:
    """Augment what the canvas shows: the whole field, at one position along the axes that nothing is moved along.

    Parameters
    ----------
    pipeline : Pipeline
    sample : Sample
    seed : int
    position : dict of str to int
        Where the canvas is, along each axis that it does not show.
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Augmenting")
    draw = pipeline.draw(seed, sample)
    fading = any(step.kind == "bleaching" for step in draw.applied)
    at = {axis: place for axis, place in position.items() if axis not in draw.axes and not (axis == "T" and fading)}
    parts = {axis: slice(place, place + 1) for axis, place in at.items()}
    shown = Sample(
        _cut(sample.image, sample.axes, parts),
        sample.axes,
        None if sample.labels is None else _cut(sample.labels, sample.labels_axes, parts),
        sample.labels_axes if sample.labels is not None else "",
        sample.points,
        sample.shapes,
        sample.vectors,
        sample.tracks,
        sample.spacing,
    )
    # What is shown is a part of the image, whose intensities are those of the whole.
    return Drawn((pipeline.apply(shown, draw, ranges=draw.ranges),), (draw,))


def displacement(pipeline: Pipeline, draw: Draw, progress: ProgressCallback, cancel: CancelToken) -> Any:
    """Return the displacement field of a draw, (D, *result).

    Parameters
    ----------
    pipeline : Pipeline
    draw : Draw
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Computing the displacement")
    return pipeline.displacement(draw)


def in_words(draw: Draw) -> tuple[str, ...]:
    """Return what was drawn, a line each transform."""
    lines = []
    for step in draw.applied:
        values = ", ".join(
            f"{name.replace('_', ' ')} {_number(value)}" for name, value in step.values.items() if name != NOISE
        )
        lines.append(f"{TRANSFORMS[step.kind].title}: {values}" if values else TRANSFORMS[step.kind].title)
    left = [TRANSFORMS[step.kind].title for step in draw.steps if not step.applied]
    if left:
        lines.append(f"Not this time: {', '.join(left)}.")
    return tuple(lines) or ("Nothing is switched on: the image stays as it is.",)


def _number(value: Value) -> str:
    if isinstance(value, tuple):
        shown = " ".join(_number(entry) for entry in value[:6])
        return shown + (" …" if len(value) > 6 else "")
    return three_digits(value)


def _cut(array: Any, axes: str, parts: dict[str, slice]) -> Any:
    return array[tuple(parts.get(axis, slice(None)) for axis in axes)]


def _check_memory(sample: Sample, draw: Draw, count: int) -> None:
    """Refuse what does not fit before the first sample is made."""
    sizes = sample.sizes | dict(zip(draw.axes, draw.result, strict=True))
    itemsize = np.dtype(sample.image.dtype).itemsize + (0 if sample.labels is None else sample.labels.dtype.itemsize)
    needed = count * prod(sizes.values()) * itemsize
    if needed > _SHARE_OF_MEMORY * psutil.virtual_memory().available:
        raise OutOfMemoryError(
            f"{count} samples need {needed / 2**30:.1f} GiB, too much for what is free: show fewer, or switch Crop on."
        )


def magnitude(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the length of the displacement of each pixel."""
    return np.asarray(np.sqrt((field**2).sum(0)), dtype=np.float32)
