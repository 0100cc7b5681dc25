"""The last line behind the public verbs: whatever fails in there reaches the caller as one of our errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from napari_synth.core.errors import InvalidParameterError, OutOfMemoryError, SynthError, UnforeseenError
from napari_synth.core.memory import is_memory_short

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST = 200


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """Return a verb out of which no error comes but a `SynthError`; what a user can do wrong is told apart long before."""

    @functools.wraps(verb)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(*args, **kwargs)
        except SynthError:
            raise
        except Exception as error:
            raise _translated(verb.__name__, error) from error

    return called


def _translated(name: str, error: Exception) -> SynthError:
    if is_memory_short(error):
        return OutOfMemoryError(
            f"{name} needs more memory than is free: close other programs, give a smaller part, or a lazy array."
        )
    said = " ".join(str(error).split())[:_LONGEST]
    inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if isinstance(error, TypeError) and inside is None:
        return InvalidParameterError(f"{name} cannot be called like this ({said}): see help(napari_synth.{name}).")
    return UnforeseenError(
        f"{name} failed in a way that was not foreseen ({type(error).__name__}: {said}): please report it with the call."
    )
