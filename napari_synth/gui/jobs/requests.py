"""What panels ask of their workers, and the one place of the user interface that knows which kinds of methods there are.

An image, a movie and new images are opened by different functions of the engine, and what these return differs a little: whoever
asks "image, movie or synthesizer?" asks here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_synth import registry
from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.engine import door
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.engine.frame_run import PreparedMovie
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.recipe import FramesRecord, Recipe, Step
from napari_synth.engine.region import ChosenRegion
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.layers.masks import MaskRequest
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    from napari_synth.augmentation.pipeline import Pipeline
    from napari_synth.gui.layers.augmentation_layers import SampleLayers
    from napari_synth.gui.layers.training_images import ChosenImages

Region: TypeAlias = Mapping[str, slice | int]
"""A part of an image, by axis role."""
LayerRun: TypeAlias = PreparedImage | PreparedMovie
"""A prepared run that makes one layer of another."""


@dataclass(frozen=True)
class RegionRequest:
    """A part of an image that a run is limited to.

    Attributes
    ----------
    bounds : mapping of str to slice
        In pixels of the image; axes that are left out are whole.
    drawn : MaskRequest or None
        What is marked inside them; made where it is asked for, in the worker.
    """

    bounds: Mapping[str, slice]
    drawn: MaskRequest | None = None

    def chosen(self) -> ChosenRegion:
        """Return the region as the engine takes it."""
        return ChosenRegion(self.bounds, None if self.drawn is None else self.drawn.mask())

    def within(self, part: Mapping[str, slice]) -> RegionRequest | None:
        """Return the region of a part of the image, in pixels of that part; None where nothing of it lies in there."""
        bounds = {}
        for axis, bound in self.bounds.items():
            at = part.get(axis, slice(0, bound.stop))
            start, stop = max(bound.start, at.start) - at.start, min(bound.stop, at.stop) - at.start
            if stop <= start:
                return None
            bounds[axis] = slice(start, stop)
        if self.drawn is None:
            return RegionRequest(bounds)
        drawn = self.drawn.within(part)
        return RegionRequest(bounds, drawn) if drawn.mask().read().any() else None


@dataclass(frozen=True)
class RestoreRequest:
    """An image that is to be restored.

    Attributes
    ----------
    generator : str
        Id.
    image : Image
    params : mapping
        What was set.
    settings : RunSettings
    mask : MaskRequest or None
        Which pixels are to be filled.
    reference : Image or None
        What the result should look like.
    region : RegionRequest or None
        What the run is limited to.
    then : tuple of Step
        What is done with the result, in the same run.
    """

    generator: str
    image: Image
    params: Mapping[str, Any]
    settings: RunSettings
    mask: MaskRequest | None = None
    reference: Image | None = None
    region: RegionRequest | None = None
    then: tuple[Step, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether a generator learns from the image that it is given."""
        every = (self.generator, *(step.generator for step in self.then))
        return any(registry.generator(one).info.trains for one in every)

    def source(self) -> Image:
        """Return the image with its mask, which is made where this is asked for: in the worker."""
        return self.image if self.mask is None else replace(self.image, mask=self.mask.mask())

    def quick(self) -> tuple[RestoreRequest, tuple[str, ...]]:
        """Return the request without what takes minutes, and the titles of the settings that were put back to their default.

        A field with ``json_schema_extra={"slow": True}`` is one of those.
        """
        params, titles = _quick(self.generator, self.params)
        then = []
        for step in self.then:
            quick, more = _quick(step.generator, step.params)
            then.append(step.model_copy(update={"params": quick}))
            titles += more
        return replace(self, params=params, then=tuple(then)), tuple(titles)

    def is_like(self, other: RestoreRequest) -> bool:
        """Tell whether both give the same pixels; the images' own are compared by identity, not read."""
        return (
            self.image.data is other.image.data
            and self.image.axes == other.image.axes
            and self.generator == other.generator
            and self.params == other.params
            and self.settings == other.settings
            and self.mask is other.mask
            and _pixels(self.reference) is _pixels(other.reference)
            and self.region == other.region
            and self.then == other.then
        )

    def prepare(
        self,
        image: Image,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
        interim: Callable[[PreparedImage], None] | None = None,
    ) -> PreparedImage:
        """Let the generator look at an image.

        Parameters
        ----------
        image : Image
            The source, or a part of it.
        progress, cancel
            Of the job.
        interim : callable, optional
            Is given what a generator that learns has come to so far.
        """
        first = Step(generator=self.generator, params=dict(self.params))
        recipe = Recipe.model_validate({"steps": [first, *self.then]})
        options, report = self.settings.options(), Reporter(progress, cancel)
        region = None if self.region is None else self.region.chosen()
        inputs = Inputs(image, self.reference, region=region)
        if self.then:
            given = {} if self.reference is None else {0: self.reference}
            inputs = Inputs(image, region=region, references=given)
        prepared = door.open(registry.of_recipe(recipe), recipe, inputs, options, report, interim)
        assert isinstance(prepared, PreparedImage)
        return prepared


@dataclass(frozen=True)
class MovieRequest:
    """A movie whose missing or next frames are to be predicted.

    Attributes
    ----------
    predictor : str
        Id.
    movie : Image
    frames : FrameRequest
    params : mapping
        What was set.
    settings : RunSettings
    """

    predictor: str
    movie: Image
    frames: FrameRequest
    params: Mapping[str, Any]
    settings: RunSettings

    def prepare(self, progress: ProgressCallback | None, cancel: CancelToken | None) -> PreparedMovie:
        """Let the predictor look at the movie."""
        method = registry.found(FramePredictor, self.predictor)
        frames = FramesRecord(**self.frames.model_dump())
        recipe = Recipe(generator=self.predictor, params=dict(self.params), frames=frames)
        options, report = self.settings.options(), Reporter(progress, cancel)
        prepared: PreparedMovie = door.open(method, recipe, Inputs(self.movie), options, report)
        return prepared


@dataclass(frozen=True)
class SynthesisRequest:
    """New images that are to be made.

    Attributes
    ----------
    synthesizer : str
        Id.
    params : mapping
        What was set.
    seed : int
    source : Image or None
        An image or labels, where the synthesizer needs them.
    settings : RunSettings
    place : Placement or None
        Where the labels lie that images are made for.
    """

    synthesizer: str
    params: Mapping[str, Any]
    seed: int
    source: Image | None
    settings: RunSettings
    place: Placement | None = None

    def prepare(self, progress: ProgressCallback | None, cancel: CancelToken | None) -> PreparedSynthesis:
        """Open the synthesizer."""
        method = registry.found(Synthesizer, self.synthesizer)
        recipe = Recipe(generator=self.synthesizer, params=dict(self.params))
        options, report = self.settings.options(self.seed), Reporter(progress, cancel)
        prepared: PreparedSynthesis = door.open(method, recipe, Inputs(self.source), options, report)
        return prepared

    def is_like(self, other: SynthesisRequest) -> bool:
        """Tell whether the same synthesizer can be kept open; pixels are compared by identity, not read."""
        return (
            self.synthesizer == other.synthesizer
            and self.params == other.params
            and self.settings == other.settings
            and _pixels(self.source) is _pixels(other.source)
        )


@dataclass(frozen=True)
class LatentPoint:
    """A point among the latents of a model: that of a seed or of an image, moved along some directions.

    Attributes
    ----------
    seed : int
    image : Image or None
        Whose latents are found, in place of those of the seed.
    moves : tuple of float
        How far, along each of the sampler's directions.
    """

    seed: int
    image: Image | None = None
    moves: tuple[float, ...] = ()


@dataclass(frozen=True)
class PointBetween:
    """A point on the way from one latent point to another.

    Attributes
    ----------
    first, second : LatentPoint
    share : float
        0 for the first, 1 for the second.
    """

    first: LatentPoint
    second: LatentPoint
    share: float


@dataclass(frozen=True)
class PreviewRequest:
    """One draw of an augmentation that is to be shown.

    Attributes
    ----------
    layers : SampleLayers
    pipeline : Pipeline
    seed : int
    """

    layers: SampleLayers
    pipeline: Pipeline
    seed: int


@dataclass(frozen=True)
class TrainRequest:
    """What is to be learnt.

    Attributes
    ----------
    method : str
        Id of the trainable.
    source, target : ChosenImages
        The target is empty where there is one set of images.
    params : mapping
        What was set.
    name : str
        Of the model; "" for one made from the source's.
    folder : pathlib.Path or None
        Of an earlier run that is gone on with.
    settings : RunSettings
    """

    method: str
    source: ChosenImages
    target: ChosenImages
    params: Mapping[str, Any]
    name: str
    folder: Path | None
    settings: RunSettings


def _quick(generator: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return settings with those that take minutes at their default, and the titles of these."""
    params, titles = dict(given), []
    for name, info in registry.generator(generator).params_type.model_fields.items():
        extra, default = info.json_schema_extra, info.get_default(call_default_factory=True)
        if isinstance(extra, dict) and extra.get("slow") and params.get(name, default) != default:
            params[name] = default
            titles.append(info.title or name)
    return params, titles


def result_axes(run: LayerRun) -> str:
    """Return the axes of what a run makes."""
    return run.axes


def result_range(run: LayerRun) -> tuple[float, float]:
    """Return the counts between which the result of a run is to be expected."""
    own = None if isinstance(run, PreparedMovie) else run.result_range
    return own or (run.statistics[0].low, run.statistics[0].high)


def invented_frames(run: LayerRun) -> tuple[int, ...]:
    """Return the frames of the result of a run that were not measured; none of an image."""
    return run.invented if isinstance(run, PreparedMovie) else ()


def _pixels(image: Image | None) -> Any:
    return None if image is None else image.data
