"""A part of an image that a run is limited to: bounds along its axes, and what is marked inside them.

The method still looks at the whole image, so that the part of a result is the same as in the result of the whole image. Where
the result lies on the grid of its source, all other pixels are those of the source; on another grid it is cropped to the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import AxesError, MaskError
from napari_synth.core.texts import shown
from napari_synth.engine.recipe import RegionRecord, Source
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import as_mask


@dataclass(frozen=True)
class ChosenRegion:
    """A part of an image.

    Attributes
    ----------
    bounds : mapping of str to slice
        In pixels of the image, by axis role; axes that are left out are whole.
    marked : Image or None
        Not 0 where a pixel inside the bounds belongs to it, over the axes that it has; None where all of them do.
    """

    bounds: Mapping[str, slice] = field(default_factory=dict)
    marked: Image | None = None

    def record(self) -> RegionRecord:
        """Return what a recipe holds of it."""
        bounds = {axis: (part.start, part.stop) for axis, part in self.bounds.items()}
        if self.marked is None:
            return RegionRecord(bounds=bounds)
        return RegionRecord(bounds=bounds, fingerprint=Source.of(self.marked).fingerprint)

    def part(self, selection: Mapping[str, slice | int], sizes: Mapping[str, int]) -> npt.NDArray[np.bool_]:
        """Return which pixels of a part of the image belong to it.

        Parameters
        ----------
        selection : mapping of str to slice or int
            The part, as `Image.read` takes it; an int drops its axis.
        sizes : mapping of str to int
            Of the axes that are read, in their order.

        Returns
        -------
        numpy.ndarray of bool
            Along the axes that are kept, with length 1 where all positions of an axis are alike.
        """
        kept = [axis for axis in sizes if not isinstance(selection.get(axis), int)]
        inside = np.ones((1,) * len(kept), bool)
        for axis, bound in self.bounds.items():
            if axis not in sizes:
                continue
            at = selection.get(axis, slice(0, sizes[axis]))
            places = np.arange(at, at + 1) if isinstance(at, int) else np.arange(*at.indices(sizes[axis]))
            there = (places >= bound.start) & (places < bound.stop)
            if axis in kept:
                shape = [1] * len(kept)
                shape[kept.index(axis)] = len(there)
                there = there.reshape(shape)
            inside = inside & there
        if self.marked is None:
            return inside
        own = self.marked.axes
        marked = self.marked.read(**{axis: at for axis, at in selection.items() if axis in own}) != 0
        there_axes = [axis for axis in own if axis in kept]
        marked = marked.transpose([there_axes.index(axis) for axis in kept if axis in there_axes])
        return np.asarray(inside & np.expand_dims(marked, [i for i, axis in enumerate(kept) if axis not in own]))

    def sentence(self, *, cropped: bool) -> str:
        """Say which part it is, and what became of the rest."""
        where = ", ".join(f"{axis} {part.start} to {part.stop - 1}" for axis, part in self.bounds.items())
        drawn = "what was drawn" if self.marked is not None else ""
        part = " within ".join(filter(None, (drawn, where))) or "all of it"
        rest = "the result is cropped to it" if cropped else "all other pixels are those of the source"
        return f"Only a region was worked on ({part}): {rest}."


def open_region(given: Any, record: RegionRecord | None, image: Image) -> ChosenRegion | None:
    """Return the region of a run: what is given, else what the recipe says; None where it is the whole image.

    Parameters
    ----------
    given : ChosenRegion, mapping, array-like or Image, optional
        A mapping of axis roles to ``(start, stop)``, a slice or a position; or what is not 0 on the pixels of the region, as
        `napari_synth.imaging.masks.as_mask` takes it. An empty mapping is the whole image.
    record : RegionRecord or None
        Of the recipe.
    image : Image

    Raises
    ------
    AxesError
        The image has no such axis, or the bounds do not lie in it.
    MaskError
        Nothing is marked, what is marked does not fit, or the recipe's region was drawn and is not given again.
    """
    if given is None:
        if record is None:
            return None
        if record.is_drawn:
            raise MaskError("The region of this recipe was drawn: give the region of this image with it.")
        given = {axis: slice(*bound) for axis, bound in record.bounds.items()}
    if isinstance(given, ChosenRegion):
        bounds, marked = {axis: _bound(axis, part, image) for axis, part in given.bounds.items()}, given.marked
        found = ChosenRegion(bounds, marked)
    elif isinstance(given, Mapping):
        found = ChosenRegion(
            {str(axis).upper(): _bound(str(axis).upper(), part, image) for axis, part in given.items()}
        )
    else:
        found = ChosenRegion({}, as_mask(given, image))
    if found.marked is not None:
        found = ChosenRegion(_around(found, image), found.marked)
    return found if found.bounds or found.marked is not None else None


def _bound(axis: str, part: Any, image: Image) -> slice:
    """Return a bound along an axis as a slice with both ends."""
    if axis not in image.axes or axis == "S":
        raise AxesError(f"A region cannot be bounded along {shown(axis)}: the axes are {image.axes.replace('S', '')}.")
    size = image.sizes[axis]
    try:
        if isinstance(part, slice):
            start, stop, step = part.start or 0, size if part.stop is None else part.stop, part.step
        elif isinstance(part, (tuple, list)):
            (start, stop), step = part, None
        else:
            start, stop, step = part, part + 1, None
        whole = [int(end) for end in (start, stop)]
        fits = step in (None, 1) and whole == [start, stop] and not isinstance(start, bool)
    except (TypeError, ValueError, OverflowError) as error:
        raise AxesError(f"The region along {axis} cannot be {shown(part)}: give (start, stop) in pixels.") from error
    if not fits:
        raise AxesError(f"The region along {axis} cannot be {shown(part)}: give (start, stop) in pixels.")
    if not 0 <= whole[0] < whole[1] <= size:
        raise AxesError(
            f"The region along {axis} from {whole[0]} to {whole[1]} does not lie in the image, which has {size} pixels there:"
            f" give a start and a stop from 0 to {size}."
        )
    return slice(*whole)


def _around(region: ChosenRegion, image: Image) -> dict[str, slice]:
    """Return the bounds of what is marked inside the bounds of a region."""
    marked = region.marked
    assert marked is not None
    bounds = dict(region.bounds)
    pixels = marked.read(**{axis: part for axis, part in bounds.items() if axis in marked.axes}) != 0
    if not pixels.any():
        raise MaskError("The region marks no pixel of the image: draw it on the image.")
    for number, axis in enumerate(marked.axes):
        found = np.flatnonzero(pixels.any(axis=tuple(i for i in range(pixels.ndim) if i != number)))
        first = bounds[axis].start if axis in bounds else 0
        bounds[axis] = slice(first + int(found[0]), first + int(found[-1]) + 1)
    return {axis: bounds[axis] for axis in image.axes if axis in bounds}
