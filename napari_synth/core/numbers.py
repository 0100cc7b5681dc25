"""Numbers as a reader wants them: three digits, no powers of ten where none are needed, and the image's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST_ZEROS = 1e-3
_LARGEST = 1e6


def three_digits(value: float) -> str:
    """Return a number with three digits: ``"2440"``, ``"12.3"``, ``"0.00412"``, and powers of ten only beyond a million."""
    if not np.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size >= _LARGEST or size < _MOST_ZEROS:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits}·10{_raised(int(power))}"
    text = f"{value:.{max(0, 2 - int(np.floor(np.log10(size))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_of(dtype: Any) -> str:
    """Return what intensities of a type are called: whole numbers are counts; what floats count nobody knows."""
    return "counts" if np.dtype(dtype).kind in "iub" else "grey values"


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
