"""Collects what is built in and what other packages declare through an entry point group, by id."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from napari_synth.core.errors import UnknownGeneratorError
from napari_synth.core.texts import shown

T = TypeVar("T")


def collected(built_in: Sequence[str], group: str, what: str) -> dict[str, Any]:
    """Return an instance of every class by the id in its ``info``; a broken one, or one whose id is taken, is told of and left out.

    Parameters
    ----------
    built_in : sequence of str
        ``"module:Class"``, in the order in which they are listed.
    group : str
        The entry point group of other packages.
    what : str
        What one of them is called, e.g. ``"generator"``.
    """
    found = {}
    for path in built_in:
        module, name = path.split(":")
        own = getattr(import_module(module), name)()
        found[own.info.id] = own
    for entry in entry_points(group=group):
        try:
            foreign = entry.load()()
            identifier = foreign.info.id
        except Exception as error:  # noqa: BLE001 - another package's fault must not take ours away
            warnings.warn(f"The {what} {entry.name!r} of another package cannot be loaded: {error}", stacklevel=2)
            continue
        if identifier in found:
            warnings.warn(f"The {what} id {identifier!r} of {entry.value!r} is taken: it is left out.", stacklevel=2)
            continue
        found[identifier] = foreign
    return found


def named(known: Mapping[str, T], identifier: str, missing: str) -> T:
    """Return what has an id.

    Raises
    ------
    UnknownGeneratorError
        There is none; the message begins with ``missing`` and names near ones.
    """
    if not isinstance(identifier, str):
        raise UnknownGeneratorError(
            f"{shown(identifier)} is no id: give a text, such as {next(iter(known), 'task/name')}."
        )
    if identifier in known:
        return known[identifier]
    near = difflib.get_close_matches(identifier, known, n=3, cutoff=0.4) or list(known)
    raise UnknownGeneratorError(f"{missing}: did you mean {' or '.join(near)}?")
