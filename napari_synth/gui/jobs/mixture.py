"""Mixes a result with its source."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine.codec import mixture
from napari_synth.gui.jobs.result_store import store
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image


def mixed_levels(
    source: Image, result: Any, share: float, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[Any, ...]:
    """Return the mixture of a source and a result of the same shape, in the dtype of the result.

    Parameters
    ----------
    source : Image
    result : array-like
        At full resolution.
    share : float
        Of the result, 0 to 1.
    settings : RunSettings
    progress, cancel
        Of the job.

    Returns
    -------
    tuple of array-like
        One array in memory, or the levels on disk where it is larger than the memory budget, the finest first.
    """
    reporter = Reporter(progress, cancel)
    reporter.start("Mixing")
    budget = settings.memory_budget or psutil.virtual_memory().available // 4
    if source.n_pixels * max(8, np.dtype(result.dtype).itemsize) <= budget:
        mixed = mixture(source.read(), np.asarray(result), share)
        cancel.check()
        return (mixed,)
    import dask.array as da

    after = result if hasattr(result, "dask") else da.from_array(result)
    before = source.data if hasattr(source.data, "dask") else da.from_array(source.data, after.chunks)
    lazy = mixture(before.rechunk(after.chunks), after, share)
    image = Image(lazy, source.axes, source.spacing, source.units, f"{source.name} blend")
    return store(image, settings.folder, "Storing the mixture", progress, cancel)
