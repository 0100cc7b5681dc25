"""Measure the noise of an image from the image itself.

The image is cut into overlapping 8 x 8 blocks and each block is taken to its discrete cosine transform. The low
frequencies say how flat a block is, the high ones how noisy: because the two are independent in a noisy image, the
flattest blocks can be chosen without choosing the least noisy ones. In each class of intensity the flattest blocks
give one variance, and a robust line through the classes gives gain and read noise. The spectrum of blocks on flat
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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.stats import chi2

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
_CLIPPED = 1e-3
# Ratio of the power near the Nyquist frequency to that at half of it below which noise counts as correlated: white
# noise gives 1, the finest textures known to us 0.8, a blur of half a pixel 0.6.
_WHITE_RATIO = 0.72
_CORRELATED = 0.2

_FREQ_Y, _FREQ_X = np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK), indexing="ij")
_BASIS = dct(np.eye(_BLOCK), axis=0, norm="ortho")
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

    def sentences(self) -> list[str]:
        """Return the report in plain words, one sentence an item, notes last."""
        model = self.model
        if self.sigma_typical == 0.0 and model.gain == 0.0 and model.read_noise == 0.0:
            said = ["No noise was found."]
        elif model.gain > 0.0:
            said = [
                f"Gain {model.gain:.3g} counts per electron, read noise {model.read_noise:.3g} counts"
                f" at an offset of {model.offset:.4g}; noise of {self.sigma_typical:.3g} counts at the median signal."
            ]
        else:
            said = [f"Noise of {model.read_noise:.3g} counts, the same in dark and bright places."]
        along = [
            f"{rho:.2f} along {axis}" for axis, rho in zip("yx", self.correlation, strict=True) if rho != 0.0
        ]
        if along:
            treated = ", so it is treated as such" if self.correlated else ", too weakly to matter"
            said.append(f"Noise of neighbouring pixels is correlated ({', '.join(along)}){treated}.")
        return [*said, *self.notes]


def estimate_noise(planes: Sequence[npt.NDArray[np.generic]], *, mask_saturated: bool = True) -> NoiseReport:
    """Estimate the noise that the given planes share.

    Parameters
    ----------
    planes : sequence of ndarray
        Two-dimensional arrays ``(Y, X)`` of any real dtype and range, in counts; NaN and inf are ignored. Large
        planes are sampled by tiles, always the same ones.
    mask_saturated : bool
        Leave out the intensities whose noise is cut off at the smallest or largest value of the image.

    Returns
    -------
    NoiseReport
        A model without noise, and a note that says so, where the planes are too small or hold no finite pixel.
    """
    blocks = _collect_blocks(planes)
    if blocks is None or len(blocks.values) < _MIN_BLOCKS:
        return _estimate_tiny(planes)
    clipped = _clipped_share(blocks.values) if mask_saturated else np.zeros(len(blocks.values), np.float32)
    fit = _fit_line(blocks, clipped, _WHITE_BAND)
    band = _correlated_band(blocks, fit)
    correlation = (0.0, 0.0)
    if band is not None:
        fit = _fit_line(blocks, clipped, band)
        correlation = band.correlation
    return _report(blocks, fit, correlation)


@dataclass(frozen=True)
class _Blocks:
    """Blocks as rows: pixels, means, squared cosine coefficients; and how uneven the ground around each is."""

    values: Floats
    mean: Floats
    power: Floats
    unevenness: Floats


@dataclass(frozen=True)
class _Band:
    """Coefficients that measure the noise and those that tell flat blocks, with the spectrum of unit noise."""

    measure: npt.NDArray[np.bool_]
    select: npt.NDArray[np.bool_]
    spectrum: Doubles
    correlation: tuple[float, float]


@dataclass(frozen=True)
class _Fit:
    """Variance as a line over the signal, and the levels it was measured at."""

    slope: float
    intercept: float
    darkest: float
    brightest: float
    floor: float
    notes: tuple[str, ...]

    def variance(self, signal: npt.ArrayLike) -> Doubles:
        line = self.slope * np.asarray(signal, dtype=np.float64) + self.intercept
        return np.asarray(np.maximum(line, self.floor))


def _band(lowest_y: int, highest_y: int, lowest_x: int, highest_x: int) -> tuple[npt.NDArray[np.bool_], ...]:
    inside_y = (_FREQ_Y >= lowest_y) & (_FREQ_Y <= highest_y)
    inside_x = (_FREQ_X >= lowest_x) & (_FREQ_X <= highest_x)
    diagonal = _FREQ_Y + _FREQ_X
    return (inside_y & inside_x).ravel(), (
        (diagonal > 0) & (diagonal < max(lowest_y + lowest_x - 1, 2))
    ).ravel()


_WHITE_BAND = _Band(*_band(4, 7, 4, 7), np.ones((_BLOCK, _BLOCK)), (0.0, 0.0))


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


def _collect_blocks(tiles: Sequence[npt.NDArray[np.generic]], centre: float, scale: float) -> _Blocks:
    values, means, uneven = [], [], []
    for tile in tiles:
        # Centred and scaled before single precision, which large offsets and ranges would exceed.
        unit = ((tile - np.float64(centre)) / scale).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(unit, (_BLOCK, _BLOCK))[::_STRIDE, ::_STRIDE]
        rows = windows.reshape(-1, _BLOCK * _BLOCK)
        mean = rows.mean(axis=1)
        grid = mean.reshape(windows.shape[:2])
        values.append(rows)
        means.append(mean)
        uneven.append((maximum_filter(grid, 5) - minimum_filter(grid, 5)).ravel())
    pixels, mean, unevenness = np.concatenate(values), np.concatenate(means), np.concatenate(uneven)
    finite = np.isfinite(mean) & np.isfinite(unevenness)
    if not finite.all():
        pixels, mean, unevenness = pixels[finite], mean[finite], unevenness[finite]
    coefficients = (pixels - mean[:, None]) @ _TRANSFORM
    return _Blocks(pixels, mean, np.square(coefficients, out=coefficients), unevenness)


def _clipped_share(values: Floats) -> Floats:
    """Return the share of pixels of each block that lie at an extreme where values pile up."""
    share = np.zeros(len(values), np.float32)
    lowest, highest = values.min(), values.max()
    for touches in (values <= lowest, values >= highest):
        if touches.mean() > _CLIPPED:
            share += touches.mean(axis=1, dtype=np.float32)
    return share


def _fit_line(blocks: _Blocks, clipped: Floats, band: _Band) -> _Fit:
    """Fit variance over signal to the flattest blocks of each class of intensity."""
    shape = band.spectrum.ravel()[band.measure]
    energy = (blocks.power[:, band.measure] @ (1.0 / shape).astype(np.float32)) / len(shape)
    flatness = blocks.power[:, band.select].mean(axis=1)
    freedom = len(shape)
    to_mean = freedom / chi2.ppf(0.5, freedom)
    level, variance, weight = [], [], []
    dropped = []
    for members in _intensity_classes(blocks.mean):
        count = max(int(_FLATTEST * len(members)), min(_MIN_CHOSEN, len(members)))
        chosen = members[np.argpartition(flatness[members], count - 1)[:count]]
        point = (float(blocks.mean[chosen].mean()), float(np.median(energy[chosen]) * to_mean))
        if clipped[chosen].mean() > 0.01:
            dropped.append(point)
            continue
        level.append(point[0])
        variance.append(point[1])
        # Classes without flat ground have more power in the low frequencies than noise has.
        texture = float(flatness[chosen].mean()) / (point[1] * band.flat_power) if point[1] > 0 else 1.0
        relative = np.sqrt(2.5 / (count * freedom) + 0.03**2) * max(texture, 1.0)
        weight.append(1.0 / relative)
    notes: tuple[str, ...] = ()
    if dropped:
        notes = ("Intensities whose noise is cut off at the smallest or largest value were left out.",)
    if len(level) < 3:
        level = [*level, *(point[0] for point in dropped)]
        variance = [*variance, *(point[1] for point in dropped)]
        weight = [*weight, *[10.0] * len(dropped)]
        if dropped:
            notes = (
                "Most intensities are cut off at the smallest or largest value: the noise may be larger.",
            )
    darkest, brightest = float(blocks.mean.min()), float(blocks.mean.max())
    slope, intercept, floor = _robust_line(np.array(level), np.array(variance), np.array(weight))
    return _Fit(slope, intercept, darkest, brightest, floor, notes)


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


def _robust_line(level: Doubles, variance: Doubles, weight: Doubles) -> tuple[float, float, float]:
    """Fit ``variance = slope * level + intercept``; return both and the smallest variance to believe in."""
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
    return line.slope, line.intercept, floor


@dataclass(frozen=True)
class _Line:
    slope: float
    intercept: float
    slope_error: float


def _robust_fit(level: Doubles, variance: Doubles, weight: Doubles, floor: float, *, slope: bool) -> _Line:
    """Reweighted least squares with relative errors; what lies above the line, as texture does, counts least."""
    design = np.stack([level, np.ones_like(level)], axis=1)[:, None if slope else slice(1, None)]
    if slope:
        design = np.stack([level, np.ones_like(level)], axis=1)
    else:
        design = np.ones((len(level), 1))
    predicted = np.full_like(level, np.median(variance))
    predicted = np.maximum(predicted, floor)
    for _ in range(15):
        residual = (variance / predicted - 1.0) * weight
        robust = weight / predicted / np.sqrt(1.0 + (residual / 2.0) ** 2)
        solution = np.linalg.lstsq(design * robust[:, None], variance * robust, rcond=None)[0]
        predicted = np.maximum(design @ solution, floor)
    residual = (variance - predicted) * robust
    freedom = max(len(level) - design.shape[1], 1)
    covariance = np.linalg.pinv((design * robust[:, None]).T @ (design * robust[:, None]))
    error = float(np.sqrt(covariance[0, 0] * (residual @ residual) / freedom))
    if slope:
        return _Line(float(solution[0]), float(solution[1]), error)
    return _Line(0.0, float(solution[0]), error)
