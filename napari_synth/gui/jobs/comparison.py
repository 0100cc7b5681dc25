"""Tries several methods on one part of an image, so that they can be seen side by side, with figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth import registry
from napari_synth.contract.generator import Task
from napari_synth.core.errors import Cancelled, SynthError
from napari_synth.core.progress import CancelToken, Progress, ProgressCallback, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.verdict import verdicts
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.jobs.worker import as_user_error
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import sample_planes

_FEWEST_PIXELS = 32


@dataclass(frozen=True)
class Compared:
    """What a method made of the part.

    Attributes
    ----------
    method : str
        Id.
    title : str
    pixels : numpy.ndarray or None
        Along the axes of its result; None where it failed.
    prepared : PreparedImage or None
    seconds : float
        Of learning and of restoring.
    verdict : tuple of str
    error : float or None
        At pixels that it was not shown, in units of the noise: 1 is what the noise of these pixels alone makes. None where the
        task has none.
    failure : str
        Why there is no result.
    """

    method: str
    title: str
    pixels: Any = None
    prepared: PreparedImage | None = None
    seconds: float = 0.0
    verdict: tuple[str, ...] = ()
    error: float | None = None
    failure: str = ""


def compare(
    requests: Sequence[RestoreRequest], progress: ProgressCallback, cancel: CancelToken
) -> tuple[Compared, ...]:
    """Run several methods on the same small image; one that fails keeps none of the others.

    Parameters
    ----------
    requests : sequence of RestoreRequest
        Of the same image, the part that is compared.
    progress, cancel
        Of the job.
    """
    found = []
    for number, request in enumerate(requests):
        title = registry.generator(request.generator).info.title
        words = f"{number + 1} of {len(requests)}, {title}: "

        def told(step: Progress, words: str = words) -> None:
            progress(replace(step, stage=f"{words}{step.stage}"))

        cancel.check()
        try:
            found.append(_try(request, title, told, cancel))
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - the others do not depend on it, and the user is told
            cancel.check()
            found.append(Compared(request.generator, title, failure=str(as_user_error(error, title))))
    return tuple(found)


def _try(request: RestoreRequest, title: str, progress: ProgressCallback, cancel: CancelToken) -> Compared:
    source = request.source()
    begun = time.monotonic()
    prepared = request.prepare(source, progress, cancel)
    try:
        pixels = prepared.compute(report=Reporter(progress, cancel))
        seconds = time.monotonic() - begun
        said = verdicts(prepared, pixels)
        error = None
        if prepared.method.info.task == Task.DENOISE and pixels.shape == source.shape:
            error = _held_out_error(request, source, progress, cancel)
        return Compared(request.generator, title, pixels, prepared, seconds, said, error)
    finally:
        prepared.device.release_memory()


def _held_out_error(
    request: RestoreRequest, source: Image, progress: ProgressCallback, cancel: CancelToken
) -> float | None:
    """Return how far a method is off at pixels that were hidden from it; None where the part is too small to tell."""
    import torch

    from napari_synth.methods.denoise.hidden_pixels import correlation_reach, hold_out

    Reporter(progress, cancel).start("Hiding pixels")
    try:
        noise = estimate_noise(sample_planes(source))
    except SynthError:
        return None
    stack, put_back = _as_windows(source)
    held = hold_out(torch.from_numpy(stack), correlation_reach(noise))
    where = held.where.numpy()
    if noise.sigma_typical <= 0 or where.sum() < _FEWEST_PIXELS:
        return None
    shown = put_back(held.filled.numpy())
    hidden = replace(request, image=source.with_data(shown), mask=None)
    prepared = hidden.prepare(hidden.image, progress, cancel)
    made, _ = _as_windows(source.with_data(prepared.compute(report=Reporter(progress, cancel)).astype(np.float32)))
    difference = made[where] - stack[where]
    return float(np.sqrt(np.mean(np.square(difference)))) / noise.sigma_typical


def _as_windows(image: Image) -> tuple[npt.NDArray[np.float32], Any]:
    """Return an image as (1, C, P, Y, X) without alpha, and what brings such an array back into its layout, float32."""
    pixels = image.read().astype(np.float32)
    samples = [axis for axis in image.axes if axis == "S"]
    order = [image.axes.index(axis) for axis in (*samples, *(a for a in image.axes if a not in "SYX"), "Y", "X")]
    ordered = pixels.transpose(order)
    planes = int(np.prod(ordered.shape[len(samples) : -2]))
    count = ordered.shape[0] if samples else 1
    colours = colour_samples(count)
    stack = ordered.reshape(1, count, planes, *ordered.shape[-2:])

    def put_back(changed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        whole = stack.copy()
        whole[:, :colours] = changed
        return np.ascontiguousarray(whole.reshape(ordered.shape).transpose(np.argsort(order)))

    return np.ascontiguousarray(stack[:, :colours]), put_back
