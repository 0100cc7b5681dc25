"""Looks at a few windows of an image, spread over all its planes, to set a method up by them."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from napari_synth.core.generator import Context
from napari_synth.core.image import Image

# Multiples of this in one dimension more are spread evenly however many are taken (Roberts' sequence).
_PLASTIC = (1.0, 1.618033988749895, 1.324717957244746, 1.220744084605760, 1.167303978261419, 1.134724138401519)


def sample_windows(
    image: Image, axes: str, size: tuple[int, ...], count: int, context: Context, *, multiple: int = 1
) -> tuple[Tensor, ...]:
    """Return windows at evenly spread places, the same ones at every call.

    Parameters
    ----------
    image : Image
    axes : str
        The axes of a window, e.g. ``"ZYX"``; the image need not have all of them.
    size : tuple of int
        Largest extent of a window along each of ``axes``.
    count : int
        How many windows are taken at most.
    context : Context
        Says how counts are normalised, and where tensors belong.
    multiple : int
        Of which the extents along Y and X are multiples where the image is not smaller.

    Returns
    -------
    tuple of torch.Tensor, each (C, *size)
        Normalised intensities, of C samples of an RGB pixel; NaN and inf are replaced by the median.
    """
    extent = {a: min(s, image.sizes[a]) for a, s in zip(axes, size, strict=True) if a in image.axes}
    extent |= {a: n // multiple * multiple for a, n in extent.items() if a in "YX" and n >= multiple}
    free = [a for a in image.axes if a != "S"]
    places = [image.sizes[a] - extent.get(a, 1) + 1 for a in free]
    count = min(count, prod(places))
    root = _PLASTIC[len(free)]
    steps = [root ** -(i + 1) for i in range(len(free))]
    found = []
    for k in range(count):
        starts = [int((0.5 + k * step) % 1.0 * n) for step, n in zip(steps, places, strict=True)]
        part: dict[str, slice | int] = {
            a: slice(start, start + extent[a]) if a in extent else start for a, start in zip(free, starts, strict=True)
        }
        found.append(_as_tensor(image, part, axes, context))
    return tuple(found)


def _as_tensor(image: Image, part: dict[str, slice | int], axes: str, context: Context) -> Tensor:
    pixels = image.read(**part)
    present = [a for a in image.axes if not isinstance(part.get(a), int)]
    order = [a for a in "S" + axes if a in present]
    pixels = pixels.transpose([present.index(a) for a in order])
    pixels = pixels.reshape([pixels.shape[order.index(a)] if a in order else 1 for a in "S" + axes])[:3]
    normalised = context.intensity.forward(pixels)
    finite = np.isfinite(normalised)
    if not finite.all():
        normalised = np.where(finite, normalised, np.median(normalised[finite]) if finite.any() else 0.0)
    return torch.from_numpy(np.ascontiguousarray(normalised, dtype=np.float32)).to(context.device.torch_name)
