"""Masks: which pixels of an image are to be filled.

A mask is an `Image` of integers, not zero where a pixel is to be filled. It has Y and X and any other axes of the image but S, and
holds over those that it lacks: a plane drawn once is a hole through the whole stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError, MaskError
from napari_synth.imaging.image import Image, as_array, known_shape, named_axes, without_alpha

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
        What marked the pixels of the image, see `napari_synth.imaging.mask_rules`; None where it was drawn or given.
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
