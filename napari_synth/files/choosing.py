"""Which of the several images of a file is read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_synth.core.errors import ImageFileError
from napari_synth.imaging.image import Image

Series = int | Literal["all"] | None
"""The number of an image in its file, counted from 0; ``"all"`` joins those of equal shape; None is the first."""

_LISTED = 6


def parse_series(text: str | int | None) -> Series:
    """Return the series that a word on the command line means.

    Raises
    ------
    ImageFileError
        It is neither a number from 0 on nor ``all``.
    """
    if text is None or text == "all":
        return None if text is None else "all"
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0 or isinstance(text, bool):
        raise ImageFileError(f"A series cannot be {text!r}: give its number, counted from 0, or all.")
    return number


def chosen_series(
    path: Path, titles: Sequence[str], kinds: Sequence[Hashable], series: Series
) -> tuple[list[int], list[str]]:
    """Return the numbers of the images that are read, and a note about those that are not.

    Parameters
    ----------
    path : pathlib.Path
    titles : sequence of str
        What each image of the file is, in words.
    kinds : sequence of hashable
        Equal for images that can be joined: their shape and dtype.
    series : int, "all" or None

    Raises
    ------
    ImageFileError
        There is no image of this number.
    """
    series = parse_series(series)
    count = len(titles)
    if isinstance(series, int) and series >= count:
        there = "one image, number 0" if count == 1 else f"{count} images, numbers 0 to {count - 1}"
        raise ImageFileError(f"There is no image number {series} in {path.name!r}: it holds {there}.")
    first = series if isinstance(series, int) else 0
    numbers = [n for n in range(count) if kinds[n] == kinds[0]] if series == "all" else [first]
    left = [n for n in range(count) if n not in numbers]
    if not left or isinstance(series, int):
        return numbers, []
    listed = "; ".join(f"{n}: {titles[n]}" for n in range(min(count, _LISTED))) + ("; …" if count > _LISTED else "")
    read = f"number {first} is read" if series is None else f"{len(numbers)} of equal shape are read"
    return numbers, [
        f"{path.name!r} holds {count} images, of which {read} ({listed}): choose with --series N, or all, in Python series=N."
    ]


def joined(images: Sequence[Image]) -> Image:
    """Return images of one shape as one: along T, or Z or C where they have a T already.

    Raises
    ------
    ImageFileError
        They have every axis already.
    """
    first = images[0]
    if len(images) == 1:
        return first
    role = next((axis for axis in "TZC" if axis not in first.axes), None)
    if role is None:
        raise ImageFileError("Images that have T, Z and C cannot be joined: choose one of them with --series N.")
    notes = [*dict.fromkeys(note for image in images for note in image.notes)]
    if any(image.is_lazy for image in images):
        import dask.array as da

        lazy = [image.data if hasattr(image.data, "dask") else da.from_array(image.data) for image in images]
        data: Any = da.stack(lazy)
    else:
        data = np.stack([image.data for image in images])
    notes.append(f"{len(images)} images of the file are joined along {role}.")
    channels, optics = (first.channels, first.optics) if role != "C" else ((), ())
    return replace(first, data=data, axes=role + first.axes, notes=tuple(notes), channels=channels, optics=optics)
