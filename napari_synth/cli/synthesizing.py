"""The commands that make images and frames: ``synthesize`` and ``predict-frames``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter
from rich.console import Console

from napari_synth import registry
from napari_synth.batches.jobs import jobs_of_synthesis
from napari_synth.cli.options import COMMON, USUAL, Output, with_settings
from napari_synth.cli.processing import process
from napari_synth.cli.progress import say
from napari_synth.contract.generator import Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import InvalidParameterError
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.engine.recipe import FramesRecord, Recipe

SENTENCE = "Make new images that look like those that a model was trained on."

Model = Annotated[str, Parameter(name="MODEL", help="The name of a model of your library, or a model file.")]
Target = Annotated[
    Path,
    Parameter(name="OUT", help="One file for all (.ome.tif, .tif, .zarr, .npy), or a folder for one file each."),
]


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True)
class Making:
    """How images are made."""

    source: str | None = None
    "The image or the labels that some methods need; a folder or a quoted pattern makes a file for each in the folder OUT."
    axes: str | None = None
    "Roles of the dimensions of the source, e.g. ZYX, where the file does not say."
    series: str | None = None
    "Which image of a source file that holds several, counted from 0, or all; the first where left out."
    seed: int = 0
    "The same seed gives the same images; the first ones are the same however many are made."
    device: str = "auto"
    "auto, cpu, cuda, cuda:1 or mps."
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    "Of the network's arithmetic."


def add_command(app: App, words: Sequence[str]) -> None:
    """Add the command with the options of the model that the words name; without one it lists the models."""
    named = next((word for word in words[1:2] if words[:1] == ["synthesize"] and not word.startswith("-")), None)
    app.command(_list if named is None else _command(named), name="synthesize", help=SENTENCE)


def _list() -> int:
    """List what can make images."""
    console = Console()
    for found in registry.listed(Synthesizer, Task.SYNTHESIZE):
        needed = {
            "nothing": "",
            "image": " --source IMAGE",
            "labels": " --source LABELS",
            "optional labels": " [--source LABELS]",
        }[found.needs]
        say(console, f"{found.info.name}{needed}: {found.info.summary}")
    say(console, "Train one: napari-synth train. Each has settings of its own: napari-synth synthesize MODEL --help.")
    return 0


def _command(named: str) -> Callable[..., int]:
    chosen = registry.chosen(Synthesizer, Task.SYNTHESIZE, named)

    def command(
        model: Model,
        target: Target,
        /,
        *,
        how: Making = Making(),
        output: Output = USUAL,
        params: Mapping[str, Any],
    ) -> int:
        recipe = Recipe(
            generator=chosen.info.id,
            params=dict(params),
            seed=how.seed,
            device=how.device,
            precision=how.precision,
        )
        jobs, folder = jobs_of_synthesis(how.source, target)
        return process(jobs, folder, recipe, output, how.axes, how.series)

    return with_settings(command, chosen)


FRAMES = Group("Which frames", sort_key=0)


@Parameter(name="*", group=FRAMES)
@dataclass(frozen=True)
class Framed:
    """Which frames are wanted."""

    count: int = 0
    "How many behind the last one."
    fill: Annotated[list[str] | None, Parameter(negative=())] = None
    "A missing frame, counted from 0; give it again for each. Or auto: those that are empty or repeat the one before."
    between: int = 0
    "How many between any two neighbours; stands alone."

    def record(self) -> FramesRecord:
        """Return what is asked for as a recipe holds it.

        Raises
        ------
        InvalidParameterError
            It cannot be done for any movie.
        """
        fill = self.fill or None
        numbers: str | list[int] | None = None
        if fill is not None:
            try:
                numbers = "auto" if fill == ["auto"] else [int(word) for word in fill]
            except ValueError as error:
                raise InvalidParameterError(
                    f"fill cannot be {' '.join(fill)!r}: give 'auto' or the numbers of frames."
                ) from error
        request = FrameRequest.parse({"count": self.count, "fill": numbers, "between": self.between})
        return FramesRecord(**request.model_dump())


NO_FRAMES = Framed()
