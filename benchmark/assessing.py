"""How well images are judged without truth: sharp against blurred at unknown noise, duplicates, and the time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy.ndimage import gaussian_filter, shift
from scipy.stats import mannwhitneyu

from benchmark.report import Report, Table, load
from benchmark.scenes import six_images, textures
from napari_synth.batches.table import assess_files
from napari_synth.imaging.assess import assess
from napari_synth.imaging.image import Image

Doubles = npt.NDArray[np.float64]
_EDGE, _PHOTONS, _BLUR = 128, (16, 3000), 2.0
# One draw of light and noise for some dozens of crops is right to 0.03.
_DRAWS = 5


def bench_assess(*, quick: bool, say: Callable[[str], None]) -> Report:
    """Measure how well focus and duplicates are told, and how long a measurement takes.

    Parameters
    ----------
    quick : bool
        Whether few crops are measured.
    say : callable
        Is told what is being measured.
    """
    report = Report("Quality without truth")
    crops = _crops(quick=quick)
    rng = np.random.default_rng(0)
    say(f"Focus of {len(crops)} crops")
    unclear = [gaussian_filter(crop, _BLUR) for crop in crops]
    draws = [
        ([_focus(_counts(crop, rng)) for crop in crops], [_focus(_counts(crop, rng)) for crop in unclear])
        for _ in range(1 if quick else _DRAWS)
    ]
    areas = [auc(sharp, blurred) for sharp, blurred in draws]
    say("Duplicates")
    recall, precision = _duplicates(crops, rng)
    say("Time")
    plane = Image(_counts(np.resize(crops[0], (512, 512)), rng), "YX")
    start = time.perf_counter()
    repeats = 1 if quick else 5
    for _ in range(repeats):
        assess(plane)
    rows = (
        ("crops, each sharp and blurred", float(len(crops))),
        ("of which the focus cannot be told, mean", float(np.sum(~np.isfinite(draws))) / len(draws)),
        ("AUC of sharp against blurred at unknown noise", float(np.mean(areas))),
        ("the least of five draws of light and noise", min(areas)),
        ("recall of near duplicates, moved by a pixel and of other noise", recall),
        ("precision of near duplicates", precision),
        ("seconds for 512 x 512 pixels", (time.perf_counter() - start) / repeats),
    )
    report.tables.append(Table("Quality without truth", ("What", "Figure"), rows, 3))
    report.machine["load at the end"] = load()
    return report


def auc(larger: Sequence[float], smaller: Sequence[float]) -> float:
    """Return how often a value of the first kind is above one of the second, ties by half; what is not known is left out."""
    above, below = (np.array(values)[np.isfinite(values)] for values in (larger, smaller))
    return float(mannwhitneyu(above, below).statistic) / (len(above) * len(below))


def _crops(*, quick: bool) -> list[Doubles]:
    scenes = six_images(quick=quick) + ([] if quick else textures())
    found = []
    for scene in scenes:
        rows, columns = (size // _EDGE for size in scene.clean.shape)
        parts = [
            scene.clean[y * _EDGE : (y + 1) * _EDGE, x * _EDGE : (x + 1) * _EDGE]
            for y in range(rows)
            for x in range(columns)
        ]
        # What shows nothing is neither sharp nor blurred.
        found += [part for part in parts if part.std() > 10][:: 1 if quick else 2]
    return found


def _counts(field: Doubles, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return what a camera counts of a scene, at a number of photons that nobody knows."""
    low, high = np.log(_PHOTONS)
    photons = np.exp(rng.uniform(low, high))
    return np.asarray(np.clip(100 + 2 * rng.poisson(np.clip(field, 0, None) / 255 * photons), 0, 65535), np.uint16)


def _focus(pixels: npt.NDArray[np.uint16]) -> float:
    return assess(Image(pixels, "YX")).focus


def _duplicates(crops: Sequence[Doubles], rng: np.random.Generator) -> tuple[float, float]:
    """Return recall and precision of near duplicates: two of three crops come again, moved by a pixel, with other noise."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, crop in enumerate(crops):
            tifffile.imwrite(folder / f"{number:04d}_a.tif", _counts(crop, rng))
            if number % 3:
                tifffile.imwrite(folder / f"{number:04d}_b.tif", _counts(shift(crop, (1, 1), mode="nearest"), rng))
        rows = assess_files(sorted(folder.glob("*.tif")), folder / "table.csv")
    found = {Path(row["source"]).stem: Path(row["duplicate_of"]).stem for row in rows if row["duplicate"]}
    right = sum(name[:4] == other[:4] for name, other in found.items())
    return right / sum(bool(number % 3) for number in range(len(crops))), right / max(1, len(found))
