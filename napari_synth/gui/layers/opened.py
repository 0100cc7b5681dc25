"""A result that lies in a file, as the layer that a run in the viewer would have made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer

from napari_synth import registry
from napari_synth.batches.writing import RECIPE_SUFFIX
from napari_synth.contract.generator import Method
from napari_synth.core.errors import RecipeError, UnknownGeneratorError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import image_suffix, is_zarr, read_image
from napari_synth.gui.jobs.result_store import open_levels
from napari_synth.gui.layers.marks import RESULT, mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import layer_of_levels
from napari_synth.imaging.image import Image


@dataclass(frozen=True)
class OpenedResult:
    """An image of a file with the record of the run that made it.

    Attributes
    ----------
    name : str
        Of the file without its suffix.
    image : Image
    levels : tuple of array-like
        The pixels along the axes of the image, the finest first.
    recipe : Recipe or None
        What lies beside it.
    """

    name: str
    image: Image
    levels: tuple[Any, ...]
    recipe: Recipe | None

    @property
    def is_synthetic(self) -> bool:
        """Whether it shows what nobody measured."""
        try:
            return self.recipe is not None and registry.found(Method, self.recipe.generator).info.invents
        except UnknownGeneratorError:
            return False

    def as_layer(self) -> ImageLayer:
        """Return it as a layer."""
        axes, rgb = self.image.axes.replace("S", ""), "S" in self.image.axes
        here = Placement.plain(
            np.array([self.image.spacing.get(axis, 1.0) for axis in axes]),
            tuple(self.image.units.get(axis, "pixel") for axis in axes),
            axes,
        )
        recipe = None if self.recipe is None else self.recipe.model_dump(mode="json")
        metadata = mark(RESULT, recipe, synthetic=self.is_synthetic)
        made: ImageLayer = layer_of_levels(ImageLayer, self.levels, self.name, metadata, here, rgb=rgb)
        return made


def read_result(path: Path, progress: ProgressCallback, cancel: CancelToken) -> OpenedResult:
    """Open a result and its recipe, as the work of a job.

    Parameters
    ----------
    path : pathlib.Path
    progress, cancel
        Of the job.

    Raises
    ------
    ImageFileError
        It cannot be read.
    """
    Reporter(progress, cancel).start("Opening")
    image = read_image(path)
    beside = path.with_name(path.name + RECIPE_SUFFIX)
    try:
        recipe = Recipe.from_file(beside) if beside.is_file() else None
    except RecipeError:
        recipe = None
    # RGB samples come last in a layer.
    axes = image.axes.replace("S", "") + "S" * image.axes.count("S")
    order = [image.axes.index(axis) for axis in axes]
    levels = open_levels(path, axes) if is_zarr(path) else (image.read().transpose(order),)
    return OpenedResult(path.name[: len(path.name) - len(image_suffix(path))], image, levels, recipe)
