"""The command ``train``: a model of your own from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

from napari_synth.cli.options import with_settings
from napari_synth.cli.progress import progress_bar, say, stopping
from napari_synth.contract.generator import Task
from napari_synth.core.progress import Progress
from napari_synth.files import parse_series
from napari_synth.registry import trainable, trainables
from napari_synth.training.control import TrainingControl
from napari_synth.training.events import Validated

SENTENCE = "Train a model on images of your own; it becomes a generator of your library."

Method = Annotated[str, Parameter(name="METHOD", help="What to train, e.g. denoise/supervised.")]
Source = Annotated[str, Parameter(name="SOURCE", help="An image, a folder, or a quoted pattern such as 'day*/*.tif'.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Run:
    """How a model is trained."""

    target: str | None = None
    "What belongs to each source: an image, a folder or a pattern."
    out: Path | None = None
    "Folder for the model and the checkpoint; one in that of your library where left out."
    name: str | None = None
    "What the model will be called; made from the source's name where left out."
    region: str | None = None
    "Labels, not zero where the source may be learnt from: an image, a folder or a pattern."
    axes: str | None = None
    "Roles of the dimensions, e.g. ZYX or TCYX, where the files do not say."
    series: str | None = None
    "Which image of files that hold several, counted from 0, or all of equal shape; the first where left out."
    resume: Annotated[bool, Parameter(negative=())] = False
    "Go on from the checkpoint in the folder."
    device: str = "auto"
    "auto, cpu, cuda, cuda:1 or mps."
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    "Of the networks' arithmetic."
    devices: int = 1
    "Devices of each machine to train on at once; they share each batch."
    nodes: int = 1
    "Machines to train on at once, on each of which torchrun, SLURM or the like starts this command."
    progress: bool | None = None
    "Show the progress on stderr; on a terminal where left out."
    quiet: Annotated[bool, Parameter(negative=())] = False
    "Say nothing but errors."


def add_command(app: App, words: Sequence[str]) -> None:
    """Add the command with the options of the method that the words name; without one it lists the methods."""
    named = next((word for word in words[1:2] if words[:1] == ["train"] and not word.startswith("-")), None)
    command = _command(named) if named is not None else _list
    app.command(command, name="train", help=SENTENCE)


def _list() -> int:
    """List what can be trained."""
    console = Console()
    for found in trainables():
        images = {"one": "SOURCE", "paired": "SOURCE --target TARGET", "unpaired": "SOURCE --target TARGET"}
        given = images[found.info.images]
        given = given.replace("SOURCE", "LABELS") if found.info.source == "labels" else given
        say(console, f"{found.info.id} {given}: {found.info.summary}")
    say(console, "Each has settings of its own: napari-synth train METHOD --help.")
    return 0


def _command(named: str) -> Callable[..., int]:
    chosen = trainable(named)

    def command(method: Method, source: Source, /, *, how: Run = Run(), params: Mapping[str, Any]) -> int:
        return _train(chosen.info.id, source, how, params)

    return with_settings(command, chosen)


def _train(identifier: str, source: str, how: Run, params: Mapping[str, Any]) -> int:
    from napari_synth.studio.train import train_model
    from napari_synth.training.distributed import is_helper

    several = how.devices != 1 or how.nodes != 1
    quiet = how.quiet or (several and is_helper())
    errors = Console(stderr=True, quiet=quiet, force_terminal=True if how.progress else None)
    shown = not quiet and (errors.is_terminal if how.progress is None else how.progress)
    with _stop_on_interrupt() as control, progress_bar(errors, shown) as draw:
        trained = train_model(
            identifier,
            source,
            how.target,
            params,
            out=how.out,
            axes=how.axes,
            region=how.region,
            series=parse_series(how.series),
            name=how.name,
            resume=how.resume,
            device=how.device,
            precision=how.precision,
            devices=how.devices,
            nodes=how.nodes,
            progress=_telling(errors, draw),
            cancel=control,
        )
    for note in trained.notes:
        say(errors, note)
    info = trained.generator.info
    words = f"{info.name} OUT" if info.task == Task.SYNTHESIZE else f"IN OUT --generator {info.name}"
    say(errors, f"Wrote {trained.path}. Use it: napari-synth {info.task.verb} {words}")
    return 0


def _telling(console: Console, draw: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Return what tells of validations and messages, and draws the bar where one is wanted."""

    def tell(state: Progress) -> None:
        if isinstance(state.event, Validated) and state.event.metrics:
            figures = ", ".join(f"{name} {value:.2f}" for name, value in state.event.metrics.items())
            say(console, f"Step {state.event.step}: {figures}{' (best)' if state.event.is_best else ''}")
        if draw is not None:
            draw(state)
        elif state.message:
            say(console, state.message)

    return tell


@contextmanager
def _stop_on_interrupt() -> Iterator[TrainingControl]:
    """Give what the first Ctrl-C or other signal to stop ends with the best weights; a second one interrupts at once."""
    control = TrainingControl()
    with stopping(control.stop):
        yield control
