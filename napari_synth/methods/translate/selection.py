"""Which way to translate fits an image and its reference, and what of an image is evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import estimate_noise
from napari_synth.imaging.sampling import sample_planes
from napari_synth.methods.translate.catalogue import GENERATORS, AutoParams
from napari_synth.methods.translate.slides import estimate_white, sample_colours

_LIT, _DARK, _MOSTLY = 0.4, 0.1, 0.7
_TINTED, _NEUTRAL = 0.1, 0.05


def choose(image: Image, reference: Image | None) -> str:
    """Return the name of the method that fits.

    With a reference it decides alone, so that all tiles of a slide, and all images of a batch, go the same way.

    Parameters
    ----------
    image : Image
    reference : Image or None
    """
    if is_slide(image if reference is None else reference) and image.sizes.get("S") == 3:
        return "macenko"
    if reference is None:
        return "contrast"
    return "colour-transfer" if image.sizes.get("S") == 3 else "quantile-matching"


def is_slide(image: Image) -> bool:
    """Return whether an image looks like a stained slide: mostly lit, nowhere black, and more red than green comes through."""
    if image.sizes.get("S") != 3:
        return False
    colours = sample_colours(image)
    white = estimate_white(colours)
    transmitted = colours / white
    dark, usual = np.percentile(transmitted.mean(axis=1), [2.0, 50.0])
    if usual < _LIT or dark < _DARK or np.ptp(white) > _TINTED * white.max():
        return False
    tinted = transmitted[np.ptp(transmitted, axis=1) > _TINTED]
    return len(tinted) > 0 and float(np.mean(tinted[:, 1] <= tinted[:, 0] + _NEUTRAL)) > _MOSTLY


def prepare_choice(image: Image, params: AutoParams, context: Context) -> Prepared:
    """Prepare the method that fits, or the one that the recipe names.

    For its parameters see `Generator.prepare`.
    """
    name = params.method or choose(image, context.reference)
    method = GENERATORS[f"translate/{name}"]
    values: dict[str, Any] = {"strength": params.strength}
    if "fitted" in method.params_type.model_fields:
        values["fitted"] = params.fitted
    prepared: Prepared
    if name == "contrast" and not shows_something(image):
        prepared = AsItIs()
    else:
        prepared = method.prepare(image, method.params_type.parse(values), context)
    prepared.notes = (f"Done by {method.info.title} ({method.info.id}).", *prepared.notes)
    if params.method or not isinstance(prepared, AsItIs):
        # What shows nothing decides nothing, neither here nor for the rest of a batch.
        prepared.resolved = {**prepared.resolved, "method": name}
    return prepared


# Of noise alone, over any number of pixels that can be looked at; and the power of signal over it.
_RANGE = 12.0
_SIGNAL_DB = -3.0
_LEVELS = (0.01, 99.99)

NOTHING_SHOWN = "The image shows nothing but noise: it stays as it is."


def shows_something(image: Image) -> bool:
    """Return whether any colour of an image varies by more than its noise."""
    parts = [image.select(S=i) for i in range(image.sizes["S"])] if "S" in image.axes else [image]
    return any(_varies(part) for part in parts)


def _varies(image: Image) -> bool:
    planes = sample_planes(image)
    pixels = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in planes]).astype(np.float64)
    if pixels.size == 0:
        return False
    low, high = np.percentile(pixels, _LEVELS)
    if not pixels.min() < pixels.max():
        return False
    noise = estimate_noise(planes)
    return bool(high - low > _RANGE * noise.sigma_typical or noise.snr_db > _SIGNAL_DB)


class AsItIs(Prepared):
    """Returns an image that shows nothing."""

    def __init__(self) -> None:
        self.spec = BlockSpec.plane(0)
        self.notes = (NOTHING_SHOWN,)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block
