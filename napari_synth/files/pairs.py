"""Which file belongs to which: by equal names, by what their names have in common, or by their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_PARTS = re.compile(r"\d+|[^\W\d_]+")
_SHOWN = 12

Key = tuple[Hashable, ...]


@dataclass(frozen=True)
class Pairing:
    """A partner for each name.

    Attributes
    ----------
    partners : tuple of int
        For each source the index of its target.
    by : {"names", "common parts", "numbers"}
        What tells that they belong together.
    """

    partners: tuple[int, ...]
    by: str


def paired(sources: Sequence[str], targets: Sequence[str]) -> Pairing | None:
    """Return which target belongs to which source, None where their names give no one-to-one match.

    Names are equal, or equal but for the words that all names of a side share (``cell_7_raw`` and ``cell-07-truth``), or have the
    same numbers but for those that all names of a side share (``img_1`` and ``gt_01``), or each is a part of exactly one other.
    """
    ways: tuple[tuple[str, Callable[[Sequence[str]], list[Key]]], ...] = (
        ("names", lambda names: [(name,) for name in names]),
        ("common parts", _own_parts),
        ("numbers", _own_numbers),
    )
    for by, keys_of in ways:
        known, wanted = keys_of(targets), keys_of(sources)
        if len(set(known)) == len(known) and len(set(wanted)) == len(wanted) and set(known) == set(wanted):
            return Pairing(tuple(known.index(key) for key in wanted), by)
    for one, other in ((sources, targets), (targets, sources)):
        inside = [[i for i, name in enumerate(other) if _contains(_parts(name), _parts(short))] for short in one]
        if all(len(found) == 1 for found in inside) and len({found[0] for found in inside}) == len(one) == len(other):
            matches = tuple(found[0] for found in inside)
            return Pairing(matches if one is sources else tuple(map(matches.index, range(len(one)))), "common parts")
    return None


def belonging(name: str, candidates: Sequence[str]) -> list[int]:
    """Return the indices of the names that belong to one name: equal ones, else those that contain all of it, else its numbers."""
    parts = _parts(name)
    equal = [i for i, other in enumerate(candidates) if other == name]
    containing = [i for i, other in enumerate(candidates) if _contains(_parts(other), parts)]
    numbers = [part for part in parts if isinstance(part, int)]
    counted = [
        i
        for i, other in enumerate(candidates)
        if numbers and [p for p in _parts(other) if isinstance(p, int)] == numbers
    ]
    return equal or containing or counted


def pairs_in_words(sources: Sequence[str], targets: Sequence[str]) -> str:
    """Return pairs as text, the first dozen of many."""
    pairs = [f"{one} + {other}" for one, other in zip(sources, targets, strict=True)]
    more = f", and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return ", ".join(pairs[:_SHOWN]) + more


def _parts(name: str) -> list[int | str]:
    """Return the numbers and words of a name; ``07`` is 7."""
    return [int(part) if part.isdecimal() else part.casefold() for part in _PARTS.findall(name)]


def _own_parts(names: Sequence[str]) -> list[Key]:
    return _without_shared([_parts(name) for name in names])


def _own_numbers(names: Sequence[str]) -> list[Key]:
    return _without_shared([[part for part in _parts(name) if isinstance(part, int)] for name in names])


def _without_shared(every: Sequence[Sequence[int | str]]) -> list[Key]:
    """Leave out what all names have; numbers count by their place where all names have as many."""
    counts = {sum(isinstance(part, int) for part in parts) for parts in every}
    if len(counts) == 1 and len(every) > 1:
        columns = list(zip(*([part for part in parts if isinstance(part, int)] for parts in every), strict=True))
        fixed = {place for place, column in enumerate(columns) if len(set(column)) == 1}
    else:
        fixed = set()
    words = (
        set.intersection(*({part for part in parts if isinstance(part, str)} for parts in every)) if every else set()
    )
    keys: list[Key] = []
    for parts in every:
        key: list[int | str] = []
        place = 0
        for part in parts:
            if isinstance(part, int):
                if place not in fixed:
                    key.append(part)
                place += 1
            elif part not in words:
                key.append(part)
        keys.append(tuple(key))
    return keys


def _contains(parts: Sequence[int | str], wanted: Sequence[int | str]) -> bool:
    return bool(wanted) and any(
        list(parts[at : at + len(wanted)]) == list(wanted) for at in range(len(parts) - len(wanted) + 1)
    )
