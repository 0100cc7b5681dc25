"""Reads the command line, and turns every error that a user can cause into one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from napari_synth.augmentation import PRESETS, TRANSFORMS
from napari_synth.batches.inputs import (
    AS_IN_RECIPE,
    NO_REFERENCE,
    Drawn,
    Masked,
    OfSteps,
    Pointed,
    Referenced,
    Tiles,
)
from napari_synth.batches.jobs import Job, jobs_of_synthesis, plan_jobs
from napari_synth.cli import augmenting, batching, curating, models, synthesizing, training
from napari_synth.cli.options import (
    COMMON,
    ONE_BY_ONE,
    USUAL,
    Alike,
    Filled,
    LearntFrom,
    Many,
    Output,
    PointSpread,
    with_settings,
)
from napari_synth.cli.processing import SKIPPED, process
from napari_synth.cli.progress import exit_code, interrupting, say
from napari_synth.cli.synthesizing import NO_FRAMES, Framed
from napari_synth.contract.generator import Method, Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import Cancelled, MissingExtraError, RecipeError, SynthError, UnknownGeneratorError
from napari_synth.core.options import RunOptions
from napari_synth.core.result_dtype import DtypeChoice
from napari_synth.engine.recipe import Recipe
from napari_synth.registry import found, listed, of_recipe, trainables

WRONG = 2


@dataclass(frozen=True)
class Verb:
    """A task as a command."""

    name: str
    task: Task
    sentence: str
    generator: str = ""
    "Its default; that of the task where it is left out."


VERBS = (
    Verb(Task.DENOISE.verb, Task.DENOISE, "Remove the noise of an image, or of every image of a folder."),
    Verb(
        Task.CORRECT.verb,
        Task.CORRECT,
        "Correct the light, the background, the bleaching or the stripes of an image, or of many.",
    ),
    Verb(Task.DECONVOLVE.verb, Task.DECONVOLVE, "Take the blur of the instrument out of an image, or of many."),
    Verb(Task.SUPER_RESOLUTION.verb, Task.SUPER_RESOLUTION, "Make an image, or every image of a folder, finer."),
    Verb(
        "make-isotropic",
        Task.SUPER_RESOLUTION,
        "Make the voxels of a volume, or of every one of a folder, cubic.",
        "isotropic",
    ),
    Verb(Task.INPAINT.verb, Task.INPAINT, "Fill the scratched, dead, burnt or missing pixels of an image, or of many."),
    Verb(Task.TRANSLATE.verb, Task.TRANSLATE, "Make an image, or many, look like another, or change their tone."),
    Verb(
        Task.PREDICT_FRAMES.verb,
        Task.PREDICT_FRAMES,
        "Invent next, missing or further frames of a time-lapse, or of many.",
    ),
)


Source = Annotated[str, Parameter(name="IN", help="An image, a folder, or a quoted pattern such as 'day*/*.tif'.")]
Target = Annotated[Path, Parameter(name="OUT", help="The result (.ome.tif, .tif, .zarr, .png, .npy), or a folder.")]
RecipeFile = Annotated[Path, Parameter(name="RECIPE", help="What a run wrote beside its result, or the panel copied.")]


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True)
class Run:
    """How a task is done."""

    generator: str | None = None
    "The name of one that the command list shows; each has settings of its own: add --help."
    axes: str | None = None
    "Roles of the dimensions, e.g. ZYX or TCYX, where the file does not say."
    series: str | None = None
    "Which image of a file that holds several, counted from 0, or all of equal shape; the first where left out."
    region: str | None = None
    "The part that is restored: bounds such as Y=10:80,X=5:60,T=0:20 in pixels, or an image that is not 0 on it."
    device: str = "auto"
    "auto, cpu, cuda, cuda:1 or mps."
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    "Of the network's arithmetic."
    dtype: DtypeChoice = "auto"
    "Of the result: that of the source, or float32, which auto takes where rounding to whole counts would lose signal."
    seed: int = 0
    "The same seed gives the same result."
    tile: int | None = None
    "Edge of a block in pixels; chosen from the free memory where left out."


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True)
class Instead:
    """What takes the place of a recipe's own values."""

    axes: str | None = None
    "Roles of the dimensions instead of the recipe's."
    series: str | None = None
    "Which image of a file that holds several, counted from 0, or all of equal shape; the first where left out."
    region: str | None = None
    "A part instead of the recipe's, such as Y=10:80,X=5:60, or an image that is not 0 on it; all for the whole image."
    device: str | None = None
    "A device instead of the recipe's."
    dtype: DtypeChoice | None = None
    "Of the result, instead of the recipe's."
    tile: int | None = None
    "Edge of a block in pixels instead of the recipe's."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 where images were skipped, 2 for an error, 130 for Ctrl-C, 143 for SIGTERM."""
    words = spelt_out(list(sys.argv[1:] if arguments is None else arguments))
    errors = Console(stderr=True)
    try:
        with interrupting():
            app = _build_app(words)
            code = app(words or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
            return int(code or 0)
    except CycloptsError as error:
        say(errors, f"napari-synth: {_sentence(error)}")
    except (Cancelled, KeyboardInterrupt):
        say(errors, "napari-synth: Cancelled: nothing is left of the result that was being made.")
        return exit_code()
    except SynthError as error:
        say(errors, f"napari-synth: {error}")
    return WRONG


def spelt_out(words: list[str]) -> list[str]:
    """Return the words of a command with ``plan denoise …`` as what it is short for, ``denoise … --dry-run``."""
    if words[:1] == ["plan"] and words[1:2] and words[1] in {verb.name for verb in VERBS}:
        return [*words[1:], "--dry-run"]
    return words


def _build_app(words: Sequence[str]) -> App:
    from napari_synth import __version__

    app = App(
        name="napari-synth",
        help="Restore microscopy and medical images. Every command has --help.",
        version=__version__,
        help_format="plaintext",
    )
    app.command(_list, name="list")
    for verb in (verb for verb in VERBS if listed(Method, verb.task)):
        app.command(_task_command(verb, words), name=verb.name, help=verb.sentence)
    synthesizing.add_command(app, words)
    app.command(_run, name="run")
    app.command(_curves, name="curves")
    app.command(augmenting.augment, name="augment", help=augmenting.SENTENCE)
    app.command(batching.assess, name="assess", help=batching.ASSESS)
    app.command(batching.plan, name="plan", help=batching.PLAN)
    app.command(batching.finish, name="finish", help=batching.FINISH)
    training.add_command(app, words)
    app.command(models.app())
    app.command(curating.app())
    app.command(App(name="bench", help_flags=[], version_flags=[]))
    app["bench"].default(_bench)
    app.command(_doctor, name="doctor")
    return app


def _list(task: Annotated[str | None, Parameter(help="Only those of one task, e.g. denoise.")] = None) -> int:
    """List what there is for each task, the default first: generators, what can be trained, and transforms to augment with."""
    if task is not None and task not in list(Task):
        raise UnknownGeneratorError(f"There is no task {task!r}: use one of {', '.join(Task)}.")
    console = Console()
    for item in Task:
        if task in (None, item.value):
            for line in _lines_of(item):
                say(console, line)
    return 0


def _lines_of(task: Task) -> Iterator[str]:
    """Say what there is for a task, a line each."""
    yield task.value
    for index, method in enumerate(listed(Method, task)):
        default = " (default)" if index == 0 else ""
        trains = " Trains on the image." if method.info.trains else ""
        yield f"  {method.info.name}{default}: {method.info.summary}{trains}"
    for trainable in trainables(task):
        yield f"  train {trainable.info.id}: {trainable.info.summary}"
    if task == Task.AUGMENT:
        for name, transform in TRANSFORMS.items():
            yield f"  {name}: {transform.summary}"
        yield f"  Pipelines to start from: {', '.join(PRESETS)}."


def _task_command(verb: Verb, words: Sequence[str]) -> Callable[..., int]:
    """Return the command of a task with the options of the generator that the words name."""
    named = _named_generator(words) if words[:1] == [verb.name] else None
    name = named or verb.generator or listed(Method, verb.task)[0].info.name
    if "/" in name and not name.startswith(f"{verb.task}/"):
        raise UnknownGeneratorError(
            f"{name!r} is not for {verb.name}: give a generator of the task {verb.task}, or call the command of the other."
        )
    chosen = found(Method, f"{verb.task}/{name.removeprefix(f'{verb.task}/')}")

    def restore(
        source: Source,
        target: Target,
        /,
        *,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        return _process(source, target, recipe_of(how, params), output, how, many=many)

    def fill(
        source: Source,
        target: Target,
        /,
        *,
        masked: Filled = AS_IN_RECIPE,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        return _process(source, target, recipe_of(how, params), output, how, masked, many=many)

    def restyle(
        source: Source,
        target: Target,
        /,
        *,
        referenced: Alike = NO_REFERENCE,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        return _process(source, target, recipe_of(how, params), output, how, referenced=referenced, many=many)

    def sharpen(
        source: Source,
        target: Target,
        /,
        *,
        psf: PointSpread = None,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        return _process(source, target, recipe_of(how, params), output, how, referenced=Pointed(psf), many=many)

    def even_out(
        source: Source,
        target: Target,
        /,
        *,
        from_: LearntFrom = None,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        tiles = NO_REFERENCE if from_ is None else Tiles(pattern=from_)
        return _process(source, target, recipe_of(how, params), output, how, referenced=tiles, many=many)

    def foretell(
        source: Source,
        target: Target,
        /,
        *,
        framed: Framed = NO_FRAMES,
        how: Run = Run(),
        output: Output = USUAL,
        many: Many = ONE_BY_ONE,
        params: Mapping[str, Any],
    ) -> int:
        recipe = recipe_of(how, params).model_copy(update={"frames": framed.record()})
        return _process(source, target, recipe, output, how, many=many)

    def recipe_of(how: Run, params: Mapping[str, Any]) -> Recipe:
        options = {name: value for name, value in asdict(how).items() if name not in {"generator", "series"}}
        # What is wrong with them is said in a sentence before they are recorded.
        RunOptions(**{name: value for name, value in options.items() if name not in {"axes", "region"}})
        options["region"], _ = Drawn.parse(how.region)
        return Recipe(generator=chosen.info.id, params=dict(params), **options)

    command: Callable[..., int] = restore
    if verb.task == Task.INPAINT:
        command = fill
    elif verb.task == Task.CORRECT:
        command = even_out
    elif verb.task == Task.DECONVOLVE:
        command = sharpen
    elif verb.task == Task.TRANSLATE:
        command = restyle
    elif verb.task == Task.PREDICT_FRAMES:
        command = foretell
    return with_settings(command, chosen)


def _run(
    recipe: RecipeFile,
    source: Source,
    target: Target | None = None,
    /,
    *,
    instead: Instead = Instead(),
    masked: Filled = AS_IN_RECIPE,
    referenced: Alike = NO_REFERENCE,
    from_: LearntFrom = None,
    psf: PointSpread = None,
    output: Output = USUAL,
    many: Many = ONE_BY_ONE,
) -> int:
    """Repeat a run from its recipe, or run a chain of steps; where it makes new images of nothing, leave IN out."""
    values = {
        name: value
        for name, value in asdict(instead).items()
        if value is not None and name not in {"axes", "series", "region"}
    }
    if instead.region is not None:
        values["region"], _ = Drawn.parse(instead.region)
    repeated = Recipe.from_file(recipe).model_copy(update=values)
    method = of_recipe(repeated)
    if not method.given and target is not None:
        raise RecipeError("This recipe makes images of random numbers alone: give the recipe and OUT.")
    drawn = isinstance(method, Synthesizer) and method.needs == "optional labels" and repeated.source is None
    if method.given and target is None and not drawn:
        raise RecipeError(f"This recipe needs {method.given}: give the recipe, IN and OUT.")
    if target is None or method.makes_many:
        jobs, folder = jobs_of_synthesis(source, target) if target is not None else ([Job(None, Path(source))], None)
        return process(jobs, folder, repeated, output, instead.axes, instead.series, many=many)
    tiles = None if from_ is None else Tiles(pattern=from_)
    pointed = None if psf is None else Pointed(psf)
    if repeated.before:
        referenced = OfSteps(referenced.reference, tiles, pointed)
    elif method.info.task == Task.DECONVOLVE:
        referenced = pointed or Pointed(referenced.reference)
    else:
        referenced = tiles or referenced
    return _process(source, target, repeated, output, instead, masked, referenced, many)


def _curves(
    recipe: Annotated[Path, Parameter(help="The recipe beside the result of a correction.")],
    table: Annotated[Path | None, Parameter(help="CSV file to write; printed where left out.")] = None,
    /,
) -> int:
    """Write what a correction found as a table: bleaching by frame, drift by frame, brightness by tile, shifts by channel."""
    from napari_synth.methods.correct.curves import curves_of

    found = [curves_of(step.generator, step.params) for step in Recipe.from_file(recipe).steps]
    curves = next((one for one in reversed(found) if one is not None), None)
    if curves is None:
        raise RecipeError(
            f"The recipe {recipe.name!r} holds no curve: take that of a correction of bleaching, drift, light or channels."
        )
    if table is None:
        sys.stdout.write(curves.to_csv())
    else:
        curves.write(table)
        say(Console(stderr=True), f"{curves.title}: wrote {table.name}.")
    return 0


def _bench(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> int:
    """Measure quality and speed beside the peers; only in a copy of the source, which has the benchmarks."""
    from importlib.util import find_spec

    beside = Path(__file__).resolve().parents[2] / "benchmark" / "__init__.py"
    spec = find_spec("benchmark")
    # Another package of this name may be installed.
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != beside:
        raise MissingExtraError(
            "The benchmarks do not come with the installed package: run them in a copy of the source, "
            "installed with pip install --editable '.[bench]'."
        )
    from benchmark import main as bench

    return int(bench(list(arguments)) or 0)


def _doctor() -> int:
    """Say what is installed, which devices there are, and whether anything is wrong."""
    from napari_synth.doctor import examine

    console = Console()
    findings = examine()
    for finding in findings:
        say(console, str(finding))
    return 0 if all(finding.good for finding in findings) else SKIPPED


def _process(
    source: str,
    target: Path,
    recipe: Recipe,
    output: Output,
    how: Run | Instead,
    masked: Masked = AS_IN_RECIPE,
    referenced: Referenced = NO_REFERENCE,
    many: Many = ONE_BY_ONE,
) -> int:
    """Run a recipe on one image, or on many."""
    jobs, is_batch = plan_jobs(source, target)
    _, drawn = Drawn.parse(how.region)
    folder = target if is_batch else None
    return process(jobs, folder, recipe, output, how.axes, how.series, masked, referenced, many, drawn)


def _named_generator(words: Sequence[str]) -> str | None:
    """Return what follows ``--generator``: the options of the command depend on it, so it is needed before they are read."""
    for index, word in enumerate(words):
        if word == "--generator" and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--generator="):
            return word.split("=", 1)[1]
    return None


def _sentence(error: CycloptsError) -> str:
    """Return what cyclopts says as one line, with the way to help."""
    text = " ".join(str(error).split())
    return f"{text.rstrip('.')}; see --help."
