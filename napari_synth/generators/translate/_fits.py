"""Where a run's reference comes from: an image, a recipe that holds what was learnt of one, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from napari_synth.core.errors import InvalidParameterError
from napari_synth.core.generator import Context
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import Fit, FittedParams

_DIGITS = 8


def fit_of(
    params: FittedParams, context: Context, sizes: Mapping[str, int], learn: Callable[[Image], Fit]
) -> Fit | None:
    """Return what is known of the reference of a channel, None where there is none.

    Parameters
    ----------
    params : FittedParams
        What a recipe holds; a reference image takes its place.
    context : Context
    sizes : mapping of str to int
        How many numbers there must be, by name.
    learn : callable
        Learns from the reference image.

    Raises
    ------
    InvalidParameterError
        What the recipe holds does not fit this method or this channel.
    """
    if context.reference is not None:
        return {
            name: tuple(float(f"{v:.{_DIGITS}g}") for v in values) for name, values in learn(context.reference).items()
        }
    if params.fitted is None:
        return None
    channel = context.channel or 0
    if len(params.fitted) > 1 and channel >= len(params.fitted):
        raise InvalidParameterError(
            f"Parameter 'fitted' holds the reference of {len(params.fitted)} channels, the image has more:"
            " give the reference image again."
        )
    fit = params.fitted[channel if len(params.fitted) > 1 else 0]
    wrong = {name: len(values) for name, values in fit.items()} != dict(sizes)
    if wrong or not all(np.isfinite(values).all() for values in fit.values()):
        raise InvalidParameterError(
            "Parameter 'fitted' is not what this method learns of a reference image: give the reference image again."
        )
    return fit
