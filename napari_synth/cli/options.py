"""Makes the command of a verb from its generator: the options are the fields of the generator's `Params`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from napari_synth.batches.inputs import Masked, Referenced
from napari_synth.contract.generator import Method
from napari_synth.contract.trainable import Trainable

COMMON = Group("Options", sort_key=0)
MANY = Group("Many images", sort_key=0)
GENERATOR = Group("Settings of the generator", sort_key=1)
MASK = Group("What is filled", sort_key=0)
REFERENCE = Group("What it should look like", sort_key=0)
ADVANCED = Group("Rarely used settings of the generator", sort_key=2)
Filled = Annotated[Masked, Parameter(name="*", group=MASK, negative_iterable=())]
Alike = Annotated[Referenced, Parameter(name="*", group=REFERENCE)]
PointSpread = Annotated[
    Path | None,
    Parameter(
        name=("--psf", "--reference"),
        group=Group("Point spread function", sort_key=0),
        help="An image of the point spread function, or with --psf-model beads of many beads, for all images.",
    ),
]
LearntFrom = Annotated[
    str | None,
    Parameter(
        name="--from",
        group=Group("What the light is learnt from", sort_key=0),
        help="What a correction is learnt from: tiles for a flat field, beads for a chromatic shift. A file, a folder or a quoted"
        " pattern such as 'tiles/*.tif'.",
    ),
]
_BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True)
class Output:
    """Where results go and what is told of them."""

    overwrite: Annotated[bool, Parameter(negative=())] = False
    "Replace a result that is there already; a source is never replaced."
    recipe: bool = True
    "Write the record of the run beside each result, as OUT.recipe.yaml."
    memory_budget: float | None = None
    "GiB that a run may take, half of what is free where left out; a larger result goes to an OME-Zarr block by block."
    progress: bool | None = None
    "Show the progress on stderr; on a terminal where left out."
    quiet: Annotated[bool, Parameter(negative=())] = False
    "Say nothing but errors."


USUAL = Output()


@Parameter(name="*", group=MANY)
@dataclass(frozen=True)
class Many:
    """How the images of a folder or a pattern are gone through."""

    dry_run: Annotated[bool, Parameter(negative=())] = False
    "Only say what would be done."
    json: Annotated[bool, Parameter(negative=())] = False
    "With --dry-run: say it as JSON, for workflow engines."
    measure_on: str | None = None
    "An image whose intensities and noise hold for every image, so that a series stays comparable; or all, for all together."
    workers: int = 1
    "Processes that work at once; more than one need the extra cluster."
    shard: str | None = None
    "Do only a part of the images, 0/3 the first third; the command finish joins what is done."
    dask: str | None = None
    "Work on a cluster: the address of a scheduler of dask.distributed, or a YAML file that describes one."


ONE_BY_ONE = Many()


def with_settings(command: Callable[..., int], generator: Method[Any] | Trainable[Any]) -> Callable[..., int]:
    """Return a command that has an option for every setting of a generator besides its own ones.

    Parameters
    ----------
    command : callable
        Its own parameters are kept; it is called with the settings as the mapping ``params``, which it must take.
    generator : Method or Trainable
        Where the settings, their help, bounds and defaults come from.
    """
    own = [
        parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if name != "params"
    ]
    settings = [_parameter(name, field) for name, field in generator.params_type.settable().items()]

    def with_options(*arguments: Any, **options: Any) -> int:
        params = {parameter.name: options.pop(parameter.name) for parameter in settings if parameter.name in options}
        return command(*arguments, params=params, **options)

    combined = [*own, *settings]
    with_options.__doc__ = command.__doc__
    with_options.__signature__ = inspect.Signature(combined, return_annotation=int)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in combined} | {"return": int}
    return with_options


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    extra = field.json_schema_extra
    advanced = isinstance(extra, dict) and bool(extra.get("advanced"))
    words = [field.description or field.title or "", _bounds(field)]
    described = Parameter(help=" ".join(word for word in words if word), group=ADVANCED if advanced else GENERATOR)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.get_default(call_default_factory=True),
        annotation=Annotated[field.annotation, described],
    )


def _bounds(field: FieldInfo) -> str:
    """Say in words what a number must be."""
    found = [f"{word} {getattr(rule, key):g}" for rule in field.metadata for key, word in _BOUNDS if hasattr(rule, key)]
    return f"({', '.join(found)})" if found else ""
