"""``bench ladder``: images that are spoilt in known ways hold every measure of made images to account.

A measure earns its place where it ranks them as people do: crops of the same images before slightly blurred ones, these before all
that has lost its form (strong blur, shuffled patches, random phases, streaks), and noise last; and where it notices that half of
the kinds are missing. Crops of the part that is learnt from, and a few of them over and over again, are real in all but being new:
that the nearest training crop tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import pi

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from torch import Tensor

from benchmark.report import Report, Table, load
from napari_synth import samples
from napari_synth.contract.trainable import TrainContext
from napari_synth.core.device import Device, resolve_device
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.catalogue import SynthesisTrainParams
from napari_synth.methods.synthesize.crops import AUC, TOLD, VARIETY, Crops, Judge, learnt_crops
from napari_synth.methods.synthesize.quality import (
    DIRECTION,
    DISTANCE,
    HISTOGRAM,
    MEMORY,
    PRECISION,
    RECALL,
    SPECTRUM,
    Measures,
    nearest_crops,
)
from napari_synth.training.dataset import gather
from napari_synth.training.losses import blurred

Say = Callable[[str], None]

REAL, SLIGHT, STRONG, SHUFFLED, PHASES = "real", "slight blur", "strong blur", "shuffled patches", "random phases"
STREAKS, HALF, COPIES, NOISE = "streaks", "half of the kinds", "copies", "noise"
BETTER = (
    (REAL, SLIGHT),
    (REAL, HALF),
    (SLIGHT, STRONG),
    (SLIGHT, SHUFFLED),
    (SLIGHT, PHASES),
    (SLIGHT, STREAKS),
    (STRONG, NOISE),
    (SHUFFLED, NOISE),
    (PHASES, NOISE),
    (STREAKS, NOISE),
)
"""Pairs of rungs: what people find better, and what they find worse."""
COURSE = "Told apart, course"
_LESS_IS_BETTER = (COURSE, TOLD, AUC, DISTANCE, SPECTRUM, DIRECTION, HISTOGRAM)
_MORE_IS_BETTER = (PRECISION, RECALL)
_SHOWN = (COURSE, TOLD, AUC, DISTANCE, PRECISION, RECALL, SPECTRUM, DIRECTION, HISTOGRAM, VARIETY, MEMORY)
_PATCH, _COUNT, _QUICK_PATCH, _QUICK_COUNT, _QUICK_EDGE = 64, 96, 32, 48, 192
_TILE, _REACH, _FEW = 8, 12, 6
# What differs by less is ranked by chance.
_TIE = 1e-3


def bench_ladder(*, quick: bool = False, device: str = "auto", say: Say = lambda _: None) -> Report:
    """Spoil real crops in known ways, and see which measures rank them as people do.

    Parameters
    ----------
    quick : bool
        Small crops of one source.
    device : str
        See `napari_synth.core.device.resolve_device`.
    say : callable
        Told of every rung.
    """
    report = Report("Ladder of made images")
    place = resolve_device(device)
    for image in _sources(quick=quick):
        found = _climb(image, place, say, quick=quick)
        rows = tuple((rung, *(own.get(measure) for measure in _SHOWN)) for rung, own in found.items())
        report.tables.append(Table(f"Measures of spoilt crops: {image.name}", ("rung", *_SHOWN), rows, digits=3))
        right = tuple((measure, float(_in_order(measure, found)), float(len(BETTER))) for measure in _ranking())
        report.tables.append(
            Table(f"Pairs ranked as people do: {image.name}", ("measure", "right", "of"), right, digits=0)
        )
    report.machine["load at the end"] = load()
    return report


def simulated_nuclei(count: int = 24, edge: int = 256, seed: int = 0) -> Image:
    """Draw planes of fluorescent nuclei of two kinds with chromatin, blur, photons and the noise of a camera.

    Parameters
    ----------
    count : int
    edge : int
        Of a plane, in pixels.
    seed : int

    Returns
    -------
    Image
        Axes TYX, uint16.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge].astype(np.float32)
    planes = []
    for _ in range(count):
        light = np.zeros((edge, edge), np.float32)
        placed: list[tuple[float, float, float]] = []
        grain = gaussian_filter(rng.standard_normal((edge, edge)), 1.5)
        grain /= grain.std()
        for _ in range(220):
            pale = rng.random() < 0.5
            radius = rng.uniform(9.0, 12.0) if pale else rng.uniform(5.5, 7.5)
            cy, cx = rng.uniform(-8.0, edge + 8.0, 2)
            if any(np.hypot(cy - a, cx - b) < 0.85 * (radius + other) for a, b, other in placed):
                continue
            placed.append((cy, cx, radius))
            turn, flat = rng.uniform(0.0, pi), rng.uniform(0.65, 0.95)
            along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            across = ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / flat
            beyond = np.hypot(along, across) - radius
            rim = 1.0 + 0.5 * np.exp(-((beyond + 1.5) ** 2) / 3.0)
            body = np.clip(0.5 - beyond / 1.5, 0.0, 1.0) * rim * (1.0 + (0.25 if pale else 0.1) * grain)
            light = np.maximum(light, body * (rng.uniform(250.0, 500.0) if pale else rng.uniform(600.0, 1000.0)))
        photons = rng.poisson(gaussian_filter(light, 0.9) * 0.25 + 12.0)
        planes.append(100.0 + 4.0 * photons + rng.normal(0.0, 6.0, light.shape))
    return Image(np.clip(np.rint(np.stack(planes)), 0, 65535).astype(np.uint16), "TYX", name="simulated nuclei")


def rungs(crops: Crops, count: int) -> Iterator[tuple[str, Tensor]]:
    """Yield sets of crops (count, C, Y, X), as networks see them, each spoilt in one way.

    Parameters
    ----------
    crops : Crops
        Those that a model learns from.
    count : int
        Of the crops in each set.
    """
    random = torch.Generator().manual_seed(5)

    def drawn(more: int = 1) -> Tensor:
        return crops.sample(more * count, random).cpu()

    yield REAL, drawn()
    yield SLIGHT, blurred(drawn(), 0.6)
    yield STRONG, blurred(drawn(), 1.5)
    yield SHUFFLED, _shuffled(drawn(), random)
    yield PHASES, _with_random_phases(drawn(), random)
    yield STREAKS, _streaked(drawn())
    many = drawn(2)
    yield HALF, many[many.mean((1, 2, 3)).argsort(descending=True)[:count]]
    few = drawn()[:_FEW]
    yield COPIES, few.repeat(-(-count // _FEW), 1, 1, 1)[:count]
    plain = drawn()
    order = torch.randperm(plain[0, 0].numel(), generator=random)
    yield NOISE, plain.flatten(2)[:, :, order].view_as(plain)


def _sources(*, quick: bool) -> Iterator[Image]:
    if quick:
        yield simulated_nuclei(6, _QUICK_EDGE)
        return
    yield simulated_nuclei()
    yield Image(data.gravel(), "YX", name="gravel")
    yield Image(data.immunohistochemistry(), "YXS", name="stained tissue")
    assay = samples.load("scratch")
    yield Image(
        np.asarray(assay.select(C=0).data) if "C" in assay.axes else assay.data,
        assay.axes.replace("C", ""),
        name="scratch assay",
    )


def _climb(image: Image, place: Device, say: Say, *, quick: bool) -> dict[str, dict[str, float]]:
    """Return what every measure says of every rung."""
    patch, count = (_QUICK_PATCH, _QUICK_COUNT) if quick else (_PATCH, _COUNT)
    crops = learnt_crops(gather(image, kind="one"), SynthesisTrainParams(patch=patch), TrainContext(place))
    measures = Measures(Judge(crops))
    found: dict[str, dict[str, float]] = {}
    for rung, spoilt in rungs(crops, count):
        seen = spoilt.to(place.torch_name)
        told = measures.judge.told_apart(seen, runs=2)
        _, nearest = nearest_crops(seen, crops, Reporter())
        found[rung] = {**measures.of(seen, told), MEMORY: nearest, COURSE: told.course}
        say(f"{image.name}, {rung}: told from real ones in {found[rung][TOLD]:.0f} %, course {told.course:.3f}.")
    return found


def _ranking() -> Sequence[str]:
    return (*_LESS_IS_BETTER, *_MORE_IS_BETTER)


def _in_order(measure: str, found: dict[str, dict[str, float]]) -> int:
    """Return how many pairs a measure ranks as people do."""
    sign = -1.0 if measure in _MORE_IS_BETTER else 1.0
    return sum(sign * found[worse][measure] > sign * found[better][measure] + _TIE for better, worse in BETTER)


def _shuffled(crops: Tensor, random: torch.Generator) -> Tensor:
    """Return crops whose patches stand in a random order."""
    count, channels, height, width = crops.shape
    patches = crops.unfold(2, _TILE, _TILE).unfold(3, _TILE, _TILE).reshape(count, channels, -1, _TILE, _TILE)
    mixed = torch.stack([one[:, torch.randperm(patches.shape[2], generator=random)] for one in patches])
    grid = mixed.view(count, channels, height // _TILE, width // _TILE, _TILE, _TILE)
    return grid.permute(0, 1, 2, 4, 3, 5).reshape(crops.shape)


def _with_random_phases(crops: Tensor, random: torch.Generator) -> Tensor:
    """Return crops of the same spectrum each, without form."""
    noise = torch.fft.rfft2(torch.randn(len(crops), 1, *crops.shape[2:], generator=random))
    mean = crops.mean((-2, -1), keepdim=True)
    turned = torch.fft.rfft2(crops - mean).abs() * noise / noise.abs().clamp_min(1e-9)
    found: Tensor = torch.fft.irfft2(turned, s=crops.shape[2:]) + mean
    return found


def _streaked(crops: Tensor) -> Tensor:
    """Return crops that are drawn out along a diagonal, with the intensities that they had."""
    drawn_out = torch.stack([torch.roll(crops, (by, by), (-2, -1)) for by in range(-_REACH, _REACH + 1)]).mean(0)
    order = drawn_out.flatten(2).argsort(-1)
    ranked = crops.flatten(2).sort(-1).values
    found: Tensor = torch.empty_like(ranked).scatter_(2, order, ranked).view_as(crops)
    return found
