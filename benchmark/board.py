"""How long the board takes to show the next image, and what memory many rows take: a real window, which needs a display.

``napari-synth bench curate`` runs it on Xvfb or a screen, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from benchmark.report import Report, Table, load
from napari_synth.core.errors import GeneratorError

_EDGE = 512
_STEPS = 40
_CHILD = """
import json, sys, time
import numpy as np, psutil, torch, napari
from qtpy.QtWidgets import QApplication
from napari_synth.gui.panels.curate import CuratePanel
from napari_synth.gui.widgets.curation_views import NEXT
viewer = napari.Viewer()
def until(ready, seconds=300):
    end = time.monotonic() + seconds
    while not ready():
        QApplication.processEvents()
        if time.monotonic() > end:
            raise SystemExit("The board did not come to an end.")
        time.sleep(0.001)
viewer.add_image(np.zeros((8, 8)))
viewer.layers.clear()
until(lambda: True)
panel = CuratePanel(viewer)
viewer.window.add_dock_widget(panel, name="Curate")
process = psutil.Process()
before = process.memory_info().rss
start = time.perf_counter()
panel.open(sys.argv[1])
until(lambda: panel._job is None and panel._opened is not None)
opened = time.perf_counter() - start
until(lambda: panel.layers.layer is not None)
panel.as_grid.setChecked(True)
times = []
for step in range(int(sys.argv[2])):
    # Somebody looks at an image before the next.
    pause = time.monotonic() + 0.3
    until(lambda: time.monotonic() > pause)
    wanted = panel.views.following(1)[0]
    start = time.perf_counter()
    panel.decide(NEXT)
    until(lambda: panel._awaited == wanted.path and panel.reader.get(wanted.path) is not None)
    QApplication.processEvents()
    times.append(time.perf_counter() - start)
after = process.memory_info().rss
print(json.dumps({"opened": opened, "times": sorted(times), "memory": (after - before) / 1e6,
    "rows": len(panel._opened.images.images)}))
panel.stop()
viewer.close()
"""


def bench_curate(rows: int, *, steps: int = _STEPS, say: Callable[[str], None]) -> Report:
    """Open a folder of images on the board and go from one to the next.

    Parameters
    ----------
    rows : int
        Images.
    steps : int
        How often the next one is asked for.
    say : callable
        Is told what is being measured.

    Raises
    ------
    GeneratorError
        The window could not be opened.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        rng = np.random.default_rng(0)
        say(f"Writing {rows} images")
        for number in range(rows):
            # Those that are looked at are as large as images are; the others are only listed.
            edge = _EDGE if number <= steps + 4 else 16
            tifffile.imwrite(folder / f"{number:05d}.tif", rng.poisson(100, (edge, edge)).astype(np.uint16))
        say("Going through them")
        command = [sys.executable, "-c", _CHILD, str(folder), str(steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise GeneratorError(f"The board could not be shown: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    times = found["times"]
    report = Report("The board")
    figures = (
        ("rows", float(found["rows"])),
        ("seconds to open them", found["opened"]),
        ("MB beyond napari and torch", found["memory"]),
        ("milliseconds to the next image, median", 1000 * times[len(times) // 2]),
        ("milliseconds to the next image, 95 of 100", 1000 * times[int(0.95 * (len(times) - 1))]),
    )
    report.tables.append(Table("The board", ("What", "Figure"), figures, 1))
    report.machine["load at the end"] = load()
    return report
