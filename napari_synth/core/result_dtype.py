"""In which dtype a result comes back, so that rounding to whole counts loses no signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

DtypeChoice = Literal["auto", "source", "float32"]
"""That of the source, or float32; ``auto`` takes float32 where whole counts would lose signal."""

FLOAT = np.dtype(np.float32)
_ONE_COUNT = 1.0
_LOST = 0.01
_FEW = 5.0


def choose_dtype(
    choice: DtypeChoice,
    source: np.dtype[Any],
    axes: str,
    levels: Sequence[tuple[float, float]],
    sample: Callable[[], npt.NDArray[Any]],
) -> tuple[np.dtype[Any], str]:
    """Return the dtype of a result in the counts of its source.

    Parameters
    ----------
    choice : {"auto", "source", "float32"}
    source : numpy.dtype
    axes : str
        Of the source: colours are never brought to floats by ``auto``.
    levels : sequence of (float, float)
        Mean and standard deviation of the noise of each channel, in counts.
    sample : callable
        Makes a part of the result as float32; called where the noise is weaker than a count, or there are
        so few counts that it can hardly be told.

    Returns
    -------
    (dtype, sentence) : pair of numpy.dtype and str
        The sentence says why it is not that of the source; it is empty where it is, or where the user chose.
    """
    if choice != "auto" or source.kind not in "iu" or "S" in axes:
        return (FLOAT if choice == "float32" else source), ""
    # Rounding moves a mean by half a count at most.
    if not any(abs(mean) <= 0.5 / _LOST and (sigma < _ONE_COUNT or abs(mean) < _FEW) for mean, sigma in levels):
        return source, ""
    made = sample().astype(np.float64)
    made = made[np.isfinite(made)]
    limits = np.iinfo(source)
    rounded = np.clip(np.rint(made), limits.min, limits.max)
    if made.size == 0 or abs(rounded.mean() - made.mean()) <= _LOST * abs(made.mean()):
        return source, ""
    return FLOAT, (
        "There are so few counts a pixel that rounding to whole ones would change the mean by"
        f" {abs(rounded.mean() / made.mean() - 1):.0%}: the result is float32, set dtype to source for {source}."
    )
