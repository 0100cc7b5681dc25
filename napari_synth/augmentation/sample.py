"""A sample: an image with everything that lies in it, moved together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.augmentation.transform import Frame
from napari_synth.core.errors import AxesError, InvalidImageError
from napari_synth.core.texts import shown
from napari_synth.imaging.image import SPATIAL_AXES, Image, as_array, check_axes, guess_axes, known_shape, named_axes

Floats = npt.NDArray[np.float64]

COORDINATES = ("points", "shapes", "vectors", "tracks")
"""The parts of a sample that are lists of places."""


@dataclass(frozen=True)
class Sample:
    """An image with its labels, points, shapes, vectors and tracks, each as napari holds it.

    Coordinates are in pixels, whose centres lie at whole numbers, along the axes of the image without ``S``, without ``C`` too,
    or along Z, Y and X alone: the number of columns decides, the longest first.

    Attributes
    ----------
    image : array-like, Tensor or None
        Any integer or float dtype. None where only what lies in it is to be moved.
    axes : str
        One role of ``TCZYXS`` a dimension of the image.
    labels : array-like, Tensor or None
        Any integer dtype or bool; ids are kept whatever their size.
    labels_axes : str
        Roles of its dimensions; guessed by their number where left out: those of the image without ``S``, without ``C`` too, or
        the spatial ones.
    points : array-like (N, D) or None
    shapes : sequence of array-like (M, D), or None
        Vertices of each shape.
    vectors : array-like (N, 2, D) or None
        Start and direction.
    tracks : array-like (N, 1 + D) or None
        Id, then the coordinates, time first.
    spacing : mapping of str to float
        Distance of neighbouring pixels along an axis; 1 where left out.
    inside : mapping of str to bool array
        For each of points, shapes, vectors and tracks, what lies in the field of view: set by an augmentation.
    origin : mapping of str to int array
        For each of them, the row of the sample it was made from; -1 - row for what was pasted from another one.

    Raises
    ------
    AxesError
        Axes do not fit an array, or columns of coordinates the axes.
    InvalidImageError
        An array is empty or of an unusable dtype.
    """

    image: Any = None
    axes: str = ""
    labels: Any = None
    labels_axes: str = ""
    points: npt.ArrayLike | None = None
    shapes: Sequence[npt.ArrayLike] | None = None
    vectors: npt.ArrayLike | None = None
    tracks: npt.ArrayLike | None = None
    spacing: Mapping[str, float] = field(default_factory=dict)
    inside: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    origin: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if hasattr(self.image, "dims") or isinstance(self.image, np.ma.MaskedArray):
            object.__setattr__(self, "image", Image.from_array(self.image, self.axes or None))
        if isinstance(self.image, Image):
            object.__setattr__(self, "axes", self.axes or self.image.axes)
            object.__setattr__(self, "spacing", dict(self.spacing) or dict(self.image.spacing))
            object.__setattr__(self, "image", self.image.data)
        self._check_image()
        self._check_labels()
        self._check_coordinates()

    def _check_image(self) -> None:
        if self.image is None:
            return
        object.__setattr__(self, "image", as_array(self.image))
        shape = known_shape(self.image)
        object.__setattr__(self, "axes", named_axes(self.axes) or guess_axes(shape))
        check_axes(self.axes, shape)
        if 0 in shape:
            raise InvalidImageError(f"The image is empty (shape {shape}): give it at least one pixel.")
        if dtype_kind(self.image) not in "iuf":
            raise InvalidImageError(
                f"Images of dtype {self.image.dtype} have no intensities to work on: convert to an integer or float dtype first."
            )

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        if isinstance(self.labels, Image):
            object.__setattr__(self, "labels_axes", self.labels_axes or self.labels.axes)
            object.__setattr__(self, "labels", self.labels.data)
        object.__setattr__(self, "labels", as_array(self.labels))
        shape = known_shape(self.labels)
        if dtype_kind(self.labels) not in "iub":
            raise InvalidImageError(
                f"Labels of dtype {self.labels.dtype} hold no ids: convert them to an integer dtype first."
            )
        axes = named_axes(self.labels_axes) or self._axes_of("labels", len(shape))
        check_axes(axes, shape)
        object.__setattr__(self, "labels_axes", axes)
        if self.image is None:
            object.__setattr__(self, "axes", self.axes or axes)
            return
        sizes = dict(zip(self.axes, self.image.shape, strict=True))
        own = dict(zip(axes, shape, strict=True))
        if any(size != sizes.get(axis, size) for axis, size in own.items()) or not set(axes) <= set(self.axes):
            raise InvalidImageError(
                f"Labels of shape {shape} do not lie on an image of shape {tuple(self.image.shape)}: make them the same size."
            )

    def _check_coordinates(self) -> None:
        for name, rows in self.coordinates():
            if rows.size and not np.isfinite(rows).all():
                raise InvalidImageError(f"The {name} have coordinates that are not finite: remove them first.")
            self.columns(name, rows)

    def _axes_of(self, what: str, count: int) -> str:
        """Return which axes of the image ``count`` dimensions or columns mean."""
        if not self.axes:
            return guess_axes((2,) * count, rgb=False) if what == "labels" else SPATIAL_AXES[3 - count :]
        plain = self.axes.replace("S", "")
        spatial = "".join(axis for axis in plain if axis in SPATIAL_AXES)
        for axes in (plain, plain.replace("C", ""), spatial):
            if len(axes) == count:
                return axes
        raise AxesError(
            f"The {what} have {count} dimensions and the image has the axes {self.axes}: give them those, or the spatial ones."
        )

    def coordinates(self) -> Iterator[tuple[str, Floats]]:
        """Iterate over the name and the rows (N, D) of every list of places, without the ids of tracks.

        Shapes give all their vertices in one array, vectors their starts and then their ends.
        """
        if self.points is not None:
            yield "points", _rows(self.points, "points", 2)
        if self.shapes is not None:
            if not isinstance(self.shapes, Sequence | np.ndarray):
                raise AxesError(f"The shapes are no list of vertices ({shown(self.shapes)}): give one for each shape.")
            shapes = [_rows(shape, "shapes", 2) for shape in self.shapes]
            if len({shape.shape[1] for shape in shapes}) > 1:
                raise AxesError("The shapes have different numbers of columns: give every vertex the same axes.")
            if shapes:
                yield "shapes", np.concatenate(shapes)
        if self.vectors is not None:
            vectors = _rows(self.vectors, "vectors", 3)
            if vectors.shape[1] != 2:
                raise AxesError(
                    f"The vectors have the shape {vectors.shape}: each is a start and a direction, (N, 2, D)."
                )
            yield "vectors", np.concatenate([vectors[:, 0], vectors.sum(1)])
        if self.tracks is not None:
            yield "tracks", _rows(self.tracks, "tracks", 2)[:, 1:]

    def columns(self, name: str, rows: Floats) -> str:
        """Return the axis of each column of coordinates."""
        if name == "tracks" and self.axes:
            axes = "T" + "".join(axis for axis in self.axes if axis in SPATIAL_AXES)
            if rows.shape[1] == len(axes):
                return axes
        elif name == "tracks":
            return "T" + SPATIAL_AXES[4 - rows.shape[1] :]
        return self._axes_of(name, rows.shape[1])

    @property
    def sizes(self) -> dict[str, int]:
        """Size by axis role, of the image or else of the labels; empty where there is neither."""
        if self.image is not None:
            return dict(zip(self.axes, (int(size) for size in self.image.shape), strict=True))
        if self.labels is not None:
            return dict(zip(self.labels_axes, (int(size) for size in self.labels.shape), strict=True))
        return {}

    @property
    def rgb(self) -> bool:
        """Whether it has red, green and blue."""
        return self.sizes.get("S", 0) in (3, 4)

    def frame(self, axes: str) -> Frame:
        """Return what transforms must know to draw parameters that move the given axes.

        Raises
        ------
        InvalidImageError
            The sample has neither image nor labels.
        """
        sizes = self.sizes
        if not sizes:
            raise InvalidImageError("A sample without image and labels has no size: give it one of them.")
        channels = min(sizes.get("S", sizes.get("C", 1)), 3 if "S" in sizes else sizes.get("C", 1))
        return Frame(
            axes,
            tuple(sizes[axis] for axis in axes),
            tuple(float(self.spacing.get(axis, 1.0)) for axis in axes),
            channels=channels,
            times=sizes.get("T", 1),
            rgb=self.rgb,
        )

    def with_spacing(self, spacing: Mapping[str, float]) -> Sample:
        """Return the sample with other distances of neighbouring pixels."""
        return replace(self, spacing=dict(spacing))


def dtype_kind(array: Any) -> str:
    """Return numpy's letter for the kind of dtype, of a tensor too."""
    try:
        return str(np.dtype(array.dtype).kind)
    except TypeError:
        name = str(array.dtype).removeprefix("torch.")
    known = (("bool", "b"), ("float", "f"), ("bfloat", "f"), ("uint", "u"), ("int", "i"))
    return next((letter for start, letter in known if name.startswith(start)), "c")


def _rows(values: npt.ArrayLike, name: str, ndim: int) -> Floats:
    try:
        rows = np.asarray(values, dtype=np.float64)
    except Exception as error:
        raise AxesError(f"The {name} are no places ({shown(values)}): give rows of coordinates.") from error
    if rows.ndim != ndim or (rows.shape[-1] < 2):
        expected = {"points": "(N, D)", "shapes": "(vertices, D) each", "vectors": "(N, 2, D)", "tracks": "(N, 1 + D)"}
        raise AxesError(f"The {name} have the shape {rows.shape}: it must be {expected[name]}.")
    return rows
