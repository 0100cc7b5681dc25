"""Reference images: how a result should look."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_synth.imaging.image import Image, as_array, guess_axes, known_shape
from napari_synth.imaging.sampling import sample_windows


def has_content(image: Image) -> bool:
    """Return whether an image shows anything: two finite pixels of it, of those that are looked at, differ."""
    lowest, highest = np.inf, -np.inf
    for at in sample_windows(image):
        pixels = image.read(**at)
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            lowest, highest = min(lowest, float(pixels.min())), max(highest, float(pixels.max()))
        if lowest < highest:
            return True
    return False


def as_reference(reference: Any, image: Image) -> Image:
    """Return a reference for an image.

    Parameters
    ----------
    reference : array-like or Image
        Where it has as many dimensions as the image, they have the same roles; those of another array are guessed.
    image : Image

    Returns
    -------
    Image

    Raises
    ------
    AxesError
        Its dimensions cannot be guessed.
    InvalidImageError
        It is no image.
    """
    if isinstance(reference, Image):
        return reference
    if hasattr(reference, "dims") or isinstance(reference, np.ma.MaskedArray):
        return Image.from_array(reference)
    reference = as_array(reference)
    shape = known_shape(reference)
    axes = image.axes if len(shape) == len(image.axes) else guess_axes(shape)
    return Image(reference, axes, name="reference")
