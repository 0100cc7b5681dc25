"""The transforms that move things: their settings and draws. `napari_synth.augmentation.warping` makes maps of what is drawn.

All are defined about the centre of the frame, in units of distance rather than pixels, so that a volume with thick slices is
turned and sheared as the object would be. Along Z nothing moves unless ``depth`` says so: axial resolution differs from lateral.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_synth.augmentation.transform import NOISE, Frame, Geometry, Group, Transform, Values, noise_seed, ordered

STEEPEST = 0.85
"""Largest slope of a displacement field, in pixels a pixel: below 1 no field folds, and each one has an inverse."""


class Flip(Geometry):
    """Mirror along axes, each with half the chance."""

    kind: ClassVar[str] = "flip"
    title: ClassVar[str] = "Flip"
    summary: ClassVar[str] = "Mirrors along X, Y or Z, each with half the chance."

    along_x: bool = Field(True, title="Along X", description="Swap left and right in half of the images.")
    along_y: bool = Field(True, title="Along Y", description="Swap top and bottom in half of the images.")
    depth: bool = Field(False, title="Along Z", description="Swap first and last plane of half of the volumes.")

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the sign of each axis."""
        allowed = {"Z": self.depth, "Y": self.along_y, "X": self.along_x}
        coins = {axis: rng.random() < 0.5 for axis in "ZYX"}
        return {"signs": tuple(-1.0 if allowed[axis] and coins[axis] else 1.0 for axis in frame.axes)}


class QuarterTurn(Geometry):
    """Rotate in the plane by a multiple of 90 degrees."""

    kind: ClassVar[str] = "quarter-turn"
    title: ClassVar[str] = "Quarter turn"
    summary: ClassVar[str] = "Rotates by 0, 90, 180 or 270 degrees; by 0 or 180 where the field is not square."

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the number of quarter turns."""
        turns = int(rng.integers(4))
        square = frame.sizes[-1] == frame.sizes[-2] and frame.spacing[-1] == frame.spacing[-2]
        return {"turns": float(turns if square else turns // 2 * 2)}


class Rotate(Geometry):
    """Rotate by any angle."""

    kind: ClassVar[str] = "rotate"
    title: ClassVar[str] = "Rotate"
    summary: ClassVar[str] = "Rotates about the centre by any angle, and tilts volumes where asked to."

    degrees: float = Field(
        180.0, ge=0.0, le=180.0, title="Angle", description="Largest rotation in the plane, in degrees."
    )
    depth: float = Field(
        0.0,
        ge=0.0,
        le=180.0,
        title="Tilt",
        description="Largest rotation of a volume out of its plane, in degrees.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth > 0

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the angle, and the tilt as rotations about Y and X, in degrees."""
        angle, tilt, about = rng.uniform(-1.0, 1.0, 3)
        direction = np.pi * about
        tilt *= self.depth
        return {
            "degrees": float(self.degrees * angle),
            "tilt": (float(tilt * np.sin(direction)), float(tilt * np.cos(direction))),
        }


class Scale(Geometry):
    """Magnify or shrink the content; the frame stays."""

    kind: ClassVar[str] = "scale"
    title: ClassVar[str] = "Scale"
    summary: ClassVar[str] = "Magnifies or shrinks the content while the frame stays."

    smallest: float = Field(0.8, ge=0.1, le=10.0, title="Smallest", description="Factor of the smallest content.")
    largest: float = Field(1.25, ge=0.1, le=10.0, title="Largest", description="Factor of the largest content.")
    stretch: float = Field(
        1.0,
        ge=1.0,
        le=4.0,
        title="Stretch",
        description="Most that one axis is magnified over another.",
        json_schema_extra={"advanced": True},
    )
    depth: bool = Field(
        False,
        title="Along Z",
        description="Scale volumes along Z as well.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "smallest", "largest")
        return self

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the factor of each axis."""
        common = rng.uniform(np.log(self.smallest), np.log(self.largest))
        own = rng.uniform(-0.5, 0.5, 3) * np.log(self.stretch)
        factors = dict(zip("ZYX", np.exp(common + own), strict=True))
        if not self.depth:
            factors["Z"] = 1.0
        return {"factors": tuple(float(factors[axis]) for axis in frame.axes)}


class Shear(Geometry):
    """Shear in the plane, and planes of a volume against each other."""

    kind: ClassVar[str] = "shear"
    title: ClassVar[str] = "Shear"
    summary: ClassVar[str] = "Shifts rows against each other, as a slanted stage or a slow scan does."

    degrees: float = Field(10.0, ge=0.0, le=60.0, title="Angle", description="Largest shear in the plane, in degrees.")
    depth: float = Field(
        0.0,
        ge=0.0,
        le=60.0,
        title="Between planes",
        description="Largest shear of the planes of a volume against each other, in degrees.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth > 0

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the shears of X along Y, of X along Z and of Y along Z, in degrees."""
        plane, x, y = rng.uniform(-1.0, 1.0, 3)
        return {"degrees": (float(self.degrees * plane), float(self.depth * x), float(self.depth * y))}


class Translate(Geometry):
    """Shift the content within the frame."""

    kind: ClassVar[str] = "translate"
    title: ClassVar[str] = "Translate"
    summary: ClassVar[str] = "Shifts the content within the frame."

    fraction: float = Field(
        0.1, ge=0.0, le=1.0, title="Distance", description="Largest shift along X and Y, in parts of the frame."
    )
    depth: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        title="Along Z",
        description="Largest shift of volumes along Z, in parts of the frame.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth > 0

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the shift along each axis, in pixels."""
        most = np.multiply(frame.each(self.fraction, self.depth), frame.sizes)
        shifts = rng.uniform(-1.0, 1.0, 3)[3 - frame.ndim :] * most
        return {"pixels": tuple(float(shift) for shift in shifts)}


class Perspective(Geometry):
    """Tilt the plane of the image away from the viewer."""

    kind: ClassVar[str] = "perspective"
    title: ClassVar[str] = "Perspective"
    summary: ClassVar[str] = "Lets lines converge, as in a tilted view."

    strength: float = Field(
        0.2,
        ge=0.0,
        le=0.45,
        title="Strength",
        description="Largest relative change of magnification between the centre and an edge.",
    )
    depth: float = Field(
        0.0,
        ge=0.0,
        le=0.45,
        title="Along Z",
        description="The same for volumes along Z.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth > 0

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the relative change of magnification towards the end of each axis."""
        most = np.asarray(frame.each(self.strength, self.depth))
        # Along a diagonal they add up, and must stay below 1.
        most = most * min(1.0, 0.9 / max(most.sum(), 1e-12))
        tilts = rng.uniform(-1.0, 1.0, 3)[3 - frame.ndim :] * most
        return {"tilts": tuple(float(tilt) for tilt in tilts)}


class Elastic(Geometry):
    """Displace smoothly at random.

    Displacements on a lattice of control points, interpolated with cubic B-splines (Rueckert et al., IEEE TMI 1999), smooth like
    the filtered noise of Simard et al., ICDAR 2003.
    """

    kind: ClassVar[str] = "elastic"
    title: ClassVar[str] = "Elastic"
    summary: ClassVar[str] = "Bends the content smoothly at random, as soft tissue and cells bend."

    grid: float = Field(
        48.0,
        ge=4.0,
        le=1000.0,
        title="Coarseness",
        description="Distance of the control points in pixels: large for broad bends, small for fine ones.",
    )
    least: float = Field(
        2.0, ge=0.0, le=500.0, title="Weakest", description="Displacement of the control points in pixels, at least."
    )
    most: float = Field(
        12.0,
        ge=0.0,
        le=500.0,
        title="Strongest",
        description="Displacement of the control points in pixels, at most; what would fold the image is weakened.",
    )
    depth: bool = Field(
        False,
        title="Along Z",
        description="Bend volumes along Z as well, rather than every plane alike.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "least", "most")
        return self

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the largest displacement and the seed of the control points."""
        return {
            "grid": self.grid,
            "pixels": float(rng.uniform(self.least, self.most)),
            "depth": float(self.depth),
            NOISE: noise_seed(rng),
        }


class ThinPlate(Geometry):
    """Pull a few landmarks aside; the rest follows like a thin plate (Bookstein, IEEE PAMI 1989)."""

    kind: ClassVar[str] = "thin-plate"
    title: ClassVar[str] = "Thin-plate spline"
    summary: ClassVar[str] = "Pulls a few landmarks aside, and all between follows smoothly."

    landmarks: int = Field(3, ge=2, le=6, title="Landmarks", description="Landmarks along each axis.")
    fraction: float = Field(
        0.08,
        ge=0.0,
        le=0.5,
        title="Distance",
        description="Largest shift of a landmark in parts of the frame; what would fold the image is weakened.",
    )
    depth: bool = Field(
        False,
        title="Along Z",
        description="Pull landmarks of volumes along Z as well, rather than every plane alike.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the seed of the landmarks' shifts."""
        return {
            "landmarks": float(self.landmarks),
            "fraction": self.fraction,
            "depth": float(self.depth),
            NOISE: noise_seed(rng),
        }


class Fisheye(Geometry):
    """Distort radially, in the plane."""

    kind: ClassVar[str] = "fisheye"
    title: ClassVar[str] = "Fisheye"
    summary: ClassVar[str] = "Distorts radially, as a lens does: bulging for positive strength, pinched for negative."

    least: float = Field(-0.2, ge=-0.4, le=0.8, title="Least", description="Strength at least; below 0 is pinched.")
    most: float = Field(0.4, ge=-0.4, le=0.8, title="Most", description="Strength at most; above 0 bulges.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "least", "most")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the strength."""
        return {"strength": float(rng.uniform(self.least, self.most))}


class Crop(Transform):
    """Cut a part of the given size out, at a random place.

    Placed first, the transforms after it still see the pixels around the part, so that rotated corners are filled with image.
    """

    kind: ClassVar[str] = "crop"
    title: ClassVar[str] = "Crop"
    summary: ClassVar[str] = (
        "Cuts a part out; put it first, and what is turned in later comes from the image around it."
    )
    group: ClassVar[Group] = "geometry"

    height: int = Field(256, ge=1, le=2**16, title="Height", description="Pixels along Y.")
    width: int = Field(256, ge=1, le=2**16, title="Width", description="Pixels along X.")
    depth: int | None = Field(
        None,
        ge=1,
        le=2**16,
        title="Depth",
        description="Planes along Z of a volume; all of them where left on automatic.",
    )
    position: Literal["random", "centre"] = Field(
        "random",
        title="Position",
        description="Anywhere in the image, or its centre.",
        json_schema_extra={"advanced": True},
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth is not None

    def framed(self, frame: Frame) -> Frame:
        """See `Transform.framed`."""
        return frame.cut(_sizes(frame, self.height, self.width, self.depth))

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the first pixel along each axis; an image that is too small lies in the middle."""
        room = np.subtract(frame.sizes, self.framed(frame).sizes)
        places = rng.random(3)[3 - frame.ndim :] if self.position == "random" else np.full(frame.ndim, 0.5)
        # The last place is as likely as the others.
        starts = np.where(room > 0, np.minimum(np.floor(places * (room + 1)), room), np.floor(room / 2))
        return {"starts": tuple(float(start) for start in starts)}


class Resize(Transform):
    """Bring the frame, content and all, to the given size."""

    kind: ClassVar[str] = "resize"
    title: ClassVar[str] = "Resize"
    summary: ClassVar[str] = "Brings image and content to a given number of pixels."
    group: ClassVar[Group] = "geometry"

    height: int = Field(256, ge=1, le=2**16, title="Height", description="Pixels along Y.")
    width: int = Field(256, ge=1, le=2**16, title="Width", description="Pixels along X.")
    depth: int | None = Field(
        None,
        ge=1,
        le=2**16,
        title="Depth",
        description="Planes along Z of a volume; unchanged where left on automatic.",
    )

    @property
    def moves_depth(self) -> bool:
        """See `Transform.moves_depth`."""
        return self.depth is not None

    def framed(self, frame: Frame) -> Frame:
        """See `Transform.framed`."""
        return frame.resized(_sizes(frame, self.height, self.width, self.depth))

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Say the sizes; nothing is random."""
        return {"sizes": tuple(float(size) for size in self.framed(frame).sizes)}


def _sizes(frame: Frame, height: int, width: int, depth: int | None) -> tuple[int, ...]:
    wanted = {"Z": depth, "Y": height, "X": width}
    return tuple(wanted[axis] or size for axis, size in zip(frame.axes, frame.sizes, strict=True))
