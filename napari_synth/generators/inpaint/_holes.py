"""What kinds of holes there are in a plane or a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bools = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Holes:
    """The holes of a volume (A, Y, X), or of a plane with A = 1.

    Attributes
    ----------
    missing : numpy.ndarray of bool, (A,)
        Planes that are holes as a whole.
    thin : int
        How many of the others are thin.
    thick : int
        How many are not, at least in a part.
    is_thick : numpy.ndarray of bool, (A, Y, X)
        The pixels of those parts.
    boxes : tuple of tuple of slice
        Boxes around the thick ones; where boxes would lie too near to each other, around several.
    """

    missing: Bools
    thin: int
    thick: int
    is_thick: Bools
    boxes: tuple[Box, ...]

    @classmethod
    def of(cls, holes: Bools, thin: float, apart: int) -> Holes:
        """Sort the holes.

        Parameters
        ----------
        holes : numpy.ndarray of bool, (A, Y, X)
        thin : float
            Radius in pixels, of the largest circle in a plane of a hole, up to which it is thin.
        apart : int
            Boxes around thick holes are at least so many pixels apart.
        """
        missing = np.asarray(holes.all((1, 2)))
        labels, count = ndimage.label(holes & ~missing[:, None, None], np.ones((3, 3, 3), bool))
        is_thick, thick = np.zeros(holes.shape, bool), 0
        for index, box in enumerate(ndimage.find_objects(labels), 1):
            if min(part.stop - part.start for part in box[1:]) >= thin:
                around = grown(box, (0, 1, 1), labels.shape)
                found = _thick_part(labels[around] == index, thin)
                is_thick[around] |= found
                thick += bool(found.any())
        pieces, _ = ndimage.label(is_thick, np.ones((3, 3, 3), bool))
        boxes = list(ndimage.find_objects(pieces))
        return cls(missing, count - thick, thick, is_thick, tuple(_merged(boxes, apart)))


def _thick_part(hole: Bools, thin: float) -> Bools:
    """Return what of a hole (A, Y, X) lies around circles larger than ``thin``: a scratch that runs into a spot stays a scratch.

    Beyond the border of the image nothing ends a circle.
    """
    found = np.zeros_like(hole)
    for plane, part in zip(hole, found, strict=True):
        middle = ndimage.distance_transform_edt(plane) > thin
        if middle.any():
            # The corners of a hole belong to it.
            part |= plane & (ndimage.distance_transform_edt(~middle) <= 2 * (thin + 1))
    return found


def grown(box: Box, by: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Return a box that is larger on each side, as far as the image goes."""
    a, y, x = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, more, size in zip(box, by, shape, strict=True)
    )
    return a, y, x


def _merged(boxes: list[Box], apart: int) -> list[Box]:
    """Join boxes that are nearer to each other than ``apart`` along all axes."""
    left, found = list(boxes), []
    while left:
        box = left.pop()
        near = [
            other
            for other in left
            if all(a.start < b.stop + apart and b.start < a.stop + apart for a, b in zip(box, other, strict=True))
        ]
        if not near:
            found.append(box)
            continue
        left = [other for other in left if other not in near]
        a, y, x = (
            slice(min(part.start for part in parts), max(part.stop for part in parts))
            for parts in zip(box, *near, strict=True)
        )
        left.append((a, y, x))
    return found[::-1]
