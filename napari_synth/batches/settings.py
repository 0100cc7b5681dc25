"""Everything that decides the results of a batch, as one value that can be hashed, sent to a worker and compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_synth import registry
from napari_synth.batches.deciding import UNDECIDED, Decision
from napari_synth.batches.inputs import AS_IN_RECIPE, AS_RECORDED, NO_REFERENCE, Drawn, Masked, Referenced
from napari_synth.batches.states import content_hash
from napari_synth.contract.generator import Chain, Method
from napari_synth.core.device import resolve_device
from napari_synth.core.errors import ImageFileError
from napari_synth.core.options import RunOptions
from napari_synth.engine.recipe import Recipe
from napari_synth.files import Series, read_image
from napari_synth.imaging.image import Image

MEASURED_ON = "measured-on.ome.tif"
"""The file of pieces of all images of a batch, see `napari_synth.batches.yardstick`."""


@dataclass(frozen=True)
class Settings:
    """How every image of a batch is worked on.

    Attributes
    ----------
    recipe : Recipe
    axes : str or None
        What the user says of the images.
    series : int, "all" or None
        Which of the images of each file.
    masked : Masked
        What is filled.
    referenced : Referenced
        How results should look.
    measure_on : pathlib.Path or None
        An image whose intensities and noise are taken for those of every image, so that a series stays comparable.
    memory_budget : int or None
        Bytes that a run may take.
    overwrite : bool
        Whether results of other settings may be replaced.
    write_recipe : bool
        Whether each result gets its record beside it.
    drawn : Drawn
        What runs are limited to, where that was drawn.
    decision : Decision
        What was left open, and is decided for all images; it follows from the images and the rest.
    """

    recipe: Recipe
    axes: str | None = None
    series: Series = None
    masked: Masked = AS_IN_RECIPE
    referenced: Referenced = NO_REFERENCE
    measure_on: Path | None = None
    memory_budget: int | None = None
    overwrite: bool = False
    write_recipe: bool = True
    drawn: Drawn = AS_RECORDED
    decision: Decision = UNDECIDED

    @property
    def settled(self) -> Recipe:
        """The recipe that images are made by, with what was decided for all of them."""
        return self.decision.applied(self.recipe)

    @property
    def method(self) -> Method[Any]:
        """What is done."""
        return registry.of_recipe(self.recipe)

    @property
    def options(self) -> RunOptions:
        """How it is done, apart from what it does."""
        return self.recipe.options(memory_budget=self.memory_budget)

    @cached_property
    def hash(self) -> str:
        """The first 16 digits of a SHA-256 over all that decides the pixels of a result; the device is not among it."""
        recipe = self.recipe
        decides = {
            "generator": recipe.generator,
            "params": self.method.params_type.parse(recipe.params).model_dump(mode="json"),
            "recipe": recipe.model_dump(
                mode="json",
                include={"axes", "seed", "precision", "dtype", "tile", "grid", "weights", "region", "blend"},
            ),
            "frames": None if recipe.frames is None else recipe.frames.options(),
            "mask": None if recipe.mask is None else recipe.mask.options(),
            "axes": self.axes,
            "series": self.series,
            "masked": [self.masked.mask, self.masked.mask_from, self.masked.mask_ids, self.masked.grow],
            "drawn": self.drawn.region,
            "reference": self.referenced.decides(),
            "measure_on": _content(self.measure_on),
        }
        if recipe.before:
            decides["steps"] = [
                {
                    "generator": step.generator,
                    "params": registry.found(Method, step.generator)
                    .params_type.parse(step.params)
                    .model_dump(mode="json"),
                    "grid": {axes: list(edges) for axes, edges in step.grid.items()},
                }
                for step in recipe.before
            ]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def yardstick(self) -> Image | None:
        """The image to measure on."""
        if self.measure_on is None:
            return None
        if self.measure_on.name == MEASURED_ON:
            return read_image(self.measure_on)
        return read_image(self.measure_on, self.axes, series=self.series)

    def check(self) -> None:
        """Raise what is wrong with every image: that is better told once, and at once.

        Raises
        ------
        SynthError
            One of its subclasses.
        """
        method = self.method
        steps = method.steps if isinstance(method, Chain) else (method,)
        for step, said in zip(steps, self.recipe.steps, strict=True):
            step.params_type.parse(said.params)
        resolve_device(self.options.device, self.options.precision)
        self.masked.check(self.recipe)
        self.drawn.check(self.recipe)
        self.referenced.check()
        if self.measure_on is not None and not self.measure_on.exists():
            raise ImageFileError(f"There is no image to measure on {str(self.measure_on)!r}: check the name.")


def _content(path: Path | None) -> str | None:
    return None if path is None else content_hash(path)
