"""Measure the noise of an image from the image itself.

The image is cut into overlapping 8 x 8 blocks and each block is taken to its discrete cosine transform. The low
frequencies say how flat a block is, the high ones how noisy: because the two are independent in a noisy image, the
flattest blocks can be chosen without choosing the least noisy ones. In each class of intensity the flattest blocks
give one variance, and a robust line through the classes gives gain and read noise. How far texture reaches into the
high frequencies is read off those in between: what it adds is taken off, and what is uncertain counts less. So spots and
filaments tell the noise at their brightness as soon as they are not sharper than the pixels. The spectrum of blocks on flat
ground tells whether the noise of neighbouring pixels is correlated, and by how much the marginal variance then exceeds
what the high frequencies show.

References
----------
Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007 (flat blocks by low
frequencies, variance by high ones); Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
single-image raw-data", IEEE TIP 17 (2008) (variance as a line over the signal, clipping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError
from napari_synth.core.texts import three_digits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_BLOCK = 8
# Odd, so that the blocks fall on all phases of noise that was upsampled by two.
_STRIDE = 5
_TILE = 63
_MAX_BLOCKS = 16_000
_MIN_BLOCKS = 48
_FLATTEST = 0.2
_MIN_CHOSEN = 10
_MIN_DIFFERENCES = 8
_CLIPPED = 1e-3
_FEWEST_CLIPPED = 12
# Weight of levels that are cut off, and shares of zeros that tell what was.
_OF_CLIPPED = 10.0
_FEWEST_ZEROS, _MOST_ZEROS = 0.01, 0.6
# Pixels this many spreads away from the rest are no signal, and their square would not fit single precision.
_ABSURD = 1e12
# Ratio of the power near the Nyquist frequency to that at half of it below which noise counts as correlated: white
# noise gives 1, the finest textures known to us 0.8, a blur of half a pixel 0.6.
_WHITE_RATIO = 0.72
_CORRELATED = 0.2
# By calculation from the cosine coefficients of noise blurred by 0.5 to 2 pixels.
_EXTRAPOLATE = 0.7
_LEAKAGE = 1.09
_CLASSES = 24
# Of the chance error of what texture has at middle frequencies, which the variance at high ones adds to.
_MIDDLE_ERROR = 1.25
# By how much more, over its scatter, a fit without offset may miss the variances: two standard deviations of one number more.
_NO_WORSE = 4.0
# From middle to high frequencies over from low to middle ones, in octaves.
_TO_HIGH = 0.515
# For the square of the signal: levels, their range, the error against a line's, and how steady variance over square is.
_FEWEST_LEVELS, _WIDE, _BETTER, _STEADY = 6, 2.5, 0.5, 2.5
# Power that a row or a column has over its noise, from which frequency on, and the least of it over the most.
_STRIPES, _STRIPED, _LEVEL = 0.5, 4, 0.4
# Spread of the lower half of the energies over that of noise: upsampled noise gives 1.6, texture 1.7.
_SCATTER = 1.65


def cosine_basis(size: int) -> npt.NDArray[np.float64]:
    """Return the orthonormal discrete cosine transform (type II) of so many numbers as a matrix, (frequency, place)."""
    basis: npt.NDArray[np.float64] = np.cos(np.pi / size * (np.arange(size) + 0.5) * np.arange(size)[:, None])
    basis *= np.sqrt(2.0 / size)
    basis[0] /= np.sqrt(2.0)
    return basis


_FREQ_Y, _FREQ_X = np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK), indexing="ij")
# The share of the smallest squares of normal numbers that is averaged.
_KEPT = 0.9
_AVERAGE = np.full(_BLOCK**2, 1.0 / _BLOCK**2, dtype=np.float32)
_GATE_SELECT = ((np.minimum(_FREQ_Y, _FREQ_X) < 3) & (_FREQ_Y + _FREQ_X > 0) & (_FREQ_Y + _FREQ_X < 7)).ravel()
_BASIS = cosine_basis(_BLOCK)
_TRANSFORM = np.ascontiguousarray(np.kron(_BASIS, _BASIS).T, dtype=np.float32)
# What each frequency contributes to the product of direct neighbours.
_LAG_ONE = (_BASIS[:, 1:] * _BASIS[:, :-1]).sum(axis=1) * _BLOCK / (_BLOCK - 1)


@dataclass(frozen=True)
class NoiseModel:
    """Poisson-Gaussian noise: a variance that grows linearly with the signal; all in the image's own counts.

    Attributes
    ----------
    gain : float
        Counts per photo-electron, that is variance per signal; 0 for noise that does not depend on the signal.
    offset : float
        Signal level in counts at which only read noise is left.
    read_noise : float
        Standard deviation in counts at the offset.
    """

    gain: float
    offset: float
    read_noise: float

    def variance(self, signal: npt.ArrayLike) -> Doubles:
        """Return the variance in counts² expected at ``signal`` (any shape); never negative."""
        level = np.maximum(np.asarray(signal, dtype=np.float64) - self.offset, 0.0)
        return np.asarray(self.gain * level + self.read_noise**2)

    def sigma(self, signal: npt.ArrayLike) -> Doubles:
        """Return the standard deviation in counts expected at ``signal`` (any shape)."""
        return np.asarray(np.sqrt(self.variance(signal)))

    def scaled(self, scale: float, offset: float = 0.0) -> NoiseModel:
        """Return the model of ``(image - offset) / scale``.

        Parameters
        ----------
        scale : float
            Counts of this model per unit of the new one, above 0.
        offset : float
            Level in counts that becomes 0.
        """
        return NoiseModel(self.gain / scale, (self.offset - offset) / scale, self.read_noise / scale)


_PHOTONS = NoiseModel(1.0, 0.0, 0.0)
_COUNTED = (
    "The dark places hold single photons, as many zeros and ones as chance gives: each count is taken for a photon."
)
# Edge of the cells in which photons are counted, their mean, and how well the numbers of zeros and ones must fit.
_CELL, _DARK, _FEWEST_PHOTONS, _AS_POISSON = 2, (0.2, 2.0), 200.0, 0.05
# Counts that are far from zero, and the logarithm of how far their variance may be from their number.
_BRIGHT, _MOST_APART = 3.0, 0.4


@dataclass(frozen=True)
class NoiseReport:
    """What was measured about the noise of an image.

    Attributes
    ----------
    model : NoiseModel
        The variance over the signal, in counts; marginal, that is per pixel, also where noise is correlated.
    correlation : tuple of float
        Correlation of the noise of direct neighbours along y and along x; exactly 0 where not significant.
    correlated : bool
        Whether the correlation is strong enough to need another treatment than independent pixels.
    signal_range : tuple of float
        Levels in counts between which the model was measured.
    sigma_typical : float
        Standard deviation in counts at the median signal.
    snr_db : float
        Variance of the signal over the mean variance of the noise, in dB; inf without noise.
    psnr_db : float
        Squared range of the signal over the mean variance of the noise, in dB; inf without noise.
    n_pixels : int
        Pixels that were looked at.
    notes : tuple of str
        What limits the estimate, one sentence each.
    """

    model: NoiseModel
    correlation: tuple[float, float]
    correlated: bool
    signal_range: tuple[float, float]
    sigma_typical: float
    snr_db: float
    psnr_db: float
    n_pixels: int
    notes: tuple[str, ...] = ()

    def with_sigma(self, sigma: float, planes: Sequence[npt.NDArray[np.generic]], said: str) -> NoiseReport:
        """Return the report with another noise, the same at every signal, and a sentence in place of the notes.

        Parameters
        ----------
        sigma : float
            In counts.
        planes : sequence of ndarray
            That were looked at, in counts.
        said : str
            Where it comes from.
        """
        finite = np.concatenate([np.asarray(plane, np.float64)[np.isfinite(plane)] for plane in planes])
        low, high = np.quantile(finite, (0.005, 0.995))
        return NoiseReport(
            model=NoiseModel(0.0, 0.0, sigma),
            correlation=(0.0, 0.0),
            correlated=False,
            signal_range=self.signal_range,
            sigma_typical=sigma,
            snr_db=_decibel(max(float(finite.var()) - sigma**2, 0.0), sigma**2),
            psnr_db=_decibel(float(high - low) ** 2, sigma**2),
            n_pixels=self.n_pixels,
            notes=(said,),
        )

    def sentences(self, unit: str = "counts") -> list[str]:
        """Return the report in plain words, one sentence an item, notes last.

        Parameters
        ----------
        unit : str
            What intensities of the image are called, see `napari_synth.core.texts.unit_of`.
        """
        model = self.model
        if self.sigma_typical == 0.0 and model.gain == 0.0 and model.read_noise == 0.0:
            said = ["No noise was found."]
        elif model.gain > 0.0:
            said = [
                f"Gain {three_digits(model.gain)} {unit} per electron, read noise {three_digits(model.read_noise)} {unit}"
                f" at an offset of {three_digits(model.offset)};"
                f" noise of {three_digits(self.sigma_typical)} {unit} at the median signal."
            ]
        else:
            said = [f"Noise of {three_digits(model.read_noise)} {unit}, the same in dark and bright places."]
        along = [f"{rho:.2f} along {axis}" for axis, rho in zip("yx", self.correlation, strict=True) if rho != 0.0]
        if along:
            treated = "" if self.correlated else ", too weakly to matter"
            said.append(f"Noise of neighbouring pixels is correlated ({', '.join(along)}){treated}.")
        return [*said, *self.notes]


def estimate_noise(
    planes: npt.NDArray[np.generic] | Sequence[npt.NDArray[np.generic]], *, mask_saturated: bool = True
) -> NoiseReport:
    """Estimate the noise that the given planes share.

    Parameters
    ----------
    planes : ndarray or sequence of ndarray
        One plane ``(Y, X)``, a stack of planes ``(..., Y, X)``, or several planes of any sizes; of any real dtype and
        range, in counts; NaN and inf are ignored. Large planes are sampled by tiles, always the same ones.
    mask_saturated : bool
        Leave out the intensities whose noise is cut off at the smallest or largest value of the image.

    Returns
    -------
    NoiseReport
        A model without noise, and a note that says so, where the planes are too small or hold no finite pixel.

    Raises
    ------
    InvalidImageError
        Something given is no plane, or not of real numbers.
    """
    planes = _as_planes(planes)
    tiles = _tiles(planes)
    unit = _unit(tiles)
    if unit is None:
        return _estimate_tiny(planes)
    blocks = _collect_blocks(tiles, unit)
    if len(blocks.mean) < _MIN_BLOCKS:
        return _estimate_tiny(planes)
    clipped = _clipped_share(blocks.values) if mask_saturated else np.zeros(len(blocks.values), np.float32)
    fit = _fit_line(blocks, clipped, _WHITE_BAND, unit.zero)
    band = _correlated_band(blocks, fit)
    if band is not None:
        fit = _fit_line(blocks, clipped, band, unit.zero)
    correlation = (0.0, 0.0) if band is None else band.correlation
    report = _report(blocks, fit, correlation, unit, sum(tile.size for tile in tiles))
    if band is None and _varies_as_photons(fit, unit) and _counts_photons(tiles):
        return replace(
            report, model=_PHOTONS, sigma_typical=float(_PHOTONS.sigma(unit.mean(blocks))), notes=(_COUNTED,)
        )
    return report


def _as_planes(given: Any) -> list[npt.NDArray[np.generic]]:
    """Return planes, of an array or of several."""
    found = [np.asarray(given)] if hasattr(given, "shape") else [np.asarray(plane) for plane in given]
    for plane in found:
        if plane.ndim < 2 or plane.dtype.kind not in "biuf":
            raise InvalidImageError(
                f"Noise is measured in planes (Y, X) of real numbers, and an array of {plane.ndim} dimensions of {plane.dtype} was"
                " given: give a grey image, or one channel at a time."
            )
    return [plane[at] for plane in found for at in np.ndindex(plane.shape[:-2])]


def _counts_photons(tiles: Sequence[npt.NDArray[np.generic]]) -> bool:
    """Return whether the few counts of dark places are those of single photons: as many zeros and ones as Poisson's law has.

    How often each count occurs among so many pixels is known from their sum alone, whatever their true mean.
    """
    n = _CELL**2
    share = 1.0 - 1.0 / n
    found, expected = np.zeros(2), np.zeros(2)
    for tile in tiles:
        height, width = (size // _CELL * _CELL for size in tile.shape)
        part = np.asarray(tile[:height, :width])
        if part.dtype.kind == "f" and not (np.isfinite(part).all() and (part == np.rint(part)).all()):
            return False
        cells = part.reshape(height // _CELL, _CELL, width // _CELL, _CELL)
        total = cells.sum(axis=(1, 3), dtype=np.float64)
        if part.size and part.min() < 0:
            return False
        dark = (total >= _DARK[0] * n) & (total <= _DARK[1] * n)
        total = total[dark]
        found += [np.count_nonzero(cells == count, axis=(1, 3))[dark].sum() for count in (0, 1)]
        expected += [(n * share**total).sum(), (total * share ** (total - 1)).sum()]
    return bool(expected.min() >= _FEWEST_PHOTONS and (np.abs(found / expected - 1.0) < _AS_POISSON).all())


def _varies_as_photons(fit: _Fit, unit: _Unit) -> bool:
    """Return whether the variance, where it could be measured far from zero counts, is about the number of counts."""
    level, variance, _ = fit.points
    counts = level * unit.scale + unit.centre
    bright = counts > _BRIGHT
    if not bright.any():
        return True
    return bool(
        abs(np.median(np.log(np.maximum(variance[bright], 1e-30) * unit.scale**2 / counts[bright]))) < _MOST_APART
    )


@dataclass(frozen=True)
class _Unit:
    """What the image is centred at and divided by before anything is measured, in counts."""

    centre: float
    scale: float

    @property
    def zero(self) -> float:
        """What 0 counts become."""
        return -self.centre / self.scale

    def mean(self, blocks: _Blocks) -> float:
        """Return the mean of blocks in counts."""
        return float(blocks.mean.mean()) * self.scale + self.centre


@dataclass(frozen=True)
class _Blocks:
    """Blocks as rows: pixels, means, squared cosine coefficients; and how uneven the ground around each is."""

    values: Floats
    mean: Floats
    power: Floats
    unevenness: Floats


@dataclass(frozen=True)
class _Band:
    """Coefficients that measure the noise and those that tell flat blocks, with the spectrum of unit noise.

    Those between them, where the noise is known to be as strong there, tell how far texture reaches.
    """

    measure: npt.NDArray[np.bool_]
    select: npt.NDArray[np.bool_]
    spectrum: Doubles
    correlation: tuple[float, float]
    between: npt.NDArray[np.bool_] | None = None

    @property
    def flat_power(self) -> float:
        """Mean power of unit noise in the coefficients that tell flat blocks."""
        return float(self.spectrum.ravel()[self.select].mean())


@dataclass(frozen=True)
class _Fit:
    """Variance as a line over the signal, the levels it was measured at, and what it was fitted to: level, variance, weight."""

    slope: float
    intercept: float
    floor: float
    darkest: float
    levels: tuple[float, float]
    notes: tuple[str, ...]
    points: tuple[Doubles, Doubles, Doubles]

    def variance(self, signal: npt.ArrayLike) -> Doubles:
        line = self.slope * np.asarray(signal, dtype=np.float64) + self.intercept
        return np.asarray(np.maximum(line, self.floor))


def _window(first_y: int, last_y: int, first_x: int, last_x: int) -> npt.NDArray[np.bool_]:
    """Return a mask (64,) of a range of frequencies, both ends included."""
    mask = np.zeros((_BLOCK, _BLOCK), dtype=bool)
    mask[first_y : last_y + 1, first_x : last_x + 1] = True
    return mask.ravel()


def _below(diagonal: int) -> npt.NDArray[np.bool_]:
    """Return a mask (64,) of the frequencies under a diagonal, without the mean."""
    total = (_FREQ_Y + _FREQ_X).ravel()
    return np.asarray((total > 0) & (total < diagonal))


def _from(diagonal: int) -> npt.NDArray[np.bool_]:
    """Return a mask (64,) of the frequencies on and above a diagonal."""
    return np.asarray((_FREQ_Y + _FREQ_X).ravel() >= diagonal)


_WHITE_BAND = _Band(_from(9), _below(8), np.ones((_BLOCK, _BLOCK)), (0.0, 0.0), _from(6) & _below(9))


def _tiles(planes: Sequence[npt.NDArray[np.generic]]) -> list[npt.NDArray[np.generic]]:
    """Return the planes that can hold a block, or tiles on a jittered grid where they hold too many pixels."""
    usable = [plane for plane in planes if min(plane.shape) >= _BLOCK]
    pixels = sum(plane.size for plane in usable)
    if pixels <= _MAX_BLOCKS * _STRIDE**2:
        return [np.asarray(plane) for plane in usable]
    wanted = _MAX_BLOCKS // ((_TILE - _BLOCK) // _STRIDE + 1) ** 2
    # A stack of many planes is thinned evenly.
    looked_at = usable[:: -(-len(usable) // wanted)]
    pixels = sum(plane.size for plane in looked_at)
    rng = np.random.default_rng(0)
    tiles = []
    for plane in looked_at:
        height, width = plane.shape
        count = max(wanted * plane.size / pixels, 1.0)
        rows = int(np.clip(round(np.sqrt(count * height / width)), 1, -(-height // _TILE)))
        columns = int(np.clip(round(count / rows), 1, -(-width // _TILE)))
        for row in range(rows):
            for column in range(columns):
                top = int((row + rng.random()) / rows * max(height - _TILE, 0))
                left = int((column + rng.random()) / columns * max(width - _TILE, 0))
                tiles.append(np.asarray(plane[top : top + _TILE, left : left + _TILE]))
    return tiles


def _unit(tiles: Sequence[npt.NDArray[np.generic]]) -> _Unit | None:
    """Return the middle and the spread of the finite pixels; None where there is none or all are equal."""
    sample = np.concatenate([np.ravel(tile)[::7] for tile in tiles]) if tiles else np.zeros(0)
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if sample.size == 0:
        return None
    low, first, middle, third, high = np.quantile(sample, (0.0, 0.25, 0.5, 0.75, 1.0))
    spread = third - first if third > first else high - low
    return _Unit(float(middle), float(spread)) if spread > 0.0 and np.isfinite(spread) else None


def _collect_blocks(tiles: Sequence[npt.NDArray[np.generic]], unit: _Unit) -> _Blocks:
    with np.errstate(over="ignore", invalid="ignore"):
        return _cut_blocks(tiles, unit)


def _cut_blocks(tiles: Sequence[npt.NDArray[np.generic]], unit: _Unit) -> _Blocks:
    from scipy import ndimage

    values, means, uneven = [], [], []
    for tile in tiles:
        # Centred and scaled before single precision, which large offsets and ranges would exceed.
        centred = ((np.asarray(tile, dtype=np.float64) - unit.centre) / unit.scale).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(centred, (_BLOCK, _BLOCK))[::_STRIDE, ::_STRIDE]
        rows = windows.reshape(-1, _BLOCK * _BLOCK)
        mean = rows @ _AVERAGE
        grid = mean.reshape(windows.shape[:2])
        values.append(rows)
        means.append(mean)
        uneven.append((ndimage.maximum_filter(grid, 5) - ndimage.minimum_filter(grid, 5)).ravel())
    pixels, mean, unevenness = np.concatenate(values), np.concatenate(means), np.concatenate(uneven)
    finite = (np.abs(mean) < _ABSURD) & np.isfinite(unevenness)
    if not finite.all():
        pixels, mean, unevenness = pixels[finite], mean[finite], unevenness[finite]
    coefficients = (pixels - mean[:, None]) @ _TRANSFORM
    return _Blocks(pixels, mean, np.square(coefficients, out=coefficients), unevenness)


def _clipped_share(values: Floats) -> Floats:
    """Return the share of pixels of each block that lie at an extreme where values pile up."""
    share = np.zeros(len(values), np.float32)
    lowest, highest = values.min(), values.max()
    for touches in (values <= lowest, values >= highest):
        if touches.sum() > max(_CLIPPED * touches.size, _FEWEST_CLIPPED):
            share += touches.mean(axis=1, dtype=np.float32)
    return share


def _fit_line(blocks: _Blocks, clipped: Floats, band: _Band, zero: float) -> _Fit:
    """Fit variance over signal to the flattest blocks of each class of intensity; ``zero`` is the level of 0 counts."""
    from scipy import stats

    freedom = int(band.measure.sum())
    weights = np.zeros((_BLOCK**2, 2), dtype=np.float32)
    weights[band.measure, 0] = 1.0 / band.spectrum.ravel()[band.measure] / freedom
    weights[band.select, 1] = 1.0 / band.select.sum()
    energy, flatness = (blocks.power @ weights).T
    to_mean = freedom / stats.chi2.ppf(0.5, freedom)
    reach = None if band.between is None else _Reach.of(blocks, band.between)
    level, variance, weight = [], [], []
    dropped, zeros = [], []
    lowest = float(blocks.values.min())
    for members in _intensity_classes(blocks.mean):
        count = max(int(_FLATTEST * len(members)), min(_MIN_CHOSEN, len(members)))
        chosen = members[np.argpartition(flatness[members], count - 1)[:count]]
        point = (float(blocks.mean[chosen].mean()), float(np.median(energy[chosen]) * to_mean))
        if clipped[chosen].mean() > 0.01:
            dropped.append(point)
            zeros.append(float((blocks.values[chosen] <= lowest).mean()))
            continue
        level.append(point[0])
        variance.append(point[1])
        # Classes without flat ground have more power in the low frequencies than noise has.
        texture = float(flatness[chosen].mean()) / (point[1] * band.flat_power) if point[1] > 0 else 1.0
        chance = 2.5 / (count * freedom) + 0.03**2
        if reach is None:
            weight.append(1.0 / (np.sqrt(chance) * max(texture, 1.0)))
        else:
            added, doubt = reach.into_noise(chosen, point[1], texture)
            variance[-1] /= 1.0 + added
            weight.append(1.0 / np.hypot(np.sqrt(chance), doubt))
    notes: tuple[str, ...] = ()
    if dropped:
        notes = ("Intensities whose noise is cut off at the smallest or largest value were left out.",)
    # What is cut off, and where nothing varies, tells less than a single class of intensity that is neither.
    if not level:
        level, variance = [point[0] for point in dropped], [point[1] for point in dropped]
        weight = [_OF_CLIPPED] * len(dropped)
        notes = ("Most intensities are cut off at the smallest or largest value: the noise may be larger.",)
    points = np.array(level), np.array(variance), np.array(weight)
    slope, intercept, floor = _robust_line(*points, zero)
    if dropped and (slope <= 0.0 or len(points[0]) == len(dropped)):
        # What is left may span too little to see the noise grow.
        whole = _before_clipping(np.array(dropped), np.array(zeros), lowest)
        if whole is not None and weight[0] == _OF_CLIPPED:
            points = whole
        elif whole is not None:
            points = tuple(np.concatenate([own, other]) for own, other in zip(points, whole, strict=True))  # type: ignore[assignment]
        if whole is not None:
            slope, intercept, floor = _robust_line(*points, zero)
            level = list(points[0])
            notes = (
                "What the noise is at the smallest values, where it may be cut off, is estimated from what is left of it.",
            )
    return _Fit(slope, intercept, floor, float(blocks.mean.min()), (min(level), max(level)), notes, points)


@dataclass(frozen=True)
class _Reach:
    """How far texture reaches: the energy of blocks at middle frequencies, as a mean and behind a median.

    Attributes
    ----------
    energy : numpy.ndarray
        Of each block.
    freedom : int
        Number of frequencies.
    """

    energy: Floats
    freedom: int

    @classmethod
    def of(cls, blocks: _Blocks, between: npt.NDArray[np.bool_]) -> _Reach:
        return cls(blocks.power[:, between].mean(axis=1), int(between.sum()))

    def into_noise(self, chosen: npt.NDArray[np.intp], variance: float, texture: float) -> tuple[float, float]:
        """Return what texture adds to a measured variance and how doubtful that is, both over the variance.

        Texture falls with the frequency by some power; low and middle frequencies tell by which.

        Parameters
        ----------
        chosen : numpy.ndarray of int
            The flattest blocks of a class.
        variance : float
            Measured at high frequencies.
        texture : float
            The power at low frequencies over that of noise.
        """
        from scipy import stats

        if variance <= 0.0:
            return 0.0, 1.0
        middle = float(np.median(self.energy[chosen])) * self.freedom / stats.chi2.ppf(0.5, self.freedom)
        beyond, chance = middle / variance - 1.0, _MIDDLE_ERROR * np.sqrt(2.5 / (len(chosen) * self.freedom))
        doubt = max(beyond, chance)
        falls = (doubt / max(texture - 1.0, doubt)) ** _TO_HIGH
        return max(beyond - chance, 0.0) * falls, doubt


def _before_clipping(found: Doubles, zeros: Doubles, lowest: float) -> tuple[Doubles, Doubles, Doubles] | None:
    """Return level, variance and weight of what was cut off at the smallest value, had it not been; None where nothing tells.

    How many values were cut off and how much the rest scatters tells the normal distribution that they come from. Photons without
    read noise are not cut off, and stay as they are: of them, the number of zeros follows from the mean.

    Parameters
    ----------
    found : numpy.ndarray, (classes, 2)
        Level and variance of what is left.
    zeros : numpy.ndarray, (classes,)
        The share of smallest values.
    lowest : float
        The smallest value.
    """
    from scipy.stats import norm

    told = (zeros > _FEWEST_ZEROS) & (zeros < _MOST_ZEROS) & (found[:, 1] > 0.0) & (found[:, 0] > lowest)
    if not told.any():
        return None
    (mean, variance), zeros = found[told].T, zeros[told]
    above = -norm.ppf(zeros)
    first = above * norm.cdf(above) + norm.pdf(above)
    second = (above**2 + 1.0) * norm.cdf(above) + above * norm.pdf(above)
    sigma = np.sqrt(variance / (second - first**2))
    gain = np.median(variance / (mean - lowest))
    as_photons = np.median(np.abs(np.log(-np.log(zeros) * gain / (mean - lowest))))
    if as_photons <= np.median(np.abs(np.log(first * sigma / (mean - lowest)))):
        return mean, variance, np.full(len(mean), _OF_CLIPPED)
    return lowest + above * sigma, sigma**2, np.full(len(sigma), _OF_CLIPPED)


def _intensity_classes(mean: Floats) -> list[npt.NDArray[np.intp]]:
    """Sort blocks into classes of equal number, cut further where a class spans a wide range of intensity."""
    order = np.argsort(mean)
    groups = np.array_split(order, int(np.clip(len(mean) // 100, 1, _CLASSES)))
    span = (mean[order[-1]] - mean[order[0]]) / 12
    classes = []
    for group in groups:
        width = mean[group[-1]] - mean[group[0]]
        parts = int(min(np.ceil(width / span), len(group) // 25)) if span > 0 else 1
        if parts <= 1:
            classes.append(group)
            continue
        edges = mean[group[0]] + width * np.arange(1, parts) / parts
        cuts = np.searchsorted(mean[group], edges)
        classes.extend(part for part in np.split(group, cuts) if len(part) >= 20)
    return classes


def _robust_line(level: Doubles, variance: Doubles, weight: Doubles, zero: float) -> tuple[float, float, float]:
    """Fit ``variance = slope * level + intercept``; return both and the smallest variance to believe in.

    A line that falls to nothing above 0 counts means an offset; where none explains the variance about as well, there is none.

    Parameters
    ----------
    level, variance, weight : numpy.ndarray
    zero : float
        The level of 0 counts.
    """
    typical = float(np.median(variance))
    if typical <= 0.0:
        positive = variance > 0.0
        if not positive.any():
            return 0.0, 0.0, 0.0
        typical = float(np.mean(variance))
    floor = max(0.25 * float(variance.min()), 1e-4 * typical)
    constant = _robust_fit(level, variance, weight, floor, slope=False)
    if len(level) < 4:
        return constant.slope, constant.intercept, floor
    line = _robust_fit(level, variance, weight, floor, slope=True)
    rise = line.slope * (level.max() - level.min())
    if line.slope <= 0.0 or line.slope < 3.0 * line.slope_error or rise < 0.05 * typical:
        return 0.0, constant.intercept, floor
    if level.min() > zero and line.slope * zero + line.intercept < 0.0:
        through = _robust_fit(level - zero, variance, weight, floor, slope=True, through=True)
        scatter = max(line.cost / max(len(level) - 2, 1), 1.0)
        if through.cost - line.cost < _NO_WORSE * scatter:
            return through.slope, -through.slope * zero, min(floor, 1e-4 * typical)
    return line.slope, line.intercept, floor


@dataclass(frozen=True)
class _Line:
    slope: float
    intercept: float
    slope_error: float
    cost: float


def _robust_fit(
    level: Doubles, variance: Doubles, weight: Doubles, floor: float, *, slope: bool, through: bool = False
) -> _Line:
    """Reweighted least squares with relative errors; what lies far off the line, as texture does, counts least.

    Parameters
    ----------
    level, variance, weight : numpy.ndarray
    floor : float
        The smallest variance to believe in.
    slope : bool
        Whether the variance grows with the level.
    through : bool
        Whether it is 0 at level 0.
    """
    ones = np.ones_like(level)
    design = np.stack([level, ones][: 1 if through else 2], axis=1) if slope else ones[:, None]
    predicted = np.full_like(level, max(float(np.median(variance)), floor))
    for _ in range(15):
        residual = (variance / predicted - 1.0) * weight
        robust = weight / predicted / np.sqrt(1.0 + (residual / 2.0) ** 2)
        solution = np.linalg.lstsq(design * robust[:, None], variance * robust, rcond=None)[0]
        predicted = np.maximum(design @ solution, floor)
    residual = (variance - predicted) * robust
    freedom = max(len(level) - design.shape[1], 1)
    covariance = np.linalg.pinv((design * robust[:, None]).T @ (design * robust[:, None]))
    error = float(np.sqrt(covariance[0, 0] * (residual @ residual) / freedom))
    cost = float(residual @ residual)
    grows, rest = (float(solution[0]), 0.0 if through else float(solution[-1])) if slope else (0.0, float(solution[0]))
    return _Line(grows, rest, error if slope else 0.0, cost)


def _correlated_band(blocks: _Blocks, fit: _Fit) -> _Band | None:
    """Return the band that measures correlated noise, or None where the noise is white as far as can be told."""
    variance = fit.variance(blocks.mean).astype(np.float32)
    if not (variance > 0.0).all():
        return None
    relative = blocks.power / variance[:, None]
    ground = blocks.unevenness / np.sqrt(variance)
    calm = relative[ground <= np.quantile(ground, _FLATTEST)]
    texture = relative[:, _GATE_SELECT].mean(axis=1)
    smooth = relative[texture <= np.quantile(texture, _FLATTEST)]
    spectrum = _calm_power(calm)
    if not (spectrum.ravel()[1:] > 0.0).all():
        return None
    ratios = np.maximum(_nyquist_ratios(spectrum), _nyquist_ratios(_calm_power(smooth)))
    if (ratios > _WHITE_RATIO).all():
        return None
    along_y = _axis_spectrum(spectrum) if ratios[0] <= _WHITE_RATIO else np.ones(_BLOCK)
    along_x = _axis_spectrum(spectrum.T) if ratios[1] <= _WHITE_RATIO else np.ones(_BLOCK)
    low_y, high_y = _strong_frequencies(along_y)
    low_x, high_x = _strong_frequencies(along_x)
    correlation = (_lag_one(along_y), _lag_one(along_x))
    band = _Band(
        _window(low_y, high_y, low_x, high_x),
        _below(max(low_y + low_x - 1, 2)),
        np.outer(along_y, along_x),
        correlation,
    )
    return band if _is_homogeneous(calm, band) else None


@cache
def _kept_power() -> float:
    """Return the mean of the smallest nine tenths of the squares of normal numbers."""
    from scipy.stats import chi2

    return float(chi2.cdf(chi2.ppf(_KEPT, 1), 3) / _KEPT)


def _calm_power(power: Floats) -> Doubles:
    """Return the power (8, 8) of each frequency over blocks (N, 64), less the largest tenth, as of noise."""
    kept = np.sort(power, axis=0)[: max(int(_KEPT * len(power)), 1)]
    return np.asarray(kept.mean(axis=0, dtype=np.float64) / _kept_power()).reshape(_BLOCK, _BLOCK)


def _nyquist_ratios(spectrum: Doubles) -> Doubles:
    """Return the power near the Nyquist frequency over that at half of it, along y and along x."""
    return np.array([part[6:, 4:].mean() / max(part[3:6, 4:].mean(), 1e-12) for part in (spectrum, spectrum.T)])


def _axis_spectrum(spectrum: Doubles) -> Doubles:
    """Return the spectrum (8,) of the noise along the first axis, with mean 1, from one of blocks (8, 8)."""
    across = np.sqrt(np.diag(spectrum))
    low, high = _strong_frequencies(across)
    along = (spectrum[:, low : high + 1] / across[low : high + 1]).mean(axis=1)
    # Noise upsampled by two has no power at some frequencies of half the blocks.
    along = np.maximum.accumulate(along[::-1])[::-1]
    # The lowest frequency holds the image; what noise it has follows from how the next ones fall.
    along[0] = along[1] * min(along[1] / along[2], 4.0) ** _EXTRAPOLATE
    return np.asarray(along / along.mean())


def _strong_frequencies(along: Doubles) -> tuple[int, int]:
    """Return the first and the last frequency to measure at: the upper half of those where there is noise."""
    highest = int(np.flatnonzero(along >= 0.15 * along[1:].max())[-1])
    return max((highest + 1) // 2, 1), highest


def _lag_one(along: Doubles) -> float:
    if (along == 1.0).all():
        return 0.0
    return float(np.clip(_LEAKAGE * (along * _LAG_ONE).mean(), 0.0, 1.0))


def _is_homogeneous(power: Floats, band: _Band) -> bool:
    """Return whether the energy of blocks scatters as that of noise does; texture scatters more."""
    from scipy import stats

    # A wide band evens out the phases of noise that was upsampled.
    wide = band.measure.reshape(_BLOCK, _BLOCK)
    rows, columns = np.flatnonzero(wide.any(axis=1)), np.flatnonzero(wide.any(axis=0))
    wide = _window(max(int(rows[0]) - 2, 1), int(rows[-1]), max(int(columns[0]) - 2, 1), int(columns[-1]))
    shape = band.spectrum.ravel()[wide].astype(np.float32)
    energy = (power[:, wide] / shape).mean(axis=1)
    low, middle = np.quantile(energy, (0.1, 0.5))
    return bool(middle <= _SCATTER * low * stats.chi2.ppf(0.5, len(shape)) / stats.chi2.ppf(0.1, len(shape)))


def _report(blocks: _Blocks, fit: _Fit, correlation: tuple[float, float], unit: _Unit, n_pixels: int) -> NoiseReport:
    variance = float(fit.variance(blocks.mean).mean())
    signal = max(float(blocks.mean.var(dtype=np.float64)) - variance / _BLOCK**2, 0.0)
    reach = float(blocks.mean.max() - blocks.mean.min())
    model = _model(fit, unit)
    notes = fit.notes
    if model.gain == 0.0 and variance > 0.0:
        notes = (*notes, "The noise does not grow with the signal, or the signal varies too little to tell.")
    if _grows_squared(fit, unit.zero):
        notes = (
            *notes,
            "The variance of the noise grows with the square of the signal, as that of speckle in ultrasound, radar and OCT:"
            " set the noise to multiplicative (denoise/blind).",
        )
    notes = (*notes, *_stripe_notes(blocks, fit))
    return NoiseReport(
        model=model,
        correlation=correlation,
        correlated=max(correlation) >= _CORRELATED,
        signal_range=(
            fit.levels[0] * unit.scale + unit.centre,
            fit.levels[1] * unit.scale + unit.centre,
        ),
        sigma_typical=float(model.sigma(np.median(blocks.mean) * unit.scale + unit.centre)),
        snr_db=_decibel(signal, variance),
        psnr_db=_decibel(reach**2, variance),
        n_pixels=n_pixels,
        notes=notes,
    )


def _grows_squared(fit: _Fit, zero: float) -> bool:
    """Return whether the square of the signal explains the variance far better than a line; ``zero`` is the level of 0 counts."""
    from scipy.optimize import nnls

    level, variance, weight = fit.points
    signal = level - zero
    if len(level) < _FEWEST_LEVELS or signal.min() <= 0.0 or signal.max() < _WIDE * signal.min() or fit.slope <= 0.0:
        return False
    # Both have one number for the noise beside one for its growth.
    errors = []
    for growth in (signal, signal**2):
        design = np.stack([growth, np.ones_like(growth)], axis=1) * (weight / np.maximum(variance, fit.floor))[:, None]
        # Both numbers together: to cut a negative one off afterwards would leave the other too large, and the line too bad.
        solution, _ = nnls(design, np.asarray(weight, dtype=np.float64))
        expected = solution[0] * growth + solution[1]
        errors.append(float(np.median(np.abs(np.log(np.maximum(expected, 1e-30) / np.maximum(variance, 1e-30))))))
    relative = variance / signal**2
    steady = float(np.quantile(relative, 0.9) / max(float(np.quantile(relative, 0.1)), 1e-30))
    return errors[1] < _BETTER * errors[0] and steady < _STEADY


def _stripe_notes(blocks: _Blocks, fit: _Fit) -> tuple[str, ...]:
    """Say how much of the noise all pixels of a row, or of a column, have in common."""
    variance = fit.variance(blocks.mean).astype(np.float32)
    if not (variance > 0.0).all():
        return ()
    ground = blocks.unevenness / np.sqrt(variance)
    spectrum = _calm_power((blocks.power / variance[:, None])[ground <= np.quantile(ground, _FLATTEST)])
    along = {"rows": spectrum[_STRIPED:, 0], "columns": spectrum[0, _STRIPED:]}
    beside = {"rows": spectrum[_STRIPED:, 1], "columns": spectrum[1, _STRIPED:]}
    said = []
    for name, power in along.items():
        # What is in common stands in the lowest frequency across alone, about as strong at all others along. Texture and correlated
        # noise stand beside it too, and what they have more of in it falls with them.
        excess = power - beside[name]
        stands_out = power.min() - beside[name].max() > _STRIPES
        is_level = excess.min() > max(_STRIPES, _LEVEL * excess.max())
        if stands_out or is_level:
            shared = float(excess.mean()) / _BLOCK
            said.append(
                f"{shared / (1.0 + shared):.0%} of the noise is the same all along {name}: a method that takes each pixel's noise"
                " for its own leaves it in."
            )
    return tuple(said)


def _model(fit: _Fit, unit: _Unit) -> NoiseModel:
    """Return the line as a model in counts.

    Only the line itself can be measured; which part of it is an offset is a convention: zero counts where the line
    is positive there, as of an image without offset, else the darkest level of the image.
    """
    if fit.slope <= 0.0:
        return NoiseModel(0.0, 0.0, float(np.sqrt(max(fit.intercept, fit.floor))) * unit.scale)
    zero = unit.zero
    offset = min(zero, fit.darkest) if fit.slope * zero + fit.intercept >= 0.0 else fit.darkest
    offset = max(offset, (fit.floor - fit.intercept) / fit.slope)
    return NoiseModel(
        fit.slope * unit.scale,
        offset * unit.scale + unit.centre,
        float(np.sqrt(max(fit.slope * offset + fit.intercept, 0.0))) * unit.scale,
    )


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0.0:
        return float("inf")
    return float(10.0 * np.log10(max(signal, 1e-12 * noise) / noise))


def _estimate_tiny(planes: Sequence[npt.NDArray[np.generic]]) -> NoiseReport:
    """Measure one standard deviation from second differences, as far as the planes have any."""
    finite = [np.zeros(0)]
    differences = [np.zeros(0)]
    for plane in planes:
        values = np.asarray(plane).astype(np.float64)
        finite.append(values[np.isfinite(values)])
        values = np.where(np.isfinite(values), values, np.nan)
        for axis in range(values.ndim):
            second = np.diff(values, 2, axis=axis) if values.shape[axis] > 2 else np.zeros(0)
            differences.append(second[np.isfinite(second)])
    signal, second = np.concatenate(finite), np.concatenate(differences)
    if signal.size == 0 or second.size < _MIN_DIFFERENCES or signal.min() == signal.max():
        sigma = 0.0
        note = "The image is constant, or too small to measure its noise: it is taken as free of noise."
    else:
        sigma = float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0))
        note = "The image is too small to tell how its noise depends on the signal: one value serves all of it."
    low, high = (float(signal.min()), float(signal.max())) if signal.size else (0.0, 0.0)
    spread = max(float(signal.var()) - sigma**2, 0.0) if signal.size else 0.0
    return NoiseReport(
        model=NoiseModel(0.0, 0.0, sigma),
        correlation=(0.0, 0.0),
        correlated=False,
        signal_range=(low, high),
        sigma_typical=sigma,
        snr_db=_decibel(spread, sigma**2),
        psnr_db=_decibel((high - low) ** 2, sigma**2),
        n_pixels=int(signal.size),
        notes=(note,),
    )
