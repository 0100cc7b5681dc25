"""The one door to a result: whatever the kind of method, what is given becomes a prepared run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Chain, Generator, Method
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import InvalidParameterError, UnknownGeneratorError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.engine.chain import open_chain
from napari_synth.engine.frame_run import PreparedMovie, open_movie
from napari_synth.engine.image_run import PreparedImage, open_image
from napari_synth.engine.prepared import Inputs, PreparedRun
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.references import as_reference
from napari_synth.engine.synthesis_run import PreparedSynthesis, open_synthesis
from napari_synth.imaging.image import Image, each_part_read_once
from napari_synth.imaging.surroundings import undisturbed

if TYPE_CHECKING:
    import numpy.typing as npt

Interim = Callable[[PreparedImage], None]


@overload
def open(
    method: Generator[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions | None = None,
    report: Reporter | None = None,
    interim: Interim | None = None,
) -> PreparedImage: ...
@overload
def open(
    method: FramePredictor[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions | None = None,
    report: Reporter | None = None,
    interim: Interim | None = None,
) -> PreparedMovie: ...
@overload
def open(
    method: Synthesizer[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions | None = None,
    report: Reporter | None = None,
    interim: Interim | None = None,
) -> PreparedSynthesis: ...
@overload
def open(
    method: Method[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions | None = None,
    report: Reporter | None = None,
    interim: Interim | None = None,
) -> PreparedRun: ...
@undisturbed()
def open(
    method: Method[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions | None = None,
    report: Reporter | None = None,
    interim: Interim | None = None,
) -> PreparedRun:
    """Let a method look at its inputs once: load weights, measure the noise, or train.

    Parameters
    ----------
    method : Method
        What is done. The recipe's own words for it are not looked up here.
    recipe : Recipe
        The settings, and for frames which of them are wanted. What was recorded of an earlier run is not needed, but the grid of
        its blocks is kept where the image has the same size.
    inputs : Inputs
    options : RunOptions, optional
        Those of the recipe where they are left out.
    report : Reporter, optional
        Told of what takes longer than a moment; its cancel stops the run.
    interim : callable, optional
        Called in this thread, while a generator trains on an image, with what it has come to so far: training goes on once it
        returns.

    Returns
    -------
    PreparedRun
        `PreparedImage` of a generator, `PreparedMovie` of a predictor of frames, `PreparedSynthesis` of a synthesizer.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with what is given.
    """
    how, told = options or recipe.options(), report or Reporter()
    limited = inputs.region is not None or recipe.region is not None or recipe.blend < 1.0
    if limited and not isinstance(method, Generator):
        raise InvalidParameterError(
            f"{method.info.title} gives all that it makes: leave the region and the blending out."
        )
    with each_part_read_once():
        if isinstance(method, Chain):
            return open_chain(method, recipe, inputs, how, told, interim)
        if isinstance(method, Generator):
            return open_image(method, recipe, inputs, how, told, interim)
        if isinstance(method, FramePredictor):
            return open_movie(method, recipe, inputs, how, told)
        if isinstance(method, Synthesizer):
            return open_synthesis(method, recipe, inputs, how, told)
    raise UnknownGeneratorError(f"{method.info.title} cannot be run: it is of no kind that this version knows.")


def applied(
    method: Generator[Any], image: Any, axes: str, params: Mapping[str, Any], reference: Any = None
) -> npt.NDArray[Any]:
    """Run a generator on an array, for functions that are one algorithm.

    Parameters
    ----------
    method : Generator
    image : array-like
        What its dimensions are is said by ``axes``.
    axes : str
    params : mapping
        Settings of the method.
    reference : array-like, optional
        Of the same axes; another size is fine.

    Returns
    -------
    numpy.ndarray
        Axes and dtype of the image.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with what is given.
    """
    import numpy as np

    source = Image.from_array(image, axes)
    likeness = None if reference is None else as_reference(reference, source)
    recipe = Recipe(generator=method.info.id).changed(params)
    return np.asarray(open(method, recipe, Inputs(source, likeness)).compute())
