"""What the worker of the panel for new images does: functions that know neither Qt nor napari."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    request: SynthesisRequest
    prepared: PreparedSynthesis
    levels: tuple[Any, ...]
    path: Path | None = None


def synthesize(request: SynthesisRequest, progress: ProgressCallback, cancel: CancelToken) -> Synthesized:
    """Make all images of a request.

    Parameters
    ----------
    request : SynthesisRequest
    progress, cancel
        Of the job.
    """
    prepared = request.prepare(progress, cancel)
    compute = partial(prepared.compute, report=Reporter(progress, cancel))
    try:
        if not prepared.needs_store:
            return Synthesized(request, prepared, (compute(),))
        like, blocks = prepared.result, prepared.chunks
        return Synthesized(request, prepared, *computed_into(compute, like, blocks, request.settings.folder, cancel))
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
    reporter = Reporter(progress, cancel)
    reporter.start("Making images", count)
    images = []
    first, second = (_latents(prepared, end) for end in ends)
    for latents in path(first, second, count):
        images.append(prepared.decoded(latents[None])[0])
        reporter.advance()
    prepared.device.release_memory()
    return Synthesized(request, prepared, (np.stack(images),))


def report_on(made: Synthesized, real: Image, progress: ProgressCallback, cancel: CancelToken) -> Quality:
    """Compare made images with real ones.

    Parameters
    ----------
    made : Synthesized
    real : Image
    progress, cancel
        Of the job.
    """
    from napari_synth.methods.synthesize.quality import report_quality

    device = made.prepared.device
    return report_quality(made.prepared.image(made.levels[0]), [real], device, report=Reporter(progress, cancel))


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
