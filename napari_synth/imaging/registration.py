"""Tells by how much images are shifted against each other, and brings them, and what was drawn on them, into register.

A movie whose stage drifts or shakes shows the same scene a little displaced in every frame. `estimate_drift` measures by how much,
to a fraction of a pixel, in planes and in volumes; what it returns is a table, and moves other channels, labels and points as well.

References
----------
Guizar-Sicairos et al., "Efficient subpixel image registration algorithms", Optics Letters 33 (2008).
Lucas & Kanade, "An iterative image registration technique", IJCAI 1981.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import shown
from napari_synth.imaging.image import SPATIAL_AXES, Image, without_alpha

Doubles = npt.NDArray[np.float64]

_STEPS = 8
_DONE = 0.01
# Beyond so many pixels, steps lead to another place than where they began.
_FARTHEST_STEP = 1.5
_SMALLEST = 8
_COARSE = 16
# Of the size of an image: what is shifted further has too little in common with it.
_FARTHEST = 0.5


@dataclass(frozen=True)
class Shift:
    """By how much one image is shifted against another.

    Attributes
    ----------
    displacement : tuple of float
        What is at ``x`` in the reference is at ``x + displacement`` in the moving image, in pixels along each axis.
    correlation : float
        How well the two agree after that: the correlation coefficient of their details where they overlap, -1 to 1.
    certainty : tuple of tuple of float
        How sure that is along the axes: the inverse of its covariance, but for a factor that is the same for images of one kind.
    """

    displacement: tuple[float, ...]
    correlation: float
    certainty: tuple[tuple[float, ...], ...]


def estimate_shift(reference: npt.NDArray[Any], moving: npt.NDArray[Any], smoothing: float = 0.7) -> Shift:
    """Measure by how much one image is shifted against another, to a fraction of a pixel.

    The peak of the phase correlation tells whole pixels; Gauss-Newton steps on the difference of the images tell the rest.

    Parameters
    ----------
    reference, moving : numpy.ndarray, ([Z,] Y, X)
        Two images of one size without NaN, in any intensities.
    smoothing : float
        Standard deviation in pixels of the Gaussian that both are smoothed with before: more where noise is strong.

    Returns
    -------
    Shift

    Raises
    ------
    InvalidImageError
        The images differ in size.
    """
    if reference.shape != moving.shape:
        raise InvalidImageError(
            f"Images of {reference.shape} and {moving.shape} pixels cannot be compared: give two of one size."
        )
    return _shift_of(_details(reference, smoothing), _details(moving, smoothing))


def _shift_of(first: Doubles, second: Doubles) -> Shift:
    candidates = {_whole_pixels(first, second, kind) for kind in ("phase", None)} | {(0.0,) * first.ndim}
    start = max(sorted(candidates), key=lambda shift: _agreement(first, second, shift))
    return _refined(first, second, start)


def _details(image: npt.NDArray[Any], smoothing: float) -> Doubles:
    """Return an image without its slow changes, of which drift tells nothing."""
    from scipy.ndimage import gaussian_filter

    pixels = np.asarray(image, np.float64)
    slow = [max(2.0 * smoothing, size / _COARSE) if size >= _SMALLEST else smoothing for size in pixels.shape]
    return np.asarray(gaussian_filter(pixels, smoothing) - gaussian_filter(pixels, slow))


def _taper(shape: Sequence[int]) -> Doubles:
    """Return a window that falls to 0 at the borders, so that they do not correlate with each other."""
    window = np.ones(tuple(shape))
    for axis, size in enumerate(shape):
        if size >= _SMALLEST:
            profile = np.minimum(1.0, 4.0 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2)
            window *= profile.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return window


def _whole_pixels(first: Doubles, second: Doubles, normalization: Literal["phase"] | None) -> tuple[float, ...]:
    from skimage.registration import phase_cross_correlation

    window = _taper(first.shape)
    shift, _, _ = phase_cross_correlation(first * window, second * window, normalization=normalization)
    return tuple(-float(s) if abs(s) <= _FARTHEST * size else 0.0 for s, size in zip(shift, first.shape, strict=True))


def _overlap(shape: Sequence[int], shift: Sequence[float]) -> tuple[slice, ...]:
    """Return the pixels of the reference that the moving image shows as well."""
    return tuple(
        slice(int(np.ceil(max(0.0, -s))), size - int(np.ceil(max(0.0, s))))
        for size, s in zip(shape, shift, strict=True)
    )


def _correlation(a: Doubles, b: Doubles) -> float:
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def _agreement(first: Doubles, second: Doubles, shift: Sequence[float]) -> float:
    """Return how well two images agree after a shift by whole pixels."""
    part = _overlap(first.shape, shift)
    return _correlation(first[part], second[_overlap(first.shape, [-s for s in shift])])


def _refined(first: Doubles, second: Doubles, start: Sequence[float]) -> Shift:
    """Return a shift after Gauss-Newton steps on the squared difference; the start where they lead away."""
    from scipy.ndimage import shift as moved
    from scipy.ndimage import spline_filter

    smooth = spline_filter(second)
    axes = [axis for axis, size in enumerate(first.shape) if size > 1]
    slopes = [np.gradient(first, axis=axis) for axis in axes]

    def seen(at: Doubles) -> tuple[tuple[slice, ...], Doubles]:
        part = _overlap(first.shape, list(at))
        return part, np.asarray(moved(smooth, -at, order=3, mode="nearest", prefilter=False))[part]

    at = np.asarray(start, np.float64)
    normal = np.zeros((len(axes), len(axes)))
    for _ in range(_STEPS):
        part, there = seen(at)
        inner = [slope[part] for slope in slopes]
        normal = np.array([[float((a * b).sum()) for a in inner] for b in inner])
        right = np.array([float((a * (first[part] - there)).sum()) for a in inner])
        ridge = 1e-9 * max(float(np.trace(normal)), 1e-30) * np.eye(len(normal))
        step = np.zeros(first.ndim)
        step[axes] = np.clip(np.linalg.solve(normal + ridge, right), -1.0, 1.0)
        if np.abs(at + step - start).max() > _FARTHEST_STEP:
            at = np.asarray(start, np.float64)
            break
        at = at + step
        if np.abs(step).max() < _DONE:
            break
    part, there = seen(at)
    certainty = np.zeros((first.ndim, first.ndim))
    certainty[np.ix_(axes, axes)] = normal
    return Shift(
        tuple(float(one) for one in at),
        _correlation(first[part], there),
        tuple(tuple(float(one) for one in row) for row in certainty),
    )


def mean_shift(shifts: Sequence[Shift], steps: Sequence[float] | None = None) -> tuple[float, ...]:
    """Return the mean of displacements, each counted as far as it is certain.

    Parameters
    ----------
    shifts : sequence of Shift
    steps : sequence of float, optional
        How many times the mean each of them is, such as 2 for what moved for two frames at the speed that is asked for.
    """
    factors = [1.0] * len(shifts) if steps is None else list(steps)
    matrices = [np.asarray(one.certainty) for one in shifts]
    total = sum((f * f * m for f, m in zip(factors, matrices, strict=True)), np.zeros_like(matrices[0]))
    right = sum(
        (f * m @ np.asarray(one.displacement) for f, m, one in zip(factors, matrices, shifts, strict=True)),
        np.zeros(len(total)),
    )
    found = np.linalg.pinv(total, rcond=1e-6, hermitian=True) @ right
    return tuple(float(one) for one in found)


_LAGS = (1, 2, 4, 8, 16)
_ROUNDS = 10
# In pixels: pairs that disagree by more with the others count less.
_DOUBT = 0.25
_LARGEST = 512
_MOST_VOXELS = 2**22
_NOISY, _NOISIEST = 0.5, 2.0
_QUIET_SMOOTHING, _NOISY_SMOOTHING = 1.0, 2.0


@dataclass(frozen=True)
class Drift:
    """Where the scene lies in every frame of a movie.

    Attributes
    ----------
    axes : str
        ``"YX"`` or ``"ZYX"``: along which it moves.
    displacements : tuple of tuple of float
        One for each frame, along `axes`, in pixels: what is at ``x`` in the reference frame is at ``x + displacement`` in this one.
    """

    axes: str
    displacements: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not self.displacements or any(len(one) != len(self.axes) for one in self.displacements):
            raise InvalidParameterError(
                f"Shifts along {self.axes} need {len(self.axes)} numbers for every frame, and one frame at least."
            )
        if not np.isfinite(np.asarray(self.displacements, np.float64)).all():
            raise InvalidParameterError("Shifts must be finite numbers: leave out what is not known.")

    @property
    def largest(self) -> tuple[float, ...]:
        """The largest distance from the reference along each axis, in pixels."""
        return tuple(float(one) for one in np.abs(np.asarray(self.displacements)).max(0))

    def relative_to(self, frame: int) -> Drift:
        """Return the same with another reference frame; negative numbers count from the end.

        Raises
        ------
        InvalidParameterError
            There is no such frame.
        """
        count = len(self.displacements)
        if not -count <= frame < count:
            raise InvalidParameterError(f"There is no frame {frame}: the movie has {count}, the first is 0.")
        table = np.asarray(self.displacements)
        return self._with(table - table[frame])

    def slow(self, frames: float) -> Drift:
        """Return the drift without the jitter: smoothed over about so many frames."""
        from scipy.ndimage import gaussian_filter1d

        table = np.asarray(self.displacements)
        return self._with(gaussian_filter1d(table, frames, axis=0, mode="nearest"))

    def rows(self) -> list[dict[str, float]]:
        """Return the table: a row a frame, with its number and the displacement along each axis in pixels."""
        return [
            {"frame": number, **dict(zip(self.axes.lower(), displacement, strict=True))}
            for number, displacement in enumerate(self.displacements)
        ]

    def write(self, path: Path) -> None:
        """Write the table as a CSV file."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["frame", *self.axes.lower()])
            writer.writeheader()
            writer.writerows(self.rows())

    @classmethod
    def read(cls, path: Path) -> Drift:
        """Read a table that `write` wrote.

        Raises
        ------
        InvalidParameterError
            It is none.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            axes = [axis for axis in SPATIAL_AXES if axis.lower() in rows[0]]
            table = sorted((int(row["frame"]), tuple(float(row[axis.lower()]) for axis in axes)) for row in rows)
        except (OSError, KeyError, ValueError, IndexError, TypeError, csv.Error) as error:
            raise InvalidParameterError(
                f"{shown(str(path))} is no table of shifts: it needs the columns frame, y and x, and z for volumes."
            ) from error
        return cls("".join(axes), tuple(displacement for _, displacement in table))

    def _with(self, table: npt.NDArray[Any]) -> Drift:
        return replace(self, displacements=tuple(tuple(float(one) for one in row) for row in table))


def estimate_drift(
    image: Image, *, channel: int | None = None, reference: int = 0, report: Reporter | None = None
) -> Drift:
    """Measure how the scene of a movie drifts and shakes.

    Frames are compared with those 1, 2, 4, 8 and 16 before, and what they say is brought together by least squares in which pairs
    that disagree with the others hardly count: errors do not add up over time, and no frame needs to look like the first.

    Parameters
    ----------
    image : Image
        With a T axis. Where it has a Z axis, it moves in space, else in the plane. Frames are read one after the other, and looked
        at in coarser pixels where they are large.
    channel : int, optional
        The channel to look at; all together where it is left out.
    reference : int
        The frame that stays where it is.
    report : Reporter, optional
        Told of every frame.

    Returns
    -------
    Drift

    Raises
    ------
    AxesError
        There is no T axis.
    InvalidParameterError
        There is no such channel or frame.
    """
    if "T" not in image.axes:
        raise AxesError(f"A movie needs a T axis, the image has {image.axes}: set the axes.")
    channels = image.sizes.get("C", 1)
    if channel is not None and not 0 <= channel < channels:
        raise InvalidParameterError(f"There is no channel {channel}: the image has {channels}, the first is 0.")
    image = without_alpha(image)
    axes = "".join(axis for axis in SPATIAL_AXES if axis in image.axes)
    count, report = image.sizes["T"], report or Reporter()
    report.start("Measuring the drift", count)
    pairs: list[tuple[int, int, Shift]] = []
    recent: dict[int, Doubles] = {}
    steps, smoothing = _coarser(image, axes), 0.0
    for t in range(count):
        frame = _frame(image, t, channel, axes, steps)
        if t == 0:
            smoothing = _smoothing(frame)
        recent[t] = _details(frame, smoothing)
        pairs += [(t - lag, t, _shift_of(recent[t - lag], recent[t])) for lag in _LAGS if t - lag in recent]
        recent.pop(t - _LAGS[-1], None)
        report.advance()
    table = _together(pairs, count, len(axes)) * np.asarray(steps)
    drift = Drift(axes, tuple(tuple(float(one) for one in row) for row in table))
    return drift.relative_to(reference)


def _coarser(image: Image, axes: str) -> tuple[int, ...]:
    """Return how many pixels along each axis become one, so that a frame is looked at in moments."""
    sizes = [image.sizes[axis] for axis in axes]
    steps = [1 if axis == "Z" else -(-size // _LARGEST) for axis, size in zip(axes, sizes, strict=True)]
    while np.prod([size // step for size, step in zip(sizes, steps, strict=True)]) > _MOST_VOXELS:
        steps = [step if axis == "Z" else step + 1 for axis, step in zip(axes, steps, strict=True)]
    return tuple(steps)


def _frame(image: Image, t: int, channel: int | None, axes: str, steps: Sequence[int]) -> Doubles:
    """Return a frame in coarser pixels, its channels and colours together, each counted by its spread."""
    where: dict[str, slice | int] = {"T": t}
    if channel is not None and "C" in image.axes:
        where["C"] = channel
    kept = [axis for axis in image.axes if not isinstance(where.get(axis), int)]
    pixels = image.read(**where).astype(np.float64)
    pixels = pixels.transpose([kept.index(axis) for axis in kept if axis not in axes] + [kept.index(a) for a in axes])
    pixels = pixels.reshape(-1, *pixels.shape[-len(axes) :])
    total = np.zeros(pixels.shape[1:])
    for plane in pixels:
        finite = np.isfinite(plane)
        middle = float(np.median(plane[finite])) if finite.any() else 0.0
        centred = np.where(finite, plane - middle, 0.0)
        # What is far brighter than the rest would decide alone.
        spread = float(np.quantile(np.abs(centred), 0.99)) or float(np.abs(centred).max()) or 1.0
        total += np.clip(centred / spread, -3.0, 3.0)
    for axis, step in enumerate(steps):
        if step > 1:
            size = total.shape[axis] // step * step
            cut = np.moveaxis(total, axis, 0)[:size]
            total = np.moveaxis(cut.reshape(size // step, step, *cut.shape[1:]).mean(1), 0, axis)
    return total


def _smoothing(frame: Doubles) -> float:
    """Return how far a frame is to be smoothed before it is compared: more, where most of its detail is noise."""
    from scipy.ndimage import gaussian_filter

    fine = frame - gaussian_filter(frame, 1.0)
    coarse = gaussian_filter(frame, 1.0) - gaussian_filter(frame, 4.0)
    ratio = float(fine.std()) / max(float(coarse.std()), 1e-12)
    share = np.clip((ratio - _NOISY) / (_NOISIEST - _NOISY), 0.0, 1.0)
    return float(_QUIET_SMOOTHING + share * (_NOISY_SMOOTHING - _QUIET_SMOOTHING))


def _together(pairs: Sequence[tuple[int, int, Shift]], count: int, dims: int) -> Doubles:
    """Return where every frame lies, from what pairs of them say: robust least squares, the first at 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    table = np.zeros((count, dims))
    if not pairs:
        return table
    first, second = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    told = np.array([pair[2].displacement for pair in pairs])
    trusted = np.array([max(pair[2].correlation, 1e-3) for pair in pairs])
    weights = trusted.copy()
    for _ in range(_ROUNDS):
        rows = np.concatenate([first, second, first, second])
        columns = np.concatenate([first, second, second, first])
        values = np.concatenate([weights, weights, -weights, -weights])
        laplacian = coo_matrix((values, (rows, columns)), (count, count)).tocsc()[1:, 1:]
        right = np.zeros((count, dims))
        np.add.at(right, second, weights[:, None] * told)
        np.add.at(right, first, -weights[:, None] * told)
        table[1:] = np.asarray(spsolve(laplacian, right[1:])).reshape(count - 1, dims)
        left = np.abs(table[second] - table[first] - told).max(1)
        weights = trusted / (1.0 + (left / _DOUBT) ** 2)
    return table


def stabilised(
    image: Image,
    drift: Drift,
    *,
    labels: bool = False,
    report: Reporter | None = None,
) -> Image:
    """Return a movie with every frame moved back to where the reference frame is.

    Parameters
    ----------
    image : Image
        The movie itself, another channel of it, or its labels; with the T axis and those along which it drifts.
    drift : Drift
    labels : bool
        Whether pixels are numbers of objects, which must not be mixed.
    report : Reporter, optional
        Told of every frame.

    Returns
    -------
    Image
        In memory, of the same size and dtype; 0 where a frame shows nothing.

    Raises
    ------
    AxesError
        It has not the axes.
    InvalidParameterError
        It has another number of frames.
    """
    from scipy.ndimage import shift as moved

    check_movie(image.axes, image.sizes.get("T", 0), drift)
    result = np.zeros(image.shape, image.dtype)
    report = report or Reporter()
    report.start("Stabilising", len(drift.displacements))
    kept = image.axes.replace("T", "")
    for t, displacement in enumerate(drift.displacements):
        shifts = [-dict(zip(drift.axes, displacement, strict=True)).get(axis, 0.0) for axis in kept]
        pixels = image.read(T=t)
        order = 0 if labels else 3
        # Cubic splines of whole numbers that overflow are no longer those.
        found = moved(pixels if labels else pixels.astype(np.float64), shifts, order=order, mode="constant", cval=0.0)
        if not labels and image.dtype.kind in "iu":
            limits = np.iinfo(image.dtype)
            found = np.clip(np.rint(found), limits.min, limits.max)
        index = tuple(t if axis == "T" else slice(None) for axis in image.axes)
        result[index] = found.astype(image.dtype)
        report.advance()
    return replace(image, data=result, mask=None)


def stabilised_points(points: npt.NDArray[Any], axes: str, drift: Drift) -> Doubles:
    """Return points of a movie moved back to where they are in the reference frame.

    Parameters
    ----------
    points : numpy.ndarray, (N, D)
        Coordinates in pixels, as a Points layer has them.
    axes : str
        What their columns are, such as ``"TYX"``.
    drift : Drift

    Raises
    ------
    AxesError
        A column is missing, or the coordinates have another number of them.
    InvalidParameterError
        A point lies in no frame of the movie.
    """
    moved = np.array(points, np.float64)
    if moved.ndim != 2 or moved.shape[1] != len(axes):
        raise AxesError(f"Points of shape {moved.shape} do not have the columns {axes}: name one axis for each.")
    check_movie(axes, len(drift.displacements), drift)
    frames = np.rint(moved[:, axes.index("T")]).astype(int)
    if len(frames) and (frames.min() < 0 or frames.max() >= len(drift.displacements)):
        raise InvalidParameterError(f"A point lies in no frame: the movie has {len(drift.displacements)}.")
    table = np.asarray(drift.displacements)
    for column, axis in enumerate(drift.axes):
        moved[:, axes.index(axis)] -= table[frames, column]
    return moved


def check_movie(axes: str, frames: int, drift: Drift) -> None:
    """Raise an error unless a movie has the axes of a drift and as many frames.

    Parameters
    ----------
    axes : str
        Of the movie.
    frames : int
        How many it has.
    drift : Drift

    Raises
    ------
    AxesError
        An axis is missing.
    InvalidParameterError
        The numbers of frames differ.
    """
    if missing := [axis for axis in "T" + drift.axes if axis not in axes]:
        raise AxesError(
            f"Shifts of a movie along {drift.axes} need the axis {missing[0]}, there is {axes}: set the axes."
        )
    if frames != len(drift.displacements):
        raise InvalidParameterError(
            f"There are shifts of {len(drift.displacements)} frames, and a movie of {frames}: measure them anew."
        )
