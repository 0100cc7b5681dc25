"""Which frames of a result are measured and which are invented, from what the user asked for.

For a movie of five frames of which the third is missing, and two more wanted::

    movie     0   1   x   3   4
    result    0   1  (2)  3   4  (5) (6)        origins: 0 1 None 3 4 None None
                     gap          gap

and with one more frame between any two of a movie of three::

    movie     0       1       2
    result    0  (1)  2  (3)  4
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import shown
from napari_synth.imaging.image import Image

Missing = tuple[int, ...] | Literal["auto"]
"""Frames that are missing, counted from 0, or from -1 at the end; or those that are empty or repeat the one before."""

_MOST_COUNT, _MOST_BETWEEN = 10_000, 1_000


class FrameRequest(pydantic.BaseModel):
    """Which frames are wanted.

    Attributes
    ----------
    count : int
        How many behind the last one.
    fill : tuple of int, or "auto", or None
        Which frames of the movie are missing and are to be filled, see `Missing`.
    between : int
        How many between any two neighbours: the movie becomes ``between + 1`` times as fine in time.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    count: int = 0
    fill: Missing | None = None
    between: int = 0

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> FrameRequest:
        """Return what is asked for by name; what is left out, or None, is not.

        Raises
        ------
        InvalidParameterError
            A value has the wrong type, or the request cannot be met by any movie.
        """
        given = {name: value for name, value in values.items() if value is not None}
        fill = given.get("fill")
        try:
            if fill is not None and not isinstance(fill, str):
                given["fill"] = tuple(fill) if isinstance(fill, Iterable) else (fill,)
        except Exception as error:
            raise InvalidParameterError(
                f"fill cannot be {shown(fill)}: give 'auto' or the numbers of frames."
            ) from error
        try:
            request = cls(**given)
        except pydantic.ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            wanted = "'auto' or the numbers of frames" if name == "fill" else "a whole number"
            raise InvalidParameterError(f"{name} cannot be {shown(given[name])}: give {wanted}.") from error
        request.check()
        return request

    @property
    def wants_any(self) -> bool:
        """Whether any frame is wanted."""
        return bool(self.count or self.between or self.fill is not None)

    def check(self) -> None:
        """Raise `InvalidParameterError` unless it can be done for some movie."""
        for name, value, most in (("count", self.count, _MOST_COUNT), ("between", self.between, _MOST_BETWEEN)):
            if not 0 <= value <= most:
                raise InvalidParameterError(f"{name} cannot be {shown(value)}: give a whole number from 0 to {most}.")
        if not self.wants_any:
            raise InvalidParameterError(
                "No frame is wanted: give a count of next frames, the missing frames to fill, or how many lie between two."
            )
        if self.between and (self.count or self.fill is not None):
            raise InvalidParameterError(
                "Frames between measured ones are made in a run of their own: leave count and fill out, and do those before."
            )


@dataclass(frozen=True)
class Gap:
    """Neighbouring frames of the result that are invented together.

    Attributes
    ----------
    start, count : int
        The first of them in the result, and how many there are.
    before, after : tuple of int
        The frames of the movie on either side, in the order of time; one side may be empty.
    """

    start: int
    count: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def kind(self) -> tuple[int, int, int]:
        """What gaps must have in common to be filled in one batch."""
        return self.count, len(self.before), len(self.after)

    @property
    def invented(self) -> range:
        """Frames of the result."""
        return range(self.start, self.start + self.count)


@dataclass(frozen=True)
class FramePlan:
    """Where each frame of a result comes from.

    Attributes
    ----------
    origins : tuple of int or None
        Of each frame of the result, the frame of the movie that it is; None for an invented one.
    gaps : tuple of Gap
    parts : int
        How many steps of the result one step of the movie has.
    """

    origins: tuple[int | None, ...]
    gaps: tuple[Gap, ...]
    parts: int = 1

    @property
    def invented(self) -> tuple[int, ...]:
        """Frames of the result that are invented."""
        return tuple(frame for frame, origin in enumerate(self.origins) if origin is None)

    @property
    def measured(self) -> Iterator[tuple[int, int]]:
        """Frames of the result that are measured, each with the frame of the movie that it is."""
        return ((frame, origin) for frame, origin in enumerate(self.origins) if origin is not None)

    @classmethod
    def of(cls, frames: int, request: FrameRequest, missing: tuple[int, ...], history: int) -> FramePlan:
        """Plan a movie.

        Parameters
        ----------
        frames : int
            Of the movie.
        request : FrameRequest
        missing : tuple of int
            Frames to fill.
        history : int
            Frames on either side of a gap that are looked at, at most.

        Raises
        ------
        InvalidImageError
            No frame is measured, or there is but one where frames between are wanted.
        """
        known = [frame not in set(missing) for frame in range(frames)]
        if not any(known):
            raise InvalidImageError("Every frame is missing: there is nothing to predict from.")
        if request.between and frames < 2:
            raise InvalidImageError("The movie has but one frame: there is nothing between.")
        parts = request.between + 1
        origins: list[int | None] = [None] * ((frames - 1) * parts + 1 + request.count)
        for frame in range(frames):
            if known[frame]:
                origins[frame * parts] = frame
        gaps, start = [], 0
        while start < len(origins):
            if origins[start] is not None:
                start += 1
                continue
            stop = start
            while stop < len(origins) and origins[stop] is None:
                stop += 1
            before = _run(known, (start - 1) // parts, -1, history) if start else ()
            after = _run(known, stop // parts, 1, history) if stop < len(origins) else ()
            gaps.append(Gap(start, stop - start, tuple(reversed(before)), after))
            start = stop
        return cls(tuple(origins), tuple(gaps), parts)


def missing_frames(movie: Image, wanted: Missing | None, report: Reporter | None = None) -> tuple[int, ...]:
    """Return the frames to fill, in order; the whole movie is read where they have to be found.

    Parameters
    ----------
    movie : Image
        With a T axis.
    wanted : tuple of int, or "auto", or None
        See `Missing`. A frame is found where all of it is zero or not finite, or where it is the same, bit by bit, as the one
        before it.
    report : Reporter, optional
        Told of every frame that is looked at.

    Raises
    ------
    InvalidParameterError
        The movie has no such frame.
    """
    if wanted is None:
        return ()
    frames = movie.sizes["T"]
    if wanted == "auto":
        return _found(movie, report or Reporter())
    for frame in wanted:
        if not -frames <= frame < frames:
            raise InvalidParameterError(
                f"Frame {shown(frame)} cannot be filled: the movie has the frames 0 to {frames - 1} (behind it, use count)."
            )
    return tuple(sorted({frame % frames for frame in wanted}))


def check_time(movie: Image) -> None:
    """Raise `AxesError` unless a movie has a T axis."""
    if "T" not in movie.axes:
        raise AxesError(f"Frames need a T axis, the image has {movie.axes}: set the axes, as in TYX.")


def _run(known: list[bool], first: int, step: int, most: int) -> tuple[int, ...]:
    """Return neighbouring known frames from ``first`` on."""
    found: list[int] = []
    while 0 <= first < len(known) and known[first] and len(found) < most:
        found.append(first)
        first += step
    return tuple(found)


def _found(movie: Image, report: Reporter) -> tuple[int, ...]:
    lead = "".join(axis for axis in movie.axes if axis not in "TYX")
    report.start("Looking for missing frames", movie.sizes["T"])
    missing, last = [], b""
    for frame in range(movie.sizes["T"]):
        digest, is_empty = hashlib.blake2b(), True
        for at in movie.indices(lead):
            plane = movie.read(T=frame, **at)
            is_empty = is_empty and _is_empty(plane)
            digest.update(np.ascontiguousarray(plane).tobytes())
        current = digest.digest()
        if is_empty or current == last:
            missing.append(frame)
        last = current
        report.advance()
    return tuple(missing)


def _is_empty(plane: npt.NDArray[np.generic]) -> bool:
    finite = np.isfinite(plane)
    return not bool(np.any(plane[finite] != 0)) if finite.any() else True
