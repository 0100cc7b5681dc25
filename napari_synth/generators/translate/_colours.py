"""Looks at the colours of a whole image: at all of them, or at evenly spread ones where it is huge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError
from napari_synth.core.image import Image
from napari_synth.core.sampling import sample_windows

Colours = npt.NDArray[np.float64]

MOST_COLOURS = 2**17


def sample_colours(image: Image, seed: int = 0, most: int = MOST_COLOURS, block: int = 1) -> Colours:
    """Return the colours of pixels that are spread over the image.

    Parameters
    ----------
    image : Image
        With three samples along S.
    seed : int
        Draws pixels where there are more than `most`.
    most : int
    block : int
        Edge of the squares of pixels that are averaged, against noise; 1 where the image is smaller than two of them.

    Returns
    -------
    numpy.ndarray, (pixels, 3)
        In counts, finite.

    Raises
    ------
    InvalidImageError
        The image has no three colours, or no finite pixel.
    """
    if image.sizes.get("S") != 3:
        raise InvalidImageError("There are no three colours: give an RGB image, or set the axes.")
    found = []
    for at in sample_windows(image.select(S=0)):
        pixels = image.read(**at)
        left = [axis for axis in image.axes if not isinstance(at.get(axis), int)]
        window = np.moveaxis(pixels, left.index("S"), -1)
        height, width = window.shape[:2]
        if block > 1 and min(height, width) >= 2 * block:
            cut = window[: height // block * block, : width // block * block].astype(np.float64)
            window = cut.reshape(height // block, block, width // block, block, 3).mean(axis=(1, 3))
        found.append(window.reshape(-1, 3))
    colours: Colours = np.concatenate(found)
    if len(colours) > most:
        colours = colours[np.sort(np.random.default_rng(seed).integers(0, len(colours), most))]
    colours = colours.astype(np.float64)
    colours = colours[np.isfinite(colours).all(axis=1)]
    if len(colours) == 0:
        raise InvalidImageError("No pixel has three finite colours: there is nothing to measure.")
    return colours


def full_scale(image: Image) -> float:
    """Return the counts that are called white by convention: the largest of an integer dtype, 1 of a float."""
    return float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 1.0
