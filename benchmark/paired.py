"""``bench translate``: what is learnt from pairs, on tasks made of real images, beside the best guess from single pixels.

A network is trained on the lower part of an image, of every frame where it is a movie, and measured on the upper part, which it
never sees.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import torch
from skimage import data

import napari_synth
from benchmark.metrics import WHITE, psnr, ssim
from benchmark.report import Report, Table
from napari_synth import registry
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.methods.translate.figures import PatchTarget
from napari_synth.methods.translate.paired import Kind, PixelRegression
from napari_synth.samples import load as sample
from napari_synth.studio.train import Trained, train_model

Say = Callable[[str], None]
Doubles = npt.NDArray[np.float64]

MINUTES = 3.0
METHODS = ("regression", "pix2pix")
_TRAINED_ON = 0.75
_QUICK_EDGE = 96
_MOST_ROWS = 256
_QUICK: dict[str, Any] = {"steps": 4, "patch": 32, "batch": 2, "width": 8}
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class PairTask:
    """A task whose truth is known.

    Attributes
    ----------
    name : str
    source, target : Image
        Of the same field.
    """

    name: str
    source: Image
    target: Image

    def rows(self, *, held_out: bool) -> PairTask:
        """Return the part that is trained on, or the one that is measured."""
        cut = round((1 - _TRAINED_ON) * self.source.sizes["Y"])
        part = slice(0, cut) if held_out else slice(cut, None)
        return PairTask(self.name, self.source.select(Y=part), self.target.select(Y=part))


def pair_tasks(*, quick: bool = False) -> list[PairTask]:
    """Return colour from gray, and stained nuclei from oblique light."""
    edge = slice(0, _QUICK_EDGE if quick else None)
    slide = data.immunohistochemistry()[edge, edge]
    gray = (slide @ np.array(_LUMINANCE)).round().astype(np.uint8)
    movie = sample("scratch").select(Y=edge, X=edge, T=slice(0, 2 if quick else None))
    nuclei, light = (movie.select(C=channel) for channel in (0, 1))
    return [
        PairTask("colour from gray", Image(gray, "YX", name="gray"), Image(slide, "YXS", name="colour")),
        PairTask("nuclei from light", replace(light, name="light"), replace(nuclei, name="nuclei")),
    ]


def bench_pairs(
    report: Report,
    *,
    quick: bool = False,
    minutes: float = MINUTES,
    device: str = "auto",
    pictures: Path | None = None,
    say: Say = lambda _: None,
) -> None:
    """Train regression and pix2pix, and compare them with the truth.

    Parameters
    ----------
    report : Report
        Gets a table for each task.
    quick : bool
        Small images, a few steps: whether it works, not how well.
    minutes : float
        Of each training.
    device : str
    pictures : Path, optional
        A folder for a PNG of each task: source, guess from single pixels, regression, pix2pix, truth.
    say : callable
        Told of every result.
    """
    for task in pair_tasks(quick=quick):
        seen, unseen = task.rows(held_out=False), task.rows(held_out=True)
        results: dict[str, tuple[Doubles, int | None]] = {"per-pixel regression": (_by_pixel(seen, unseen), None)}
        for method in METHODS:
            settings = _QUICK if quick else {"minutes": minutes}
            results[method] = _learnt(f"translate/{method}", seen, unseen, settings, device)
        truth = _colours_last(unseen.target)
        shown = IntensityTransform.from_statistics(measure_statistics(seen.target))
        rows: list[tuple[str | float | None, ...]] = []
        for name, (result, steps) in results.items():
            figures = _compared(_as_shown(truth, shown), _as_shown(result, shown))
            rows.append((name, *figures, None if steps is None else float(steps)))
            say(f"{task.name}, {name}: {figures[0]:.2f} dB, SSIM {figures[1]:.3f}, correlation {figures[2]:.3f}")
        columns = (
            "method",
            "PSNR, dB",
            "SSIM",
            "Pearson correlation",
            "patch distance to the truth, % of range",
            "steps",
        )
        spent = "a few steps each" if quick else f"{minutes:g} minutes each"
        report.tables.append(Table(f"Learnt from pairs: {task.name}, {spent}", columns, tuple(rows), digits=3))
        if pictures is not None:
            _draw(pictures / f"{task.name.replace(' ', '-')}.png", unseen, results, shown)


def _learnt(
    identifier: str, seen: PairTask, unseen: PairTask, settings: dict[str, Any], device: str
) -> tuple[Doubles, int]:
    """Train, translate what was not seen, and leave no model behind."""
    with tempfile.TemporaryDirectory(prefix="napari-synth-bench-") as folder:
        trained: Trained = train_model(identifier, seen.source, seen.target, settings, out=folder, device=device)
        try:
            result = napari_synth.translate(unseen.source, generator=trained.generator.info.name, device=device)
        finally:
            registry.remove_model(trained.generator.info.id)
            registry.refresh()
    return _colours_last(result), trained.result.steps


def _by_pixel(seen: PairTask, unseen: PairTask) -> Doubles:
    """Return the best guess from single pixels, fitted to what is trained on."""
    of_source = Kind.of([seen.source], "source").transforms
    of_target = Kind.of([seen.target], "target").transforms
    guess = PixelRegression(_flat(seen.source, of_source), _flat(seen.target, of_target))
    planes = _colours_last(unseen.source)
    pixels = _flat(unseen.source, of_source).T.reshape(1, planes.shape[-1], *planes.shape[:2])
    guessed = guess(torch.from_numpy(pixels).float())[0].numpy()
    return np.stack([one.inverse(plane) for one, plane in zip(of_target, guessed, strict=True)], axis=-1)


def _flat(image: Image, transforms: tuple[IntensityTransform, ...]) -> Doubles:
    """Return the normalised pixels of an image, (pixels, channels)."""
    pixels = _colours_last(image).reshape(-1, len(transforms))
    return np.stack([(pixels[:, i] - one.offset) / one.scale for i, one in enumerate(transforms)], axis=1)


def _colours_last(image: Image) -> Doubles:
    """Return the pixels of an image in counts, (Y, X, channels), frames below each other."""
    pixels = np.asarray(image.read(), dtype=np.float64)
    if "C" not in image.axes and "S" not in image.axes:
        return pixels.reshape(-1, pixels.shape[-1], 1)
    return pixels if image.axes == "YXS" else np.moveaxis(pixels, 0, -1)


def _as_shown(pixels: Doubles, shown: IntensityTransform) -> Doubles:
    """Return pixels in 0 to 255, as a display of the target shows them."""
    return np.clip(WHITE * (pixels - shown.offset) / shown.scale, 0.0, WHITE)


def _compared(truth: Doubles, result: Doubles) -> tuple[float, float, float, float]:
    """Return PSNR, SSIM, correlation and patch distance, the first and the last of all channels, the others their mean."""
    each = range(truth.shape[-1])
    alike = float(np.mean([ssim(truth[..., i], result[..., i]) for i in each]))
    correlation = float(np.mean([np.corrcoef(truth[..., i].ravel(), result[..., i].ravel())[0, 1] for i in each]))
    planes = [torch.from_numpy(np.moveaxis(image, -1, 0)[None] / WHITE).float() for image in (truth, result)]
    return psnr(truth, result), alike, correlation, PatchTarget(planes[:1]).distance(planes[1:])


def _draw(
    path: Path, unseen: PairTask, results: dict[str, tuple[Doubles, int | None]], shown: IntensityTransform
) -> None:
    """Write what was not seen, side by side."""
    source = _colours_last(unseen.source)
    low, high = (np.percentile(source, share, axis=(0, 1)) for share in (0.1, 99.9))
    first = np.clip(WHITE * (source - low) / np.maximum(high - low, 1e-9), 0.0, WHITE)
    strip = [first, *(_as_shown(result, shown) for result, _ in results.values())]
    strip.append(_as_shown(_colours_last(unseen.target), shown))
    gap = np.full((first.shape[0], 4, 3), WHITE)
    strip = [picture[:_MOST_ROWS] for picture in strip]
    gap = gap[:_MOST_ROWS]
    cells = [part for picture in strip for part in (np.broadcast_to(picture, (*picture.shape[:2], 3)), gap)]
    iio.imwrite(path, np.concatenate(cells[:-1], axis=1).round().astype(np.uint8))
