"""What the panel's worker does: pure functions of movies, called in a thread, that know neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth import registry
from napari_synth.contract.frames import FramePredictor
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine import door
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.engine.frame_run import PreparedMovie
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import FramesRecord, Recipe
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.stores import discarding, free_path, open_levels
from napari_synth.imaging.image import Image

# Of the shorter edge of a plane: how wide the frame is that marks what was invented.
_RIM = 40


@dataclass(frozen=True)
class FramesWanted:
    """What is to be done.

    Attributes
    ----------
    predictor : str
        Id.
    movie : Image
    request : FrameRequest
    params : mapping
        What was set.
    settings : RunSettings
    """

    predictor: str
    movie: Image
    request: FrameRequest
    params: Mapping[str, Any]
    settings: RunSettings


@dataclass(frozen=True)
class Foretold:
    """What a run gave.

    Attributes
    ----------
    prepared : PreparedMovie
    levels : tuple of array-like
        The result along the axes of the source: one numpy array, or dask arrays of the levels on disk, the finest first.
    path : pathlib.Path or None
        Where it is on disk.
    """

    prepared: PreparedMovie
    levels: tuple[Any, ...]
    path: Path | None = None


def foretell(wanted: FramesWanted, progress: ProgressCallback, cancel: CancelToken) -> Foretold:
    """Invent the frames of a movie."""
    method = registry.found(FramePredictor, wanted.predictor)
    frames = FramesRecord(**wanted.request.model_dump())
    recipe = Recipe(generator=wanted.predictor, params=dict(wanted.params), frames=frames)
    prepared = door.open(method, recipe, Inputs(wanted.movie), wanted.settings.options(), Reporter(progress, cancel))
    return _computed(prepared, wanted.settings.folder, progress, cancel)


def spread_of(
    prepared: PreparedMovie, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[tuple[Any, ...], float]:
    """Return how much the invented frames vary over flips and rotations, and the counts at which a display should be full."""
    levels = _computed(prepared.spread(), settings.folder, progress, cancel).levels
    samples = prepared.source.axes.find("S")
    levels = levels if samples < 0 else tuple(level.max(axis=samples) for level in levels)
    time = prepared.source.axes.index("T")
    shown = np.asarray(np.take(levels[-1], list(prepared.invented[:8]), axis=time))
    shown = shown[np.isfinite(shown)]
    return levels, float(np.percentile(shown, 99.5)) if shown.size and shown.max() > 0 else 1.0


def rim_of(prepared: PreparedMovie) -> Any:
    """Return labels that frame every plane of the invented frames: a lazy array along the axes of the result but S, uint8."""
    import dask.array as da

    sizes = dict(zip(prepared.source.axes, prepared.shape, strict=True))
    axes = prepared.source.axes.replace("S", "")
    width = max(1, min(sizes["Y"], sizes["X"]) // _RIM)
    plane = np.ones((sizes["Y"], sizes["X"]), np.uint8)
    plane[width:-width, width:-width] = 0
    invented = np.zeros(sizes["T"], np.uint8)
    invented[list(prepared.invented)] = 1
    ordered = plane if axes.index("Y") < axes.index("X") else plane.T
    spatial = da.from_array(ordered, chunks=-1)[tuple(slice(None) if axis in "YX" else None for axis in axes)]
    times = da.from_array(invented, chunks=1)[tuple(slice(None) if axis == "T" else None for axis in axes)]
    return da.broadcast_to(spatial * times, tuple(sizes[axis] for axis in axes))


def _computed(prepared: PreparedMovie, folder: Path, progress: ProgressCallback, cancel: CancelToken) -> Foretold:
    try:
        if not prepared.needs_store:
            return Foretold(prepared, (prepared.compute(report=Reporter(progress, cancel)),))
        from napari_synth.files import create_ome_zarr

        path = free_path(folder, prepared.source.name)
        with create_ome_zarr(path, prepared.result, blocks=prepared.chunks, cancel=cancel) as target:
            prepared.compute(out=target, report=Reporter(progress, cancel))
        with discarding(path):
            return Foretold(prepared, open_levels(path, prepared.source.axes), path)
    finally:
        prepared.device.release_memory()
