"""An image is an array whose axes have roles, a spacing and units; the array may be numpy, dask or zarr.

Axis roles are single letters: ``T`` time, ``C`` channel, ``Z`` ``Y`` ``X`` space, ``S`` samples of an RGB(A) pixel.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import AxesError, InvalidImageError, SynthError, is_memory_short, plain_cause
from napari_synth.core.texts import shown

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
_TIME_UNITS = {
    *("day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond"),
    *("d", "h", "hr", "min", "s", "sec", "ms", "msec", "us", "µs", "μs", "ns"),
}
_LENGTH_UNITS = {
    *("kilometer", "meter", "centimeter", "millimeter", "micrometer", "nanometer", "picometer", "angstrom", "micron"),
    *("km", "m", "cm", "mm", "um", "µm", "μm", "nm", "pm", "å", "inch", "foot"),
}


class ChannelInfo(NamedTuple):
    """What a file says of a channel: its name, and its colour as red, green and blue from 0 to 255, where it has them."""

    name: str = ""
    colour: tuple[int, int, int] | None = None


class ChannelOptics(NamedTuple):
    """What a file says of the light of a channel; None, or "", where it says nothing.

    Attributes
    ----------
    emission, excitation : float or None
        Wavelengths in nanometers: of the light that was detected, and of the one that excites.
    numerical_aperture, refractive_index : float or None
        Of the objective, and of what it is immersed in.
    kind : {"", "wide-field", "confocal", "light-sheet"}
        Of the microscope.
    """

    emission: float | None = None
    excitation: float | None = None
    numerical_aperture: float | None = None
    refractive_index: float | None = None
    kind: str = ""


class Origin(Protocol):
    """Where the pixels of an image came from, remembered so that it can be looked at again."""

    def check(self) -> None:
        """Raise a `SynthError` where it has changed since the image was opened."""


class _KnownParts:
    """Parts of lazy images that were read, each with a margin in the plane, for who looks at about the same part again."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[tuple[slice, ...], npt.NDArray[Any]]]] = {}
        # As long as they are held, their numbers are theirs alone.
        self._images: list[Any] = []
        self._bytes = 0

    def read(self, image: Image, index: tuple[slice | int, ...]) -> npt.NDArray[Any]:
        """Return what is asked for, from what is known or from the image."""
        shape = image.data.shape
        asked = [
            slice(i % size, i % size + 1) if isinstance(i, int) else slice(*i.indices(size))
            for i, size in zip(index, shape, strict=True)
        ]
        dropped = tuple(0 if isinstance(i, int) else slice(None) for i in index)
        if any(part.step not in (None, 1) for part in asked):
            return np.asarray(image.data[index], dtype=image.dtype)
        # A part of a dask array is named by what it is a part of, however often it is cut out.
        name = getattr(image.data, "name", None) or str(id(image.data))
        if name not in self._parts:
            self._images.append(image.data)
        kept = self._parts.setdefault(name, [])
        for region, pixels in kept:
            if all(r.start <= a.start and a.stop <= r.stop for r, a in zip(region, asked, strict=True)):
                inside = tuple(slice(a.start - r.start, a.stop - r.start) for r, a in zip(region, asked, strict=True))
                return pixels[inside][dropped]
        wide = tuple(
            slice(max(0, a.start - _AROUND), min(size, a.stop + _AROUND)) if axis in "YX" else a
            for axis, a, size in zip(image.axes, asked, shape, strict=True)
        )
        size = prod(part.stop - part.start for part in wide) * image.dtype.itemsize
        if self._bytes + size > _MOST_KNOWN or len(kept) >= _MOST_PARTS:
            return np.asarray(image.data[index], dtype=image.dtype)
        pixels = np.asarray(image.data[wide], dtype=image.dtype)
        self._bytes += pixels.nbytes
        kept.append((wide, pixels))
        return pixels[tuple(slice(a.start - w.start, a.stop - w.start) for a, w in zip(asked, wide, strict=True))][
            dropped
        ]


_KNOWN: ContextVar[_KnownParts | None] = ContextVar("known parts", default=None)
# Pixels beside a part that are read with it, and bytes and parts that are kept: a training, which asks for many small parts, is not
# slowed by looking for each among all.
_AROUND, _MOST_KNOWN, _MOST_PARTS = 32, 2**28, 256


@contextmanager
def each_part_read_once() -> Iterator[None]:
    """Read what is looked at several times of a lazy image once, as long as this holds; not for whole images."""
    token = _KNOWN.set(_KnownParts())
    try:
        yield
    finally:
        _KNOWN.reset(token)


@dataclass(frozen=True)
class Gain:
    """By what a correction multiplied the noise of every pixel.

    Attributes
    ----------
    factor : Image
        Above 0, with the axes and sizes of the image.
    levels : tuple of float
        The counts that stayed as they were: what lies above them was multiplied. One a channel, or one for all.
    """

    factor: Image
    levels: tuple[float, ...]

    def read(self, **selection: slice | int) -> npt.NDArray[np.float32]:
        """Load the factors of a part of the image; 1 where there is none."""
        found = self.factor.read(**selection)
        return np.where(np.isfinite(found) & (found > 0), found, np.float32(1.0)).astype(np.float32)

    def level(self, **selection: slice | int) -> npt.NDArray[np.float32]:
        """Return the levels beside what is read of the same part."""
        axes = self.factor.axes
        if len(self.levels) == 1 or "C" not in axes:
            return np.asarray(self.levels[0], np.float32)
        levels = np.asarray(self.levels, np.float32)[selection.get("C", slice(None))]
        behind = sum(not isinstance(selection.get(axis), int) for axis in axes[axes.index("C") + 1 :])
        return np.asarray(levels.reshape(levels.shape + (1,) * behind if levels.ndim else ()), np.float32)

    def select(self, **selection: slice | int) -> Gain:
        """Return the same of a part of the image, without loading it."""
        levels = self.levels
        if len(levels) > 1 and "C" in selection:
            chosen = selection["C"]
            levels = (levels[chosen],) if isinstance(chosen, int) else levels[chosen]
        return Gain(self.factor.select(**selection), levels)


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
    channels : tuple of ChannelInfo
        Names and colours of the channels, one for each position of C, where a file has them.
    optics : tuple of ChannelOptics
        What a file says of the light of the channels, one for each position of C, or a single one where there is no C.
    notes : tuple of str
        What the user should know of the file that the image was read from, a sentence each.
    origin : Origin, optional
        The file that the image was read from: results are withdrawn where it changed before they were complete.
    gains : tuple of Gain
        How the corrections that made the image multiplied its noise, the first one first; see `even_noise`.

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
    channels: tuple[ChannelInfo, ...] = ()
    optics: tuple[ChannelOptics, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)
    gains: tuple[Gain, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            np.dtype(self.data.dtype)
        except TypeError as error:
            raise InvalidImageError(
                f"A {type(self.data).__name__} is no image: hand over a numpy, dask or zarr array."
            ) from error
        shape = known_shape(self.data)
        check_axes(self.axes, shape)
        if 0 in shape:
            raise InvalidImageError(f"The image is empty (shape {shape}): give it at least one pixel.")
        if self.dtype.kind not in "iuf":
            raise InvalidImageError(
                f"Images of dtype {self.dtype} have no intensities to work on: convert to an integer or float dtype first."
            )

    @classmethod
    def from_array(cls, data: Any, axes: str | None = None, **kwargs: Any) -> Image:
        """Wrap an array, guessing the axes where they are not given (see `guess_axes`).

        The dimensions and coordinates of an xarray give roles, spacing and units. What a masked array of numpy hides becomes the
        mask of the image: there NaN stands in a float, and the nearest pixel that is not hidden in an integer.
        """
        if axes is not None:
            axes = named_axes(axes)
        if isinstance(data, Image):
            return data if axes is None else replace(data, axes=axes)
        if hasattr(data, "dims") and hasattr(data, "coords"):
            return _from_xarray(data, axes, kwargs)
        data = as_array(data)
        shape = known_shape(data)
        axes = axes or guess_axes(shape)
        if isinstance(data, np.ma.MaskedArray):
            check_axes(axes, shape)
            hidden = np.ma.getmaskarray(data)
            if hidden.any():
                kwargs = {"mask": _hidden_pixels(hidden, axes), **kwargs}
            data = _without_hidden(data, hidden)
        return cls(data, axes, **kwargs)

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
            if isinstance(self.data, np.memmap):
                _check_map(self.data)
                return np.array(self.data[index], dtype=self.dtype)
            if self.is_lazy and (known := _KNOWN.get()) is not None:
                return known.read(self, index)
            return np.asarray(self.data[index], dtype=self.dtype)
        except SynthError:
            raise
        except Exception as error:
            if is_memory_short(error):
                raise MemoryError from error
            raise InvalidImageError(
                f"A part of the image cannot be read ({plain_cause(error)}): check the file it comes from."
            ) from error

    def select(self, **selection: slice | int) -> Image:
        """Return a part of the image without loading it; an int drops its axis."""
        data = self.data
        index = tuple(selection.get(axis, slice(None)) for axis in self.axes)
        if hasattr(data, "part"):
            # It can be cut without being read, see `napari_synth.engine.step_array`.
            return self._cut(data.part(index), selection)
        if not isinstance(data, np.ndarray) and not hasattr(data, "dask"):
            import dask.array as da

            data = da.from_array(data)
        return self._cut(data[index], selection)

    def _cut(self, data: Any, selection: Mapping[str, slice | int]) -> Image:
        """Return the image around a part of its data."""
        axes = "".join(axis for axis in self.axes if not isinstance(selection.get(axis), int))
        mask = None
        if self.mask is not None:
            mask = self.mask.select(**{axis: part for axis, part in selection.items() if axis in self.mask.axes})
        chosen = selection.get("C", slice(None))
        channels = () if isinstance(chosen, int) else self.channels[chosen]
        optics = self.optics
        if "C" in self.axes and optics:
            optics = (optics[chosen],) if isinstance(chosen, int) else optics[chosen]
        gains = tuple(gain.select(**selection) for gain in self.gains)
        return replace(self, data=data, axes=axes, mask=mask, channels=channels, optics=optics, gains=gains)

    def gain(self, **selection: slice | int) -> npt.NDArray[np.float32]:
        """Load by what all corrections together multiplied the noise of a part of the image."""
        product = np.ones((), np.float32)
        for gain in self.gains:
            product = np.asarray(product * gain.read(**selection), np.float32)
        return product

    def even_noise(self, pixels: npt.NDArray[Any], **selection: slice | int) -> npt.NDArray[Any]:
        """Return pixels of a part of the image as they would be had no correction multiplied their noise: it has one gain then.

        Parameters
        ----------
        pixels : numpy.ndarray
            What was read of the part, or what was made of it.
        **selection
            The part, as for `read`.
        """
        for gain in reversed(self.gains):
            level = gain.level(**selection)
            pixels = (pixels - level) / gain.read(**selection) + level
        return pixels

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


def as_array(data: Any) -> Any:
    """Return what has ``shape`` and ``dtype`` as it is, and nested numbers as a numpy array.

    Raises
    ------
    InvalidImageError
        It is neither.
    """
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return data
    try:
        return np.asarray(data)
    except Exception as error:
        if is_memory_short(error):
            raise MemoryError from error
        raise InvalidImageError(
            f"A {type(data).__name__} ({shown(data)}) is no image: hand over a numpy, dask or zarr array."
        ) from error


def known_shape(data: Any) -> tuple[int, ...]:
    """Return the shape of an array.

    Raises
    ------
    InvalidImageError
        It has none, or one that is not known yet, as dask arrays have behind a selection by values.
    """
    try:
        return tuple(int(size) for size in data.shape)
    except (TypeError, ValueError) as error:
        raise InvalidImageError(
            f"The shape of the image is not known ({shown(data.shape)}): with dask, call compute_chunk_sizes() first."
        ) from error


def named_axes(axes: Any) -> str:
    """Return axes in capital letters.

    Raises
    ------
    AxesError
        They are no text.
    """
    if not isinstance(axes, str):
        raise AxesError(
            f"The axes cannot be {shown(axes)}: give a text with a letter for each dimension, such as 'ZYX'."
        )
    return axes.upper()


def check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raise `AxesError` unless ``axes`` names every dimension of ``shape`` once and has ``Y`` and ``X``."""
    named_axes(axes)
    unknown = sorted(set(axes) - set(AXIS_ROLES))
    if unknown:
        raise AxesError(f"Axes {shown(axes)} have the unknown role {unknown[0]!r}: use letters of {AXIS_ROLES}.")
    if len(set(axes)) != len(axes):
        raise AxesError(f"Axes {shown(axes)} name an axis twice: give every dimension a role of its own.")
    if len(axes) != len(shape):
        raise AxesError(
            f"Axes {shown(axes)} name {len(axes)} dimensions but the image has {len(shape)} (shape {shape}): name each one once."
        )
    if not {"Y", "X"} <= set(axes):
        raise AxesError(f"Axes {shown(axes)} lack Y or X: an image needs two dimensions in the plane.")


def guess_axes(
    shape: tuple[int, ...],
    labels: Sequence[str] | None = None,
    rgb: bool | None = None,
    units: Sequence[str | None] | None = None,
) -> str:
    """Guess the role of every dimension from labels, units, shape and the RGB flag.

    Parameters
    ----------
    shape : tuple of int
        Size of every dimension, the RGB samples included.
    labels : sequence of str, optional
        Names of the dimensions (the RGB samples may be left out); one that names a role decides.
    rgb : bool, optional
        Whether the last dimension holds the samples of an RGB(A) pixel; guessed from labels, units and shape where None.
    units : sequence of str, optional
        Units of the dimensions (the RGB samples may be left out): one of time is T, one of length is Z, Y or X.

    Returns
    -------
    str
        One letter of ``TCZYXS`` a dimension.

    Raises
    ------
    AxesError
        There are too few or too many dimensions to guess.
    """
    named = [_ROLE_OF_LABEL.get(str(label).strip().lower(), "") for label in labels or ()]
    measured = [_roles_of_unit(unit) for unit in units or ()]
    if rgb is None:
        rgb = _looks_coloured(shape, named, measured)
    samples = "S" if rgb else ""
    plain = shape[: len(shape) - len(samples)]
    if not 2 <= len(plain) <= 5:
        raise AxesError(
            f"The roles of {len(plain)} dimensions (shape {shape}) cannot be guessed: an image has 2 to 5 of TCZYX,"
            " and S for RGB; say which with axes."
        )
    usual = _usual_axes(plain)
    twice = {role for role, count in Counter(named[: len(plain)]).items() if count > 1}
    allowed = []
    for index in range(len(plain)):
        role = named[index] if index < len(named) and named[index] not in {*twice, "S"} else ""
        allowed.append(role or (measured[index] if index < len(measured) else "TCZYX"))
    fitting = [axes for axes in _possible_axes(usual) if all(map(str.__contains__, allowed, axes))]
    return (_likeliest(fitting, plain, allowed) if fitting else usual) + samples


def _usual_axes(plain: tuple[int, ...]) -> str:
    """Return the roles that two to five dimensions without RGB samples have where nothing but their sizes is known."""
    small = [size <= _MOST_CHANNELS for size in plain[:-2]]
    match len(plain):
        case 2:
            return "YX"
        case 3:
            return "CYX" if small[0] and plain[0] > 1 else "ZYX"
        case 4:
            return "ZCYX" if small[1] and not small[0] else "CZYX" if small[0] and not small[1] else "TZYX"
        case _:
            return "TZCYX" if small[2] and not small[1] else "TCZYX"


def _possible_axes(usual: str) -> Iterator[str]:
    """Return the usual axes first, then every other order: those that end in Y and X before the rest."""
    yield usual
    for lead in permutations("TZC", len(usual) - 2):
        yield "".join(lead) + "YX"
    for axes in permutations("TZCYX", len(usual)):
        if {"Y", "X"} <= set(axes) and axes[-2:] != ("Y", "X"):
            yield "".join(axes)


def _likeliest(fitting: Sequence[str], plain: tuple[int, ...], allowed: Sequence[str]) -> str:
    """Return the first of those axes of which the fewest have an unlikely size: few channels are usual, and few planes are not."""

    def unlikely(axes: str) -> tuple[bool, int]:
        lead = [i for i, axis in enumerate(axes) if axis in "TZC" and len(allowed[i]) > 1]
        wrong = sum((axes[i] == "C") != (plain[i] <= _MOST_CHANNELS and "C" in allowed[i]) for i in lead)
        return axes[-2:] != "YX", wrong

    return fitting[0] if fitting[0] == _usual_axes(plain) else min(fitting, key=unlikely)


def _looks_coloured(shape: tuple[int, ...], named: Sequence[str], measured: Sequence[str]) -> bool:
    """Return whether the last dimension holds RGB samples: its label decides, a unit speaks against it, else the sizes tell."""
    if named and len(named) == len(shape) and named[-1]:
        return named[-1] == "S"
    if measured and len(measured) == len(shape) and measured[-1] != "TCZYX":
        return False
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > _MOST_CHANNELS


def _roles_of_unit(unit: str | None) -> str:
    """Return the roles that an axis with this unit can have."""
    text = str(unit or "").strip().lower().replace("metre", "meter")
    spellings = {text, text.removesuffix("s")} if len(text) > 2 else {text}
    if spellings & _TIME_UNITS:
        return "T"
    return "ZYX" if spellings & _LENGTH_UNITS else "TCZYX"


def _check_map(data: np.memmap[Any, Any]) -> None:
    """Raise `InvalidImageError` where the file behind a map became shorter: the system ends a process that reads beyond its end."""
    base: Any = data
    while isinstance(base, np.ndarray):
        base = base.base
    if data.filename is None or not isinstance(base, mmap.mmap):
        return
    start = data.offset - data.offset % mmap.ALLOCATIONGRANULARITY
    try:
        there = os.stat(data.filename).st_size  # noqa: PTH116 - it may be a path or a name
    except OSError:
        # A file that was removed stays as it was for those who have it open.
        return
    if there < start + len(base):
        raise InvalidImageError(f"{os.fspath(data.filename)!r} became shorter while it was read: run it again.")


def _from_xarray(data: Any, axes: str | None, kwargs: Mapping[str, Any]) -> Image:
    """Return the image of an xarray: its dimensions are labels, even coordinates are a spacing, and their attributes the units."""
    shape, labels = tuple(data.shape), [str(label) for label in data.dims]
    known = {label: data.coords[label] for label in labels if label in data.coords}
    named = [str(known[label].attrs.get("units", "")) if label in known else "" for label in labels]
    steps = [_step(known[label].values) if label in known else None for label in labels]
    units = [
        "second" if step is not None and label in known and known[label].dtype.kind in "mM" else unit
        for label, step, unit in zip(labels, steps, named, strict=True)
    ]
    roles = axes.upper() if axes else guess_axes(shape, labels, units=units)
    check_axes(roles, shape)
    spatial = [index for index, role in enumerate(roles) if role not in "CS"]
    spacing = {roles[index]: step for index in spatial if (step := steps[index]) is not None}
    measures = {roles[index]: units[index] for index in spatial if units[index] not in {"", "pixel"}}
    pixels = data.data
    return Image(pixels, roles, **{"spacing": spacing, "units": measures, "name": str(data.name or "image"), **kwargs})


def _step(values: npt.NDArray[Any]) -> float | None:
    """Return the step of evenly spaced coordinates, in seconds where they are times; None where they are not even."""
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iufmM":
        return None
    steps = np.diff(values)
    steps = np.abs(steps / np.timedelta64(1, "s") if values.dtype.kind in "mM" else steps.astype(float))
    step = float(np.median(steps))
    return step if step > 0 and np.allclose(steps, step, rtol=1e-3) else None


def _hidden_pixels(hidden: npt.NDArray[np.bool_], axes: str) -> Image:
    """Return what a masked array hides as a mask, which knows no RGB samples."""
    if "S" in axes:
        hidden, axes = np.asarray(hidden.any(axis=axes.index("S"))), axes.replace("S", "")
    return Image(hidden.astype(np.uint8), axes, name="mask")


def _without_hidden(data: np.ma.MaskedArray[Any, Any], hidden: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return the pixels of a masked array with nothing of what it hides."""
    pixels = np.array(data.data)
    if not hidden.any() or hidden.all():
        return pixels
    if pixels.dtype.kind == "f":
        pixels[hidden] = np.nan
        return pixels
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return np.asarray(pixels[tuple(nearest)])


def guess_movie_axes(shape: tuple[int, ...]) -> str | None:
    """Return the axes of an array that is a movie: as `guess_axes`, but a third dimension is time.

    None where it has too few or too many dimensions to be one.
    """
    rgb = len(shape) >= 4 and shape[-1] in (3, 4)
    plain = len(shape) - rgb
    if plain == 4:
        return ("TCYX" if shape[1] <= _MOST_CHANNELS else "TZYX") + "S" * rgb
    return {3: "TYX", 5: "TCZYX"}[plain] + "S" * rgb if plain in (3, 5) else None
