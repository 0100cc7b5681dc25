"""What the panel's worker does: pure functions of images, called in a thread, that know neither Qt nor napari."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth import registry
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.engine import door
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.verdict import verdicts
from napari_synth.gui.filled import filled_levels
from napari_synth.gui.masks import MaskRequest
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.stores import discarding, free_path, open_levels
from napari_synth.imaging.image import Image

Region = Mapping[str, slice | int]

_NEIGHBOURS = 4
# Pixels are shown while training goes on after at least so many times as long as they took.
_PATIENCE = 3.0
_LOOKED_AT = 8
# A spread below this share of the noise is rounding: colours that show it would say that the method is unsure.
_SHARE_OF_NOISE = 0.05
_GUESSED_NOISE = 1e-3
_ALL_THE_SAME = "This method gives the same answer in all orientations: its confidence cannot be told this way."


@dataclass(frozen=True)
class Request:
    """What is to be done.

    Attributes
    ----------
    generator : str
        Id.
    image : Image
    params : mapping
        What was set.
    settings : RunSettings
    mask : MaskRequest or None
        Which pixels are to be filled.
    reference : Image or None
        What the result should look like.
    """

    generator: str
    image: Image
    params: Mapping[str, Any]
    settings: RunSettings
    mask: MaskRequest | None = None
    reference: Image | None = None

    def source(self) -> Image:
        """Return the image with its mask, which is made where this is asked for: in the worker."""
        return self.image if self.mask is None else replace(self.image, mask=self.mask.mask())

    def quick(self) -> tuple[Request, tuple[str, ...]]:
        """Return the request without what takes minutes, and the titles of the settings that were put back to their default.

        A field with ``json_schema_extra={"slow": True}`` is one of those.
        """
        params, titles = dict(self.params), []
        for name, info in registry.generator(self.generator).params_type.model_fields.items():
            extra, default = info.json_schema_extra, info.get_default(call_default_factory=True)
            if isinstance(extra, dict) and extra.get("slow") and params.get(name, default) != default:
                params[name] = default
                titles.append(info.title or name)
        return replace(self, params=params), tuple(titles)

    def prepare(
        self,
        image: Image,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
        interim: Callable[[PreparedImage], None] | None = None,
    ) -> PreparedImage:
        """Let the generator look at an image."""
        method = registry.generator(self.generator)
        recipe = Recipe(generator=self.generator, params=dict(self.params))
        inputs = Inputs(image, self.reference)
        options, report = self.settings.options(), Reporter(progress, cancel)
        prepared: PreparedImage = door.open(method, recipe, inputs, options, report, interim)
        return prepared


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes
    ----------
    prepared : PreparedImage
    levels : tuple of array-like
        The result, along its axes: one numpy array, or dask arrays of the levels on disk, the finest first, where
        it is larger than the memory budget.
    verdict : tuple of str
        How far the result can be trusted, or why the spread says nothing; a sentence each.
    limit : float
        Counts at which a display of the spread should be full.
    path : pathlib.Path or None
        Where it is on disk.
    filled : tuple of array-like
        The levels of `napari_synth.gui.filled.filled_levels`.
    """

    prepared: PreparedImage
    levels: tuple[Any, ...]
    verdict: tuple[str, ...] = ()
    limit: float = 1.0
    path: Path | None = None
    filled: tuple[Any, ...] = ()

    @property
    def pixels(self) -> Any:
        """The result at full resolution."""
        return self.levels[0]


def restore(request: Request, progress: ProgressCallback, cancel: CancelToken) -> Outcome:
    """Run a generator over a whole image."""
    prepared = request.prepare(request.source(), progress, cancel)
    try:
        outcome = _compute(prepared, request.settings.folder, progress, cancel)
        with discarding(outcome.path):
            cancel.check()
            filled = filled_levels(prepared, request.settings, progress, cancel)
            judged = replace(outcome, verdict=verdicts(prepared, outcome.pixels), filled=filled)
            cancel.check()
            return judged
    finally:
        prepared.device.release_memory()


def confidence(
    prepared: PreparedImage, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> Outcome:
    """Compute how much the result varies over flips and rotations; of an RGB pixel, the sample that varies most."""
    try:
        outcome = _compute(prepared.spread(), settings.folder, progress, cancel)
        with discarding(outcome.path):
            samples = prepared.axes.find("S")
            levels = outcome.levels if samples < 0 else tuple(level.max(axis=samples) for level in outcome.levels)
            shown = np.asarray(levels[-1][_some_planes(levels[-1].shape)])
            shown = shown[np.isfinite(shown)]
            faintest = _SHARE_OF_NOISE * _noise_or_guess(prepared)
            said = () if shown.size == 0 or shown.max() >= faintest else (_ALL_THE_SAME,)
            limit = max(float(np.percentile(shown, 99.5)) if shown.size else 0.0, faintest) or 1.0
            cancel.check()
            return replace(outcome, levels=levels, limit=limit, verdict=said)
    finally:
        prepared.device.release_memory()


def restore_region(
    request: Request,
    region: Region,
    prepared: PreparedImage | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[PreparedImage | None, Any]:
    """Restore a region for a preview; a generator that trains lets what it has come to so far be shown.

    Parameters
    ----------
    request : Request
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
    """
    if registry.generator(request.generator).info.trains:
        near, inside = _neighbourhood(request.image, region)
        crop = request.source().select(**near)
        crop = crop.with_data(crop.read())
        onlooker = _Onlooker(inside, progress, cancel)
        prepared = request.prepare(crop, onlooker.tell, cancel, onlooker.show)
        return None, prepared.compute(region=inside, report=Reporter(progress, cancel))
    if prepared is None:
        prepared = request.prepare(request.source(), progress, cancel)
    asked = {axis: part for axis, part in region.items() if axis not in prepared.joint_axes}
    return prepared, prepared.compute(region=asked, report=Reporter(progress, cancel))


@dataclass(frozen=True)
class Interim:
    """What a region looks like while a generator still learns."""

    pixels: Any


class _Onlooker:
    """Shows on a region what training has come to so far, seldom enough not to hold it up."""

    def __init__(self, region: Region, progress: ProgressCallback, cancel: CancelToken) -> None:
        self._region, self._progress, self._cancel = region, progress, cancel
        self._latest = Progress("Preparing", 0, 0, 0.0)
        self._ready = 0.0

    def tell(self, progress: Progress) -> None:
        self._latest = progress
        self._progress(progress)

    def show(self, run: PreparedImage) -> None:
        begun = time.monotonic()
        if begun < self._ready:
            return
        pixels = run.compute(region=self._region, report=Reporter(None, self._cancel))
        now = time.monotonic()
        self._ready = now + _PATIENCE * (now - begun)
        self._progress(replace(self._latest, news=Interim(pixels)))


def find_device(settings: RunSettings, _progress: ProgressCallback, _cancel: CancelToken) -> Device:
    """Choose the device; loads torch, which takes seconds the first time."""
    return resolve_device(settings.device, settings.precision)


def _some_planes(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return an index that takes a few planes from the middle of an image, so that little is read."""
    middle = [slice(size // 2, size // 2 + 1) for size in shape[:-3]]
    return (*middle, *(slice(None, None, -(-size // _LOOKED_AT)) for size in shape[-3:-2]))


def _noise_or_guess(prepared: PreparedImage) -> float:
    """Return the standard deviation of the noise in counts; a share of the intensities where it was not measured."""
    noise, statistics = prepared.noise[0], prepared.statistics[0]
    low, high = prepared.result_range or (statistics.low, statistics.high)
    return (noise.sigma_typical if noise else 0.0) or _GUESSED_NOISE * (high - low)


def _compute(prepared: PreparedImage, folder: Path, progress: ProgressCallback, cancel: CancelToken) -> Outcome:
    if not prepared.needs_store:
        return Outcome(prepared, (prepared.compute(report=Reporter(progress, cancel)),))
    from napari_synth.files import create_ome_zarr

    path = free_path(folder, prepared.source.name)
    with create_ome_zarr(path, prepared.result, blocks=prepared.chunks, cancel=cancel) as target:
        prepared.compute(out=target, report=Reporter(progress, cancel))
    with discarding(path):
        return Outcome(prepared, open_levels(path, prepared.axes), path=path)


def _neighbourhood(image: Image, region: Region) -> tuple[dict[str, slice], dict[str, slice]]:
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
