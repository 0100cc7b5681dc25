"""Reads JSON and YAML that anybody may have written, and shows values and numbers of any size in a sentence."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable
from typing import Any

import yaml

_DEEPEST = 32
_MOST_VALUES = 250_000
_LARGEST = 2**64
_LONGEST = 120
_LEAST_PLAIN, _MOST_PLAIN = 1e-3, 1e6
"""Between which sizes a number is written without a power of ten."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class TextError(ValueError):
    """A text holds no plain values, or more of them than anything here can mean; the message says why, without an advice."""


def read_json(text: str | bytes) -> Any:
    """Return the values in a JSON text.

    Raises
    ------
    TextError
        It is no JSON, or its values are not `plain`.
    """
    return _read(text, json.loads, "JSON")


def read_yaml(text: str) -> Any:
    """Return the values in a YAML text; raises as `read_json`."""
    return _read(text, yaml.safe_load, "YAML")


def plain(values: Any) -> Any:
    """Return values that may be worked with: mappings with texts for keys, lists, texts, numbers, booleans and None.

    A text of a few lines can name one list many times over, so that it stands for more values than fit into the memory: they are
    counted as often as they are named.

    Parameters
    ----------
    values
        At most 32 lists or mappings in each other, 250 000 values, and whole numbers of 64 bits.

    Raises
    ------
    TextError
        They are more, or others.
    """
    count, waiting = 0, [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count + len(waiting) > _MOST_VALUES:
            raise TextError("it holds too many values")
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise TextError("it names something by what is no text")
            inner: list[Any] = list(value.values())
        elif isinstance(value, (list, tuple, set)):
            inner = list(value)
        elif isinstance(value, int) and abs(value) >= _LARGEST:
            raise TextError("it holds a whole number that is too large")
        else:
            continue
        if depth == _DEEPEST:
            raise TextError("its lists lie too deep in each other")
        waiting += [(item, depth + 1) for item in inner]
    return values


def shown(value: Any) -> str:
    """Return how a value is written, in one line of at most 120 characters, whatever it is."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = _LONGEST
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "a whole number of more than 64 bits"
    try:
        text = brief.repr(value)
    except Exception:  # noqa: BLE001 - objects of others say what they are in their own way, or cannot
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def three_digits(value: float) -> str:
    """Return a number with three digits: ``"2440"``, ``"12.3"``, ``"0.00412"``, and powers of ten only beyond a million."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size >= _MOST_PLAIN or size < _LEAST_PLAIN:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits}·10{str(int(power)).translate(_RAISED)}"
    text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_of(dtype: Any) -> str:
    """Return what intensities of a numpy type are called: whole numbers are counts; what floats count nobody knows."""
    import numpy as np

    return "counts" if np.dtype(dtype).kind in "iub" else "grey values"


def _read(text: str | bytes, read: Callable[[Any], Any], what: str) -> Any:
    try:
        values = read(text)
    except RecursionError as error:
        raise TextError("its lists lie too deep in each other") from error
    except Exception as error:  # yaml raises ten types and more, such as for a day that no month has
        raise TextError(f"it is not {what}") from error
    return plain(values)
