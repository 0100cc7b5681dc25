"""What the worker of the panel for frames does: functions of movies that know neither Qt nor napari."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.engine.frame_run import PreparedMovie
from napari_synth.gui.jobs.requests import MovieRequest
from napari_synth.gui.jobs.restore import RunResult
from napari_synth.gui.jobs.result_store import run_levels

# Of the shorter edge of a plane: how wide the frame is that marks what was invented.
_RIM = 40


def predict(request: MovieRequest, progress: ProgressCallback, cancel: CancelToken) -> RunResult[PreparedMovie]:
    """Predict the frames of a movie.

    Parameters
    ----------
    request : MovieRequest
    progress, cancel
        Of the job.
    """
    begun = time.monotonic()
    prepared = request.prepare(progress, cancel)
    ready = time.monotonic()
    try:
        made = run_levels(prepared, request.settings.folder, progress, cancel)
        return RunResult(prepared, *made, seconds=(ready - begun, time.monotonic() - ready))
    finally:
        prepared.device.release_memory()


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
