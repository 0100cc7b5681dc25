"""What is computed to judge a result: the removed signal, a verdict, and where noise cannot explain the change."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.settings import RunSettings
from napari_synth.gui.stores import store
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport, estimate_noise
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.trust import residual_z_map

_SHOWN_SIGMAS = 4.0


def removed_signal(
    source: Image, restored: Any, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[tuple[Any, ...], float]:
    """Compute source minus result, the mean of the samples for RGB.

    Returns
    -------
    tuple of array
        float32 in counts, without the axis of samples; the levels on disk where it would not fit into the memory budget.
    float
        What a display should show on either side of 0: four standard deviations of the typical pixel, in counts.
    """
    Reporter(progress, cancel).start("Subtracting")
    before, after = _arrays(source, restored, settings)
    samples = source.axes.find("S")
    if samples >= 0:
        before, after = _colours(before, samples), _colours(after, samples)
    # Wide enough for the counts of both, and signed.
    wide = np.result_type(before.dtype, np.float32)
    removed = (before.astype(wide) - after.astype(wide)).astype(np.float32)
    if samples >= 0:
        removed = removed.mean(axis=samples)
    cancel.check()
    levels = _shown(source, removed, "removed signal", settings, progress, cancel)
    middle = tuple(slice(size // 2, size // 2 + 1) for size in removed.shape[:-2])
    plane = np.asarray(levels[0][(*middle, slice(0, 2048), slice(0, 2048))])
    return levels, _SHOWN_SIGMAS * _robust_sigma(plane)


def trust_map(
    prepared: PreparedImage, restored: Any, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, ...]:
    """Return the averaged residual in standard deviations of the noise; of an RGB pixel, the sample that is farthest off.

    Returns
    -------
    tuple of array
        float32, without the axis of samples; positive where the result is darker; the levels on disk where it would not fit into
        the memory budget.
    """
    source = prepared.source
    reporter = Reporter(progress, cancel)
    before, after = _arrays(source, restored, settings)
    reports = []
    for index, noise in enumerate(prepared.noise):
        reporter.start("Comparing with the noise", len(prepared.noise))
        part = source.select(C=index) if "C" in source.axes else source
        reports.append(noise or estimate_noise(sample_planes(part)))
    if "C" not in source.axes:
        z = _z(before, after, source.axes, reports[0])
        return _shown(source, z, "trust", settings, progress, cancel)
    axis = source.axes.index("C")
    axes = source.axes.replace("C", "")
    maps = []
    for index, report in enumerate(reports):
        here = (slice(None),) * axis + (index,)
        maps.append(_z(before[here], after[here], axes, report))
        reporter.advance()
    stacked = np.stack(maps, axis=axis - (0 <= source.axes.find("S") < axis))
    return _shown(source, stacked, "trust", settings, progress, cancel)


def _shown(
    source: Image, derived: Any, what: str, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, ...]:
    """Return what can be shown without computing: numpy as it is, dask once it is on disk."""
    if not hasattr(derived, "dask"):
        return (derived,)
    axes = source.axes.replace("S", "")
    image = Image(derived, axes, source.spacing, source.units, f"{source.name} {what}")
    return store(image, settings.folder, f"Storing the {what}", progress, cancel)


def _z(before: Any, after: Any, axes: str, report: NoiseReport) -> Any:
    samples = axes.find("S")
    if samples >= 0:
        before, after = _colours(before, samples), _colours(after, samples)
    order = [i for i, axis in enumerate(axes) if axis not in "YX"] + [axes.index("Y"), axes.index("X")]
    planes = before.transpose(order), after.transpose(order)
    if isinstance(before, np.ndarray):
        z: Any = residual_z_map(*planes, report.model, report.correlation)
    else:
        import dask.array as da

        depth = {len(order) - 2: 1, len(order) - 1: 1}
        z = da.map_overlap(
            lambda a, b: residual_z_map(a, b, report.model, report.correlation),
            *planes,
            depth=depth,
            boundary="none",
            dtype=np.float32,
            meta=np.empty((0,) * len(order), np.float32),
        )
    z = z.transpose([order.index(axis) for axis in range(len(order))])
    if samples < 0:
        return z
    high, low = z.max(axis=samples), z.min(axis=samples)
    return np.where(high > -low, high, low)


def _arrays(source: Image, restored: Any, settings: RunSettings) -> tuple[Any, Any]:
    """Return both images as numpy where their float32 difference fits into the memory budget, else as dask."""
    budget = settings.memory_budget or psutil.virtual_memory().available // 4
    if source.n_pixels * 4 <= budget:
        return source.read(), np.asarray(restored)
    import dask.array as da

    after = restored if hasattr(restored, "dask") else da.from_array(restored)
    before = source.data if hasattr(source.data, "dask") else da.from_array(source.data, after.chunks)
    # Computed chunk by chunk: in the larger ones of the two, none of them is read more than once.
    if prod(after.chunksize) > prod(before.chunksize):
        return before.rechunk(after.chunks), after
    return before, after.rechunk(before.chunks)


def _colours(data: Any, axis: int) -> Any:
    """Leave out alpha."""
    return data[(slice(None),) * axis + (slice(0, 3),)]


def _robust_sigma(values: npt.NDArray[np.float32]) -> float:
    """Return the standard deviation of the typical value, whatever a few others do; 1 where all are equal."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    spread = float(np.median(np.abs(finite - np.median(finite)))) * 1.4826
    return spread or float(finite.std()) or 1.0
