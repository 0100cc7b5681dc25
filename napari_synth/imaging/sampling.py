"""Looks at a huge image through an evenly spread, reproducible set of windows."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.imaging.image import Image

MOST_PIXELS = 2**22
WINDOW = 512
_FEWEST_PLANES = 16


def sample_planes(image: Image, most_pixels: int = MOST_PIXELS, window: int = WINDOW) -> list[npt.NDArray[Any]]:
    """Return windows of the image's planes that together hold at most about ``most_pixels`` pixels.

    Parameters
    ----------
    image : Image
    most_pixels, window : int
        See `sample_windows`.

    Returns
    -------
    list of numpy.ndarray, each (Y, X)
        In counts, of the image's dtype; one entry a plane and RGB sample.
    """
    ordered = [axis for axis in image.axes if axis in "YX"] == ["Y", "X"]
    windows = (image.read(**at) for at in sample_windows(image, most_pixels, window))
    return [plane if ordered else plane.T for plane in windows]


def sample_even_planes(image: Image) -> list[npt.NDArray[Any]]:
    """Return what `sample_planes` does, as it would be had no correction multiplied the noise: see `Image.even_noise`.

    Parameters
    ----------
    image : Image
    """
    if not image.gains:
        return sample_planes(image)
    return evened(image, sample_planes(image))


def evened(image: Image, planes: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Return planes that were sampled of an image, or of what was made of it, as they would be had nothing multiplied their noise.

    Parameters
    ----------
    image : Image
    planes : sequence of numpy.ndarray, each (Y, X)
        As many as `sample_planes` gives of the image.
    """
    if not image.gains:
        return list(planes)
    ordered = [axis for axis in image.axes if axis in "YX"] == ["Y", "X"]
    found = []
    for plane, at in zip(planes, sample_windows(image), strict=True):
        even = image.even_noise(plane if ordered else plane.T, **at)
        found.append(even if ordered else even.T)
    return found


def sample_windows(image: Image, most_pixels: int = MOST_PIXELS, window: int = WINDOW) -> list[dict[str, slice | int]]:
    """Return where to look at an image so that statistics stand for the whole of it.

    The windows are spread evenly over all planes and over the field, the same ones at every call.

    Parameters
    ----------
    image : Image
    most_pixels : int
        Of all windows together, about; a smaller image is taken whole.
    window : int
        Edge of a window in pixels, where planes are too large to be taken whole.

    Returns
    -------
    list of dict
        What `Image.read` takes: a position along every axis but Y and X, and a part of those.
    """
    lead = "".join(axis for axis in image.axes if axis not in "YX")
    sizes = tuple(image.sizes[axis] for axis in lead)
    total = prod(sizes)
    chosen = list(range(total)) if image.n_pixels <= most_pixels else []
    windows = [(slice(None), slice(None))]
    if image.n_pixels > most_pixels:
        edge = {axis: min(window, image.sizes[axis]) for axis in "YX"}
        affordable = max(1, most_pixels // prod(edge.values()))
        filling_a_plane = prod(ceil(image.sizes[axis] / edge[axis]) for axis in "YX")
        planes = min(total, affordable, max(_FEWEST_PLANES, affordable // filling_a_plane))
        chosen = _spread(total, planes)
        rows = max(1, round((affordable // planes) ** 0.5))
        windows = [
            (slice(y, y + edge["Y"]), slice(x, x + edge["X"]))
            for y in _starts(image.sizes["Y"], edge["Y"], rows)
            for x in _starts(image.sizes["X"], edge["X"], max(1, affordable // planes // rows))
        ]
    return [
        {**{axis: int(i) for axis, i in zip(lead, np.unravel_index(at, sizes), strict=True)}, "Y": y, "X": x}
        for at in chosen
        for y, x in windows
    ]


def _spread(size: int, count: int) -> list[int]:
    """Return ``count`` indices evenly spread over ``range(size)``."""
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, count)).round()})


def _starts(size: int, edge: int, count: int) -> list[int]:
    """Return the evenly spread starts of at most ``count`` windows of ``edge`` in ``size``."""
    return sorted({int(i) for i in np.linspace(0, size - edge, count).round()})
