"""What the panel's worker does: pure functions, called in a thread, that know neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_synth import registry
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine import door
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.layers import Placement
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.stores import discarding, free_path, open_levels
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import torch

    from napari_synth.methods.synthesize.quality import Quality


@dataclass(frozen=True)
class SynthesisRequest:
    """What is to be made.

    Attributes
    ----------
    synthesizer : str
        Id.
    params : mapping
        What was set.
    seed : int
    source : Image or None
        An image or labels, where the synthesizer needs them.
    settings : RunSettings
    place : Placement or None
        Where the labels lie, that images are made for.
    """

    synthesizer: str
    params: Mapping[str, Any]
    seed: int
    source: Image | None
    settings: RunSettings
    place: Placement | None = None

    def prepare(self, progress: ProgressCallback | None, cancel: CancelToken | None) -> PreparedSynthesis:
        """Open the synthesizer."""
        method = registry.found(Synthesizer, self.synthesizer)
        recipe = Recipe(generator=self.synthesizer, params=dict(self.params))
        options = self.settings.options(self.seed)
        return door.open(method, recipe, Inputs(self.source), options, Reporter(progress, cancel))

    def is_like(self, other: SynthesisRequest) -> bool:
        """Tell whether the same synthesizer can be kept open; pixels are compared by identity, not read."""
        return (
            self.synthesizer == other.synthesizer
            and self.params == other.params
            and self.settings == other.settings
            and _pixels(self.source) is _pixels(other.source)
        )


def plain_place(prepared: PreparedSynthesis, axes: str) -> Placement:
    """Return the place of images with these axes at the origin, with the pixels of those that were learnt from."""
    known = prepared.image(np.broadcast_to(np.zeros((), prepared.spec.dtype), prepared.shape))
    scale = np.array([known.spacing.get(axis, 1.0) for axis in axes])
    return Placement.plain(scale, tuple(known.units.get(axis, "pixel") for axis in axes), axes)


@dataclass(frozen=True)
class Spot:
    """A place among the latents: that of a seed or of an image, moved along some directions.

    Attributes
    ----------
    seed : int
    image : Image or None
        Whose latents are found, in place of those of the seed.
    moves : tuple of float
        How far, along each of the sampler's directions.
    """

    seed: int
    image: Image | None = None
    moves: tuple[float, ...] = ()


@dataclass(frozen=True)
class Way:
    """A place between two others.

    Attributes
    ----------
    first, second : Spot
    share : float
        0 for the first, 1 for the second.
    """

    first: Spot
    second: Spot
    share: float


@dataclass(frozen=True)
class Made:
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


def make(request: SynthesisRequest, progress: ProgressCallback, cancel: CancelToken) -> Made:
    """Make all images of a request."""
    prepared = request.prepare(progress, cancel)
    compute = partial(prepared.compute, report=Reporter(progress, cancel))
    try:
        if not prepared.needs_store:
            return Made(request, prepared, (compute(),))
        from napari_synth.files import create_ome_zarr

        path = free_path(request.settings.folder, prepared.method.info.name)
        with create_ome_zarr(path, prepared.result, blocks=prepared.chunks, cancel=cancel) as target:
            compute(out=target)
        with discarding(path):
            return Made(request, prepared, open_levels(path, prepared.axes), path)
    finally:
        prepared.device.release_memory()


def look(
    request: SynthesisRequest,
    where: Spot | Way,
    opened: PreparedSynthesis | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[PreparedSynthesis, Any]:
    """Make the image of one place.

    Parameters
    ----------
    request : SynthesisRequest
    where : Spot or Way
    opened : PreparedSynthesis or None
        What an earlier look with a request like this one opened.
    progress, cancel
        Of the job.

    Returns
    -------
    (PreparedSynthesis, numpy.ndarray)
        To be given to the next look, and the pixels of one image.
    """
    from napari_synth.engine.latents import between

    prepared = opened or request.prepare(progress, cancel)
    if isinstance(where, Spot):
        found = _latents(prepared, where)
    else:
        found = between(_latents(prepared, where.first), _latents(prepared, where.second), where.share)
    return prepared, prepared.decoded(found[None])[0]


def walk(
    request: SynthesisRequest, first: Spot, second: Spot, count: int, progress: ProgressCallback, cancel: CancelToken
) -> Made:
    """Make the images of evenly spread places from one to another."""
    from napari_synth.engine.latents import path

    prepared = request.prepare(progress, cancel)
    reporter = Reporter(progress, cancel)
    reporter.start("Making images", count)
    images = []
    for latents in path(_latents(prepared, first), _latents(prepared, second), count):
        images.append(prepared.decoded(latents[None])[0])
        reporter.advance()
    prepared.device.release_memory()
    return Made(request, prepared, (np.stack(images),))


def judge(made: Made, real: Image, progress: ProgressCallback, cancel: CancelToken) -> Quality:
    """Hold made images against real ones."""
    from napari_synth.methods.synthesize.quality import report_quality

    device = made.prepared.device
    return report_quality(made.prepared.image(made.levels[0]), [real], device, report=Reporter(progress, cancel))


def _latents(prepared: PreparedSynthesis, spot: Spot) -> torch.Tensor:
    import torch

    base = prepared.latents(0, spot.seed) if spot.image is None else prepared.encoded(spot.image)[0]
    if not any(spot.moves):
        return base
    return base + torch.tensor(spot.moves) @ prepared.sampler.directions(len(spot.moves))[: len(spot.moves)]


def _pixels(image: Image | None) -> Any:
    return None if image is None else image.data
