"""Spells a recipe as a call of Python and as a command line: what differs from a plain call."""

from __future__ import annotations

import shlex
from typing import Any

from napari_synth import registry
from napari_synth.contract.generator import Method, Task
from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.engine.recipe import Recipe


def as_python(recipe: Recipe) -> str:
    """Return the run of a recipe as Python that can be pasted."""
    arguments = "".join(f", {name}={value!r}" for name, value in _options(recipe).items())
    if _makes_images(recipe):
        given = "" if recipe.source is None else ", source=source"
        return f"import napari_synth\n\nimages = napari_synth.synthesize({recipe.generator!r}{given}{arguments})\n"
    given = ", mask=mask" if recipe.needs_mask else ""
    if recipe.blend < 1.0:
        given += f", blend={recipe.blend!r}"
    given += ", reference=reference" if recipe.reference is not None else ""
    if recipe.region is not None:
        given += ", region=region" if recipe.region.is_drawn else f", region={recipe.region.bounds!r}"
    return f"import napari_synth\n\nresult = napari_synth.run({recipe.generator!r}, image{given}{arguments})\n"


def as_command(
    recipe: Recipe,
    source: str = "IN.tif",
    target: str = "OUT.tif",
    *,
    mask: str = "MASK.tif",
    reference: str = "REFERENCE.tif",
    region: str = "REGION.tif",
    file: str = "RECIPE.yaml",
) -> str:
    """Return the run of a recipe as a command line for a POSIX shell.

    Parameters
    ----------
    recipe : Recipe
    source, target, mask, reference, region : str
        The files that it names.
    file : str
        Where the recipe itself is: what was learnt of a reference is in there alone.
    """
    drawn = recipe.region is not None and recipe.region.is_drawn
    again = (["--mask", mask] if recipe.needs_mask else []) + (["--region", region] if drawn else [])
    is_learnt = recipe.reference is None and any(recipe.params.get(name) is not None for name in _learnt(recipe))
    if recipe.blend < 1.0 or is_learnt:
        # The recipe's file alone says so.
        return shlex.join(["napari-synth", "run", file, source, target, *again])
    task, name = recipe.generator.split("/", 1)
    if _makes_images(recipe):
        words = ["napari-synth", Task(task).verb, name, target]
        words += [] if recipe.source is None else ["--source", source]
    else:
        words = ["napari-synth", Task(task).verb, source, target, "--generator", name]
    words += again
    if recipe.reference is not None:
        words += ["--reference", reference]
    if recipe.region is not None and not drawn:
        words += ["--region", recipe.region.as_text()]
    for option, value in _options(recipe).items():
        flag = option.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, (list, tuple)):
            words += [word for item in value for word in (f"--{flag}", str(item))]
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return shlex.join(words)


def _makes_images(recipe: Recipe) -> bool:
    return recipe.generator.startswith(f"{Task.SYNTHESIZE}/")


def _options(recipe: Recipe) -> dict[str, Any]:
    """Return what differs from a plain call."""
    usual = {"axes": None, "device": "auto", "precision": "auto", "dtype": "auto", "seed": 0, "tile": None}
    options = {name: getattr(recipe, name) for name in usual}
    asked = recipe.mask.options() if recipe.mask is not None else {}
    asked |= recipe.frames.options() if recipe.frames is not None else {}
    return {k: v for k, v in options.items() if v != usual[k]} | asked | _unusual_params(recipe)


def _unusual_params(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that are not the method's defaults; all of them where it is not installed here."""
    try:
        fields = registry.found(Method, recipe.generator).params_type.model_fields
    except UnknownGeneratorError:
        return recipe.params
    usual = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    params = {name: value for name, value in recipe.params.items() if name not in usual or value != usual[name]}
    again = _learnt(recipe) if recipe.reference is not None else ()
    return {name: value for name, value in params.items() if name not in again}


def _learnt(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the settings that hold what was learnt of a reference image."""
    try:
        learnt: tuple[str, ...] = registry.found(Method, recipe.generator).params_type.learnt()
    except UnknownGeneratorError:
        return ()
    return learnt
