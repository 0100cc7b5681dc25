"""``bench synthesize``: generative models trained on real images, and whether what they make is told from crops they never saw.

An image is split by region: models learn from its upper rows, and what they make is held against crops of the rows below, beside
other real crops, which say what can be reached, blurred ones and noise. The split is that of the training itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import torch
from skimage import data

import napari_synth
from benchmark.ladder import simulated_nuclei
from benchmark.metrics import WHITE
from benchmark.report import Report, Table, load
from napari_synth import registry
from napari_synth.contract.trainable import TrainContext
from napari_synth.core.device import Device, resolve_device
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.catalogue import SynthesisTrainParams
from napari_synth.methods.synthesize.crops import AUC, JUDGED, REAL, TOLD, VARIETY, Crops, as_seen, learnt_crops
from napari_synth.methods.synthesize.quality import (
    DIRECTION,
    DISTANCE,
    HISTOGRAM,
    MADE,
    MEMORY,
    PRECISION,
    RECALL,
    SPECTRUM,
    Quality,
    report_quality,
)
from napari_synth.studio.train import train_model
from napari_synth.training.dataset import gather

Say = Callable[[str], None]
Pixels = npt.NDArray[np.uint8]

MINUTES = 3.0
MODELS = {
    "flow matching": "synthesize/flow-matching",
    "FastGAN": "synthesize/fastgan",
    "DCGAN": "synthesize/dcgan",
    "VAE-GAN": "synthesize/vae-gan",
    "VAE": "synthesize/vae",
}
FROM_ONE = "from one image, untrained"
_PATCH, _QUICK_PATCH, _QUICK_EDGE, _QUICK_COUNT = 64, 32, 96, 8
_QUICK: dict[str, Any] = {"steps": 2, "batch": 2, "width": 8}
_FIGURES = (TOLD, AUC, DISTANCE, VARIETY, PRECISION, RECALL, SPECTRUM, DIRECTION, HISTOGRAM, MEMORY)
_BESIDE = (REAL, f"{REAL}, blurred", "noise")
_SHOWN, _GAP = 10, 2


def bench_synthesize(
    *,
    minutes: float | None = None,
    quick: bool = False,
    device: str = "auto",
    pictures: Path | None = None,
    say: Say = lambda _: None,
) -> Report:
    """Train every generative model on a texture and on microscopy, and judge what it makes.

    Parameters
    ----------
    minutes : float, optional
        Of each training; 3 where it is left out.
    quick : bool
        Two steps on a small image: whether it works, not how well.
    device : str
        See `napari_synth.core.device.resolve_device`.
    pictures : Path, optional
        A folder for a PNG of each image: a row of held-out crops, and one of every model.
    say : callable
        Told of every result.
    """
    report = Report("Synthesis")
    place = resolve_device(device)
    spent = "a few steps each" if quick else f"{minutes or MINUTES:g} minutes each"
    for image in _images(quick=quick):
        patch = _QUICK_PATCH if quick else _PATCH
        crops = learnt_crops(gather(image, kind="one"), SynthesisTrainParams(patch=patch), TrainContext(place))
        rows: list[tuple[str | float | None, ...]] = []
        strips = [_shown(crops.as_counts(crops.held_out[:_SHOWN]), crops)]
        for name, (made, steps) in _made(image, crops, patch, minutes or MINUTES, place, quick=quick):
            quality = report_quality(Image(made, f"T{crops.spec.axes}"), (image,), place)
            if not rows:
                rows += [_row(beside, quality, beside, None) for beside in _BESIDE]
            rows.append(_row(name, quality, MADE, steps))
            own = quality.figures[MADE]
            say(
                f"{image.name}, {name}: told from real ones in {own[TOLD]:.0f} % (real {quality.figures[REAL][TOLD]:.0f} %),"
                f" distance of forms {own[DISTANCE]:.3f} (real {quality.figures[REAL][DISTANCE]:.3f})"
            )
            strips.append(_shown(_channels_first(made[:_SHOWN], crops.spec.axes), crops))
        title = f"Made by models: {image.name}, {patch} x {patch} pixels, {spent}"
        report.tables.append(Table(title, ("images", *_FIGURES, "steps"), tuple(rows), digits=3))
        report.remarks.append(_verdict(image.name, rows))
        say(report.remarks[-1])
        if pictures is not None:
            iio.imwrite(pictures / f"{image.name.replace(' ', '-')}.png", _sheet(strips))
    if pictures is not None:
        report.remarks.append(f"Rows of the pictures: held-out crops, {', '.join(MODELS)}, {FROM_ONE}.")
    report.machine["load at the end"] = load()
    return report


def _images(*, quick: bool) -> Iterator[Image]:
    """Return a photographed texture, and beside it simulated nuclei and stained tissue in colours."""
    edge = slice(0, _QUICK_EDGE if quick else None)
    yield Image(data.gravel()[edge, edge], "YX", name="gravel")
    if not quick:
        yield simulated_nuclei()
        yield Image(data.immunohistochemistry(), "YXS", name="stained tissue")


def _made(
    image: Image, crops: Crops, patch: int, minutes: float, place: Device, *, quick: bool
) -> Iterator[tuple[str, tuple[npt.NDArray[Any], float | None]]]:
    """Return what every model makes, (N, *axes of the crops), and the steps that it was trained."""
    count = _QUICK_COUNT if quick else JUDGED
    settings: dict[str, Any] = {"patch": patch} | (_QUICK if quick else {"minutes": minutes})
    for name, identifier in MODELS.items():
        yield name, _learnt(identifier, image, settings, count, place)
    part = max(crops.fields, key=lambda field: field.pixels.size)
    counts = crops.as_counts(as_seen(torch.from_numpy(part.pixels))[None])[0]
    seen = np.rint(np.moveaxis(counts, 0, -1) if crops.spec.axis == "S" else counts[0]).astype(image.dtype)
    source = Image(seen, crops.spec.axes, name=image.name)
    made = napari_synth.synthesize(
        "patches", count, source=source, size=patch, device=place.kind, steps=2 if quick else 6
    )
    yield FROM_ONE, (np.asarray(made), None)


def _learnt(
    identifier: str, image: Image, settings: dict[str, Any], count: int, place: Device
) -> tuple[npt.NDArray[Any], float]:
    """Train, make images, and leave no model behind."""
    with tempfile.TemporaryDirectory(prefix="napari-synth-bench-") as folder:
        trained = train_model(identifier, image, params=settings, out=folder, device=place.kind)
        try:
            made = napari_synth.synthesize(trained.generator.info.name, count, device=place.kind)
        finally:
            registry.remove_model(trained.generator.info.id)
            registry.refresh()
    return np.asarray(made), float(trained.result.steps)


def _row(name: str, quality: Quality, kind: str, steps: float | None) -> tuple[str | float | None, ...]:
    figures = quality.figures[kind]
    return (name, *(figures.get(one) for one in _FIGURES), steps)


def _verdict(name: str, rows: list[tuple[str | float | None, ...]]) -> str:
    told = {str(row[0]): cast(float, row[1]) for row in rows}
    best = min(MODELS, key=lambda model: told[model])
    return (
        f"{name}: {best} is told from real crops least of those that were trained, in {told[best]:.0f} % of all cases; other real"
        f" crops in {told[REAL]:.0f} %, blurred ones in {told[_BESIDE[1]]:.0f} %, noise in {told['noise']:.0f} %."
    )


def _channels_first(images: npt.NDArray[Any], axes: str) -> npt.NDArray[np.float64]:
    """Return images (N, *axes) as (N, C, Y, X)."""
    pixels = np.asarray(images, np.float64)
    return np.moveaxis(pixels, -1, 1) if axes == "YXS" else pixels[:, None]


def _shown(counts: npt.NDArray[np.float64], crops: Crops) -> Pixels:
    """Return images (N, C, Y, X) in counts side by side, (Y, N X, 3), as a display of the real ones shows them."""
    low = np.reshape([one.offset for one in crops.transforms], (-1, 1, 1))
    scale = np.reshape([one.scale for one in crops.transforms], (-1, 1, 1))
    colours = np.broadcast_to((counts - low) / scale, (len(counts), 3, *counts.shape[-2:])).transpose(0, 2, 3, 1)
    cells = [np.pad(cell, ((0, 0), (0, _GAP), (0, 0)), constant_values=1.0) for cell in colours]
    shown: Pixels = (WHITE * np.clip(np.concatenate(cells, axis=1), 0.0, 1.0)).round().astype(np.uint8)
    return shown


def _sheet(strips: list[Pixels]) -> Pixels:
    """Return strips below each other."""
    least = min(strip.shape[1] for strip in strips)
    rows = [np.pad(strip[:, :least], ((0, _GAP), (0, 0), (0, 0)), constant_values=255) for strip in strips]
    return np.concatenate(rows, axis=0)
