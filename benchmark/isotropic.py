"""``bench isotropic``: volumes lose three of four planes, and are filled in again by interpolation and by what they teach."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.report import Report, Table, load
from benchmark.volumes import Floats, Subsampling, Volume, volumes
from napari_synth.contract.generator import Kernel
from napari_synth.imaging.image import Image
from napari_synth.verbs import prepare

FACTOR = 4
EDGE, QUICK_EDGE = 256, 48
_QUICK_STEPS = 10
_TARGET_DB, _TARGET_SECONDS = 1.0, 120.0


@dataclass(frozen=True)
class Outcome:
    """What came of one volume.

    Attributes
    ----------
    volume : str
    slices : str
    shape : tuple of int
        Of the slices.
    cubic, lanczos, ours : float
        PSNR in dB on the planes that were not measured, of the range of the truth.
    seconds, processor : float
        By the clock, training included; and of all threads together, which other work on the machine does not lengthen.
    """

    volume: str
    slices: str
    shape: tuple[int, ...]
    cubic: float
    lanczos: float
    ours: float
    seconds: float
    processor: float

    @property
    def gain(self) -> float:
        """Decibels over cubic interpolation."""
        return self.ours - self.cubic


def bench_isotropic(
    *,
    edge: int | None = None,
    volume: Path | None = None,
    minutes: float | None = None,
    quick: bool = False,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Compare Make isotropic with interpolation.

    Parameters
    ----------
    edge : int, optional
        Of the drawn volume; 256, of which 64 slices are kept, where left out.
    volume : Path, optional
        A file with a volume of cubic voxels, to be measured too.
    minutes : float, optional
        How long to train; the generator's default where left out.
    quick : bool
        A few steps on a small volume: whether it works, not how well.
    device : str
    say : callable
        Told of every result.
    """
    report = Report(f"Isotropic volumes: one of {FACTOR} planes was measured")
    params: dict[str, Any] = {} if minutes is None else {"minutes": minutes}
    params |= {"steps": _QUICK_STEPS} if quick else {}
    outcomes = []
    for scene in volumes(edge or (QUICK_EDGE if quick else EDGE), volume):
        for subsampling in (Subsampling(FACTOR, "thick"), Subsampling(FACTOR, "thin")):
            outcome = _compare(scene, subsampling, params, device)
            outcomes.append(outcome)
            say(
                f"{outcome.volume}, {outcome.slices}: cubic {outcome.cubic:.2f} dB, ours {outcome.ours:.2f} dB"
                f" ({outcome.gain:+.2f}) in {outcome.seconds:.0f} s."
            )
    columns = ("volume", "slices", "size", "cubic", "Lanczos", "ours", "over cubic", "seconds", "processor seconds")
    rows = tuple(
        (o.volume, o.slices, " x ".join(map(str, o.shape)), o.cubic, o.lanczos, o.ours, o.gain, o.seconds, o.processor)
        for o in outcomes
    )
    report.tables.append(Table("PSNR in dB on the planes that were not measured", columns, rows))
    report.remarks += _remarks(outcomes)
    report.machine["load at the end"] = load()
    return report


def _compare(scene: Volume, subsampling: Subsampling, params: dict[str, Any], device: str) -> Outcome:
    truth = subsampling.cut(scene.truth)
    slices = subsampling.measured(truth)
    start, begun = time.perf_counter(), time.process_time()
    run = prepare(
        "super-resolution/isotropic",
        Image(slices, "ZYX", {"Z": float(subsampling.factor)}),
        {"slices": subsampling.slices} | params,
        device=device,
    )
    ours = run.compute()
    seconds, processor = time.perf_counter() - start, time.process_time() - begun
    return Outcome(
        scene.name,
        subsampling.slices,
        slices.shape,
        _psnr(truth, _interpolated(slices, len(truth), "cubic"), subsampling),
        _psnr(truth, _interpolated(slices, len(truth), "lanczos"), subsampling),
        _psnr(truth, ours, subsampling),
        seconds,
        processor,
    )


def _interpolated(slices: Floats, planes: int, kernel: Kernel) -> Floats:
    import torch

    from napari_synth.engine.resampling import resized

    return np.asarray(resized(torch.from_numpy(slices), (planes, *slices.shape[1:]), kernel).numpy())


def _psnr(truth: Floats, result: npt.NDArray[Any], subsampling: Subsampling) -> float:
    planes = subsampling.unmeasured(len(truth))
    error = subsampling.at_truth(result)[planes].astype(np.float64) - truth[planes]
    return float(10.0 * np.log10(float(np.ptp(truth)) ** 2 / np.mean(error**2)))


def _remarks(outcomes: list[Outcome]) -> list[str]:
    worst = min(outcomes, key=lambda outcome: outcome.gain)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    reached = "reaches" if worst.gain >= _TARGET_DB else "misses"
    within = "within" if slowest.seconds <= _TARGET_SECONDS else "not within"
    return [
        f"The least gain over cubic interpolation, {worst.gain:+.2f} dB ({worst.volume}, {worst.slices}), {reached}"
        f" {_TARGET_DB:g} dB.",
        f"The longest run took {slowest.seconds:.0f} s, {within} {_TARGET_SECONDS:g} s.",
        "Thin slices of an even factor lie between two planes of the result: it is moved by half a plane before it is compared.",
    ]
