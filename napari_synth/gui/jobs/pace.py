"""How fast a method is on an image, measured on a small block of it before anybody has asked for a run."""

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.remembered import Speed
from napari_synth.imaging.image import Image

_EDGES = {"Y": 192, "X": 192, "Z": 8, "T": 3}
"""Pixels of the block along its axes; all of the others."""
_TIMES_LARGER = 4
"""A run over an image that is not so many times as large as the block is over before its time is known."""
_NICENESS = 15


@dataclass(frozen=True)
class Paced:
    """What was measured.

    Attributes
    ----------
    key : str
        Names the method, the settings and the image that it holds for.
    speed : Speed
    """

    key: str
    speed: Speed


def is_worth_measuring(image: Image) -> bool:
    """Tell whether an image is so much larger than a block that its run may take long."""
    block = {axis: part.stop - part.start for axis, part in _middle(image).items()}
    times = [size / block.get(axis, size) for axis, size in image.sizes.items()]
    return bool(math.prod(times) >= _TIMES_LARGER)


def pace(request: RestoreRequest, key: str, progress: ProgressCallback, cancel: CancelToken) -> Paced:
    """Restore a block in the middle of an image and return how long that took; the thread gives way to all others.

    Parameters
    ----------
    request : RestoreRequest
        Neither one with a mask nor one that learns.
    key : str
        Is returned with what was measured.
    progress, cancel
        Of the job.
    """
    _give_way()
    block = request.image.select(**_middle(request.image))
    block = block.with_data(block.read())
    cancel.check()
    begun = time.monotonic()
    prepared = replace(request, image=block, region=None).prepare(block, progress, cancel)
    ready = time.monotonic()
    try:
        prepared.compute(report=Reporter(progress, cancel))
        taken = time.monotonic() - ready
    finally:
        prepared.device.release_memory()
    pixels = math.prod(size for axis, size in block.sizes.items() if axis != "S")
    return Paced(key, Speed(ready - begun, taken, pixels))


def _middle(image: Image) -> dict[str, slice]:
    """Return the block in the middle of an image."""
    parts = {}
    for axis, edge in _EDGES.items():
        if axis in image.axes:
            size = image.sizes[axis]
            first = max(0, size - edge) // 2
            parts[axis] = slice(first, first + min(edge, size))
    return parts


def _give_way() -> None:
    """Let other threads go first, where the system can say that of one thread: Linux can."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
