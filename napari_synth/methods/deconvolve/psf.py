"""Point spread functions: measured ones cleaned, beads averaged, models of microscopes, and how a recipe holds them.

A point spread function (PSF) is the image of a point. Here it is a float32 array (Y, X) or (Z, Y, X) of odd sizes whose middle
pixel is the centre and whose sum is 1, sampled like the image.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import erf, j0

from napari_synth.core.errors import InvalidParameterError, PsfError
from napari_synth.files.units import unit_name
from napari_synth.imaging.image import Image
from napari_synth.methods.deconvolve.catalogue import StoredPsf

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_MICROMETERS = {
    "meter": 1e6,
    "centimeter": 1e4,
    "millimeter": 1e3,
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "angstrom": 1e-4,
}
_ENERGY = 0.999
_MOST_PIXELS = 2**26
_SMALLEST = 3
_LARGEST_RADIUS = {"Z": 64, "Y": 64, "X": 64}
# Of a model in a volume: beyond, the light of a plane is spread so far that it hardly differs from an even ground.
_MODELLED = 24
_NEGATIVE = 0.3
# In standard deviations of the ground around a measured one.
_ABOVE_GROUND = 3.0
_WHITE = 65535
# Of a bead's window, in pixels.
_BEAD_RADIUS = {"Z": 12, "Y": 12, "X": 12}
_FEWEST_BEADS, _MOST_BEADS = 3, 200
_AIRY = 1.22


@dataclass(frozen=True)
class Psf:
    """A point spread function that is ready for use.

    Attributes
    ----------
    pixels : numpy.ndarray of float32
        (Y, X) or (Z, Y, X), odd sizes, not negative, sum 1.
    said : str
        What it is, a plain sentence.
    """

    pixels: Floats
    said: str

    @property
    def radius(self) -> tuple[int, ...]:
        """Pixels on each side of the centre along each axis."""
        return tuple(size // 2 for size in self.pixels.shape)

    @property
    def sigma(self) -> tuple[float, ...]:
        """Standard deviation along each axis of the part around the centre that is above a tenth of the maximum."""
        core = np.where(self.pixels > 0.1 * self.pixels.max(), self.pixels, 0.0).astype(np.float64)
        core /= core.sum()
        found = []
        for axis, radius in enumerate(self.radius):
            along = core.sum(axis=tuple(i for i in range(core.ndim) if i != axis))
            position = np.arange(-radius, radius + 1)
            found.append(max(0.3, float(np.sqrt((along * position**2).sum()))))
        return tuple(found)

    def plane(self) -> Psf:
        """Return that of the plane in focus."""
        if self.pixels.ndim == 2:
            return self
        return Psf(normalised(self.pixels[self.radius[0]]), self.said)

    def within(self, sizes: Sequence[int]) -> Psf:
        """Return it without what lies further from the centre than an image of these sizes is long."""
        kept = tuple(
            slice(r - min(r, size - 1), r + min(r, size - 1) + 1) for r, size in zip(self.radius, sizes, strict=True)
        )
        return Psf(normalised(self.pixels[kept]), self.said)


def normalised(pixels: npt.NDArray[Any]) -> Floats:
    """Return pixels that sum to 1.

    Raises
    ------
    PsfError
        They are nothing.
    """
    total = float(pixels.sum(dtype=np.float64))
    if not total > 0.0:
        raise PsfError(
            "The point spread function is empty: give the image of a point that is brighter than its ground."
        )
    return np.asarray(pixels / total, np.float32)


def micrometers(image: Image, axes: str) -> tuple[float, ...] | None:
    """Return the spacing of an image along axes in micrometers; None where it does not say one of them in a unit of length."""
    found = []
    for axis in axes:
        unit = _MICROMETERS.get(unit_name(image.units.get(axis)) or "")
        if unit is None or axis not in image.spacing:
            return None
        found.append(float(image.spacing[axis]) * unit)
    return tuple(found)


# Measured ones


def measured_psf(given: Image, spacing: tuple[float, ...] | None) -> tuple[Psf, StoredPsf]:
    """Return the PSF that an image shows: without its ground, centred, sampled like the image that it is for, cropped.

    Parameters
    ----------
    given : Image
        Of any size, spacing and place of the point; (Y, X) or (Z, Y, X), without other axes.
    spacing : tuple of float, optional
        Of the image that it is for, along Z, Y and X, or Y and X, in micrometers; where either is unknown they
        are taken to be equal.

    Returns
    -------
    (psf, stored) : pair of Psf and StoredPsf

    Raises
    ------
    PsfError
        It is no image of a point.
    """
    pixels = _read(given)
    _check(pixels)
    bare = _without_ground(pixels)
    own = micrometers(given, "ZYX"[-pixels.ndim :])
    zoom, said = (1.0,) * pixels.ndim, "The point spread function is the image that was given"
    if own is not None and spacing is not None and len(spacing) >= pixels.ndim:
        zoom = tuple(a / b for a, b in zip(own, spacing[-pixels.ndim :], strict=True))
        if any(abs(one - 1.0) > 0.01 for one in zoom):
            said += ", resampled to the spacing of the image"
    elif own is None or spacing is None:
        said += ", taken to have the image's spacing"
    found = cropped(_centred(bare, zoom))
    psf = Psf(found, f"{said} ({_size_words(found)}).")
    return psf, stored(psf, None if spacing is None else spacing[-found.ndim :])


def averaged_beads(given: Image, spacing: tuple[float, ...] | None) -> tuple[Psf, StoredPsf]:
    """Return the PSF as the mean of the beads of an image, see `measured_psf`; beads at the rim or close to others are left out.

    Raises
    ------
    PsfError
        There are fewer than three.
    """
    from skimage.feature import peak_local_max

    pixels = _read(given)
    _check(pixels)
    radius = tuple(
        min(_BEAD_RADIUS[axis], (size - 1) // 2) for axis, size in zip("ZYX"[-pixels.ndim :], pixels.shape, strict=True)
    )
    smooth = ndimage.gaussian_filter(pixels, 1.0)
    ground = float(np.median(smooth))
    noise = 1.4826 * float(np.median(np.abs(smooth - ground)))
    least = max(ground + 6.0 * noise, ground + 0.1 * (float(np.quantile(smooth, 0.9999)) - ground))
    peaks = peak_local_max(smooth, min_distance=2, threshold_abs=least, exclude_border=False)
    windows = []
    for at in peaks:
        inside = all(r <= p < size - r for p, r, size in zip(at, radius, pixels.shape, strict=True))
        distances = np.abs(peaks - at)
        alone = (distances <= np.asarray(radius)).all(axis=1).sum() == 1
        if inside and alone:
            part = tuple(slice(p - r, p + r + 1) for p, r in zip(at, radius, strict=True))
            windows.append(_centred(_without_ground(pixels[part]), (1.0,) * pixels.ndim))
    if len(windows) < _FEWEST_BEADS:
        raise PsfError(
            f"Only {len(windows)} of {len(peaks)} bright spots stand alone: give an image with at least {_FEWEST_BEADS} beads"
            f" that lie {max(radius)} pixels from each other and from the border, or one of a single point."
        )
    shape = tuple(min(window.shape[axis] for window in windows) for axis in range(pixels.ndim))
    mean = np.mean([normalised(_middle(window, shape)) for window in windows[:_MOST_BEADS]], axis=0)
    psf, kept = measured_psf(Image(mean.astype(np.float32), "ZYX"[-pixels.ndim :], given.spacing, given.units), spacing)
    said = f"The point spread function is the mean of {len(windows)} beads ({_size_words(psf.pixels)})."
    return Psf(psf.pixels, said), kept


def _read(given: Image) -> Doubles:
    """Return the pixels of an image of a point, with axes of length 1 dropped."""
    if given.n_pixels > _MOST_PIXELS:
        raise PsfError(f"The point spread function has {given.n_pixels} pixels: crop it to what is around its point.")
    single: dict[str, slice | int] = {axis: 0 for axis, size in given.sizes.items() if size == 1 and axis not in "YX"}
    part = given.select(**single) if single else given
    wrong = [axis for axis in part.axes if axis not in "ZYX"]
    if wrong:
        raise PsfError(
            f"The point spread function has the axis {wrong[0]}: give an image of one point with the axes YX or ZYX."
        )
    pixels = part.read().astype(np.float64)
    return np.transpose(pixels, [part.axes.index(axis) for axis in "ZYX" if axis in part.axes])


def _check(pixels: Doubles) -> None:
    if min(pixels.shape[-2:]) < _SMALLEST:
        height, width = pixels.shape[-2:]
        raise PsfError(
            f"The point spread function has {height} by {width} pixels in the plane: give the image of a point with what is around"
            f" it, at least {_SMALLEST} by {_SMALLEST} pixels."
        )
    if not np.isfinite(pixels).all():
        raise PsfError("The point spread function has pixels without a value (NaN or inf): crop or fill them first.")
    if float(np.ptp(pixels)) == 0.0:
        raise PsfError("All pixels of the point spread function are equal: give the image of a point.")
    if pixels.min() < -_NEGATIVE * pixels.max():
        raise PsfError(
            "The point spread function is negative in places: give the image of a bright point on a dark ground."
        )


def _without_ground(pixels: Doubles) -> Doubles:
    """Return a point without its background: that of the rim of the plane where the rim is darkest."""
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    edge = np.ones(pixels.shape[-2:], bool)
    if min(edge.shape) > 4:
        edge[1:-1, 1:-1] = False
    rims = planes[:, edge]
    darkest = rims[int(np.argmin(np.median(rims, axis=1)))]
    ground = float(np.median(darkest))
    noise = 1.4826 * float(np.median(np.abs(darkest - ground)))
    above = pixels - ground
    above[above < _ABOVE_GROUND * noise] = 0.0
    if not above.any():
        raise PsfError(
            "The point spread function does not stand out of its ground: give the image of a brighter point."
        )
    return np.clip(above, 0.0, None)


def _centred(pixels: Doubles, zoom: Sequence[float]) -> Doubles:
    """Return a point in the middle of an array of odd sizes, ``zoom`` times as finely sampled."""
    smooth = ndimage.gaussian_filter(pixels, 1.0)
    peak = np.unravel_index(int(np.argmax(smooth)), pixels.shape)
    centre = [_summit(smooth, peak, axis) for axis in range(pixels.ndim)]
    reach = [max(c, size - 1 - c) for c, size in zip(centre, pixels.shape, strict=True)]
    radius = [
        min(_LARGEST_RADIUS[axis], max(0 if size == 1 else 1, ceil(r * z)))
        for axis, r, z, size in zip("ZYX"[-pixels.ndim :], reach, zoom, pixels.shape, strict=True)
    ]
    is_there = all(abs(c - round(c)) < 0.02 and abs(z - 1.0) <= 0.01 for c, z in zip(centre, zoom, strict=True))
    if not is_there:
        # Pixels that become coarser collect the light of several.
        blur = [0.5 * sqrt(max(0.0, 1.0 / z**2 - 1.0)) * (12**-0.5) * 2 for z in zoom]
        pixels = ndimage.gaussian_filter(pixels, blur)
    places: Sequence[Any] = np.meshgrid(
        *(c + np.arange(-r, r + 1) / z for c, r, z in zip(centre, radius, zoom, strict=True)), indexing="ij"
    )
    if is_there:
        places = [np.rint(place) for place in places]
    found = ndimage.map_coordinates(pixels, places, order=0 if is_there else 3, mode="constant", cval=0.0)
    return np.asarray(np.clip(found, 0.0, None))


def _summit(smooth: Doubles, peak: Sequence[Any], axis: int) -> float:
    """Return where a point is brightest along an axis: the top of the Gaussian through its brightest pixel and those beside it."""
    at = int(peak[axis])
    if not 0 < at < smooth.shape[axis] - 1:
        return float(at)
    line = smooth[tuple(slice(None) if i == axis else int(p) for i, p in enumerate(peak))]
    low, middle, high = np.log(np.maximum(line[at - 1 : at + 2], 1e-12 * line[at]))
    bend = low - 2.0 * middle + high
    return at + (float(0.5 * (low - high) / bend) if bend < 0.0 else 0.0)


def cropped(pixels: npt.NDArray[Any]) -> Floats:
    """Return the middle of a PSF that holds 99.9 % of its energy, normalised."""
    pixels = normalised(pixels).astype(np.float64)
    left = (1.0 - _ENERGY) / pixels.ndim
    kept = []
    for axis, size in enumerate(pixels.shape):
        along = pixels.sum(axis=tuple(i for i in range(pixels.ndim) if i != axis))
        half = size // 2
        radius = next(r for r in range(half + 1) if r == half or along[half - r : half + r + 1].sum() >= 1.0 - left)
        kept.append(slice(half - radius, half + radius + 1))
    return normalised(pixels[tuple(kept)])


def _middle(pixels: Doubles, shape: Sequence[int]) -> Doubles:
    return pixels[tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(pixels.shape, shape, strict=True))]


def _size_words(pixels: npt.NDArray[Any]) -> str:
    return f"{' by '.join(str(size) for size in pixels.shape)} pixels"


# How a recipe holds them


def stored(psf: Psf, spacing: tuple[float, ...] | None) -> StoredPsf:
    """Return a PSF as a recipe holds it."""
    levels = np.rint(psf.pixels / psf.pixels.max() * _WHITE).astype("<u2")
    text = base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")
    return StoredPsf(shape=psf.pixels.shape, values=text, spacing=spacing)


def restored(kept: StoredPsf, spacing: tuple[float, ...] | None) -> Psf:
    """Return the PSF of a recipe, sampled like an image with this spacing.

    Raises
    ------
    InvalidParameterError
        It is damaged.
    """
    count = int(np.prod(kept.shape, dtype=np.float64))
    try:
        if count > _MOST_PIXELS or any(size % 2 == 0 for size in kept.shape):
            raise ValueError
        unpack = zlib.decompressobj()
        levels = np.frombuffer(unpack.decompress(base64.b64decode(kept.values, validate=True), 2 * count), "<u2")
        pixels = normalised(levels.reshape(kept.shape).astype(np.float64))
    except (ValueError, binascii.Error, zlib.error, PsfError) as error:
        raise InvalidParameterError(
            "Parameter 'fitted' holds a damaged point spread function: give it again as an image."
        ) from error
    said = f"The point spread function is that of the recipe ({_size_words(pixels)})."
    if kept.spacing is not None and spacing is not None and len(kept.spacing) == pixels.ndim <= len(spacing):
        zoom = tuple(a / b for a, b in zip(kept.spacing, spacing[-pixels.ndim :], strict=True))
        if any(abs(one - 1.0) > 0.01 for one in zoom):
            return Psf(cropped(_centred(pixels.astype(np.float64), zoom)), said)
    return Psf(pixels, said)


# Models


def gaussian_psf(sigma: Sequence[float]) -> Floats:
    """Return a Gaussian that is integrated over pixels, cut at four standard deviations.

    Parameters
    ----------
    sigma : sequence of float
        Standard deviation in pixels along each axis; 0 for an axis along which it is one pixel wide.
    """
    found: Doubles = np.ones((1,) * len(sigma))
    for axis, std in enumerate(sigma):
        radius = ceil(4.0 * std)
        edges = np.arange(-radius, radius + 2) - 0.5
        along = np.diff(erf(edges / (sqrt(2.0) * std))) if std > 0 else np.ones(1)
        found = found * along.reshape([-1 if i == axis else 1 for i in range(len(sigma))])
    return normalised(found)


@dataclass(frozen=True)
class Microscope:
    """The numbers of a microscope; lengths in micrometers.

    Attributes
    ----------
    numerical_aperture, refractive_index : float
    wavelength : float
        Of the detected light.
    pixel : (float, float, float)
        Distance of pixels in the sample along Z, Y and X; Z is not looked at where there is one plane.
    """

    numerical_aperture: float
    refractive_index: float
    wavelength: float
    pixel: tuple[float, float, float]

    def gaussian(self, planes: int) -> Floats:
        """Return the Gaussian that is nearest to the wide-field PSF (Zhang et al., Applied Optics 46, 2007)."""
        k = 2.0 * pi / self.wavelength
        across = sqrt(2.0) / (k * self.numerical_aperture)
        along = 2.0 * sqrt(6.0) * self.refractive_index / (k * self.numerical_aperture**2)
        z, y, x = self.pixel
        return gaussian_psf((along / z, across / y, across / x) if planes > 1 else (across / y, across / x))

    def wide_field(self, planes: int) -> Floats:
        """Return the scalar wide-field PSF (Gibson and Lanni, JOSA A 8, 1991, without aberrations): (Z, Y, X), or (Y, X).

        Parameters
        ----------
        planes : int
            Of the image; 1 for the plane in focus alone.
        """
        return self._within(self._intensity(self.wavelength, planes), planes)

    def confocal(self, planes: int, excitation: float, pinhole: float) -> Floats:
        """Return the PSF of a confocal microscope: that of the laser times that of the detection behind a pinhole.

        Parameters
        ----------
        planes : int
        excitation : float
            Wavelength of the laser.
        pinhole : float
            Diameter in Airy units.
        """
        detected = self._intensity(self.wavelength, planes)
        radius = 0.5 * pinhole * _AIRY * self.wavelength / self.numerical_aperture
        y, x = (
            np.arange(-(size // 2), size // 2 + 1) * step
            for size, step in zip(detected.shape[1:], self.pixel[1:], strict=True)
        )
        # A hole that is finer than the pixels still lets light through at its centre; its rim is soft by one pixel.
        distance = np.hypot(y[:, None], x[None, :])
        hole = np.clip((radius - distance) / self.pixel[1] + 0.5, 0.0, 1.0)
        hole[hole.shape[0] // 2, hole.shape[1] // 2] = 1.0
        seen = (
            np.stack([ndimage.convolve(plane, hole, mode="constant") for plane in detected])
            if hole.sum() > 1.0
            else detected
        )
        return self._within(seen * self._intensity(excitation, planes), planes)

    def light_sheet(self, planes: int, thickness: float) -> Floats:
        """Return the wide-field PSF times the profile of a light sheet of a thickness (full width at half maximum)."""
        found = self._intensity(self.wavelength, planes)
        depth = np.arange(-(len(found) // 2), len(found) // 2 + 1) * self.pixel[0]
        profile = np.exp(-4.0 * np.log(2.0) * (depth / thickness) ** 2)
        return self._within(found * profile[:, None, None], planes)

    def _intensity(self, wavelength: float, planes: int) -> Doubles:
        """Return |∫ J0(k NA r p) exp(i k z √(n² - NA² p²)) p dp|² over 0 to 1, averaged over each pixel by three points a side."""
        aperture, index = self.numerical_aperture, self.refractive_index
        if aperture >= index:
            raise InvalidParameterError(
                f"A numerical aperture of {aperture:g} cannot be in a medium of refractive index {index:g}: set the index."
            )
        step_z, *steps = self.pixel
        deep = min(planes - 1, _MODELLED)
        spread = 4.0 * wavelength / aperture + deep * step_z * aperture / sqrt(index**2 - aperture**2)
        across = [max(2, min(_LARGEST_RADIUS["Y"] if deep == 0 else _MODELLED, ceil(spread / step))) for step in steps]
        rho = (np.arange(512) + 0.5) / 512
        k = 2.0 * pi / wavelength
        depth = np.arange(0, deep + 1) * step_z
        phase = np.exp(1j * k * depth[:, None] * np.sqrt(index**2 - (aperture * rho) ** 2)) * rho
        fine = min(steps) / 4.0
        corner = sqrt(sum(((a + 1) * s) ** 2 for a, s in zip(across, steps, strict=True)))
        r = np.arange(ceil(corner / fine) + 2) * fine
        radial = np.abs(phase @ j0(k * aperture * rho[:, None] * r[None, :])) ** 2
        offsets = (-1 / 3, 0.0, 1 / 3)
        total: Doubles = np.zeros((deep + 1, 2 * across[0] + 1, 2 * across[1] + 1))
        for dy in offsets:
            for dx in offsets:
                y = (np.arange(-across[0], across[0] + 1) + dy) * steps[0]
                x = (np.arange(-across[1], across[1] + 1) + dx) * steps[1]
                distance = np.hypot(y[:, None], x[None, :]) / fine
                for i, profile in enumerate(radial):
                    total[i] += np.interp(distance, np.arange(len(r)), profile)
        return np.concatenate([total[:0:-1], total])

    @staticmethod
    def _within(pixels: Doubles, planes: int) -> Floats:
        return cropped(pixels if planes > 1 else pixels[0])


def model_words(scope: Microscope, kind: str, pixels: Floats, *, from_file: bool = False) -> str:
    """Say which model a PSF is.

    Parameters
    ----------
    scope : Microscope
    kind : str
    pixels : numpy.ndarray
    from_file : bool
        Whether the file of the image named numbers of it.
    """
    numbers = f"NA {scope.numerical_aperture:g}, {1000.0 * scope.wavelength:g} nm, refractive index {scope.refractive_index:g}"
    whence = ", as the file of the image says" if from_file else ""
    return f"The point spread function is a {kind} model ({numbers}{whence}; {_size_words(pixels)})."
