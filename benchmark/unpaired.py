"""``bench translate``: what is learnt from unpaired images, on a change that is known: other intensities and texture.

Tiles of an image are dealt out like the fields of a chessboard: white ones are the source, black ones, changed, are the target.
What is measured lies below all of them, and is never seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.exposure import match_histograms

import napari_synth
from benchmark.metrics import WHITE, psnr, ssim
from benchmark.report import Report, Table
from napari_synth import registry
from napari_synth.methods.translate.figures import PatchTarget, content_correlation
from napari_synth.studio.train import train_model

Say = Callable[[str], None]
Pixels = npt.NDArray[np.uint8]

MINUTES = 3.0
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "CycleGAN": ("translate/cyclegan", {}),
    "CUT": ("translate/cut", {}),
    "FastCUT": ("translate/cut", {"variant": "FastCUT"}),
}
_EDGE, _TILE = 1024, 64
_QUICK_EDGE, _QUICK_TILE = 128, 32
_QUICK: dict[str, Any] = {"steps": 2, "patch": 16, "batch": 1, "width": 4, "blocks": 1}
_TRAINED_ON = 0.75
_SHOWN = 256


@dataclass(frozen=True)
class UnpairedTask:
    """A task whose truth is known.

    Attributes
    ----------
    sources, targets : list of array, (Y, X)
        Of different fields.
    unseen, truth : array, (Y, X)
        Another field, and how it looks changed.
    """

    sources: list[Pixels]
    targets: list[Pixels]
    unseen: Pixels
    truth: Pixels


def changed(image: Pixels) -> Pixels:
    """Return an image by another curve that rises, a little blurred, its small structures stronger where it is bright."""
    smooth = gaussian_filter(image / WHITE, 0.7)
    detail = gaussian_filter(smooth, 1.0) - gaussian_filter(smooth, 3.0)
    curve = 0.1 + 0.75 * np.sqrt(smooth) + 0.06 * np.sin(2.0 * np.pi * smooth)
    result: Pixels = (WHITE * np.clip(curve * (1.0 + 2.0 * detail), 0.0, 1.0)).round().astype(np.uint8)
    return result


def unpaired_task(*, quick: bool = False) -> UnpairedTask:
    """Return tiles of a retina, and of a changed one."""
    edge, tile = (_QUICK_EDGE, _QUICK_TILE) if quick else (_EDGE, _TILE)
    image = np.ascontiguousarray(data.retina()[200 : 200 + edge, 200 : 200 + edge, 1])
    other = changed(image)
    cut = round(_TRAINED_ON * edge)
    dealt: tuple[list[Pixels], list[Pixels]] = ([], [])
    for row in range(cut // tile):
        for column in range(edge // tile):
            black = (row + column) % 2
            at = slice(row * tile, (row + 1) * tile), slice(column * tile, (column + 1) * tile)
            dealt[black].append((other if black else image)[at])
    return UnpairedTask(*dealt, image[cut:], other[cut:])


def bench_unpaired(
    report: Report,
    *,
    quick: bool = False,
    minutes: float = MINUTES,
    device: str = "auto",
    pictures: Path | None = None,
    say: Say = lambda _: None,
) -> None:
    """Train CycleGAN, CUT and FastCUT, and compare them with the truth, beside histogram matching.

    Parameters
    ----------
    report : Report
        Gets a table.
    quick : bool
        Small images, a few steps: whether it works, not how well.
    minutes : float
        Of each training.
    device : str
    pictures : Path, optional
        A folder for a PNG: source, histogram matching, CycleGAN, CUT, FastCUT, truth.
    say : callable
        Told of every result.
    """
    task = unpaired_task(quick=quick)
    results: dict[str, tuple[npt.NDArray[Any], int | None]] = {
        "the source as it is": (task.unseen, None),
        "histogram matching": (match_histograms(task.unseen, np.concatenate(task.targets)), None),
    }
    for name, (identifier, options) in METHODS.items():
        settings = options | (_QUICK if quick else {"minutes": minutes})
        results[name] = _learnt(identifier, task, settings, device)
    rows: list[tuple[str | float | None, ...]] = []
    for name, (result, steps) in results.items():
        figures = _compared(task, result)
        rows.append((name, *figures, None if steps is None else float(steps)))
        say(f"{name}: {figures[0]:.2f} dB, SSIM {figures[1]:.3f}, content correlation {figures[2]:.3f}")
    columns = (
        "method",
        "PSNR, dB",
        "SSIM",
        "content correlation",
        "patch distance to the truth, % of range",
        "steps",
    )
    spent = "a few steps each" if quick else f"{minutes:g} minutes each"
    title = f"Learnt from unpaired images: another curve and texture, {spent}"
    report.tables.append(Table(title, columns, tuple(rows), digits=3))
    if pictures is not None:
        _draw(pictures / "unpaired.png", task, [result for result, _ in results.values()])


def _learnt(
    identifier: str, task: UnpairedTask, settings: dict[str, Any], device: str
) -> tuple[npt.NDArray[Any], int | None]:
    """Train, translate what was not seen, and leave no model behind."""
    with tempfile.TemporaryDirectory(prefix="napari-synth-bench-") as folder:
        trained = train_model(identifier, task.sources, task.targets, settings, out=folder, device=device)
        try:
            result = napari_synth.translate(task.unseen, generator=trained.generator.info.name, device=device)
        finally:
            registry.remove_model(trained.generator.info.id)
            registry.refresh()
    return np.asarray(result), trained.result.steps


def _compared(task: UnpairedTask, result: npt.NDArray[Any]) -> tuple[float, float, float, float]:
    """Return PSNR and SSIM, and what is measured without pairs."""
    unseen, truth, made = (
        [torch.from_numpy(np.asarray(image, dtype=np.float32) / WHITE)[None, None]]
        for image in (task.unseen, task.truth, result)
    )
    return (
        psnr(task.truth, result),
        ssim(task.truth, result),
        content_correlation(unseen, made),
        PatchTarget(truth).distance(made),
    )


def _draw(path: Path, task: UnpairedTask, results: list[npt.NDArray[Any]]) -> None:
    """Write the middle of what was not seen, side by side, from the source to the truth."""
    start = max(0, (task.unseen.shape[1] - _SHOWN) // 2)
    strip = []
    for picture in (*results, task.truth):
        part = np.clip(picture[:_SHOWN, start : start + _SHOWN], 0, WHITE).round().astype(np.uint8)
        strip += [part, np.full((len(part), 4), 255, np.uint8)]
    iio.imwrite(path, np.concatenate(strip[:-1], axis=1))
