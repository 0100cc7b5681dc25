"""Checks what callers hand over before it is worked with: the arguments that all verbs have in common."""

from __future__ import annotations

import errno
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_synth.core.errors import InvalidParameterError, SynthError
from napari_synth.core.texts import shown

LARGEST_SEED = 2**31 - 1
LARGEST_TILE = 2**20


def whole(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number within bounds, of Python or of numpy.

    Parameters
    ----------
    name : str
        How the error calls it.
    value : object
        What was given.
    least, most : int
        Its bounds, both included.

    Raises
    ------
    InvalidParameterError
        It is none: a fraction, a text, or too large.
    """
    try:
        number = operator.index(value)
    except Exception as error:
        raise InvalidParameterError(
            f"{name} cannot be {shown(value)}: give a whole number from {least} to {most}."
        ) from error
    if not least <= number <= most:
        raise InvalidParameterError(f"{name} cannot be {shown(number)}: give a whole number from {least} to {most}.")
    return number


def checked_seed(seed: Any) -> int:
    """Return a seed; raises as `whole`."""
    return whole("The seed", seed, 0, LARGEST_SEED)


def checked_tile(tile: Any) -> int | None:
    """Return the edge of a block, None where it is left to us; raises as `whole`."""
    return None if tile is None else whole("The tile", tile, 1, LARGEST_TILE)


def checked_settings(settings: Any) -> Mapping[str, Any]:
    """Return settings by their names.

    Raises
    ------
    InvalidParameterError
        They are no mapping, or something is named by what is no text.
    """
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise InvalidParameterError(f"The settings cannot be {shown(settings)}: give each by its name.")
    return settings


def given_path(path: Any, error: type[SynthError]) -> Path:
    """Return a path, ``~`` being the home folder.

    Raises
    ------
    SynthError
        Of the given type, where it can be none.
    """
    try:
        found = Path(path).expanduser()
    except (TypeError, RuntimeError) as cause:
        raise error(f"{shown(path)} is no path of a file: give one.") from cause
    try:
        found.stat()
    except (OSError, ValueError) as cause:
        if isinstance(cause, ValueError) or cause.errno in {errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}:
            raise error(f"{shown(path)} is no path of a file: give one.") from cause
    return found
