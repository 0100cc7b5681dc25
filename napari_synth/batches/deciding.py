"""What is decided once for all images of a batch, where methods would decide for every image anew and results not be alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_synth import registry
from napari_synth.batches.writing import RECIPE_SUFFIX
from napari_synth.contract.generator import Chain, Method
from napari_synth.core.errors import Cancelled, RecipeError
from napari_synth.engine.recipe import Recipe

if TYPE_CHECKING:
    from napari_synth.batches.jobs import Job

MOST_LOOKED_AT = 9


@dataclass(frozen=True)
class Decision:
    """The settings that hold for all images of a batch.

    Attributes
    ----------
    values : mapping of (int, str) to object
        By the number of the step, from 0, and the name of the setting.
    said : str
        Where they come from; empty where nothing had to be decided.
    """

    values: Mapping[tuple[int, str], Any] = field(default_factory=dict)
    said: str = ""

    def applied(self, recipe: Recipe) -> Recipe:
        """Return a recipe that holds them."""
        steps = [dict(step.params) for step in recipe.steps]
        for (number, name), value in self.values.items():
            steps[number][name] = value
        before = tuple(
            step.model_copy(update={"params": params}) for step, params in zip(recipe.before, steps[:-1], strict=True)
        )
        return recipe.model_copy(update={"before": before, "params": steps[-1]})


UNDECIDED = Decision()


def open_settings(recipe: Recipe, *, has_reference: bool) -> list[tuple[int, str]]:
    """Return the settings of a recipe that a method would decide for every image, by step and name.

    Parameters
    ----------
    recipe : Recipe
    has_reference : bool
        Whether there is a reference image, which then decides for all of them.
    """
    method = registry.of_recipe(recipe)
    steps: Sequence[Method[Any]] = method.steps if isinstance(method, Chain) else (method,)
    found = []
    for number, (step, said) in enumerate(zip(steps, recipe.steps, strict=True)):
        takes_it = step.info.reference_image != "none" and has_reference
        params = {} if takes_it else step.params_type.decided_once()
        found += [(number, name) for name in params if said.params.get(name) is None]
    return found


def decide(
    jobs: Sequence[Job],
    recipe: Recipe,
    done: Sequence[Path],
    prepare: Callable[[Job], Recipe],
    *,
    has_reference: bool,
) -> Decision:
    """Return what holds for all images of a batch.

    What its results were made with holds for the rest. Where there is none yet, some images that are spread over the batch are
    looked at, and what most of those decide that show enough to decide by is taken.

    Parameters
    ----------
    jobs : sequence of Job
        All of the batch.
    recipe : Recipe
    done : sequence of pathlib.Path
        Results of the batch that are there already.
    prepare : callable
        Returns the recipe of a job that its method has looked at.
    has_reference : bool
        See `open_settings`.

    Raises
    ------
    Cancelled
        The user wishes to stop.
    """
    wanted = open_settings(recipe, has_reference=has_reference)
    if not wanted or len(jobs) < 2:
        return UNDECIDED
    for target in done:
        try:
            made = Recipe.from_file(target.with_name(target.name + RECIPE_SUFFIX))
        except RecipeError:
            continue
        values = _values(made, wanted)
        if len(values) == len(wanted):
            return Decision(values, _said(values, f"as {target.name} was made"))
    votes: Counter[tuple[tuple[tuple[int, str], Any], ...]] = Counter()
    every = max(1, -(-len(jobs) // MOST_LOOKED_AT))
    for job in jobs[::every]:
        try:
            values = _values(prepare(job), wanted)
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 - what is wrong with it is told when its turn comes
            continue
        if values:
            votes[tuple(sorted(values.items()))] += 1
    if not votes:
        return UNDECIDED
    (chosen, count), total = votes.most_common(1)[0], sum(votes.values())
    return Decision(dict(chosen), _said(dict(chosen), f"as {count} of {total} images that were looked at say"))


def _values(made: Recipe, wanted: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Any]:
    steps = made.steps
    found = {(number, name): steps[number].params.get(name) for number, name in wanted if number < len(steps)}
    return {where: value for where, value in found.items() if value is not None}


def _said(values: Mapping[tuple[int, str], Any], why: str) -> str:
    named = ", ".join(f"{name} {value}" for (_, name), value in values.items())
    return f"All images of the batch go one way ({named}), {why}."
