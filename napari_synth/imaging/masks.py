"""Masks: which pixels of an image are to be filled.

A mask is an `Image` of integers, not zero where a pixel is to be filled. It has Y and X and any other axes of the image but S, and
holds over those that it lacks: a plane drawn once is a hole through the whole stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError, MaskError
from napari_synth.core.texts import shown
from napari_synth.imaging.image import Image, as_array, known_shape, named_axes, without_alpha
from napari_synth.imaging.noise import NoiseModel, estimate_noise
from napari_synth.imaging.outliers import hot_pixels
from napari_synth.imaging.sampling import sample_planes, sample_windows

RULES: Mapping[str, str] = {
    "nan": "Pixels that are NaN or infinite",
    "zero": "Pixels that are zero, of colour images the black ones",
    "saturated": "Pixels at the top of the range, of colour images the white ones",
    "hot": "Single hot and dead pixels of the camera, told from noise and detail",
}
"""Name of each rule, and what it marks."""


@dataclass(frozen=True)
class Mask(Image):
    """A mask that tells how it was made, for the recipe.

    Parameters
    ----------
    rule : str, optional
        What marked the pixels of the image, see `napari_synth.imaging.masks`; None where it was drawn or given.
    ids : tuple of int
        The labels that were chosen; all where there are none.
    grow : int
        Pixels by which it was grown.
    """

    rule: str | None = None
    ids: tuple[int, ...] = ()
    grow: int = 0


def as_mask(mask: Any, image: Image, axes: str | None = None) -> Mask:
    """Return a mask for an image.

    Parameters
    ----------
    mask : array-like or Image
        Of bool or integers, not zero where a pixel is to be filled, or of floats that are all 0 or one other number; numpy, dask or
        zarr, with the sizes of the image along its axes. Of a drawing in colour, what is not black is marked, or what is not
        transparent where parts of it are.
    image : Image
    axes : str, optional
        A role for each dimension; found by the sizes where it is left out.

    Returns
    -------
    Mask
        Of uint8, lazy where the mask is.

    Raises
    ------
    MaskError
        It has other sizes than the image, axes that the image lacks, or no integers.
    """
    made = mask if isinstance(mask, Mask) else None
    if isinstance(mask, Image):
        axes, mask = axes or mask.axes, _without_colours(mask) if "S" in mask.axes else mask.data
        axes = axes.replace("S", "")
    mask = mask_array(mask)
    if 0 in known_shape(mask):
        raise MaskError("The mask has no pixels: give one of the size of the image, not 0 where pixels are meant.")
    if axes is None and _is_coloured(tuple(mask.shape), image):
        mask = _without_colours(Image(mask, _axes_by_size(tuple(mask.shape[:-1]), image) + "S"))
    if not isinstance(mask, np.ndarray) and not hasattr(mask, "dask"):
        import dask.array as da

        mask = da.from_array(mask)
    if np.dtype(mask.dtype).kind not in "biu" and not _is_two_valued(mask):
        raise MaskError(
            f"A mask of dtype {mask.dtype} is ambiguous: give one of bool or integers, 0 where pixels stay."
        )
    shape = known_shape(mask)
    found = named_axes(axes) if axes else _axes_by_size(shape, image)
    sizes = {axis: size for axis, size in image.sizes.items() if axis != "S"}
    if set(found) - set(sizes) or len(found) != len(shape) or not {"Y", "X"} <= set(found):
        raise MaskError(
            f"A mask with the axes {found} and the shape {shape} does not fit an image with {image.axes}:"
            " give it Y and X, and no axis that the image lacks."
        )
    wrong = [axis for axis, size in zip(found, shape, strict=True) if size != sizes[axis]]
    if wrong:
        raise MaskError(
            f"The mask has {shape[found.index(wrong[0])]} pixels along {wrong[0]}, the image {sizes[wrong[0]]}:"
            " give a mask of the size of the image."
        )
    marked = (mask != 0).astype(np.uint8)
    return replace(made, data=marked, axes=found) if made else Mask(marked, found, name="mask")


def mask_array(mask: Any) -> Any:
    """Return a mask, or labels, as an array whose shape and dtype are known.

    Raises
    ------
    MaskError
        It is none.
    """
    try:
        array = as_array(mask)
        known_shape(array)
        np.dtype(array.dtype)
    except (InvalidImageError, TypeError) as error:
        raise MaskError(
            f"A {type(mask).__name__} is no mask: hand over a numpy, dask or zarr array of the size of the image."
        ) from error
    return array


def holes(image: Image, selection: Mapping[str, slice | int]) -> npt.NDArray[np.bool_]:
    """Return which pixels of a part of an image are to be filled.

    Parameters
    ----------
    image : Image
        With a mask.
    selection : mapping of str to slice or int
        As `Image.read` takes it.

    Returns
    -------
    numpy.ndarray of bool
        Along those axes of the image that are not dropped, of length 1 along those that the mask lacks.

    Raises
    ------
    MaskError
        The image has no mask.
    """
    mask = image.mask
    if mask is None:
        raise MaskError("There is no mask: say which pixels are to be filled.")
    found = mask.read(**{axis: part for axis, part in selection.items() if axis in mask.axes}) != 0
    kept = [axis for axis in mask.axes if not isinstance(selection.get(axis), int)]
    wanted = [axis for axis in image.axes if not isinstance(selection.get(axis), int)]
    found = found.transpose([kept.index(axis) for axis in wanted if axis in kept])
    return np.expand_dims(found, [i for i, axis in enumerate(wanted) if axis not in kept])


def check_mask(image: Image) -> None:
    """Raise `MaskError` unless an image has a mask that marks a pixel; a mask that is not in memory is read as far as needed."""
    if image.mask is None:
        raise MaskError("There is no mask: say which pixels are to be filled.")
    lead = "".join(axis for axis in image.mask.axes if axis not in "YX")
    rule = image.mask.rule if isinstance(image.mask, Mask) else None
    if not any(bool(image.mask.read(**at).any()) for at in image.mask.indices(lead)):
        raise MaskError(
            f"The rule {rule!r} marks no pixel of the image: take another, or mark what is to be filled."
            if rule
            else "The mask marks no pixel of the image: mark what is to be filled, or check where the mask lies."
        )


def _axes_by_size(shape: tuple[int, ...], image: Image) -> str:
    """Return those axes of the image that have this shape; where several do, the ones nearest to Y and X."""
    candidates = ["".join(axes) for axes in combinations(image.axes.replace("S", ""), len(shape))]
    fitting = [
        axes for axes in candidates if tuple(image.sizes[axis] for axis in axes) == shape and {"Y", "X"} <= set(axes)
    ]
    if not fitting:
        raise MaskError(
            f"A mask of shape {shape} does not fit an image of shape {image.shape} with the axes {image.axes}:"
            " give a mask of the size of the image, of its planes or of its volumes."
        )
    return max(fitting, key=lambda axes: [axis in axes for axis in "ZTC"])


def _is_coloured(shape: tuple[int, ...], image: Image) -> bool:
    """Return whether an array can only be a mask of this image if its last dimension holds the samples of colours."""
    if len(shape) < 3 or shape[-1] not in (2, 3, 4):
        return False
    try:
        _axes_by_size(shape, image)
    except MaskError:
        return {size for axis, size in image.sizes.items() if axis in "YX"} <= set(shape[:-1])
    return False


def _without_colours(mask: Image) -> Any:
    """Return what a drawing marks: what is not transparent where parts of it are, else what is not black."""
    at, samples = mask.axes.index("S"), mask.sizes["S"]
    colours = without_alpha(mask)
    if samples != colours.sizes["S"]:
        alpha = mask.select(S=samples - 1).data
        if bool((alpha != alpha.max()).any()):
            return alpha != 0
    return (colours.data != 0).any(axis=at)


def _is_two_valued(mask: Any) -> bool:
    """Return whether floats are all 0 or one other number, such as 1 or 255, so that it is clear which are marked."""
    if np.dtype(mask.dtype).kind != "f":
        return False
    top = mask.max()
    stays = mask == 0
    return bool(stays.any()) and bool((stays | ((mask == top) & (top > 0))).all())


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
    hot and dead pixels of any colour, see `napari_synth.imaging.outliers`; noise is measured in each channel.

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
