"""Ranks images by what most needs a look; nothing is decided by it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from napari_synth.curation.images import ImageSet, Value, is_known

_UNREADABLE, _DOUBTFUL, _EXACT, _NEAR, _DEVIATES = 100.0, 10.0, 8.0, 4.0, 4.0
_MOST = 20.0
_FULL_SHARE = 0.01
"""A share of saturated pixels that counts as much as one robust standard deviation."""


def needs_a_look(images: ImageSet) -> tuple[float, ...]:
    """Return how much each image needs a look, 0 for nothing special.

    What cannot be read comes first, then results of a batch whose verdict is doubtful, duplicates, images that deviate in shape
    or type, outliers of the measures, and images whose pixels are saturated. Without any measures all are 0.

    Parameters
    ----------
    images : ImageSet
    """
    return tuple(_need(image.values) for image in images.images)


def _need(values: Mapping[str, Value]) -> float:
    if is_known(values.get("error")):
        return _UNREADABLE
    need = 0.0
    if is_known(verdict := values.get("verdict")) and verdict != "honest":
        need += _DOUBTFUL
    need += {"exact": _EXACT, "near": _NEAR}.get(str(values.get("duplicate")), 0.0)
    if is_known(values.get("deviates")):
        need += _DEVIATES
    need += min(_number(values, "outlier"), _MOST)
    need += min(_number(values, "saturated") / _FULL_SHARE, _MOST)
    chi2 = _number(values, "chi2")
    return need + (min(abs(math.log(chi2)), _MOST) if chi2 > 0 else 0.0)


def _number(values: Mapping[str, Value], name: str) -> float:
    value = values.get(name)
    return abs(value) if isinstance(value, float) and math.isfinite(value) else 0.0
