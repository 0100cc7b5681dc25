"""Judges the result of a run, in a sentence a channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import Prepared, Task
from napari_synth.core.errors import Cancelled, InvalidImageError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import PreparedRun
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.screening import Screen, ScreenedImage
from napari_synth.imaging.trust import assess

# Edge in pixels of the blocks in which a result is blurred again.
_BLURRED = 512
_MEANT_TO_DIFFER = (Task.TRANSLATE, Task.PREDICT_FRAMES, Task.SYNTHESIZE)


def verdicts(prepared: PreparedRun, pixels: Any) -> tuple[str, ...]:
    """Judge a result by whether what was removed looks like the measured noise.

    Where the image is huge, evenly spread windows are looked at. Nothing is said of invented content, of frames, of a translation,
    of a result on another grid, and of an image that is too small or too flat to be judged.

    Parameters
    ----------
    prepared : PreparedRun
    pixels : array-like
        Its result, along the axes of its source, in counts.
    """
    source = prepared.source
    info = prepared.method.info
    if (
        not isinstance(prepared, PreparedImage)
        or source is None
        or info.invents
        or info.task in _MEANT_TO_DIFFER
        or pixels.shape != source.shape
    ):
        return ()
    result = source.with_data(pixels)
    said = []
    for index, noise in enumerate(prepared.noise):
        pair = [image.select(C=index) if "C" in source.axes else image for image in (source, result)]
        try:
            planes, restored = (sample_planes(without_alpha(image)) for image in pair)
            planes = _without_taken_out(planes, prepared.channels[index].image)
            if info.task == Task.DECONVOLVE:
                restored = sample_planes(_seen_again(without_alpha(pair[1]), prepared.channels[index].prepared))
                if not any(np.isfinite(plane).any() for plane in restored):
                    said.append("The result was not judged: light from beyond the image is everywhere in it.")
                    continue
            report = assess(np.stack(planes), np.stack(restored), noise or estimate_noise(planes))
        except InvalidImageError:
            continue
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the result is worth more than its verdict
            words = str(error).splitlines() or [type(error).__name__]
            return (f"The verdict could not be made: {words[0]}",)
        label = f"Channel {index + 1}: " if len(prepared.noise) > 1 else ""
        said.append(label + report.sentence)
    return tuple(said)


def _seen_again(result: Image, prepared: Prepared) -> Image:
    """Return what the instrument would see of a result: blurred again, block by block where it is asked for."""
    import dask.array as da

    axes = prepared.spec.axes
    order = [*(axis for axis in result.axes if axis not in axes), *axes]
    ordered = da.asarray(result.data).transpose([result.axes.index(axis) for axis in order])
    chunks = {i: 1 if axis not in axes else -1 if axis == "Z" else _BLURRED for i, axis in enumerate(order)}
    lead = len(order) - len(axes)
    depth = {
        lead + i: min(halo, result.sizes[axis])
        for i, (axis, halo) in enumerate(zip(axes, prepared.spec.halo, strict=True))
    }

    def blurred(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        parts = block.reshape(-1, *block.shape[lead:])
        return np.stack([prepared.seen_again(part) for part in parts]).reshape(block.shape)

    seen = da.map_overlap(
        blurred,
        ordered.rechunk(chunks),
        depth=depth,
        boundary="none",
        dtype=np.float32,
        meta=np.empty((0,) * len(order), "f4"),
    )
    return Image(seen, "".join(order), name=result.name)


def _without_taken_out(planes: list[npt.NDArray[Any]], image: ScreenedImage) -> list[npt.NDArray[Any]]:
    """Return planes with NaN where the image was not read as it is: what was done to the rest says nothing of these pixels."""
    if all(screen == Screen() for screen in image.screens):
        return planes
    return [
        np.where(plane == seen, plane, np.nan).astype(np.result_type(plane.dtype, np.float32))
        for plane, seen in zip(planes, sample_planes(image), strict=True)
    ]
