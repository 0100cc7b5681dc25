"""What the panel's worker does: pure functions of images, called in a thread, that know neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_synth.core import runner
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.image import Image
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.core.runner import PreparedRun
from napari_synth.gui.settings import RunSettings

Region = Mapping[str, slice | int]

_NEIGHBOURS = 4


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
    """

    generator: str
    image: Image
    params: Mapping[str, Any]
    settings: RunSettings

    def prepare(self, image: Image, progress: ProgressCallback | None, cancel: CancelToken | None) -> PreparedRun:
        """Let the generator look at an image."""
        return runner.prepare(
            self.generator,
            image,
            self.params,
            device=self.settings.device,
            precision=self.settings.precision,
            memory_budget=self.settings.memory_budget,
            progress=progress,
            cancel=cancel,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes
    ----------
    prepared : PreparedRun
    pixels : array-like
        The result, along the axes of the source: numpy, or zarr on disk where it is larger than the memory budget.
    path : pathlib.Path or None
        Where it is on disk.
    """

    prepared: PreparedRun
    pixels: Any
    path: Path | None = None


def restore(request: Request, progress: ProgressCallback, cancel: CancelToken) -> Outcome:
    """Run a generator over a whole image."""
    prepared = request.prepare(request.image, progress, cancel)
    try:
        return _compute(prepared, request.settings.folder, progress, cancel)
    finally:
        prepared.device.release_memory()


def confidence(
    prepared: PreparedRun, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> Outcome:
    """Compute how much the result varies over flips and rotations."""
    try:
        return _compute(prepared.spread(), settings.folder, progress, cancel)
    finally:
        prepared.device.release_memory()


def restore_region(
    request: Request,
    region: Region,
    prepared: PreparedRun | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> tuple[PreparedRun | None, Any]:
    """Restore a region for a preview.

    Parameters
    ----------
    request : Request
    region : mapping of str to slice
        In pixels of the image.
    prepared : PreparedRun or None
        What an earlier preview with the same request prepared, so that it is not done again.
    progress, cancel
        Of the job.

    Returns
    -------
    PreparedRun or None
        To be given to the next preview; None where it holds for this region only, because the generator learnt from it.
    numpy.ndarray
        The region's pixels, along the axes of the image.
    """
    from napari_synth.core.registry import generator

    if generator(request.generator).info.trains:
        near, inside = _neighbourhood(request.image, region)
        crop = request.image.with_data(request.image.read(**near))
        return None, request.prepare(crop, progress, cancel).compute(region=inside, progress=progress, cancel=cancel)
    if prepared is None:
        prepared = request.prepare(request.image, progress, cancel)
    return prepared, prepared.compute(region=region, progress=progress, cancel=cancel)


def removed_signal(
    source: Image, restored: Any, settings: RunSettings, _progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, float]:
    """Compute source minus result.

    Returns
    -------
    array
        float32 in counts; dask where it would not fit into the memory budget.
    float
        The standard deviation of the typical pixel's difference, robust against a few large ones.
    """
    cancel.check()
    if _fits(source.n_pixels * 4, settings):
        difference = _difference(np.asarray(source.data), np.asarray(restored))
        sample = difference.ravel()[:: max(1, difference.size // 2**20)]
        cancel.check()
        return difference, _robust_sigma(sample)
    import dask.array as da

    lazy = _as_dask(source.data).map_blocks(
        _difference, _as_dask(restored, _as_dask(source.data).chunks), dtype=np.float32
    )
    middle = tuple(size // 2 for size in source.shape[:-2])
    return lazy, _robust_sigma(np.asarray(da.asarray(lazy[middle])[:2048, :2048]))


def find_device(settings: RunSettings, _progress: ProgressCallback, _cancel: CancelToken) -> Device:
    """Choose the device; loads torch, which takes seconds the first time."""
    return resolve_device(settings.device, settings.precision)


def _compute(prepared: PreparedRun, folder: Path, progress: ProgressCallback, cancel: CancelToken) -> Outcome:
    if not prepared.needs_store:
        return Outcome(prepared, prepared.compute(progress=progress, cancel=cancel))
    from napari_synth.files import create_ome_zarr

    path = _free_path(folder, prepared.source.name)
    raise NotImplementedError(create_ome_zarr, path)


def _free_path(folder: Path, name: str) -> Path:
    """Return a path in the folder that does not exist, with a name that every file system takes."""
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).strip("._") or "result"
    folder.mkdir(parents=True, exist_ok=True)
    number, path = 1, folder / f"{stem}.ome.zarr"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.ome.zarr"
    return path


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


def _fits(size: int, settings: RunSettings) -> bool:
    import psutil

    return size <= (settings.memory_budget or psutil.virtual_memory().available // 2)


def _difference(source: Any, restored: Any) -> Any:
    """Return source minus result without the wrap-around of unsigned integers."""
    return np.subtract(source, restored, dtype=np.float32, casting="unsafe")


def _robust_sigma(values: Any) -> float:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    spread = float(np.median(np.abs(finite - np.median(finite)))) * 1.4826
    return spread or float(finite.std()) or 1.0


def _as_dask(data: Any, chunks: Any = "auto") -> Any:
    import dask.array as da

    return data.rechunk(chunks) if hasattr(data, "dask") else da.from_array(data, chunks=chunks)
