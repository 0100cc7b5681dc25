"""Splits images into parts to train, to validate and to test on, and keeps together what shows the same thing."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence

from napari_synth.core.errors import InvalidParameterError
from napari_synth.curation.images import CuratedImage, ImageSet, is_known

PARTS = ("train", "validation", "test")


def groups_of_copies(images: ImageSet, together: str | None = None) -> dict[str, int]:
    """Return for each image the number of its group: exact and near duplicates, and what was made of one source, are one group.

    Parameters
    ----------
    images : ImageSet
        Duplicates are those that its columns ``duplicate_of`` and ``hash`` name, as ``napari-synth assess`` measures them.
    together : str, optional
        A column whose equal values stay in one group too, such as ``well`` or ``patient``.

    Raises
    ------
    InvalidParameterError
        There is no such column.
    """
    if together is not None and together not in images.columns:
        known = ", ".join(images.columns) or "none is there"
        raise InvalidParameterError(f"There is no column {together!r} to keep images together by: {known}.")
    parent: dict[Hashable, Hashable] = {}
    for image in images.images:
        for tie in _ties(image, together):
            _join(parent, image.name, tie)
    numbers: dict[Hashable, int] = {}
    return {image.name: numbers.setdefault(_root(parent, image.name), len(numbers)) for image in images.images}


def split(groups: Mapping[str, int], shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> dict[str, str]:
    """Return for each image in which part it belongs.

    Whole groups are dealt, in an order by chance but the large ones first, each to the part that lacks most.

    Parameters
    ----------
    groups : mapping of str to int
        The group of each image, see `groups_of_copies`.
    shares : sequence of float
        Of the images to train, to validate and to test on; 0 leaves a part empty. They need not sum to 1.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    InvalidParameterError
        The shares are not three numbers of at least 0, one of them above.
    """
    if len(shares) != len(PARTS) or not all(0 <= share < float("inf") for share in shares) or not sum(shares):
        raise InvalidParameterError("A split needs three shares of at least 0, such as 0.8 0.1 0.1.")
    members: dict[int, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    order = list(members.values())
    random.Random(seed).shuffle(order)
    # Stable, so that chance decides among groups of one size.
    order.sort(key=len, reverse=True)
    wanted = [share / sum(shares) * len(groups) for share in shares]
    has = [0] * len(PARTS)
    part_of: dict[str, str] = {}
    for group_members in order:
        index = max(range(len(PARTS)), key=lambda part: (wanted[part] > 0, wanted[part] - has[part], -part))
        has[index] += len(group_members)
        part_of |= dict.fromkeys(group_members, PARTS[index])
    return {name: part_of[name] for name in groups}


def _ties(image: CuratedImage, together: str | None) -> list[Hashable]:
    """Return what ties an image to others."""
    ties: list[Hashable] = [image.path]
    if is_known(copied := image.values.get("duplicate_of")):
        ties.append(str(copied))
    columns = [column for column in ("hash", together) if column and is_known(image.values.get(column))]
    ties += [(column, image.values[column]) for column in columns]
    if image.before is not None:
        ties.append(image.before)
    return ties


def _root(parent: dict[Hashable, Hashable], one: Hashable) -> Hashable:
    while parent.setdefault(one, one) != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


def _join(parent: dict[Hashable, Hashable], one: Hashable, other: Hashable) -> None:
    parent[_root(parent, other)] = _root(parent, one)
