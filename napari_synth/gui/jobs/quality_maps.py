"""Maps that are added to judge a result: the removed signal, what noise cannot explain, and how unsure the method is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psutil

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.texts import three_digits, unit_of
from napari_synth.gui.jobs.again import RepeatRequest, SourceAlone
from napari_synth.gui.jobs.requests import LayerRun, invented_frames, result_axes, result_range
from napari_synth.gui.jobs.result_store import discarding, run_levels, store
from napari_synth.gui.layers.appearance import TRUST_EXPLAINED, TRUST_LIMIT
from napari_synth.gui.layers.marks import REMOVED, TRUST, UNCERTAINTY
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport, estimate_noise
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.trust import residual_z_map

_SHOWN_SIGMAS = 4.0
_LOOKED_AT = 8
# A spread below this share of the noise is rounding: colours that show it would say that the method is unsure.
_SHARE_OF_NOISE = 0.05
_GUESSED_NOISE = 1e-3
# Noise alone exceeds three deviations in a quarter of a percent of the pixels.
_EXPECTED_SHARE = 0.5
_SIGMAS = "times the noise"
_ALL_THE_SAME = "This method gives the same answer in all orientations: its uncertainty cannot be told this way."


@dataclass(frozen=True)
class QualityMap:
    """A map of a result, without the axis of RGB samples.

    Attributes
    ----------
    levels : tuple of array-like
        float32: one array, or the levels on disk where it would not fit into the memory budget, the finest first.
    limit : float
        The value at which a display should be full.
    notes : tuple of str
        What the user should know of it.
    unit : str
        Of its values.
    """

    levels: tuple[Any, ...]
    limit: float
    notes: tuple[str, ...]
    unit: str


Judged: TypeAlias = LayerRun | SourceAlone | RepeatRequest
"""A run, or what is left of one: its source, or the recipe from which it can be opened again."""
MapWork = Callable[[Any, Any, RunSettings, ProgressCallback, CancelToken], QualityMap]


def removed_signal(
    run: LayerRun | SourceAlone, restored: Any, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> QualityMap:
    """Compute source minus result in counts, the mean of the samples for RGB; full at four deviations of the typical pixel.

    Parameters
    ----------
    run : PreparedImage
    restored : array-like
        The result at full resolution.
    settings : RunSettings
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Subtracting")
    source = run.source
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
    unit = unit_of(source.dtype)
    sigma = _robust_sigma(plane)
    said = f"What was removed varies by ±{three_digits(sigma)} {unit} at the typical pixel."
    return QualityMap(levels, _SHOWN_SIGMAS * sigma, (said,), unit)


def trust_map(
    run: LayerRun | SourceAlone, restored: Any, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> QualityMap:
    """Compute the averaged residual in standard deviations of the noise: positive where the result is darker.

    Of an RGB pixel, the sample that is farthest off counts.

    Parameters
    ----------
    run : PreparedImage
    restored : array-like
        The result at full resolution.
    settings : RunSettings
    progress, cancel
        Of the job.
    """
    source = run.source
    reporter = Reporter(progress, cancel)
    before, after = _arrays(source, restored, settings)
    reports = []
    for index, noise in enumerate(run.noise):
        reporter.start("Comparing with the noise", len(run.noise))
        part = source.select(C=index) if "C" in source.axes else source
        reports.append(noise or estimate_noise(sample_planes(part)))
    if "C" not in source.axes:
        z = _z(before, after, source.axes, reports[0])
        return _trust(_shown(source, z, "trust", settings, progress, cancel))
    axis = source.axes.index("C")
    axes = source.axes.replace("C", "")
    maps = []
    for index, report in enumerate(reports):
        here = (slice(None),) * axis + (index,)
        maps.append(_z(before[here], after[here], axes, report))
        reporter.advance()
    stacked = np.stack(maps, axis=axis - (0 <= source.axes.find("S") < axis))
    return _trust(_shown(source, stacked, "trust", settings, progress, cancel))


def _trust(levels: tuple[Any, ...]) -> QualityMap:
    """Return the map with a sentence on how much of a few planes noise cannot explain."""
    middle = tuple(slice(size // 2, size // 2 + 1) for size in levels[-1].shape[:-2])
    z = np.abs(np.asarray(levels[-1][middle]))
    share = 100.0 * float(np.mean(z > TRUST_EXPLAINED)) if z.size else 0.0
    where = "of the middle plane" if middle else "of the image"
    if share < _EXPECTED_SHARE:
        said = f"Nothing stands out: noise explains the change in all but {three_digits(share)} % {where}."
    else:
        said = f"Noise cannot explain the change in {three_digits(share)} % {where}: look there before you trust the result."
    return QualityMap(levels, TRUST_LIMIT, (said,), _SIGMAS)


def uncertainty_map(
    judged: LayerRun | RepeatRequest,
    _restored: Any,
    settings: RunSettings,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> QualityMap:
    """Compute in counts how much the result varies over flips and rotations; of an RGB pixel, the sample that varies most.

    Parameters
    ----------
    judged : PreparedImage, PreparedMovie or RepeatRequest
    settings : RunSettings
    progress, cancel
        Of the job.
    """
    run = judged.prepare(progress, cancel) if isinstance(judged, RepeatRequest) else judged
    try:
        levels, path = run_levels(run.spread(), settings.folder, progress, cancel)
        with discarding(path):
            samples = result_axes(run).find("S")
            levels = levels if samples < 0 else tuple(level.max(axis=samples) for level in levels)
            shown = _some_planes(run, levels[-1])
            shown = shown[np.isfinite(shown)]
            faintest = _SHARE_OF_NOISE * _noise_or_guess(run)
            unit = unit_of(run.source.dtype)
            typical = three_digits(float(np.median(shown))) if shown.size else "0"
            told = f"The answers over flips and rotations differ by {typical} {unit} at the typical pixel."
            notes = (told,) if shown.size == 0 or shown.max() >= faintest else (_ALL_THE_SAME,)
            limit = max(float(np.percentile(shown, 99.5)) if shown.size else 0.0, faintest) or 1.0
            cancel.check()
            return QualityMap(levels, limit, notes, unit)
    finally:
        run.device.release_memory()


MAPS: dict[str, tuple[MapWork, str]] = {
    REMOVED: (removed_signal, "Subtracting"),
    TRUST: (trust_map, "Comparing with the noise"),
    UNCERTAINTY: (uncertainty_map, "Computing the relative uncertainty"),
}
"""What computes the map of each kind, and what a progress row says meanwhile."""


def _some_planes(run: LayerRun, level: Any) -> npt.NDArray[Any]:
    """Return a few planes of a map without samples, so that little is read; of a movie, such as were not measured."""
    frames = invented_frames(run)
    if frames:
        return np.asarray(np.take(level, list(frames[:_LOOKED_AT]), axis=result_axes(run).replace("S", "").index("T")))
    middle = [slice(size // 2, size // 2 + 1) for size in level.shape[:-3]]
    return np.asarray(level[(*middle, *(slice(None, None, -(-size // _LOOKED_AT)) for size in level.shape[-3:-2]))])


def _noise_or_guess(run: LayerRun) -> float:
    """Return the standard deviation of the noise in counts; a share of the intensities where it was not measured."""
    noise, (low, high) = run.noise[0], result_range(run)
    return (noise.sigma_typical if noise else 0.0) or _GUESSED_NOISE * (high - low)


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
