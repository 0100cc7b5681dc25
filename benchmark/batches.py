"""What a batch survives and what that costs: kills, torn files, lost workers, shards, bad files, and how it lasts over many images.

Everything is measured on commands in processes of their own, as a user would start them; ``napari-synth bench batch``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile

from benchmark.report import Report, Table, load
from napari_synth.core.errors import GeneratorError

Say = Callable[[str], None]
TILE = 64
_BLOCKS_ACROSS = 10
_MEDIAN = ("--generator", "median", "--radius", "1", "--device", "cpu", "--quiet")
_START, _LONGEST, _PERIOD = 300, 1800, 5
# A command that notes each unit which it has made, in a file that all processes append to.
_NOTING = """
import os, sys
from napari_synth.files import OmeZarrTarget
write = OmeZarrTarget.write_unit
def noted(self, index, make):
    def made():
        with open(os.environ["SYNTH_BENCH_LOG"], "a") as log:
            log.write("-".join(str(part.start) for part in index) + "\\n")
        return make()
    write(self, index, made)
OmeZarrTarget.write_unit = noted
from napari_synth.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
_PLANNING = """
import json, resource, sys, time
import numpy as np, psutil, torch
from napari_synth.batches.units import units_of
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.engine import door
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image
from napari_synth.registry import generator
class Virtual:
    dtype, ndim, chunks = np.dtype(np.uint16), 3, (1, 1024, 1024)
    tile = np.random.default_rng(0).poisson(np.linspace(40, 400, 1024), (1024, 1024)).astype(np.uint16)
    def __init__(self, shape):
        self.shape = shape
    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        index += (slice(None),) * (3 - len(index))
        dropped = tuple(0 if isinstance(one, int) else slice(None) for one in index)
        parts = [range(one, one + 1) if isinstance(one, int) else range(size)[one] for one, size in zip(index, self.shape)]
        y, x = (np.asarray(part) % 1024 for part in parts[1:])
        return np.repeat(self.tile[np.ix_(y, x)][None], len(parts[0]), axis=0)[dropped]
edge = int(sys.argv[1])
image = Image(Virtual((64, edge, edge)), "ZYX")
recipe = Recipe(generator="denoise/median", params={"radius": 1}, device="cpu")
def prepared(image):
    return door.open(generator("denoise/median"), recipe, Inputs(image), RunOptions("cpu"), Reporter())
# What a first run loads is not the image's.
prepared(Image(Virtual.tile[:64, :64], "YX"))
before, start = psutil.Process().memory_info().rss, time.perf_counter()
run = prepared(image)
units = units_of(run, run.chunks)
print(json.dumps({"seconds": time.perf_counter() - start, "units": len(units), "bytes": image.n_pixels * 2,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before}))
"""
_SOAKING = """
import json, os, sys, tempfile, threading
from pathlib import Path
import psutil
import napari_synth
source, target, each = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
seen, process = [], psutil.Process()
temporary = Path(tempfile.gettempdir())
def tell(record):
    tell.count += 1
    if tell.count % each == 0:
        left = sum(".part" in name for name in os.listdir(target))
        seen.append([process.memory_info().rss / 2**20, threading.active_count(), process.num_fds(), left])
tell.count = 0
report = napari_synth.batch("denoise/median", source, target, {"radius": 1}, device="cpu", tell=tell)
print(json.dumps({"failed": len(report.failed), "seen": seen}))
"""
_COST = """
import json, sys, time
from pathlib import Path
from napari_synth.files.work_units import UnderWay
spent = [0.0]
def timed(name):
    inner = getattr(UnderWay, name)
    def outer(*arguments, **options):
        start = time.perf_counter()
        try:
            return inner(*arguments, **options)
        finally:
            spent[0] += time.perf_counter() - start
    setattr(UnderWay, name, outer)
for name in ("is_done", "begin", "complete", "begun", "holds"):
    timed(name)
from napari_synth.cli import main
import torch
start = time.perf_counter()
code = main(sys.argv[1:])
print(json.dumps({"code": code, "own": spent[0], "all": time.perf_counter() - start}))
"""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    rows : int
        Of blocks, ten each.
    kills : int
    files : int
        Of the batch with three bad ones.
    soak : int
        Small images that are gone through in one process.
    edge : int
        Of the plane whose blocks cost something: two of ``edge / 2`` by ``edge``.
    virtual : int
        Edge of the planes of the image that is only planned.
    """

    rows: int = 20
    kills: int = 10
    files: int = 300
    soak: int = 1000
    edge: int = 11584
    virtual: int = 28672


QUICK = Size(rows=4, kills=2, files=12, soak=40, edge=1024, virtual=4096)


def bench_batch(size: Size, *, parts: Sequence[str] = (), say: Say) -> Report:
    """Kill, tear, share and soak, and report what came of it.

    Parameters
    ----------
    size : Size
    parts : sequence of str
        What is measured, of `PARTS`; all of it where empty. ``"workers"`` needs the extra ``cluster``.
    say : callable
        Is told what is being measured, and every figure as it is there.
    """
    report = Report("Many files")
    rows: list[tuple[str | float | None, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        for part, (what, measured) in _PARTS.items():
            if parts and part not in parts:
                continue
            folder = Path(name) / part
            folder.mkdir()
            say(what)
            for row in measured(folder, size):
                say(f"  {row[0]}: {row[1]}")
                rows.append(row)
        if rows:
            report.tables.append(Table("Batches", ("What", "Figure"), tuple(rows)))
        if not parts or SOAK in parts:
            folder = Path(name) / SOAK
            folder.mkdir()
            say(f"{size.soak} small images")
            report.tables.append(_soak(folder, size))
    report.machine["load at the end"] = load()
    return report


def _killed(folder: Path, size: Size) -> Iterator[tuple[str, str | float]]:
    source = folder / "large.tif"
    _write(source, (size.rows * TILE, _BLOCKS_ACROSS * TILE))
    whole, log = folder / "whole.zarr", folder / "units.log"
    _command(log, "denoise", str(source), str(whole), "--tile", str(TILE), *_MEDIAN).wait()
    blocks = len(_noted(log))
    log.unlink()
    target, rng, torn = folder / "out.zarr", np.random.default_rng(0), 0
    markers = folder / ".out.zarr.underway" / "units"
    for kill in range(size.kills):
        process = _command(log, "denoise", str(source), str(target), "--tile", str(TILE), *_MEDIAN)
        wanted = (kill + 1) * blocks // (size.kills + 1)
        _until(process, partial(_are_there, markers, wanted))
        time.sleep(float(rng.uniform(0, 0.02)))
        process.kill()
        process.wait()
        if kill == 0:
            chunk = next(
                path for path in (markers.parent / "store" / "0").rglob("*") if path.is_file() and "c" in path.parts
            )
            chunk.write_bytes(chunk.read_bytes()[:50])
            torn = 1
    code = _command(log, "denoise", str(source), str(target), "--tile", str(TILE), *_MEDIAN).wait()
    again = len(_noted(log)) - blocks
    yield "blocks of the image", blocks
    yield "SIGKILLs", size.kills
    yield "equal to undisturbed", _yes(code == 0 and _content(target) == _content(whole))
    yield "blocks that were done twice", again
    yield "of which were under way or torn, at most", size.kills + torn


def _with_workers(folder: Path, size: Size) -> Iterator[tuple[str, str | float]]:
    source, whole, markers = folder / "large.tif", folder / "one.zarr", folder / ".two.zarr.underway" / "units"
    _write(source, (size.rows * TILE, _BLOCKS_ACROSS * TILE))
    slow = ("--generator", "blind", "--device", "cpu", "--tile", str(TILE), "--quiet")
    _command(None, "denoise", str(source), str(whole), *slow).wait()
    start = time.perf_counter()
    process = _command(None, "denoise", str(source), str(folder / "two.zarr"), *slow, "--workers", "2")
    killed, last = 0, start
    while process.poll() is None:
        if not markers.is_dir():
            # Workers that are lost before they are there are none that a cluster could give the work of to others.
            last = time.perf_counter()
        elif time.perf_counter() - last > _PERIOD:
            last = time.perf_counter()
            # The younger of the two, and none that is the only one: a cluster needs somebody to give the work to.
            for child in sorted(_workers(process.pid), key=psutil.Process.create_time)[1:]:
                with suppress(psutil.Error):
                    child.kill()
                    killed += 1
        if time.perf_counter() - start > _LONGEST:
            process.kill()
        time.sleep(0.05)
    same = process.returncode == 0 and _content(folder / "two.zarr") == _content(whole)
    yield "workers that were killed", killed
    yield "equal to one process", _yes(same)
    seconds = []
    large = folder / "larger.tif"
    _write(large, (size.edge // 2, size.edge // 2))
    for count in (1, 2):
        target = folder / f"speed{count}.zarr"
        extra = ("--workers", str(count)) if count > 1 else ()
        start = time.perf_counter()
        _command(
            None, "denoise", str(large), str(target), "--generator", "blind", "--device", "cpu", "--quiet", *extra
        ).wait()
        seconds.append(time.perf_counter() - start)
    yield "speed of two workers by one process, their start included", seconds[0] / seconds[1]


def _shards(folder: Path, _size: Size) -> Iterator[tuple[str, str | float]]:
    (folder / "few").mkdir()
    for number in range(6):
        _write(folder / "few" / f"{number}.tif", (128, 128), number)
    (folder / "few.yaml").write_text("generator: denoise/median\nparams: {radius: 1}\ndevice: cpu\n")
    words = ("run", str(folder / "few.yaml"), str(folder / "few" / "*.tif"))
    _command(None, *words, str(folder / "single"), "--quiet").wait()
    for shard in range(3):
        _command(None, *words, str(folder / "parts"), "--shard", f"{shard}/3", "--quiet").wait()
    code = _command(None, "finish", str(folder / "parts")).wait()
    same = code == 0 and _content(folder / "parts", "*.tif") == _content(folder / "single", "*.tif")
    yield "three shards equal one run", _yes(same)


def _bad_files(folder: Path, size: Size) -> Iterator[tuple[str, str | float]]:
    (folder / "in").mkdir()
    for number in range(size.files - 3):
        _write(folder / "in" / f"{number:04d}.tif", (48, 48), number)
    for number in range(3):
        (folder / "in" / f"bad{number}.tif").write_bytes(b"II*\0")
    words = ("denoise", str(folder / "in"), str(folder / "out"), *_MEDIAN)
    manifest = folder / "out" / "manifest.jsonl"
    process = _command(None, *words)
    _until(process, lambda: manifest.exists() and manifest.read_text().count("\n") >= size.files // 3)
    process.kill()
    process.wait()
    process = _command(None, *words, piped=True)
    said = process.communicate()[1]
    yield "files, three of them bad, killed once", size.files
    yield "exit code", float(process.returncode)
    yield "bad files that are named", float(len(set(re.findall(r"bad\d\.tif", said))))
    # Bad ones are tried again: they would be good where somebody has mended them.
    again = _spent(_command(None, *words))
    # A start: the same command where there is one file, a bad one.
    (folder / "one").mkdir()
    (folder / "one" / "bad.tif").write_bytes(b"II*\0")
    once = _spent(_command(None, "denoise", str(folder / "one"), str(folder / "none"), *_MEDIAN))
    yield "seconds of a repetition beyond a start", max(0.0, again[0] - once[0])
    yield "seconds of processor of that", max(0.0, again[1] - once[1])


def _cost(folder: Path, size: Size) -> Iterator[tuple[str, str | float]]:
    _write(folder / "plane.tif", (size.edge, size.edge // 2))
    words = ["denoise", str(folder / "plane.tif"), str(folder / "plane.zarr"), "--tile", str(size.edge // 2), *_MEDIAN]
    found = _answer(_COST, *words)
    yield "blocks of, in MB", (size.edge // 2) ** 2 * 2 / 1e6
    yield "share of the time that markers and checksums take, in percent", 100 * found["own"] / found["all"]


def _planned(_folder: Path, size: Size) -> Iterator[tuple[str, str | float]]:
    found = _answer(_PLANNING, str(size.virtual))
    yield "GB of an image that is only planned", found["bytes"] / 1e9
    yield "its units", found["units"]
    yield "seconds to plan it", found["seconds"]
    yield "MB that this takes", found["memory"] / 1e6


def _soak(folder: Path, size: Size) -> Table:
    (folder / "many").mkdir()
    first = folder / "many" / "00000.tif"
    _write(first, (32, 32))
    for number in range(1, size.soak):
        _write(folder / "many" / f"{number:05d}.tif", (32, 32), number)
    found = _answer(_SOAKING, str(folder / "many"), str(folder / "soaked"), str(max(1, size.soak // 10)))
    rows = tuple((str((number + 1) * max(1, size.soak // 10)), *row) for number, row in enumerate(found["seen"]))
    return Table(
        "One process over many small images", ("Images", "MB", "Threads", "Handles", "Temporary files"), rows, 0
    )


_PARTS: dict[str, tuple[str, Callable[[Path, Size], Iterator[tuple[str, str | float]]]]] = {
    "kills": ("One large image: undisturbed, killed, torn", _killed),
    "workers": ("Two workers, one of them killed every five seconds", _with_workers),
    "shards": ("Shards", _shards),
    "files": ("Files with bad ones among them", _bad_files),
    "cost": ("What units of 64 MB cost", _cost),
    "plan": ("An image that is only planned", _planned),
}
SOAK = "soak"
PARTS = (*_PARTS, SOAK)


def _write(path: Path, shape: tuple[int, int], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    tifffile.imwrite(
        path, rng.poisson(np.linspace(40, 400, shape[1]), shape).astype(np.uint16), metadata={"axes": "YX"}
    )


def _command(log: Path | None, *words: str, piped: bool = False) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    code = _NOTING if log is not None else _NOTING.replace("OmeZarrTarget.write_unit = noted\n", "")
    environment["SYNTH_BENCH_LOG"] = str(log or "")
    out = subprocess.PIPE if piped else subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stdout=out, stderr=out, text=True)


def _spent(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Wait for a process, and return the seconds that it took from now, and those of processor."""
    times, start = os.times(), time.perf_counter()
    process.wait()
    now = os.times()
    used = now.children_user + now.children_system - times.children_user - times.children_system
    return time.perf_counter() - start, used


def _answer(code: str, *words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise GeneratorError(f"A part of the benchmark failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _workers(pid: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    found = []
    for child in children:
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def _until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """Wait until something is there, or the process has ended."""
    end = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < end and not ready():
        time.sleep(0.002)


def _are_there(markers: Path, count: int) -> bool:
    return markers.is_dir() and len(list(markers.iterdir())) >= count


def _noted(log: Path) -> Sequence[str]:
    return log.read_text(encoding="utf-8").split() if log.exists() else ()


def _content(folder: Path, pattern: str = "**/*") -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _yes(right: bool) -> str:
    return "yes" if right else "no"
