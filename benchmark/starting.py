"""``bench start``: processor time from an empty interpreter to what a user types first, and the heavy libraries it loads."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.report import Report, Table, load
from napari_synth.core.errors import GeneratorError

HEAVY = ("torch", "scipy", "skimage", "kornia", "napari")
STARTS = {
    "an empty interpreter": "pass",
    "import numpy": "import numpy",
    "import napari_synth": "import napari_synth",
    "all methods, as the panels list them": (
        "from napari_synth import registry; registry.generators(); registry.trainables()"
    ),
    "napari-synth --help": "from napari_synth.cli import main; main(['--help'])",
    "napari-synth list": "from napari_synth.cli import main; main(['list'])",
    "import torch": "import torch",
}
# What the child runs: the statement, and then what it cost, past all that the statement prints.
_CHILD = """
import json, os, resource, sys
sys.stdout = open(os.devnull, "w")
exec(sys.argv[1])
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in sys.argv[2].split(",") if name in sys.modules]
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "heavy": heavy}), file=sys.__stdout__)
"""


@dataclass(frozen=True)
class Start:
    """What a start cost.

    Attributes
    ----------
    seconds : float
        Of processor time, the interpreter's own start among them.
    heavy : tuple of str
        The libraries of `HEAVY` that were loaded.
    """

    seconds: float
    heavy: tuple[str, ...]


def bench_start(repeats: int = 5, *, say: Callable[[str], None] = lambda _: None) -> Report:
    """Start each of `STARTS` in processes of its own, in turn, and take the medians.

    Parameters
    ----------
    repeats : int
        How often each is started.
    say : callable
        Told of every round.

    Raises
    ------
    GeneratorError
        A start failed.
    """
    taken: dict[str, list[Start]] = {name: [] for name in STARTS}
    for index in range(repeats):
        for name, statement in STARTS.items():
            taken[name].append(_start(name, statement))
        say(f"Round {index + 1} of {repeats} is done.")
    report = Report("Start")
    rows = tuple(
        (name, statistics.median(start.seconds for start in starts), ", ".join(starts[0].heavy) or "none")
        for name, starts in taken.items()
    )
    report.tables.append(Table("What a start costs", ("start", "processor seconds", "heavy libraries"), rows))
    report.machine["load at the end"] = load()
    return report


def _start(name: str, statement: str) -> Start:
    command = [sys.executable, "-c", _CHILD, statement, ",".join(HEAVY)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        raise GeneratorError(f"{name} failed: {child.stderr.strip()[-500:]}")
    answer = json.loads(child.stdout)
    return Start(answer["seconds"], tuple(answer["heavy"]))
