"""What the worker of the panel for new images does: functions that know neither Qt nor napari."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.jobs.requests import LatentPoint, PointBetween, SynthesisRequest
from napari_synth.gui.jobs.result_store import computed_into
from napari_synth.gui.layers.placement import Placement
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import torch

    from napari_synth.methods.synthesize.quality import Quality


@dataclass(frozen=True)
class Synthesized:
    """Images that were made.

    Attributes
    ----------
    request : SynthesisRequest
    prepared : PreparedSynthesis
    levels : tuple of array-like
        One numpy array, or dask arrays of the levels on disk, the finest first, where it is larger than the memory budget.
    path : pathlib.Path or None
        Where they are on disk.
    labels : numpy.ndarray or None
        Of each image, (images, Y, X), where they were drawn for them.
    """

    request: SynthesisRequest
    prepared: PreparedSynthesis
    levels: tuple[Any, ...]
    path: Path | None = None
    labels: Any = None


def synthesize(request: SynthesisRequest, progress: ProgressCallback, cancel: CancelToken) -> Synthesized:
    """Make all images of a request.

    Parameters
    ----------
    request : SynthesisRequest
    progress, cancel
        Of the job.
    """
    prepared = request.prepare(progress, cancel)
    labels = np.empty((prepared.params.count, *prepared.size), prepared.labels_dtype) if prepared.makes_labels else None
    compute = partial(prepared.compute, labels=labels, report=Reporter(progress, cancel))
    try:
        if not prepared.needs_store:
            return Synthesized(request, prepared, (compute(),), labels=labels)
        like, blocks = prepared.result, prepared.chunks
        levels, path = computed_into(compute, like, blocks, request.settings.folder, cancel)
        return Synthesized(request, prepared, levels, path, labels)
    finally:
        prepared.device.release_memory()


def preview_point(
    request: SynthesisRequest,
    point: LatentPoint | PointBetween,
    opened: PreparedSynthesis | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[PreparedSynthesis, Any]:
    """Make the image of one latent point.

    Parameters
    ----------
    request : SynthesisRequest
    point : LatentPoint or PointBetween
    opened : PreparedSynthesis or None
        What an earlier preview with a request like this one opened.
    progress, cancel
        Of the job.

    Returns
    -------
    PreparedSynthesis
        To be given to the next preview.
    numpy.ndarray
        The pixels of one image.
    """
    from napari_synth.engine.synthesis_run import between

    prepared = opened or request.prepare(progress, cancel)
    if isinstance(point, LatentPoint):
        latents = _latents(prepared, point)
    else:
        prepared.check_path()
        latents = between(_latents(prepared, point.first), _latents(prepared, point.second), point.share)
    return prepared, prepared.decoded(latents[None])[0]


def interpolate(
    request: SynthesisRequest,
    ends: tuple[LatentPoint, LatentPoint],
    count: int,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> Synthesized:
    """Make the images of evenly spread points from one to another.

    Parameters
    ----------
    request : SynthesisRequest
    ends : (LatentPoint, LatentPoint)
        They are the first and the last image.
    count : int
        How many images, both ends included.
    progress, cancel
        Of the job.
    """
    from napari_synth.engine.synthesis_run import path

    prepared = request.prepare(progress, cancel)
    prepared.check_path()
    reporter = Reporter(progress, cancel)
    reporter.start("Making images", count)
    images = []
    first, second = (_latents(prepared, end) for end in ends)
    for latents in path(first, second, count):
        images.append(prepared.decoded(latents[None])[0])
        reporter.advance()
    prepared.device.release_memory()
    return Synthesized(request, prepared, (np.stack(images),))


def report_on(
    made: Synthesized, real: Image, real_labels: Image | None, progress: ProgressCallback, cancel: CancelToken
) -> Quality:
    """Compare made images with real ones; where both have labels, what a segmenter learns of them, too.

    Parameters
    ----------
    made : Synthesized
    real : Image
    real_labels : Image or None
    progress, cancel
        Of the job.
    """
    from napari_synth.methods.synthesize.crops import REAL
    from napari_synth.methods.synthesize.quality import MADE, report_quality
    from napari_synth.methods.synthesize.segmenting import DICE, report_usefulness

    prepared, reporter = made.prepared, Reporter(progress, cancel)
    images = prepared.image(made.levels[0])
    quality = report_quality(images, [real], prepared.device, report=reporter)
    if made.labels is None or real_labels is None:
        return quality
    labels = prepared.labels_image(made.labels)
    use = report_usefulness(images, labels, real, real_labels, prepared.device, report=reporter)
    figures = {name: dict(own) for name, own in quality.figures.items()}
    figures[MADE][DICE], figures[REAL][DICE] = use.made, use.real
    return replace(quality, figures=figures, notes=(use.note, *quality.notes))


def plain_place(prepared: PreparedSynthesis, axes: str) -> Placement:
    """Return the place of images with these axes at the origin, with the pixels of those that were learnt from."""
    known = _unread(prepared)
    scale = np.array([known.spacing.get(axis, 1.0) for axis in axes])
    return Placement.plain(scale, tuple(known.units.get(axis, "pixel") for axis in axes), axes)


def _unread(prepared: PreparedSynthesis) -> Image:
    """Return an image like the result, whose pixels take no memory."""
    return prepared.image(np.broadcast_to(np.zeros((), prepared.spec.dtype), prepared.shape))


def _latents(prepared: PreparedSynthesis, point: LatentPoint) -> torch.Tensor:
    import torch

    base = prepared.latents(0, point.seed) if point.image is None else prepared.encoded(point.image)[0]
    if not any(point.moves):
        return base
    return base + torch.tensor(point.moves) @ prepared.sampler.directions(len(point.moves))[: len(point.moves)]
