"""Opens a run again from the recipe that its result carries, so that the result can be judged when the run itself is long gone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_synth.core.errors import MaskError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.engine.recipe import Recipe
from napari_synth.gui.jobs.requests import LayerRun, MovieRequest, RegionRequest, RestoreRequest
from napari_synth.gui.layers.masks import rule_request
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseReport

_DRAWN = "The mask that was drawn is not kept with the result: run it again to judge it."
_REGION_DRAWN = "The region that was drawn is not kept with the result: run it again to judge it."


@dataclass(frozen=True)
class SourceAlone:
    """What is known of a run without opening it: its source, whose noise was not measured yet.

    Attributes
    ----------
    source : Image
    noise : tuple of None
        One a channel.
    """

    source: Image

    @property
    def noise(self) -> tuple[NoiseReport | None, ...]:
        """See the class."""
        return (None,) * self.source.sizes.get("C", 1)


@dataclass(frozen=True)
class RepeatRequest:
    """A run that is to be opened again.

    Attributes
    ----------
    recipe : Recipe
    image : Image
        Its source.
    settings : RunSettings
    """

    recipe: Recipe
    image: Image
    settings: RunSettings

    def prepare(self, progress: ProgressCallback, cancel: CancelToken) -> LayerRun:
        """Open the run; a method that learns from the image learns again.

        Raises
        ------
        MaskError
            Its mask was drawn and is not there any more.
        """
        recipe, settings = self.recipe, replace(self.settings, precision=self.recipe.precision, dtype=self.recipe.dtype)
        if recipe.frames is not None:
            movie = MovieRequest(recipe.generator, self.image, recipe.frames.request, recipe.params, settings)
            return movie.prepare(progress, cancel)
        mask = None
        if recipe.mask is not None:
            if recipe.mask.rule is None:
                raise MaskError(_DRAWN)
            mask = rule_request(self.image, recipe.mask.rule, recipe.mask.grow)
        region = None
        if recipe.region is not None:
            if recipe.region.is_drawn:
                raise MaskError(_REGION_DRAWN)
            region = RegionRequest({axis: slice(*bound) for axis, bound in recipe.region.bounds.items()})
        first, *then = recipe.steps
        run = RestoreRequest(first.generator, self.image, first.params, settings, mask, region=region, then=tuple(then))
        return run.prepare(run.source(), progress, cancel)


def why_not_again(recipe: Recipe) -> str:
    """Say why a run cannot be opened again from its recipe alone, "" where it can."""
    if recipe.region is not None and recipe.region.is_drawn:
        return _REGION_DRAWN
    return _DRAWN if recipe.needs_mask else ""
