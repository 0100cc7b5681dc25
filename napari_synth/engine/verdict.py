"""Judges the result of a run, in a sentence a channel."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import Prepared, Task
from napari_synth.core.errors import Cancelled, InvalidImageError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import PreparedRun
from napari_synth.engine.recipe import VerdictRecord
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import evened, sample_planes
from napari_synth.imaging.screening import Screen, ScreenedImage
from napari_synth.imaging.trust import TrustReport, Verdict, assess

# Edge in pixels of the blocks in which a result is blurred again.
_BLURRED = 512
_MEANT_TO_DIFFER = (Task.CORRECT, Task.TRANSLATE, Task.PREDICT_FRAMES, Task.SYNTHESIZE)


def verdicts(prepared: PreparedRun, pixels: Any) -> tuple[str, ...]:
    """Return what `judged` says, a sentence a channel; nothing where nothing can be said."""
    record = judged(prepared, pixels)
    return () if record is None else record.sentences


def judged(prepared: PreparedRun, pixels: Any) -> VerdictRecord | None:
    """Judge a result by whether what was removed looks like the measured noise.

    Where the image is huge, evenly spread windows are looked at. Nothing is said of invented content, of frames, of a translation,
    of a result on another grid, and of an image that is too small or too flat to be judged.

    Parameters
    ----------
    prepared : PreparedRun
    pixels : array-like
        Its result, along the axes of its source, in counts; in a file or in memory.

    Returns
    -------
    VerdictRecord or None
        None where nothing can be said. Its verdict is empty where the judgement failed, which its sentence tells then.
    """
    source = prepared.source
    info = prepared.method.info
    if (
        not isinstance(prepared, PreparedImage)
        or source is None
        or info.invents
        or info.task in _MEANT_TO_DIFFER
        or tuple(pixels.shape) != source.shape
    ):
        return None
    # In a chain the last step is judged, by what it was given.
    source = source if prepared.made is None else prepared.made
    region, result = prepared.region, source.with_data(pixels)
    inside = None
    if region is not None:
        marks = np.broadcast_to(region.part({}, source.sizes), source.shape).view(np.uint8)
        bounds = {axis: part for axis, part in region.bounds.items() if axis != "C"}
        inside, source, result = (one.select(**bounds) for one in (Image(marks, source.axes), source, result))
    reports: list[TrustReport] = []
    said = []
    for index, noise in enumerate(prepared.noise):
        pair = [image.select(C=index) if "C" in source.axes else image for image in (source, result)]
        looked_at = prepared.channels[index].image
        try:
            planes, restored = (sample_planes(without_alpha(image)) for image in pair)
            if region is None or inside is None:
                planes = _without_taken_out(planes, looked_at)
            else:
                chosen = sample_planes(without_alpha(inside.select(C=index) if "C" in source.axes else inside))
                if not any(part.any() for part in chosen):
                    continue
                part = {axis: bound for axis, bound in region.bounds.items() if axis in looked_at.axes}
                planes = _only(_without_taken_out(planes, looked_at.select(**part)), chosen)
            if info.task == Task.DECONVOLVE:
                restored = sample_planes(_seen_again(without_alpha(pair[1]), prepared.channels[index].prepared))
                if not any(np.isfinite(plane).any() for plane in restored):
                    said.append("The result was not judged: light from beyond the image is everywhere in it.")
                    continue
            if pair[0].gains and (region is None or inside is None):
                planes, restored = (evened(without_alpha(pair[0]), one) for one in (planes, restored))
            report = assess(np.stack(planes), np.stack(restored), noise or estimate_noise(planes))
        except InvalidImageError:
            continue
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the result is worth more than its verdict
            words = str(error).splitlines() or [type(error).__name__]
            return VerdictRecord(verdict="", sentences=(f"The verdict could not be made: {words[0]}",))
        label = f"Channel {index + 1}: " if len(prepared.noise) > 1 else ""
        said.append(label + report.sentence)
        reports.append(report)
    if not reports:
        return VerdictRecord(verdict="", sentences=tuple(said)) if said else None
    worst = max(reports, key=_badness)
    return VerdictRecord(
        verdict=worst.verdict.value,
        chi2=worst.chi2 if isfinite(worst.chi2) else None,
        flagged_fraction=worst.flagged_fraction,
        relative_drift=worst.relative_drift if isfinite(worst.relative_drift) else 0.0,
        sentences=tuple(said),
    )


def _badness(report: TrustReport) -> tuple[int, float]:
    """Order reports: by the verdict, then by how far chi² lies from 1."""
    return list(Verdict).index(report.verdict), abs(log(report.chi2)) if report.chi2 > 0 else 0.0


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
    return Image(seen.transpose([order.index(axis) for axis in result.axes]), result.axes, name=result.name)


def _only(planes: list[npt.NDArray[Any]], chosen: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Return planes with NaN where a pixel was not worked on."""
    return [
        plane if part.all() else np.where(part, plane, np.nan).astype(np.result_type(plane.dtype, np.float32))
        for plane, part in zip(planes, chosen, strict=True)
    ]


def _without_taken_out(planes: list[npt.NDArray[Any]], image: Image) -> list[npt.NDArray[Any]]:
    """Return planes with NaN where the image was not read as it is: what was done to the rest says nothing of these pixels."""
    if not isinstance(image, ScreenedImage) or all(screen == Screen() for screen in image.screens):
        return planes
    return [
        np.where(plane == seen, plane, np.nan).astype(np.result_type(plane.dtype, np.float32))
        for plane, seen in zip(planes, sample_planes(image), strict=True)
    ]
