"""An image is an array whose axes have roles, a spacing and units; the array may be numpy, dask or zarr.

Axis roles are single letters: ``T`` time, ``C`` channel, ``Z`` ``Y`` ``X`` space, ``S`` samples of an RGB(A) pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import AxesError, InvalidImageError, SynthError

AXIS_ROLES = "TCZYXS"
SPATIAL_AXES = "ZYX"

_ROLE_OF_LABEL = {
    "t": "T",
    "time": "T",
    "frame": "T",
    "c": "C",
    "ch": "C",
    "channel": "C",
    "z": "Z",
    "depth": "Z",
    "plane": "Z",
    "slice": "Z",
    "y": "Y",
    "height": "Y",
    "row": "Y",
    "x": "X",
    "width": "X",
    "column": "X",
    "col": "X",
    "s": "S",
    "sample": "S",
    "samples": "S",
    "rgb": "S",
    "rgba": "S",
}
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Image:
    """An array with named axes, spacing and units.

    Parameters
    ----------
    data : array-like
        Anything with ``shape``, ``dtype`` and numpy slicing: numpy, dask, zarr. Never copied, never written to.
    axes : str
        One role of ``TCZYXS`` for each dimension, e.g. ``"ZYX"`` or ``"YXS"``.
    spacing : mapping of str to float
        Distance of neighbouring pixels along an axis, in the axis' unit; an axis that is left out has 1.
    units : mapping of str to str
        Unit of an axis, e.g. ``"micrometer"``; an axis that is left out is in pixels.
    name : str
        What the user calls it.
    mask : Image, optional
        Which pixels are to be filled, see `napari_synth.imaging.masks`.

    Raises
    ------
    AxesError
        The axes do not fit the array.
    InvalidImageError
        The array is empty or its dtype holds no intensities.
    """

    data: Any
    axes: str
    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    name: str = "image"
    mask: Image | None = None

    def __post_init__(self) -> None:
        try:
            np.dtype(self.data.dtype)
        except TypeError as error:
            raise InvalidImageError(
                f"A {type(self.data).__name__} is no image: hand over a numpy, dask or zarr array."
            ) from error
        check_axes(self.axes, tuple(self.data.shape))
        if 0 in self.data.shape:
            raise InvalidImageError(f"The image is empty (shape {tuple(self.data.shape)}): give it at least one pixel.")
        if self.dtype.kind not in "iuf":
            raise InvalidImageError(
                f"Images of dtype {self.dtype} have no intensities to work on: convert to an integer or float dtype first."
            )

    @classmethod
    def from_array(cls, data: Any, axes: str | None = None, **kwargs: Any) -> Image:
        """Wrap an array, guessing the axes where they are not given (see `guess_axes`)."""
        if isinstance(data, Image):
            return data if axes is None else replace(data, axes=axes.upper())
        if not hasattr(data, "shape") or not hasattr(data, "dtype"):
            data = np.asarray(data)
        shape = tuple(data.shape)
        return cls(data, axes.upper() if axes else guess_axes(shape), **kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension, in the order of `axes`."""
        return tuple(int(size) for size in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the machine's byte order."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype.newbyteorder("=")

    @property
    def sizes(self) -> dict[str, int]:
        """Size by axis role."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def n_pixels(self) -> int:
        """Number of array elements."""
        return prod(self.shape)

    @property
    def is_lazy(self) -> bool:
        """Whether the pixels are elsewhere than in this process' memory."""
        return not isinstance(self.data, np.ndarray)

    def read(self, **selection: slice | int) -> npt.NDArray[Any]:
        """Load a part of the image into memory.

        Parameters
        ----------
        **selection : slice or int
            What to take along an axis role; axes that are left out are taken whole, an int drops its axis.

        Returns
        -------
        numpy.ndarray
            The pixels, in the machine's byte order. May share memory with the source: do not write to it.

        Raises
        ------
        InvalidImageError
            A lazy source cannot deliver its pixels.
        """
        index = tuple(selection.get(axis, slice(None)) for axis in self.axes)
        try:
            return np.asarray(self.data[index], dtype=self.dtype)
        except (MemoryError, SynthError):
            raise
        except Exception as error:
            raise InvalidImageError(
                f"A part of the image cannot be read ({type(error).__name__}: {error}): check the file it comes from."
            ) from error

    def select(self, **selection: slice | int) -> Image:
        """Return a part of the image without loading it; an int drops its axis."""
        data = self.data
        if not isinstance(data, np.ndarray) and not hasattr(data, "dask"):
            import dask.array as da

            data = da.from_array(data)
        index = tuple(selection.get(axis, slice(None)) for axis in self.axes)
        axes = "".join(axis for axis in self.axes if not isinstance(selection.get(axis), int))
        mask = None
        if self.mask is not None:
            mask = self.mask.select(**{axis: part for axis, part in selection.items() if axis in self.mask.axes})
        return replace(self, data=data[index], axes=axes, mask=mask)

    def with_data(self, data: Any, *, name: str | None = None) -> Image:
        """Return the same axes, spacing and units around other data of the same number of dimensions."""
        return replace(self, data=data, name=self.name if name is None else name)

    def indices(self, axes: str) -> Iterator[dict[str, int]]:
        """Iterate over all positions along the given axes, in C order."""
        for position in np.ndindex(*(self.sizes[axis] for axis in axes)):
            yield dict(zip(axes, (int(i) for i in position), strict=True))


def colour_samples(count: int) -> int:
    """Return how many of the samples of a pixel are colours: the last of two or four is alpha."""
    return count - 1 if count in (2, 4) else count


def without_alpha(image: Image) -> Image:
    """Return the image without its alpha sample, which is no intensity."""
    samples = image.sizes.get("S", 0)
    return image if samples == colour_samples(samples) else image.select(S=slice(0, colour_samples(samples)))


def check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raise `AxesError` unless ``axes`` names every dimension of ``shape`` once and has ``Y`` and ``X``."""
    unknown = sorted(set(axes) - set(AXIS_ROLES))
    if unknown:
        raise AxesError(f"Axes {axes!r} have the unknown role {unknown[0]!r}: use letters of {AXIS_ROLES}.")
    if len(set(axes)) != len(axes):
        raise AxesError(f"Axes {axes!r} name an axis twice: give every dimension a role of its own.")
    if len(axes) != len(shape):
        raise AxesError(
            f"Axes {axes!r} name {len(axes)} dimensions but the image has {len(shape)} (shape {shape}): name each one once."
        )
    if not {"Y", "X"} <= set(axes):
        raise AxesError(f"Axes {axes!r} lack Y or X: an image needs two dimensions in the plane.")


def guess_axes(shape: tuple[int, ...], labels: Sequence[str] | None = None, rgb: bool | None = None) -> str:
    """Guess the role of every dimension from labels, shape and the RGB flag.

    Parameters
    ----------
    shape : tuple of int
        Size of every dimension, the RGB samples included.
    labels : sequence of str, optional
        Names of the dimensions (the RGB samples may be left out), used where every one names a role.
    rgb : bool, optional
        Whether the last dimension holds the samples of an RGB(A) pixel; guessed from the shape where None.

    Returns
    -------
    str
        One letter of ``TCZYXS`` a dimension.

    Raises
    ------
    AxesError
        There are too few or too many dimensions to guess.
    """
    if rgb is None:
        rgb = len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > _MOST_CHANNELS
    samples = "S" if rgb else ""
    plain = shape[: len(shape) - len(samples)]
    if labels is not None:
        roles = [_ROLE_OF_LABEL.get(str(label).strip().lower(), "") for label in labels[: len(plain)]]
        if all(roles) and len(set(roles)) == len(plain) and {"Y", "X"} <= set(roles):
            return "".join(roles) + samples
    lead = plain[:-2]
    small = [size <= _MOST_CHANNELS for size in lead]
    match len(plain):
        case 2:
            axes = "YX"
        case 3:
            axes = "CYX" if small[0] and shape[0] > 1 else "ZYX"
        case 4:
            axes = "ZCYX" if small[1] and not small[0] else "CZYX" if small[0] and not small[1] else "TZYX"
        case 5:
            axes = "TZCYX" if small[2] and not small[1] else "TCZYX"
        case _:
            raise AxesError(
                f"The roles of {len(plain)} dimensions (shape {shape}) cannot be guessed: an image has 2 to 5 of TCZYX,"
                " and S for RGB; say which with axes."
            )
    return axes + samples


def guess_movie_axes(shape: tuple[int, ...]) -> str | None:
    """Return the axes of an array that is a movie: as `guess_axes`, but a third dimension is time.

    None where it has too few or too many dimensions to be one.
    """
    rgb = len(shape) >= 4 and shape[-1] in (3, 4)
    plain = len(shape) - rgb
    if plain == 4:
        return ("TCYX" if shape[1] <= _MOST_CHANNELS else "TZYX") + "S" * rgb
    return {3: "TYX", 5: "TCZYX"}[plain] + "S" * rgb if plain in (3, 5) else None
