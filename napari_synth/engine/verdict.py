"""Judges the result of a run, in a sentence a channel."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import Task
from napari_synth.core.errors import Cancelled, InvalidImageError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import PreparedRun
from napari_synth.engine.recipe import VerdictRecord
from napari_synth.imaging.image import without_alpha
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.screening import Screen, ScreenedImage
from napari_synth.imaging.trust import TrustReport, Verdict, assess

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
    result = source.with_data(pixels)
    reports: list[TrustReport] = []
    said = []
    for index, noise in enumerate(prepared.noise):
        pair = [image.select(C=index) if "C" in source.axes else image for image in (source, result)]
        try:
            planes, restored = (sample_planes(without_alpha(image)) for image in pair)
            planes = _without_taken_out(planes, prepared.channels[index].image)
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
        return None
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


def _without_taken_out(planes: list[npt.NDArray[Any]], image: ScreenedImage) -> list[npt.NDArray[Any]]:
    """Return planes with NaN where the image was not read as it is: what was done to the rest says nothing of these pixels."""
    if all(screen == Screen() for screen in image.screens):
        return planes
    return [
        np.where(plane == seen, plane, np.nan).astype(np.result_type(plane.dtype, np.float32))
        for plane, seen in zip(planes, sample_planes(image), strict=True)
    ]
