"""The options that say which frames of a time-lapse are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from napari_synth.core.errors import InvalidParameterError
from napari_synth.engine.frame_plan import FrameRequest
from napari_synth.engine.recipe import FramesRecord

FRAMES = Group("Which frames", sort_key=0)


@Parameter(name="*", group=FRAMES)
@dataclass(frozen=True)
class Framed:
    """Which frames are wanted."""

    count: int = 0
    "How many behind the last one."
    fill: Annotated[list[str] | None, Parameter(negative=())] = None
    "A missing frame, counted from 0; give it again for each. Or auto: those that are empty or repeat the one before."
    between: int = 0
    "How many between any two neighbours; stands alone."

    def record(self) -> FramesRecord:
        """Return what is asked for as a recipe holds it.

        Raises
        ------
        InvalidParameterError
            It cannot be done for any movie.
        """
        fill = self.fill or None
        numbers: str | list[int] | None = None
        if fill is not None:
            try:
                numbers = "auto" if fill == ["auto"] else [int(word) for word in fill]
            except ValueError as error:
                raise InvalidParameterError(
                    f"fill cannot be {' '.join(fill)!r}: give 'auto' or the numbers of frames."
                ) from error
        request = FrameRequest.parse({"count": self.count, "fill": numbers, "between": self.between})
        return FramesRecord(**request.model_dump())


NO_FRAMES = Framed()
