"""Runs several generators, one after the other, as one run.

Every step looks at what the steps before it made of the whole image, in float32 and without rounding. A small image is worked out
there and then; of a large one, blocks are made when the next step reads them (see `napari_synth.engine.step_array`). The run of the
last step is the run of the chain, with the dtype, the region and the source of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from napari_synth.contract.generator import Chain, Generator
from napari_synth.core.errors import Cancelled, InvalidParameterError, ReferenceImageError, SynthError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Progress, Reporter
from napari_synth.engine.image_run import PreparedImage, open_image
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import Recipe, Step
from napari_synth.engine.references import taken_by
from napari_synth.engine.step_array import StepArray
from napari_synth.imaging.image import Gain, Image

AT_ONCE = 2**22
"""Pixels up to which the result of a step is worked out at once: the next step looks at so many of them anyway."""


def open_chain(
    method: Chain[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions,
    report: Reporter,
    interim: Callable[[PreparedImage], None] | None = None,
) -> PreparedImage:
    """Let every step look at what the steps before it make of an image; see `napari_synth.engine.door.open`.

    Raises
    ------
    SynthError
        One of its subclasses, of a step, which its sentence names.
    """
    image = inputs.image
    assert image is not None
    steps = method.steps
    if len(steps) != len(recipe.steps):
        raise InvalidParameterError(
            "The chain and its recipe have not the same number of steps: make it of the recipe."
        )
    likenesses = _references(steps, recipe, inputs)
    exact = replace(options, dtype="float32")
    opened: tuple[PreparedImage, ...] = ()
    made: Image | None = None
    for number, (step, said) in enumerate(zip(steps, recipe.steps, strict=True)):
        is_last = number == len(steps) - 1
        with _named(number, steps):
            told = _Stages(report, f"Step {number + 1} of {len(steps)}, {step.info.title}: ")
            one = replace(inputs, reference=likenesses.get(number), references={})
            if not is_last:
                one = replace(one, region=None)
            if made is not None:
                # What was measured of another image holds for the image, not for what a step made of it.
                one = replace(one, yardstick=None)
            its = _recipe_of(said, recipe, whole=is_last)
            prepared = open_image(
                step, its, one, options if is_last else exact, told, interim if is_last else None, opened, made
            )
            if not is_last:
                if prepared.layout.spec is not None or prepared.layout.shape != image.shape:
                    raise InvalidParameterError(
                        "It gives an image of another size or of other channels, which only the last step of a chain can: put it"
                        " last."
                    )
                made = _result(prepared, told)
                opened = (*opened, prepared)
    return replace(prepared, method=method, recipe=_joined(steps, opened, prepared))


def _result(prepared: PreparedImage, report: Reporter) -> Image:
    """Return what a step makes of an image, with how it and those before it changed the noise."""
    source = prepared.source
    data: Any = prepared.compute(report=report) if source.n_pixels <= AT_ONCE else StepArray(prepared)
    found = replace(source, data=data, mask=None, channels=source.channels, gains=())
    run = prepared.gains()
    if run is None:
        return found
    gains = prepared.seen.gains
    if any(channel.prepared.multiplies for channel in prepared.channels):
        levels = tuple(channel.prepared.noise_level or 0.0 for channel in prepared.channels)
        gains = (*gains, Gain(replace(found, data=StepArray(run)), levels))
    return replace(found, gains=gains)


def _recipe_of(step: Step, recipe: Recipe, *, whole: bool) -> Recipe:
    """Return the recipe of a step alone; what holds for the result holds for the last one."""
    own = step.model_dump()
    shared: dict[str, Any] = {"axes": recipe.axes, "seed": recipe.seed, "source": recipe.source}
    if whole:
        shared |= {"region": recipe.region, "blend": recipe.blend}
    return Recipe(**own, **shared)


def _joined(steps: tuple[Generator[Any], ...], opened: tuple[PreparedImage, ...], last: PreparedImage) -> Recipe:
    """Return the recipe of a chain: what every step decided on, and the notes of all, each with the name of its step."""
    every = (*opened, last)
    before = tuple(one.recipe.steps[0] for one in opened)
    weights = {name: value for one in every for name, value in one.recipe.weights.items()}
    notes = tuple(
        f"{step.info.title}: {note}" for step, one in zip(steps, every, strict=True) for note in one.recipe.notes
    )
    masks = [one.recipe.mask for one in every if one.recipe.mask is not None]
    measured = [one.recipe.measured_on for one in every if one.recipe.measured_on is not None]
    return last.recipe.model_copy(
        update={
            "before": before,
            "weights": weights,
            "notes": notes,
            "mask": masks[0] if masks else None,
            "measured_on": measured[0] if measured else None,
        }
    )


def _references(steps: tuple[Generator[Any], ...], recipe: Recipe, inputs: Inputs) -> Mapping[int, Image]:
    """Return the reference of each step that has one."""
    takers = [number for number, step in enumerate(steps) if step.info.reference_image != "none"]
    if inputs.references:
        for number in inputs.references:
            if number not in takers:
                what = (
                    f"{steps[number].info.title} takes no reference"
                    if 0 <= number < len(steps)
                    else "there is no such step"
                )
                raise ReferenceImageError(
                    f"A reference is given for step {number + 1} of the chain, and {what}: leave it out."
                )
        return inputs.references
    if inputs.reference is None:
        return {}
    return {taken_by(steps, recipe): inputs.reference}


@contextmanager
def _named(number: int, steps: tuple[Generator[Any], ...]) -> Iterator[None]:
    """Let an error say in which step it came up."""
    try:
        yield
    except Cancelled:
        raise
    except SynthError as error:
        title = steps[number].info.title
        raise type(error)(f"Step {number + 1} of the chain ({title}): {error}") from error


class _Stages(Reporter):
    """Tells the stages of a step, with its name before them.

    Parameters
    ----------
    report : Reporter
        Of the chain.
    name : str
    """

    def __init__(self, report: Reporter, name: str) -> None:
        super().__init__(self._tell if report.has_listener else None, report.cancel)
        self._chain, self._name = report, name

    def _tell(self, progress: Progress) -> None:
        self._chain.hand_on(replace(progress, stage=self._name + progress.stage))
