"""How long the plugin keeps napari waiting: the longest block of the main thread during a run, and napari's start.

Run with ``napari-synth bench gui`` or ``python -m benchmark.gui`` on a machine with a display (Xvfb will do).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import napari_synth

_TICK_MS = 5
_START = """
import sys, time
start = time.perf_counter()
from npe2 import PluginManager, PluginManifest
manager = PluginManager.instance()
manager.discover()
wanted, path = sys.argv[1] == "with", sys.argv[2]
there = "napari-synth" in manager
if wanted and not there:
    manager.register(PluginManifest.from_file(path))
if there and not wanted:
    manager.disable("napari-synth")
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
QApplication.processEvents()
took = time.perf_counter() - start
if "torch" in sys.modules:
    raise SystemExit("napari's start loaded torch")
print(took)
viewer.close()
"""


@dataclass(frozen=True)
class Block:
    """The longest time for which the main thread could do nothing else, in milliseconds.

    Attributes
    ----------
    wall : float
        As the user feels it, other programs on the machine included.
    cpu : float
        The most that the main thread itself computed in one go.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Blocks:
    """The longest blocks of the main thread.

    Attributes
    ----------
    first : Block
        While the worker worked on the first image of the session, whose run still loads libraries.
    working : Block
        While the worker worked on a further image.
    placing : Block
        While the result came into the viewer.
    napari_alone : Block
        While napari showed an equal layer without us: the part of ``placing`` that no plugin can go below.
    run_seconds : float
        How long the further run took.
    """

    first: Block
    working: Block
    placing: Block
    napari_alone: Block
    run_seconds: float


@dataclass(frozen=True)
class Start:
    """Seconds from an empty interpreter to napari's window, the median of several starts."""

    with_plugin: float
    without_plugin: float


def measure_blocks(size: int = 1024, generator: str = "denoise/blind") -> Blocks:
    """Run the panel on a noisy image in a real viewer and watch the main thread through a timer of 5 ms.

    Parameters
    ----------
    size : int
        Edge of the image in pixels.
    generator : str
        Id.
    """
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_synth.gui.panels.restore import DenoisePanel

    viewer = napari.Viewer(show=True)
    application = QApplication.instance()
    if application is None:
        raise AssertionError("napari made no application")
    panel = DenoisePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Denoise")
    panel.methods.choose(generator)
    watch = _Watch(application)
    placed: list[float] = []
    viewer.layers.events.inserted.connect(lambda _event: placed.append(time.perf_counter()))
    _wait(application, lambda: "looking" not in panel.device.text())

    def run(seed: int) -> tuple[Block, Block, float]:
        pixels = np.random.default_rng(seed).poisson(100, (size, size)).astype(np.uint16)
        source = viewer.add_image(pixels, name=f"image {seed}")
        panel.source.choose(source)
        _wait(application, lambda: False, seconds=1.0)
        count = len(viewer.layers)
        start = time.perf_counter()
        watch.begin()
        panel.run_button.click()
        _wait(application, lambda: len(viewer.layers) > count)
        _wait(application, lambda: False, seconds=0.5)
        return (*watch.longest(placed[-1]), placed[-1] - start)

    first, _, _ = run(0)
    working, placing, seconds = run(1)
    image = viewer.layers[-1]
    watch.begin()
    copy = napari.layers.Image(image.data, name="alone", contrast_limits=image.contrast_limits, multiscale=False)
    viewer.layers.append(copy)
    _wait(application, lambda: False, seconds=0.5)
    _, alone = watch.longest(0.0)
    viewer.close()
    _wait(application, lambda: False, seconds=0.2)
    return Blocks(first, working, placing, alone, round(seconds, 2))


def measure_start(repeats: int = 3) -> Start:
    """Start napari with and without the plugin, in turn, each in a process of its own."""
    manifest = Path(napari_synth.__file__).with_name("napari.yaml")
    taken: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(repeats):
        for which, times in taken.items():
            answer = subprocess.run(
                [sys.executable, "-c", _START, which, str(manifest)], capture_output=True, text=True, check=True
            )
            times.append(float(answer.stdout.strip().splitlines()[-1]))
    return Start(*(round(statistics.median(taken[which]), 2) for which in ("with", "without")))


class _Watch:
    """Notes when the main thread was free, and what it had computed by then."""

    def __init__(self, parent: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._ticks: list[tuple[float, float]] = []
        self._timer = QTimer(parent)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def begin(self) -> None:
        """Forget what was."""
        self._ticks = []
        self._tick()

    def longest(self, split: float) -> tuple[Block, Block]:
        """Return the longest block before the one that holds the time ``split``, and from that one on."""
        steps = list(pairwise(self._ticks))
        before = [(b[0] - a[0], b[1] - a[1]) for a, b in steps if b[0] < split]
        after = [(b[0] - a[0], b[1] - a[1]) for a, b in steps if b[0] >= split]
        return _worst(before), _worst(after)

    def _tick(self) -> None:
        self._ticks.append((time.perf_counter(), time.thread_time()))


def _worst(steps: list[tuple[float, float]]) -> Block:
    walls, cpus = ([round(1000 * step[which], 1) for step in steps] for which in (0, 1))
    return Block(max(walls, default=0.0), max(cpus, default=0.0))


def _wait(application: Any, ready: Callable[[], bool], seconds: float = 120.0) -> None:
    """Let the event loop run until something is so, or the time is over."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop(application)
    poll = QTimer(application)
    poll.setInterval(_TICK_MS)
    poll.timeout.connect(lambda: loop.quit() if ready() else None)
    poll.start()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()
    poll.stop()
    poll.deleteLater()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both measurements as JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="napari-synth bench gui", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="edge of the image in pixels")
    parser.add_argument("--generator", default="denoise/blind", help="id of the generator")
    parser.add_argument("--out", type=Path, help="write the figures there too")
    chosen = parser.parse_args(arguments)
    blocks = measure_blocks(chosen.size, chosen.generator)
    text = json.dumps({"blocks": asdict(blocks), "start_seconds": asdict(measure_start())}, indent=2)
    print(text)  # noqa: T201 - what the command is for
    if chosen.out is not None:
        chosen.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
