"""Makes the mask of a run: by a rule or from what was given, of chosen labels, grown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_synth.core.arguments import whole
from napari_synth.core.errors import InvalidParameterError, MaskError
from napari_synth.core.texts import shown
from napari_synth.engine.recipe import Recipe
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import Mask, as_mask, mask_array, mask_by_rule

MOST_GROWTH = 256
_LISTED = 10
_LABELS = (-(2**63), 2**63 - 1)


def make_mask(
    image: Image,
    mask: Any = None,
    *,
    rule: str | None = None,
    ids: Sequence[int] = (),
    grow: int = 0,
    axes: str | None = None,
) -> Mask:
    """Return the mask of a run.

    Parameters
    ----------
    image : Image
    mask : array-like or Image, optional
        See `napari_synth.imaging.masks.as_mask`.
    rule : {"nan", "zero", "saturated", "hot"}, optional
        What marks the pixels of the image instead, see `napari_synth.imaging.masks`.
    ids : sequence of int
        The labels of the mask that mark what is to be filled; all but 0 where there are none.
    grow : int
        See `grown`.
    axes : str, optional
        Of the mask.

    Raises
    ------
    MaskError
        There is no mask or no such rule, both are given, the mask does not fit, or it has none of the labels.
    """
    if (mask is None) == (rule is None):
        raise MaskError(
            "There is no mask: give one, or name a rule that makes it (nan, zero, saturated, hot)."
            if mask is None
            else "A mask and a rule for one are given: give one of them."
        )
    ids = _whole_labels(ids)
    if rule is not None:
        if ids:
            raise MaskError("A mask by a rule has no labels: leave them out, or give a mask of labels.")
        return grown(mask_by_rule(image, rule), grow)
    made = as_mask(chosen_labels(mask, ids) if ids else mask, image, axes)
    return grown(replace(made, ids=tuple(ids) or made.ids), grow)


def with_mask(
    image: Image,
    recipe: Recipe,
    mask: Any = None,
    *,
    rule: str | None = None,
    ids: Sequence[int] | None = None,
    grow: int | None = None,
) -> Image:
    """Return an image with the mask of a run: what is given, and the rest as the recipe has it.

    Parameters
    ----------
    image : Image
        Its own mask is taken where none is given.
    recipe : Recipe
    mask, rule, ids, grow
        See `make_mask`; what is None comes from the recipe. It holds no pixels of a mask that was drawn: that is given again.

    Raises
    ------
    MaskError
        See `make_mask`; or the recipe's mask was drawn, and none is given.
    """
    record = recipe.mask
    ids = None if ids is None else _whole_labels(ids)
    grow = None if grow is None else _growth(grow)
    if mask is None and rule is None:
        mask = image.mask
    if mask is None and rule is None and record is not None:
        rule = record.rule
        if rule is None:
            raise MaskError("The mask of this recipe was drawn: give the mask of this image with it.")
    if mask is None and rule is None and not ids and not grow:
        return image
    if record is not None:
        ids = record.ids if ids is None and rule is None else ids
        grow = record.grow if grow is None else grow
    return replace(image, mask=make_mask(image, mask, rule=rule, ids=ids or (), grow=grow or 0))


def _growth(pixels: Any) -> int:
    """Return by how many pixels a mask grows."""
    try:
        return whole("The growth of a mask", pixels, 0, MOST_GROWTH)
    except InvalidParameterError as error:
        raise MaskError(str(error)) from error


def _whole_labels(ids: Any) -> tuple[int, ...]:
    """Return labels as whole numbers."""
    try:
        return tuple(whole("A label", label, *_LABELS) for label in ids)
    except Exception as error:
        raise MaskError(f"Labels of a mask cannot be {shown(ids)}: give a list of whole numbers.") from error


def grown(mask: Mask, pixels: int) -> Mask:
    """Return a mask with everything that lies within some pixels of it in the same plane of Y and X.

    Planes do not grow into each other: a speck drawn in one frame says nothing about the next, and the steps along Z are seldom
    those of Y and X.

    Parameters
    ----------
    mask : Mask
    pixels : int
        Radius, 0 to 256.

    Raises
    ------
    MaskError
        The radius is out of bounds.
    """
    pixels = _growth(pixels)
    if pixels == 0:
        return mask
    in_plane = (mask.axes.index("Y"), mask.axes.index("X"))

    def grow(marked: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        result = marked.copy()
        planes = np.moveaxis(result, in_plane, (-2, -1))
        for at in np.ndindex(planes.shape[:-2]):
            _grow_plane(planes[at], pixels)
        return result

    if isinstance(mask.data, np.ndarray):
        data: Any = grow(mask.data)
    else:
        import dask.array as da

        depth = {i: pixels if i in in_plane else 0 for i in range(len(mask.axes))}
        nothing = np.empty((0,) * len(mask.axes), np.uint8)
        data = da.map_overlap(grow, mask.data, depth=depth, boundary="none", dtype=np.uint8, meta=nothing)
    return replace(mask, data=data, grow=mask.grow + pixels)


def _grow_plane(plane: npt.NDArray[np.uint8], pixels: int) -> None:
    """Grow in place; only the surroundings of what is marked are looked at."""
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return
    part = plane[
        max(0, rows[0] - pixels) : rows[-1] + pixels + 1, max(0, columns[0] - pixels) : columns[-1] + pixels + 1
    ]
    part[distance_transform_edt(part == 0) <= pixels] = 1


def chosen_labels(mask: Any, ids: Sequence[int]) -> Any:
    """Return which pixels of labels have one of these, as an array or an Image like what is given.

    Raises
    ------
    MaskError
        None has (which a lazy one does not tell yet), or they are no integers.
    """
    data = mask.data if isinstance(mask, Image) else mask
    data = mask_array(data)
    if np.dtype(data.dtype).kind not in "biu":
        raise MaskError(f"A mask of dtype {data.dtype} has no labels: give one of integers, or leave the labels out.")
    if isinstance(data, np.ndarray):
        chosen: Any = np.isin(data, list(ids))
        if not chosen.any():
            there = np.unique(data[data != 0])
            listed = ", ".join(str(label) for label in there[:_LISTED]) + (", …" if len(there) > _LISTED else "")
            wanted = f"label {ids[0]}" if len(ids) == 1 else f"of the labels {', '.join(map(str, ids))}"
            raise MaskError(f"The mask has no {wanted}: it has {listed or 'none at all'}.")
    else:
        import dask.array as da

        chosen = da.isin(data if hasattr(data, "dask") else da.from_array(data), list(ids))
    return replace(mask, data=chosen.astype(np.uint8)) if isinstance(mask, Image) else chosen
