"""Finds the results of this viewer, what they were made of, and what was said of them: all of it is noted on the layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer

from napari_synth.core.errors import RecipeError
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.marks import RESULT, is_source, kind_of, note_of

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


def notes_of_run(source: napari.layers.Layer, said: Iterable[str]) -> dict[str, Any]:
    """Return what a result notes besides its recipe, for `napari_synth.gui.layers.marks.mark`.

    Parameters
    ----------
    source : napari.layers.Layer
        What it was made of.
    said : iterable of str
        The verdict and what else was found, a sentence each.
    """
    return {
        "source": source.name,
        "source_id": str(source.unique_id),
        "said": [sentence for sentence in said if sentence],
    }


def recipe_of(layer: napari.layers.Layer) -> Recipe | None:
    """Return how a layer was made, None where it carries no recipe that can be read."""
    content = note_of(layer, "recipe")
    if not content:
        return None
    try:
        return Recipe.from_dict(content)
    except RecipeError:
        return None


def said_of(layer: napari.layers.Layer) -> tuple[str, ...]:
    """Return what was said of a result when it was made."""
    said = note_of(layer, "said")
    return tuple(str(sentence) for sentence in said) if isinstance(said, (list, tuple)) else ()


def results_of(viewer: ViewerModel, task: str) -> list[napari.layers.Image]:
    """Return the results of a task, the uppermost first."""
    return [layer for layer in reversed(viewer.layers) if is_result_of(layer, task)]


def is_result_of(layer: Any, task: str) -> bool:
    """Tell whether a layer is the result of a task, with a recipe that can be read."""
    if not isinstance(layer, ImageLayer) or kind_of(layer) != RESULT:
        return False
    recipe = recipe_of(layer)
    return recipe is not None and recipe.first.startswith(f"{task}/")


def source_of(viewer: ViewerModel, result: napari.layers.Image) -> napari.layers.Image | None:
    """Return the layer that a result was made of, None where it is gone.

    It is known by its identity; where the result was opened from a file, by the name and the shape that the recipe names.
    """
    identity, name = note_of(result, "source_id"), note_of(result, "source")
    images = [layer for layer in viewer.layers if is_source(layer) and layer is not result]
    for layer in images:
        if str(layer.unique_id) == identity:
            return layer
    recipe = recipe_of(result)
    if recipe is None or recipe.source is None:
        return None
    wanted = {name, recipe.source.name}
    shape = tuple(recipe.source.shape)
    return next((one for one in images if one.name in wanted and tuple(full_resolution(one).shape) == shape), None)
