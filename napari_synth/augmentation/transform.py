"""What every transform of an augmentation declares: its settings, and how its parameters are drawn.

A transform only declares. What moves pixels and points lies in `napari_synth.augmentation.warping`, what changes intensities in
`napari_synth.augmentation.shading`; both find their function by the transform's `kind`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pydantic
from pydantic import Field

from napari_synth.contract.params import Params
from napari_synth.core.arguments import checked_settings
from napari_synth.core.errors import AxesError, InvalidParameterError
from napari_synth.core.texts import shown

Value = int | float | tuple[float, ...]
Values = dict[str, Value]
Group = Literal["geometry", "intensity", "mixing"]

NOISE = "noise"
"""Name of the drawn value that seeds random fields which are too large to be written down."""


@dataclass(frozen=True)
class Frame:
    """What a transform must know of an image to draw its parameters; geometry changes it on the way.

    Attributes
    ----------
    axes : {"YX", "ZYX"}
        The axes that geometry moves.
    sizes : tuple of int
        Pixels along each of them.
    spacing : tuple of float
        Distance of neighbouring pixels along each of them; only the ratios matter.
    channels : int
        Channels, or colours of an RGB pixel.
    times : int
        Frames of a movie.
    rgb : bool
        Whether the channels are red, green and blue.
    """

    axes: str
    sizes: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int = 1
    times: int = 1
    rgb: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes that geometry moves."""
        return len(self.axes)

    def cut(self, sizes: tuple[int, ...]) -> Frame:
        """Return a frame of other sizes around the same content."""
        return replace(self, sizes=sizes)

    def resized(self, sizes: tuple[int, ...]) -> Frame:
        """Return the frame with its content brought to other sizes."""
        zoomed = zip(self.spacing, self.sizes, sizes, strict=True)
        return replace(self, sizes=sizes, spacing=tuple(step * old / new for step, old, new in zoomed))

    def each(self, plane: float, depth: float) -> tuple[float, ...]:
        """Return ``plane`` for Y and X, and ``depth`` for Z where it is moved."""
        return tuple(depth if axis == "Z" else plane for axis in self.axes)


class Transform(Params, ABC):
    """One entry of a pipeline: switched on or off, with its ranges. Values in pixels are those along X and Y."""

    kind: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    group: ClassVar[Group]

    enabled: bool = Field(True, title="Use", description="Whether this transform is part of the pipeline.")

    @property
    def chance(self) -> float:
        """Probability with which it is applied to an image, where it is enabled."""
        return 1.0

    @property
    def moves_depth(self) -> bool:
        """Whether it moves anything along Z, or out of its plane."""
        return False

    def check(self, frame: Frame) -> None:
        """Raise a `SynthError` where it cannot be applied to such an image."""

    def drawn_for(self, frame: Frame) -> bool:
        """Whether it does anything to such an image."""
        return True

    def framed(self, frame: Frame) -> Frame:
        """Return the frame after it."""
        return frame

    @abstractmethod
    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw its parameters; the same names and lengths for every image of the same frame."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check ``values`` and return the transform; see `Params.parse`."""
        try:
            return cls.model_validate(dict(checked_settings(values)))
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            name = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                message = f"{cls.title} has no setting {name!r}: it has {', '.join(cls.model_fields)}."
            elif problem["type"] == "value_error":
                message = str(problem["ctx"]["error"])
            else:
                hint = problem["msg"][0].lower() + problem["msg"][1:]
                message = f"The setting {name!r} of {cls.title} cannot be {shown(problem['input'])}: {hint}."
            raise InvalidParameterError(message) from error


class Random(Transform):
    """A transform that some images get and others do not."""

    probability: float = Field(
        1.0, ge=0.0, le=1.0, title="Probability", description="Share of the images that it is applied to."
    )

    @property
    def chance(self) -> float:
        """See `Transform.chance`."""
        return self.probability


class Geometry(Random):
    """A transform that moves image, labels, points, shapes, vectors and tracks."""

    group: ClassVar[Group] = "geometry"


class Intensity(Random):
    """A transform that changes intensities and leaves everything where it is."""

    group: ClassVar[Group] = "intensity"


def ordered(transform: Transform, least: str, most: str) -> None:
    """Raise a ValueError unless one setting is at most another.

    Parameters
    ----------
    transform : Transform
    least, most : str
        The names of the two settings.
    """
    low, high = getattr(transform, least), getattr(transform, most)
    if low > high:
        raise ValueError(f"{transform.title} has the range {low:g} to {high:g}: make {least!r} at most {most!r}.")


def needs_rgb(transform: Transform, frame: Frame) -> None:
    """Raise `AxesError` unless the image has red, green and blue."""
    if not frame.rgb:
        raise AxesError(f"{transform.title} needs an RGB image: switch it off, or give axes that end in S.")


def noise_seed(rng: np.random.Generator) -> int:
    """Draw what seeds a random field."""
    return int(rng.integers(2**53))


class Sampling(Params):
    """How the moved image is read."""

    interpolation: Literal["linear", "cubic"] = Field(
        "linear",
        title="Interpolation",
        description="Cubic is sharper and slower; labels take the nearest pixel either way.",
    )
    outside: Literal["background", "edge", "mirror"] = Field(
        "background",
        title="Outside",
        description="What is seen beyond the image: background, its edge drawn out, or its mirror image (without its points).",
    )
    background: float | None = Field(
        None,
        ge=-1e9,
        le=1e9,
        title="Background",
        description="Counts beyond the image; the low end of each channel where left on automatic.",
        json_schema_extra={"advanced": True},
    )
    leaving: Literal["drop", "mark"] = Field(
        "drop",
        title="Points that leave",
        description="Drop points, shapes, vectors and tracks that leave the field of view, or keep and mark them.",
    )
    antialias: bool = Field(
        True,
        title="Smooth what shrinks",
        description="Blur first what is made smaller, so that fine patterns do not turn into coarse ones.",
        json_schema_extra={"advanced": True},
    )
