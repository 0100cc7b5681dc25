"""``bench correct``: what corrections of light, stripes, bleaching and channels leave over, beside simple ways and BaSiCPy.

BaSiCPy cannot be installed beside napari; where the environment has it without napari, it is measured in the same run.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

import napari_synth
from benchmark.metrics import psnr
from benchmark.report import Report, Table, load
from benchmark.scenes import six_images, textures
from napari_synth.imaging.image import Image
from napari_synth.methods.correct.flat_field import fields_of
from napari_synth.verbs import prepare

Doubles = npt.NDArray[np.float64]
Say = Callable[[str], None]
Row = tuple[str | float | None, ...]

_EDGE = 128
_TILES = (
    ("25 tiles", 25, 30.0, False),
    ("9 tiles", 9, 30.0, False),
    ("100 tiles", 100, 30.0, False),
    ("25 tiles, hardly any background", 25, 5.0, False),
    ("25 tiles, the same cells in each", 25, 30.0, True),
)
_STRIPES = 0.05
"""Of columns, the standard deviation of the logarithm of their gain."""
_SHIFT, _LARGER = (1.7, -2.3), 2e-3
_NO_BASICPY = "BaSiCPy is left out: it needs an environment without napari, with scipy below 1.13."


def bench_correct(*, quick: bool = False, device: str = "auto", say: Say = lambda _: None) -> Report:
    """Measure the corrections on scenes whose truth is known.

    Parameters
    ----------
    quick : bool
        Few scenes, and small ones.
    device : str
    say : callable
        Told of every scene.
    """
    report = Report("Correction of light, stripes, bleaching and channels")
    if importlib.util.find_spec("basicpy") is None:
        report.remarks.append(_NO_BASICPY)
    report.tables += [
        _flat_field(quick, device, say),
        _stripes(quick, device, say),
        _bleaching(quick, device, say),
        _chromatic_shift(quick, device, say),
        _large(quick, device, say),
    ]
    report.machine["load at the end"] = load()
    return report


def shading(edge: int) -> Doubles:
    """Return the light of a field, (Y, X), of mean 1: a bell beside the middle, behind a lens that darkens the corners."""
    y, x = np.mgrid[:edge, :edge] / edge
    bell = 0.15 + np.exp(-((y - 0.42) ** 2 / 0.3 + (x - 0.56) ** 2 / 0.45))
    light = bell / (1 + 0.5 * ((y - 0.5) ** 2 + (x - 0.5) ** 2)) ** 2
    return np.asarray(light / light.mean())


def tiles(count: int, background: float, *, same: bool = False, edge: int = _EDGE, seed: int = 0) -> Doubles:
    """Return tiles of cells (tiles, Y, X) under uneven light, in counts with noise.

    Parameters
    ----------
    count : int
    background : float
        Counts between cells, were the light even.
    same : bool
        Whether all show the same cells.
    edge : int
    seed : int
    """
    draws, light = np.random.default_rng(seed), shading(edge)
    first = _cells(draws, edge)
    made = [light * (background + (first if same else _cells(draws, edge))) for _ in range(count)]
    return np.stack([draws.poisson(one) + draws.normal(0.0, 2.0, one.shape) for one in made])


def _cells(draws: np.random.Generator, edge: int) -> Doubles:
    image = np.zeros((edge, edge))
    y, x = np.ogrid[:edge, :edge]
    for top, left, radius, height in zip(
        *draws.uniform(0, edge, (2, 18)), draws.uniform(3, 8, 18), draws.uniform(30, 200, 18), strict=True
    ):
        scale = edge / _EDGE
        image += height * ((y - top) ** 2 + (x - left) ** 2 < (radius * scale) ** 2)
    return image


def _flat_field(quick: bool, device: str, say: Say) -> Table:
    """Return the root mean square error of the field in percent."""
    truth, rows = shading(_EDGE), []

    def wrong(field: Doubles) -> float:
        return 100.0 * float(np.sqrt(np.mean((field / field.mean() / truth - 1.0) ** 2)))

    for name, count, background, same in _TILES[: 2 if quick else None]:
        say(f"Flat field, {name}")
        seen = tiles(count, background, same=same)
        run = prepare(
            "correct/flat-field", Image(seen[0].astype("f4"), "YX"), reference=Image(seen, "TYX"), device=device
        )
        ours, _ = fields_of(run.recipe.params["fitted"][0], (_EDGE, _EDGE))
        found = [
            np.ones_like(truth),
            gaussian_filter(seen.mean(0), 8.0),
            gaussian_filter(np.quantile(seen, 0.1, axis=0), 8.0),
            ours.astype(np.float64),
        ]
        basicpy = _basicpy(seen)
        rows.append((name, *(wrong(one) for one in found), None if basicpy is None else wrong(basicpy)))
    columns = ("scene", "none", "mean and blur", "10 % quantile and blur", "correct/flat-field", "BaSiCPy")
    return Table("Flat field: rms error of the shading in %", columns, tuple(rows), digits=2)


def _basicpy(seen: Doubles) -> Doubles | None:
    if importlib.util.find_spec("basicpy") is None:
        return None
    from basicpy import BaSiC

    model = BaSiC(get_darkfield=True)
    model.fit(seen)
    return np.asarray(model.flatfield, np.float64)


def _stripes(quick: bool, device: str, say: Say) -> Table:
    """Return the PSNR of striped planes, of stripes from edge to edge and of parts, in dB."""
    rows: list[Row] = []
    for scene in six_images(quick=quick) + ([] if quick else textures()):
        say(f"Stripes, {scene.name}")
        clean = scene.clean.astype(np.float64)
        row: list[float] = []
        for whole in (True, False):
            striped = clean * np.exp(_stripe_gains(clean.shape, whole))
            median = striped / _column_median(striped)
            ours = napari_synth.correct(striped.astype("f4"), "stripes", axes="YX", device=device)
            row += [psnr(clean, one) for one in (striped, median, np.asarray(ours, np.float64))]
        rows.append((scene.name, *row))
    columns = ("plane", "whole", "column median", "correct/stripes", "in parts", "column median", "correct/stripes")
    return Table("Stripes: PSNR in dB", columns, tuple(rows), digits=1)


def _stripe_gains(shape: tuple[int, ...], whole: bool) -> Doubles:
    draws = np.random.default_rng(0)
    gains = np.broadcast_to(draws.normal(0.0, _STRIPES, shape[1]), shape).copy()
    if not whole:
        first, length = draws.uniform(0, 0.7, shape[1]), draws.uniform(0.2, 0.6, shape[1])
        y = np.arange(shape[0])[:, None] / shape[0]
        gains *= (y >= first) & (y < first + length)
    return gains


def _column_median(striped: Doubles) -> Doubles:
    level = np.median(striped, axis=0)
    smooth = gaussian_filter(level, 12.0, mode="nearest")
    return np.asarray(level / np.maximum(smooth, 1e-9))


def _bleaching(quick: bool, device: str, say: Say) -> Table:
    """Return the errors of curves and of a flash of some cells, in percent."""
    rows: list[Row] = []
    frames, edge = (12, 48) if quick else (40, 96)
    time_ = np.arange(frames) / frames
    for name, fading, model in (
        ("one exponential", 0.2 + 0.8 * np.exp(-2.0 * time_), "exponential"),
        ("two exponentials", 0.1 + 0.45 * np.exp(-1.5 * time_) + 0.45 * np.exp(-9.0 * time_), "two exponentials"),
    ):
        say(f"Bleaching, {name}")
        draws = np.random.default_rng(0)
        scene = 20.0 + _cells(draws, edge)
        flash = 1.0 + 0.6 * np.exp(-(((np.arange(frames) - frames // 2) / 2.0) ** 2))
        part = scene > np.quantile(scene, 0.98)
        movie = scene * (fading / fading[0])[:, None, None] * np.where(part, flash[:, None, None], 1.0)
        seen = draws.poisson(movie).astype("f4")
        run = prepare("correct/bleaching", Image(seen, "TYX"), {"model": model, "dark": 0.0}, device=device)
        gains = np.asarray(run.recipe.params["fitted"][0]["gains"])
        curve = 100.0 * float(np.sqrt(np.mean((gains * fading / fading[0] - 1.0) ** 2)))
        steady = np.asarray(run.compute(), np.float64)[:, part].mean(1)
        transient = 100.0 * abs(float(steady[frames // 2] / steady[0] / flash[frames // 2] * flash[0]) - 1.0)
        rows.append((name, curve, transient))
    return Table("Bleaching: errors in %", ("curve", "of the curve (rms)", "of the peak of a flash"), tuple(rows), 2)


def _chromatic_shift(quick: bool, device: str, say: Say) -> Table:
    """Return how far channels lie from each other before and after, in pixels."""
    rows: list[Row] = []
    edge = 200 if quick else 400
    for name, first, second in _channel_pairs(edge):
        say(f"Chromatic shift, {name}")
        draws = np.random.default_rng(1)
        pair = np.stack([draws.poisson(np.clip(one, 0, None) + 5) for one in (first, _displaced(second))])
        run = prepare("correct/chromatic-shift", Image(pair.astype("u2"), "CYX"), device=device)
        fit = run.recipe.params["fitted"][1]
        away = np.linspace(-(edge - 1) / 2, (edge - 1) / 2, 9)
        y, x = np.meshgrid(away, away, indexing="ij")
        yy, yx, xy, xx = fit["slope"]
        off = np.hypot(
            fit["shift"][0] + yy * y + yx * x - _SHIFT[0] - _LARGER * y,
            fit["shift"][1] + xy * y + xx * x - _SHIFT[1] - _LARGER * x,
        )
        before = np.hypot(_SHIFT[0] + _LARGER * y, _SHIFT[1] + _LARGER * x)
        rows.append((name, *(float(np.sqrt(np.mean(one**2))) for one in (before, off))))
    return Table(
        "Chromatic shift: rms distance of the channels in pixels", ("scene", "before", "after"), tuple(rows), 3
    )


def _channel_pairs(edge: int) -> Iterator[tuple[str, Doubles, Doubles]]:
    from skimage import data

    photo = data.camera()[:edge, :edge].astype(np.float64)
    yield "the same structures, 0.3 times as bright", photo, 0.3 * photo
    yield "the same edges, bright where the other is dark", photo, 260.0 - photo
    draws, beads = np.random.default_rng(0), np.zeros((edge, edge))
    beads[tuple(draws.integers(8, edge - 8, (2, edge // 3)))] = draws.uniform(5e3, 2e4, edge // 3)
    beads = gaussian_filter(beads, 1.5)
    yield "beads", beads, 0.5 * beads


def _displaced(image: Doubles) -> Doubles:
    """Return what a channel shows that is displaced and larger."""
    y, x = np.indices(image.shape).astype(np.float64)
    cy, cx = ((size - 1) / 2 for size in image.shape)
    at = (
        (y - _SHIFT[0] + _LARGER * cy) / (1 + _LARGER),
        (x - _SHIFT[1] + _LARGER * cx) / (1 + _LARGER),
    )
    return np.asarray(map_coordinates(image, at, order=3, mode="reflect"))


def _large(quick: bool, device: str, say: Say) -> Table:
    """Return the seconds of the processor that learning and correcting the light of many tiles takes."""
    edge, count = (256, 5) if quick else (2048, 25)
    say(f"Flat field of {count} tiles of {edge} x {edge}")
    few = tiles(5, 30.0, edge=edge).clip(0).astype("u2")
    stack = np.concatenate([few] * -(-count // 5))[:count]
    start = time.process_time()
    napari_synth.correct(stack, "flat-field", axes="TYX", device=device)
    name = f"{count} tiles of {edge} x {edge}, learnt and corrected"
    return Table("Time on the processor", ("what", "seconds"), ((name, time.process_time() - start),), 1)
