"""``bench large``: a large uint16 OME-Zarr is restored on the CPU by the command line; peak memory and time by size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.report import Report, Table, load
from napari_synth.core.errors import GeneratorError
from napari_synth.imaging.image import Image

SIZES = (5_000, 10_000)
FULL_SIZE = 20_000
QUICK_SIZES = (1_000, 2_000)
_TARGET_GIB = 3.0
_CHUNK = 1_000
_SOURCE, _RESULT = "source.zarr", "result.zarr"
# What the child runs: the command line, as a user would, and then what it cost; loading torch is no part of an image's time.
_CHILD = """
import json, resource, sys, time
import torch
from napari_synth.cli import main
start, begun = time.perf_counter(), time.process_time()
code = main(["denoise", sys.argv[1], sys.argv[2], "--device", "cpu", "--quiet"])
cost = {"code": code, "wall": time.perf_counter() - start, "processor": time.process_time() - begun}
cost["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(cost))
"""


@dataclass(frozen=True)
class Cost:
    """What restoring an image cost.

    Attributes
    ----------
    size : int
        Edge of the image in pixels.
    wall, processor : float
        Seconds by the clock, and of all threads together.
    peak : float
        Largest resident memory of the process, in GiB.
    """

    size: int
    wall: float
    processor: float
    peak: float

    @property
    def per_megapixel(self) -> float:
        """Seconds of processor time for a million pixels."""
        return self.processor / (self.size**2 / 1e6)


def bench_large(
    sizes: Sequence[int] = SIZES, *, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Restore square images of several sizes, each in a process of its own.

    Parameters
    ----------
    sizes : sequence of int
        Edges in pixels; the promise is for 20 000.
    folder : pathlib.Path, optional
        Where the images lie while they are needed, 4 bytes a pixel; the system's temporary folder where left out.
    say : callable
        Told of every size.

    Raises
    ------
    GeneratorError
        The command failed.
    """
    report = Report("Large images on the CPU, uint16 OME-Zarr to OME-Zarr")
    costs = []
    for size in sizes:
        costs.append(_restore(size, folder))
        say(f"{size} x {size}: {costs[-1].wall:.1f} s, peak {costs[-1].peak:.2f} GiB.")
    columns = ("pixels", "seconds", "processor seconds", "processor seconds a megapixel", "peak memory, GiB")
    rows = tuple((f"{c.size} x {c.size}", c.wall, c.processor, c.per_megapixel, c.peak) for c in costs)
    report.tables.append(Table("Time and memory by size", columns, rows))
    worst = max(cost.peak for cost in costs)
    kept = "stays under" if worst < _TARGET_GIB else "exceeds"
    report.remarks.append(f"Peak memory of {worst:.2f} GiB {kept} {_TARGET_GIB:g} GiB.")
    if len(costs) > 1:
        growth = costs[-1].per_megapixel / costs[0].per_megapixel
        report.remarks.append(
            f"The largest takes {growth:.2f} times as long a megapixel as the smallest (linear is 1)."
        )
    if FULL_SIZE not in sizes:
        report.remarks.append(f"{FULL_SIZE} x {FULL_SIZE} was not measured: ask for it with --size {FULL_SIZE}.")
    report.machine["load at the end"] = load()
    return report


def write_large_image(path: Path, size: int) -> None:
    """Write a square uint16 image of drawn spots with photon noise, block by block, as an OME-Zarr."""
    from napari_synth.files import create_ome_zarr

    like = Image(np.broadcast_to(np.uint16(0), (size, size)), "YX", {"Y": 0.1, "X": 0.1}, {"Y": "um", "X": "um"})
    spots = _spots(_CHUNK)
    with create_ome_zarr(path, like, chunks={"Y": _CHUNK, "X": _CHUNK}) as target:
        for index, y in enumerate(range(0, size, _CHUNK)):
            rng = np.random.default_rng(index)
            for x in range(0, size, _CHUNK):
                height, width = min(_CHUNK, size - y), min(_CHUNK, size - x)
                electrons = rng.poisson(spots[:height, :width])
                noisy = 100.0 + 2.0 * electrons + rng.normal(0.0, 3.0, electrons.shape)
                target[y : y + height, x : x + width] = np.clip(noisy, 0, 65535).round().astype(np.uint16)


def _spots(edge: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return expected electrons: blurred spots on a dark ground."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    field = np.zeros((edge, edge))
    count = edge * edge // 400
    np.add.at(field, (rng.integers(0, edge, count), rng.integers(0, edge, count)), rng.exponential(2000.0, count))
    return np.asarray(10.0 + gaussian_filter(field, 2.0, mode="wrap"))


def _restore(size: int, folder: Path | None) -> Cost:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, result = Path(place) / _SOURCE, Path(place) / _RESULT
        write_large_image(source, size)
        command = [sys.executable, "-c", _CHILD, str(source), str(result)]
        child = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ.copy())
        if child.returncode or not child.stdout.strip():
            raise GeneratorError(f"The image of {size} x {size} pixels was not restored: {child.stderr.strip()[-500:]}")
        cost = json.loads(child.stdout.strip().splitlines()[-1])
        if cost["code"]:
            raise GeneratorError(f"The image of {size} x {size} pixels was not restored: {child.stderr.strip()[-500:]}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(size, float(cost["wall"]), float(cost["processor"]), float(cost["peak"]) * unit / 2**30)
