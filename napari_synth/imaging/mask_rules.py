"""Masks that an image makes itself: pixels that are not finite, zero, saturated, or hot and dead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import MaskError
from napari_synth.core.texts import shown
from napari_synth.imaging.hot_pixels import hot_pixels
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.masks import RULES, Mask
from napari_synth.imaging.noise import NoiseModel, estimate_noise
from napari_synth.imaging.sampling import sample_planes, sample_windows

Bools = npt.NDArray[np.bool_]

_MOST_AT_ONCE = 2**24
_FEWEST_SATURATED = 12
_PILE = 4.0
_NEXT_VALUES = 8
_FAINTEST = 1e-3
# Of a value that was rounded to whole counts.
_ROUNDING = 12**-0.5


def mask_by_rule(image: Image, rule: str) -> Mask:
    """Return the mask that a rule makes of an image.

    ``nan`` marks what is not finite in any colour, ``zero`` what is 0 in all. ``saturated`` marks what is in all colours at the top
    of an integer dtype or, where pixels pile up at the largest value below it (a camera of 12 bits), there. ``hot`` marks single
    hot and dead pixels of any colour, see `napari_synth.imaging.hot_pixels`; noise is measured in each channel.

    Parameters
    ----------
    image : Image
    rule : {"nan", "zero", "saturated", "hot"}

    Returns
    -------
    Mask
        Along all axes of the image but S; lazy where the image is lazy or large.

    Raises
    ------
    MaskError
        There is no such rule.
    """
    if not isinstance(rule, str) or rule not in RULES:
        raise MaskError(f"There is no rule {shown(rule)} for a mask: use {', '.join(RULES)}.")
    axes = image.axes.replace("S", "")
    whole = without_alpha(image)
    if "C" in image.axes and rule == "hot":
        at = axes.index("C")
        parts = [mask_by_rule(whole.select(C=i), rule).data for i in range(image.sizes["C"])]
        stack = np.stack if all(isinstance(part, np.ndarray) for part in parts) else _lazy_stack
        return Mask(stack(parts, axis=at), axes, name="mask", rule=rule)
    test, margin = _test(whole, rule)
    if not image.is_lazy and image.n_pixels <= _MOST_AT_ONCE:
        return Mask(test(whole.read()), axes, name="mask", rule=rule)
    return Mask(_lazily(whole, test, margin), axes, name="mask", rule=rule)


def _test(image: Image, rule: str) -> tuple[Callable[[Any], npt.NDArray[np.uint8]], int]:
    """Return what marks the pixels of a part of the image, without S, and the margin that it needs in Y and X."""
    colours = image.axes.find("S")

    def joined(marked: Bools, every: bool) -> npt.NDArray[np.uint8]:
        if colours < 0:
            return marked.astype(np.uint8)
        return np.asarray(marked.all(axis=colours) if every else marked.any(axis=colours), np.uint8)

    if rule == "nan":
        return lambda pixels: joined(~np.isfinite(pixels), every=False), 0
    if rule == "zero":
        return lambda pixels: joined(pixels == 0, every=True), 0
    if rule == "saturated":
        level = saturation_level(image)
        return lambda pixels: joined(pixels >= level, every=True), 0
    noise = _noise_of(image)
    y, x = image.axes.index("Y"), image.axes.index("X")

    def hot(pixels: Any) -> npt.NDArray[np.uint8]:
        marked = np.empty(pixels.shape, bool)
        planes, found = np.moveaxis(pixels, (y, x), (-2, -1)), np.moveaxis(marked, (y, x), (-2, -1))
        for at in np.ndindex(planes.shape[:-2]):
            found[at] = hot_pixels(planes[at], noise)
        return joined(marked, every=False)

    return hot, 1


def saturation_level(image: Image) -> float:
    """Return the value at which pixels are saturated, in counts; inf where none is.

    It is the top of an integer dtype, or the largest value of the image where pixels pile up at it: at least 12 of those that are
    looked at, and four times as many as at the values next to it.
    """
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else np.inf
    pixels = np.concatenate([image.read(**at).ravel() for at in sample_windows(image)])
    values, counts = np.unique(pixels[np.isfinite(pixels)], return_counts=True)
    if values.size < 2:
        return top
    beside = counts[-1 - _NEXT_VALUES : -1].mean()
    return float(values[-1]) if counts[-1] >= max(_FEWEST_SATURATED, _PILE * beside) else top


def _noise_of(image: Image) -> NoiseModel:
    """Measure the noise; never none at all, since a computed image would have nothing but outliers."""
    planes = sample_planes(image)
    model = estimate_noise(planes).model
    finite = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in planes]).astype(np.float64)
    low, high = np.percentile(finite, [0.1, 99.9]) if finite.size else (0.0, 1.0)
    faintest = max(_FAINTEST * (high - low), _ROUNDING if image.dtype.kind in "iu" else 0.0) or 1.0
    return replace(model, read_noise=max(model.read_noise, faintest))


def _lazily(image: Image, test: Callable[[Any], npt.NDArray[np.uint8]], margin: int) -> Any:
    import dask.array as da

    data = image.data if hasattr(image.data, "dask") else da.from_array(image.data)
    colours = image.axes.find("S")
    if colours >= 0:
        data = data.rechunk({colours: -1})
    dropped = [colours] if colours >= 0 else []
    if margin == 0:
        return data.map_blocks(test, dtype=np.uint8, drop_axis=dropped, meta=_nothing(data.ndim - len(dropped)))
    in_plane = tuple(margin if axis in "YX" else 0 for axis in image.axes)
    # Reflected without the edge itself, as at the border of a plane in memory.
    padded = da.overlap.overlap(data, dict(enumerate(in_plane)), boundary="none")
    marked = padded.map_blocks(test, dtype=np.uint8, drop_axis=dropped, meta=_nothing(data.ndim - len(dropped)))
    trimmed = dict(enumerate(d for d, axis in zip(in_plane, image.axes, strict=True) if axis != "S"))
    return da.overlap.trim_internal(marked, trimmed, boundary="none")


def _lazy_stack(parts: list[Any], axis: int) -> Any:
    import dask.array as da

    return da.stack(parts, axis=axis)


def _nothing(ndim: int) -> npt.NDArray[np.uint8]:
    return np.empty((0,) * ndim, np.uint8)
