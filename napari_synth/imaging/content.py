"""Says what an image is, where it is none that could be restored: constant, a mask, labels."""

from __future__ import annotations

import numpy as np

from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_windows

_ROWS = 4
_MOSTLY_EQUAL = 0.8
_COHERENT = 0.5


def said_of_content(image: Image) -> tuple[str, ...]:
    """Return a sentence where an image is constant, a mask of two values or an image of labels, else none.

    Counts of few photons are none of these: their values are scattered, those of masks and labels lie in regions.
    """
    equal = pairs = 0
    values: set[float] = set()
    lonely = 0
    for at in sample_windows(image):
        pixels = image.read(**at)
        rows = pixels.reshape(-1, pixels.shape[-1])[::_ROWS]
        if rows.dtype.kind == "f":
            rows = rows[np.isfinite(rows).all(axis=1)]
        same = rows[:, 1:] == rows[:, :-1]
        equal, pairs = equal + int(same.sum()), pairs + same.size
        # Nearly every image is told from these by its first rows.
        if pairs and equal < _MOSTLY_EQUAL * pairs:
            return ()
        values |= set(np.unique(rows).tolist())
        lonely += int((~same[:, 1:] & ~same[:, :-1]).sum())
    if not values or (pairs == 0 and len(values) > 1):
        return ()
    if len(values) == 1:
        return ("The image is constant: there is nothing to see in it.",)
    # Borders of regions are met alone; between two of them lie pixels that are equal.
    if lonely > _COHERENT * (pairs - equal) or any(value != int(value) for value in values):
        return ()
    if len(values) == 2:
        return ("The image has two values: it looks like a mask, not like something measured.",)
    return (
        "The image has whole regions of equal values without noise: it looks like labels, not like something measured.",
    )
