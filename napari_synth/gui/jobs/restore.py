"""What the worker of a panel that restores does: functions of images that know neither Qt nor napari."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from napari_synth.core.errors import AxesError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.verdict import verdicts
from napari_synth.files.origin import FileOrigin
from napari_synth.gui.jobs.requests import LayerRun, Region, RestoreRequest
from napari_synth.gui.jobs.result_store import discarding, run_levels, store
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import holes

R = TypeVar("R", bound=LayerRun)

_NEIGHBOURS = 4
_OUT_OF_SIGHT = "The region does not lie in the visible field: move the view onto it, or choose another region."
# Pixels are shown while training goes on after at least so many times as long as they took.
_PATIENCE = 3.0


@dataclass(frozen=True)
class RunResult(Generic[R]):
    """What a run gave.

    Attributes
    ----------
    prepared : PreparedImage or PreparedMovie
    levels : tuple of array-like
        The result, along its axes: one numpy array, or dask arrays of the levels on disk, the finest first, where
        it is larger than the memory budget.
    path : pathlib.Path or None
        Where it is on disk.
    verdict : tuple of str
        How far the result can be trusted, a sentence each.
    filled : tuple of array-like
        The levels of `filled_levels`.
    seconds : tuple of float
        How long it took until the method was prepared, and to make all pixels then.
    """

    prepared: R
    levels: tuple[Any, ...]
    path: Path | None = None
    verdict: tuple[str, ...] = ()
    filled: tuple[Any, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def worked_on(self) -> int:
        """How many pixels of the source were worked on, S left out."""
        run = self.prepared
        limits = run.region.bounds if isinstance(run, PreparedImage) and run.region is not None else {}
        sizes = {axis: size for axis, size in run.source.sizes.items() if axis != "S"}
        return math.prod(limits[axis].stop - limits[axis].start if axis in limits else sizes[axis] for axis in sizes)


def restore(
    request: RestoreRequest, progress: ProgressCallback, cancel: CancelToken, before: PreparedImage | None = None
) -> RunResult[PreparedImage]:
    """Run a generator over a whole image; there is no result where its file changes meanwhile.

    Parameters
    ----------
    request : RestoreRequest
    progress, cancel
        Of the job.
    before : PreparedImage, optional
        What a preview with the same request prepared: it holds where the pixels of a lazy image are still those that it looked at.
    """
    source = _looked_at(request)
    begun = time.monotonic()
    prepared = before if _still_holds(before, source) else request.prepare(source, progress, cancel)
    assert prepared is not None
    ready = time.monotonic()
    try:
        made = run_levels(prepared, request.settings.folder, progress, cancel)
        result = RunResult(prepared, *made, seconds=(ready - begun, time.monotonic() - ready))
        with discarding(result.path):
            cancel.check()
            filled = filled_levels(prepared, request.settings, progress, cancel)
            judged = replace(result, verdict=verdicts(prepared, result.levels[0]), filled=filled)
            cancel.check()
            return judged
    finally:
        prepared.device.release_memory()


def _looked_at(request: RestoreRequest) -> Image:
    """Return the source of a request, whose file is remembered as it is now."""
    source = request.source()
    return replace(source, origin=source.origin.renewed()) if isinstance(source.origin, FileOrigin) else source


def _still_holds(before: PreparedImage | None, source: Image) -> bool:
    """Return whether what was prepared is of the pixels that there are now: arrays in memory may have been drawn on."""
    if before is None or not source.is_lazy:
        return False
    return before.source.origin == source.origin


def restore_region(
    request: RestoreRequest,
    region: Region,
    prepared: PreparedImage | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[PreparedImage | None, Any, float]:
    """Restore a region for a preview; a generator that trains lets what it has come to so far be shown.

    Parameters
    ----------
    request : RestoreRequest
    region : mapping of str to slice
        In pixels of the image.
    prepared : PreparedImage or None
        What an earlier preview with the same request prepared, so that it is not done again.
    progress, cancel
        Of the job.

    Returns
    -------
    PreparedImage or None
        To be given to the next preview; None where it holds for this region only, because the generator learnt from it.
    numpy.ndarray
        The region's pixels, along the axes of the result.
    float
        About how many seconds a run over the whole image takes, at the speed of this region and without what is prepared once;
        0 where that cannot be told, because the generator learns first.
    """
    if request.trains:
        near, inside = _neighbourhood(request.image, region)
        if request.region is not None:
            limited = request.region.within(near)
            if limited is None:
                raise AxesError(_OUT_OF_SIGHT)
            request = replace(request, region=limited)
        crop = request.source().select(**near)
        crop = crop.with_data(crop.read())
        interim = InterimPreview(inside, progress, cancel)
        prepared = request.prepare(crop, interim.take_progress, cancel, interim.show)
        return None, prepared.compute(region=inside, report=Reporter(progress, cancel)), 0.0
    if prepared is None:
        prepared = request.prepare(_looked_at(request), progress, cancel)
    asked = {axis: part for axis, part in region.items() if axis not in prepared.joint_axes}
    if prepared.region is not None and request.region is not None and request.region.within(region) is None:  # type: ignore[arg-type]
        raise AxesError(_OUT_OF_SIGHT)
    begun = time.monotonic()
    pixels = prepared.compute(region=asked, report=Reporter(progress, cancel))
    return prepared, pixels, (time.monotonic() - begun) * _times_larger(prepared, asked)


def _times_larger(prepared: PreparedImage, region: Region) -> float:
    """Return how many times as many pixels as a region a run restores."""
    sizes, limits = prepared.source.sizes, {} if prepared.region is None else prepared.region.bounds
    ratio = 1.0
    for axis, part in region.items():
        whole = limits.get(axis, slice(0, sizes[axis]))
        ratio *= (whole.stop - whole.start) / (1 if isinstance(part, int) else max(1, part.stop - part.start))
    return ratio


def mask_region(
    request: RestoreRequest,
    region: Region,
    _prepared: PreparedImage | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[None, Any]:
    """Return which pixels of a region are to be filled, as `restore_region` returns the restored ones.

    Parameters
    ----------
    request : RestoreRequest
    region : mapping of str to slice
        In pixels of the image.
    progress, cancel
        Of the job.

    Returns
    -------
    None
        Nothing is prepared.
    numpy.ndarray, uint8
        1 where a pixel is to be filled, along the axes of the image but S.
    """
    Reporter(progress, cancel).start("Making the mask")
    source = request.source()
    asked = {axis: region.get(axis, slice(0, size)) for axis, size in source.sizes.items() if axis != "S"}
    shape = [part.stop - part.start for part in asked.values() if isinstance(part, slice)]
    return None, np.broadcast_to(holes(source, {**asked, "S": 0}), shape).astype(np.uint8)


def filled_levels(
    prepared: PreparedImage, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, ...]:
    """Return which pixels were filled.

    Parameters
    ----------
    prepared : PreparedImage
    settings : RunSettings
    progress, cancel
        Of the job.

    Returns
    -------
    tuple of array-like
        uint8, 1 where a pixel was filled, along the axes of the image but S: one numpy array, or the levels on disk where the
        result is there too. Empty where there was no mask.
    """
    source = prepared.source
    mask = source.mask
    if mask is None:
        return ()
    axes = source.axes.replace("S", "")
    shape = tuple(source.sizes[axis] for axis in axes)
    order = [mask.axes.index(axis) for axis in axes if axis in mask.axes]
    missing = tuple(slice(None) if axis in mask.axes else None for axis in axes)
    if not prepared.needs_store:
        marked = np.asarray(mask.data).transpose(order)[missing]
        if prepared.region is not None:
            marked = marked * prepared.region.part({}, {axis: source.sizes[axis] for axis in axes})
        return (np.array(np.broadcast_to(marked, shape), np.uint8),)
    import dask.array as da

    lazy = da.broadcast_to(da.asarray(mask.data).transpose(order)[missing], shape)
    image = Image(lazy, axes, source.spacing, source.units, f"{source.name} filled pixels")
    return store(image, settings.folder, "Storing which pixels were filled", progress, cancel)


@dataclass(frozen=True)
class Interim:
    """What a region looks like while a generator still learns."""

    pixels: Any


class InterimPreview:
    """Shows on a region what training has come to so far, seldom enough not to hold it up.

    Parameters
    ----------
    region : mapping of str to slice
        In pixels of what is learnt from.
    progress, cancel
        Of the job.
    """

    def __init__(self, region: Region, progress: ProgressCallback, cancel: CancelToken) -> None:
        self._region, self._progress, self._cancel = region, progress, cancel
        self._latest = Progress("Preparing", 0, 0, 0.0)
        self._ready = 0.0

    def take_progress(self, progress: Progress) -> None:
        """Hand progress on, and keep it: what is shown travels with the latest."""
        self._latest = progress
        self._progress(progress)

    def show(self, run: PreparedImage) -> None:
        """Show what a run would give now, where the last time is long enough ago."""
        begun = time.monotonic()
        if begun < self._ready:
            return
        pixels = run.compute(region=self._region, report=Reporter(None, self._cancel))
        now = time.monotonic()
        self._ready = now + _PATIENCE * (now - begun)
        self._progress(replace(self._latest, event=Interim(pixels)))


def _neighbourhood(image: Image, region: Region) -> tuple[Mapping[str, slice], Mapping[str, slice]]:
    """Return the region with a few planes and frames around it, and where it lies in there."""
    near, inside = {}, {}
    for axis, size in image.sizes.items():
        part = region.get(axis, slice(0, size))
        start, stop, _ = (slice(part, part + 1) if isinstance(part, int) else part).indices(size)
        margin = _NEIGHBOURS if axis in "TZ" else 0
        first = max(0, start - margin)
        near[axis] = slice(first, min(size, stop + margin))
        inside[axis] = slice(start - first, stop - first)
    return near, inside
