"""``bench augment``: whether everything moves together, and how fast, beside kornia, albumentations and TorchIO."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt

from benchmark.augmentation_cases import PLANES, VOLUMES
from benchmark.augmenters import Augmenter, Load, augmenters, has, left_out, one_thread
from benchmark.dot_images import distances, drawn, places
from benchmark.report import Report, Table, load
from napari_synth.augmentation import Pipeline, Sample, Sampling, Transform

Say = Callable[[str], None]
Ids = npt.NDArray[np.int64]

LIMIT = 0.5
"""Pixels by which a dot and its point may differ."""
SIZES = {2: (140, 150), 3: (44, 52, 56)}
BATCH = 8
_PEERS = ("albumentations", "torchio")
_HUGE = 2**60
_EDGE = 6


def bench_augment(*, quick: bool = False, rounds: int | None = None, say: Say = lambda _: None) -> Report:
    """Measure the agreement of image, points and labels, and images per second in one thread of the CPU.

    Parameters
    ----------
    quick : bool
        One draw of each transform, small images.
    rounds : int, optional
        How often each library augments each kind of image; 15 where it is left out. The fastest counts, since other work on the
        machine only ever slows a run down, and libraries take turns, so that all meet the same.
    say : callable
        Told of every figure.
    """
    report = Report("Augmentation")
    with one_thread(), warnings.catch_warnings():
        # What peers warn of is theirs.
        warnings.simplefilter("ignore")
        report.tables.append(_agreement(1 if quick else 8, say))
        worst = max(float(row[2] or 0.0) for row in report.tables[0].rows)
        lost = [str(row[0]) for row in report.tables[0].rows if row[4] != "yes"]
        report.remarks.append(f"Dots and their points differ by at most {worst:.3f} pixels (limit {LIMIT}).")
        report.remarks.append(
            f"Labels lost or won an id: {', '.join(lost)}." if lost else "Labels keep exactly their ids everywhere."
        )
        found = 1 if quick else 15
        for title, given in loads(quick=quick).items():
            report.tables.append(_speed(title, given, rounds or found, say))
            report.remarks += [f"{title}: {sentence}" for sentence in left_out(given)]
        report.tables.append(_peers_agreement(2 if quick else 8))
    missing = [name for name in _PEERS if not has(name)]
    if missing:
        report.remarks.append(
            f"{' and '.join(missing)} left out: they come with the extra `bench` (pip install 'napari-synth[bench]')."
        )
    report.remarks.append("Every library computes in one thread; the fastest of several turns counts.")
    report.machine["load at the end"] = load()
    return report


def agreement(sizes: tuple[int, ...], transforms: tuple[Transform, ...], seed: int) -> tuple[float, int, bool]:
    """Return how well dots, points and labels agree after one draw.

    Parameters
    ----------
    sizes : tuple of int
        Of the image, two or three.
    transforms : tuple of Transform
    seed : int

    Returns
    -------
    worst : float
        Largest distance of a dot from its point, in pixels.
    count : int
        Dots that were compared: those near the border are not.
    kept : bool
        Whether labels have the ids of all blocks that stayed inside, and no other than those that they had.
    """
    axes = "ZYX"[3 - len(sizes) :]
    dots = places(sizes, 18 if len(sizes) == 2 else 14, 10)
    sample = Sample(drawn(sizes, dots), axes, points=dots)
    pipeline = Pipeline(transforms=transforms)
    draw = pipeline.draw(seed, sample)
    moved = pipeline.apply(sample, draw)
    found = distances(np.asarray(moved.image), np.asarray(moved.points))

    labels, corners = _blocks(sizes)
    marking = Pipeline(transforms=transforms, sampling=Sampling(leaving="mark"))
    blocks = Sample(labels=labels, labels_axes=axes, points=corners)
    after = marking.apply(blocks, draw)
    inside = np.all(after.inside["points"].reshape(-1, 2 ** len(sizes)), axis=1)
    every = _HUGE + np.arange(inside.size)
    ids = set(np.unique(after.labels).tolist()) - {0}
    expected = set(every[inside].tolist())
    kept = expected <= ids <= set(np.unique(labels).tolist())
    return float(found.max(initial=0.0)), len(found), kept


def loads(*, quick: bool = False) -> dict[str, Load]:
    """Return what is augmented in the comparison of speed, by its name."""
    rng = np.random.default_rng(0)
    plane, volume = ((64, 64), (16, 32, 32)) if quick else ((256, 256), (32, 128, 128))
    found = {}
    for sizes, title in ((plane, "2D"), (volume, "3D")):
        images = rng.uniform(0.1, 0.9, (BATCH, *sizes)).astype(np.float32)
        labels = rng.integers(0, 20, (BATCH, *sizes), dtype=np.int32)
        points = [rng.uniform(5, np.array(sizes) - 5, (50, len(sizes))) for _ in range(BATCH)]
        named = f"{title} image of {' x '.join(map(str, sizes))}"
        found[named] = Load(images)
        if title == "2D":
            found[f"{named}, labels, 50 points"] = Load(images, labels, points)
        else:
            found[f"{named}, labels"] = Load(images, labels)
    return found


def _blocks(sizes: tuple[int, ...]) -> tuple[Ids, npt.NDArray[np.float64]]:
    """Return labelled blocks with ids beyond what a float holds, and the corners of each in turn."""
    labels = np.zeros(sizes, np.int64)
    corners = []
    starts = product(*(range(_EDGE, size - 2 * _EDGE, 3 * _EDGE) for size in sizes))
    for index, start in enumerate(starts):
        labels[tuple(slice(first, first + _EDGE) for first in start)] = _HUGE + index
        corners += list(product(*((first, first + _EDGE - 1) for first in start)))
    return labels, np.array(corners, dtype=np.float64)


def _agreement(seeds: int, say: Say) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for cases, ndim in ((PLANES, 2), (VOLUMES, 3)):
        for name, transforms in cases.items():
            results = [agreement(SIZES[ndim], transforms, seed) for seed in range(seeds)]
            worst, dots = max(result[0] for result in results), sum(result[1] for result in results)
            kept = all(result[2] for result in results)
            say(f"{ndim}D {name}: {worst:.3f} px, ids {'kept' if kept else 'LOST'}")
            rows.append((f"{ndim}D {name}", str(dots), worst, LIMIT, "yes" if kept else "no"))
    return Table("Dots and their points", ("", "dots", "worst, px", "limit, px", "ids kept"), tuple(rows), digits=3)


def _speed(title: str, given: Load, rounds: int, say: Say) -> Table:
    """Let every library augment single images and batches in turns."""
    single = Load(
        given.images[:1],
        None if given.labels is None else given.labels[:1],
        None if given.points is None else given.points[:1],
    )
    rows = list(augmenters(given))
    times: dict[tuple[str, int], list[float]] = {}
    for turn, row in product(range(rounds + 1), rows):
        for part in (single, given) if row.batches else (single,):
            start = time.perf_counter()
            row.run(part)
            seconds = time.perf_counter() - start
            if turn:
                # The first turn warms caches up.
                times.setdefault((row.name, len(part.images)), []).append(seconds / len(part.images))
    table = tuple(
        (
            row.name,
            1 / min(times[row.name, 1]),
            1 / min(times[row.name, BATCH]) if row.batches else None,
            row.lacks if _lacks(row, given) else "",
        )
        for row in rows
    )
    for name, alone, together, _ in table:
        say(f"{title}: {name} {alone:.1f} per second" + (f", {together:.1f} in batches" if together else ""))
    return Table(
        f"{title}: images per second", ("", "one by one", f"in batches of {BATCH}", "left out"), table, digits=1
    )


def _lacks(row: Augmenter, given: Load) -> bool:
    return bool(row.lacks) and given.images.ndim == 4


def _peers_agreement(seeds: int) -> Table:
    """Measure how far dots are from points after the typical pipeline of every library that moves points."""
    dots = places(SIZES[2], 18, 10)
    given = Load(drawn(SIZES[2], dots)[None] / 125.0 + 0.1, None, [dots])
    rows = []
    for row in augmenters(given, noisy=False):
        results = [row.run(given) for _ in range(seeds)]
        found = [
            distances(np.maximum(result.image - 0.1, 1e-4).astype(np.float32), np.asarray(result.points, dtype=float))
            for result in results
            if result.points is not None
        ]
        every = np.concatenate(found)
        rows.append((row.name, float(np.median(every)), float(np.quantile(every, 0.9))))
    return Table(
        "Dots and points after the typical pipeline, without its noise",
        ("", "median, px", "9 of 10 within, px"),
        tuple(rows),
    )
