"""Judge a restored image without ground truth, by whether what was removed looks like the measured noise.

The residual of an honest result is noise and nothing else: its variance is that of the noise model, and averaged over
a few neighbours it is small everywhere. Less variance means that noise was left in; residuals that do not average out
mean that signal was changed, and comparing the structure of both images there tells whether it was lost or made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, sobel, uniform_filter

from napari_synth.core.errors import InvalidImageError
from napari_synth.core.texts import three_digits, unit_of
from napari_synth.imaging.noise import NoiseModel, NoiseReport

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

_WINDOW = 3
_FLAG = 4.0
_TOO_LITTLE = 0.88
# A low-frequency part of correlated noise stays in every result.
_LEFT_BY_CORRELATION = 0.5
_TOO_MUCH = 1.15
_STRUCTURED = 0.05
_FLAGGED = 0.001
_INVENTED_SHARE = 0.5
_CALM_SCALE = 3.0
_DRIFTED = 0.02
_STRUCTURE = (1.5, 4.0)
_TILE = 512
_MOST_TILES = 6
_PILED_UP = 1e-3
_FEWEST_PILED_UP = 5


class Verdict(StrEnum):
    """What the residual says of a result."""

    HONEST = "honest"
    UNDER_DENOISED = "under-denoised"
    OVER_SMOOTHED = "over-smoothed"
    INVENTED = "invented"


@dataclass(frozen=True)
class TrustReport:
    """How far a result can be trusted.

    Attributes
    ----------
    verdict : Verdict
        The judgement.
    chi2 : float
        Mean square of the residual over the variance of the noise; 1 is expected, NaN where nothing was comparable.
    chi2_calm : float
        The same over the flatter half of the image, where even a careful method removes all noise.
    flagged_fraction : float
        Share of pixels, 0 to 1, whose averaged residual exceeds four standard deviations.
    invented_fraction : float
        Share of pixels, 0 to 1, that are flagged and have more structure in the result than in the source.
    drift : float
        Mean of the result minus mean of the source, in counts.
    relative_drift : float
        The drift as a fraction of the standard deviation of the source.
    residual_correlation : float
        Correlation of the residual of direct neighbours beyond that of the noise, mean over y and x.
    sentence : str
        The judgement in plain words.
    """

    verdict: Verdict
    chi2: float
    chi2_calm: float
    flagged_fraction: float
    invented_fraction: float
    drift: float
    relative_drift: float
    residual_correlation: float
    sentence: str


def residual_z_map(
    source: Array, restored: Array, model: NoiseModel, correlation: tuple[float, float] = (0.0, 0.0)
) -> Floats:
    """Return the residual averaged over 3 x 3 pixels, in standard deviations of such an average of noise.

    Parameters
    ----------
    source, restored : ndarray
        The noisy image and the result, both ``(…, Y, X)``, in counts; NaN and inf are left out of the averages.
    model : NoiseModel
        The noise of ``source``, in counts.
    correlation : tuple of float
        Correlation of the noise of direct neighbours along y and x.

    Returns
    -------
    ndarray of float32
        ``(…, Y, X)``; positive where the result is darker than the source, NaN where a pixel is not finite.

    Raises
    ------
    InvalidImageError
        If the two differ in shape or have fewer than two dimensions.
    """
    _check(source, restored)
    z = np.empty(source.shape, dtype=np.float32)
    floor = _sigma_floor(source)
    for index in np.ndindex(source.shape[:-2]):
        z[index] = _average(_normalised(source[index], restored[index], model, floor), correlation)
    return z


def assess(source: Array, restored: Array, report: NoiseReport) -> TrustReport:
    """Judge ``restored`` against ``source`` and the noise that was measured in ``source``.

    Parameters
    ----------
    source, restored : ndarray
        The noisy image and the result, both ``(…, Y, X)``, in counts; pixels that are not finite are ignored, and
        so are those whose noise is cut off at the extremes of the source. Large images are sampled by tiles.
    report : NoiseReport
        The noise of ``source``.

    Raises
    ------
    InvalidImageError
        If the two differ in shape, have fewer than two dimensions, or no pixel is finite in both.
    """
    _check(source, restored)
    floor = _sigma_floor(source)
    low, high = _clipping(source)
    tally = _Tally()
    for noisy, clean in _tiles(source, restored):
        tally.add(noisy, clean, report, floor, low, high)
    if tally.pixels == 0:
        raise InvalidImageError("No pixel is finite in both images: give images with finite pixels.")
    return tally.judge(report, unit_of(source.dtype))


def _check(source: Array, restored: Array) -> None:
    if source.shape != restored.shape or source.ndim < 2:
        raise InvalidImageError(
            f"Source {source.shape} and result {restored.shape} must have the same shape and at least two dimensions:"
            " give the result of this very source."
        )


def _tiles(source: Array, restored: Array) -> Iterator[tuple[Array, Array]]:
    """Yield planes of both images, or tiles evenly spread over all planes where there are many pixels."""
    height, width = source.shape[-2:]
    whole = source.size <= _MOST_TILES * _TILE**2
    size_y, size_x = (height, width) if whole else (min(height, _TILE), min(width, _TILE))
    corners = [
        (*index, top, left)
        for index in np.ndindex(source.shape[:-2])
        for top in range(0, height - size_y + 1, size_y)
        for left in range(0, width - size_x + 1, size_x)
    ]
    wanted = len(corners) if whole else min(_MOST_TILES * _TILE**2 // (size_y * size_x), len(corners))
    rng = np.random.default_rng(0)
    for number in sorted(rng.choice(len(corners), size=wanted, replace=False)):
        *index, top, left = corners[number]
        where = (*index, slice(top, top + size_y), slice(left, left + size_x))
        yield source[where], restored[where]


def _sigma_floor(source: Array) -> float:
    """Return the standard deviation below which no residual means anything: that of rounding."""
    if np.issubdtype(source.dtype, np.integer):
        return float(np.sqrt(1.0 / 12.0))
    sample = source.reshape(-1)[:: max(source.size // 100_000, 1)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    return max(1e-6 * float(np.ptp(sample)), 1e-12) if sample.size else 1.0


def _clipping(source: Array) -> tuple[float, float]:
    """Return the extremes of the source at which values pile up, infinite where they do not."""
    sample = source.reshape(-1)[:: max(source.size // 1_000_000, 1)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return -np.inf, np.inf
    low, high = float(sample.min()), float(sample.max())
    enough = max(_PILED_UP * sample.size, _FEWEST_PILED_UP)
    return (
        low if np.count_nonzero(sample == low) >= enough else -np.inf,
        high if np.count_nonzero(sample == high) >= enough else np.inf,
    )


def _normalised(source: Array, restored: Array, model: NoiseModel, floor: float) -> npt.NDArray[np.float64]:
    """Return the residual over the standard deviation of the noise; NaN where a pixel is not finite."""
    noisy = source.astype(np.float64)
    clean = restored.astype(np.float64)
    valid = np.isfinite(noisy) & np.isfinite(clean)
    clean = np.where(valid, clean, 0.0)
    residual = np.where(valid, noisy, np.nan) - clean
    return np.asarray(residual / np.maximum(model.sigma(clean), floor))


def _average(normalised: npt.NDArray[np.float64], correlation: tuple[float, float]) -> Floats:
    """Average a plane over 3 x 3 pixels, in units of the standard deviation of such an average of noise."""
    valid = np.isfinite(normalised)
    total = uniform_filter(np.where(valid, normalised, 0.0), _WINDOW, mode="constant") * _WINDOW**2
    count = np.rint(uniform_filter(valid.astype(np.float64), _WINDOW, mode="constant") * _WINDOW**2)
    # The noise of two neighbours at two pixels' distance correlates as after a Gaussian blur, by the fourth power.
    excess = np.prod([1.0 + (4.0 * rho + 2.0 * rho**4) / _WINDOW for rho in correlation])
    z = total / np.sqrt(np.maximum(count, 1.0) * excess)
    return np.where(valid, z, np.nan).astype(np.float32)


def _blur(plane: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_], scale: float) -> Floats:
    """Blur a plane that is 0 where it is not valid, by its valid pixels alone."""
    blurred = gaussian_filter(plane.astype(np.float32), scale)
    if not valid.all():
        blurred /= np.maximum(gaussian_filter(valid.astype(np.float32), scale), 1e-6)
    return np.asarray(blurred)


def _structure(plane: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_]) -> Floats:
    """Return the local variance of a plane, less most of its noise."""
    fine, wide = _STRUCTURE
    smooth = np.where(valid, _blur(plane - plane[valid].mean() * valid, valid, fine), 0.0)
    return np.asarray(_blur(smooth**2, valid, wide) - _blur(smooth, valid, wide) ** 2)


def _calm(
    clean: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_], judged: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the judged pixels on the flatter half of the ground."""
    if not judged.any():
        return judged
    smooth = _blur(clean, valid, _CALM_SCALE)
    slope = sum(np.square(sobel(smooth, axis)) for axis in (0, 1))
    return np.asarray(slope <= np.median(slope[judged]))


class _Tally:
    """Sums over tiles, from which the judgement is made."""

    def __init__(self) -> None:
        self.pixels = 0
        self.judged = 0
        self.squares = 0.0
        self.calm = 0
        self.calm_squares = 0.0
        self.flagged = 0
        self.invented = 0
        self.products = np.zeros(2)
        self.norms = np.zeros(2)
        self.sum_source = 0.0
        self.sum_source_squared = 0.0
        self.sum_change = 0.0

    def add(self, source: Array, restored: Array, report: NoiseReport, floor: float, low: float, high: float) -> None:
        """Add one tile ``(Y, X)``."""
        normalised = _normalised(source, restored, report.model, floor)
        valid = np.isfinite(normalised)
        noisy, clean = source.astype(np.float64), restored.astype(np.float64)
        self.pixels += int(valid.sum())
        self.sum_source += float(noisy[valid].sum())
        self.sum_source_squared += float(np.square(noisy[valid]).sum())
        self.sum_change += float((clean[valid] - noisy[valid]).sum())

        margin = 2.5 * np.maximum(report.model.sigma(np.where(valid, clean, 0.0)), floor)
        judged = valid & (clean >= low + margin) & (clean <= high - margin)
        normalised = np.where(judged, normalised, np.nan)
        self.judged += int(judged.sum())
        self.squares += float(np.nansum(np.square(normalised)))
        calm = judged & _calm(np.where(valid, clean, 0.0), valid, judged)
        self.calm += int(calm.sum())
        self.calm_squares += float(np.square(normalised[calm]).sum())
        for axis in (0, 1):
            ahead, behind = np.delete(normalised, 0, axis=axis), np.delete(normalised, -1, axis=axis)
            both = np.isfinite(ahead) & np.isfinite(behind)
            self.products[axis] += float((ahead[both] * behind[both]).sum())
            self.norms[axis] += float((ahead[both] ** 2 + behind[both] ** 2).sum()) / 2.0

        flagged = np.abs(_average(normalised, report.correlation)) > _FLAG
        self.flagged += int(flagged.sum())
        # Stray pixels cannot sway the judgement.
        if flagged.mean() > _FLAGGED / 4.0:
            in_source = _structure(np.where(valid, noisy, 0.0), valid)
            in_result = _structure(np.where(valid, clean, 0.0), valid)
            made_up = in_result > in_source
            self.invented += int((flagged & made_up).sum())

    def judge(self, report: NoiseReport, unit: str) -> TrustReport:
        """Return the report on all tiles that were added; ``unit`` is what intensities are called."""
        chi2 = self.squares / self.judged if self.judged else float("nan")
        chi2_calm = self.calm_squares / self.calm if self.calm else float("nan")
        flagged = self.flagged / max(self.judged, 1)
        invented = self.invented / max(self.judged, 1)
        measured = self.products / np.where(self.norms > 0.0, self.norms, 1.0)
        excess = float(np.mean(measured - np.asarray(report.correlation))) if self.norms.all() else 0.0
        mean = self.sum_source / self.pixels
        spread = np.sqrt(max(self.sum_source_squared / self.pixels - mean**2, 0.0))
        drift = self.sum_change / self.pixels
        relative = drift / spread if spread > 0.0 else 0.0
        too_little = _TOO_LITTLE * (1.0 - _LEFT_BY_CORRELATION * max(*report.correlation, 0.0))
        if flagged > _FLAGGED and invented > _INVENTED_SHARE * flagged:
            verdict = Verdict.INVENTED
        elif flagged > _FLAGGED or chi2 > _TOO_MUCH or (chi2 > 1.0 and excess > _STRUCTURED):
            verdict = Verdict.OVER_SMOOTHED
        elif chi2_calm < too_little:
            verdict = Verdict.UNDER_DENOISED
        else:
            verdict = Verdict.HONEST
        return TrustReport(
            verdict=verdict,
            chi2=float(chi2),
            chi2_calm=float(chi2_calm),
            flagged_fraction=float(flagged),
            invented_fraction=float(invented),
            drift=float(drift),
            relative_drift=float(relative),
            residual_correlation=excess,
            sentence=_sentence(verdict, chi2, flagged) + _drift_sentence(drift, relative, unit),
        )


def _sentence(verdict: Verdict, chi2: float, flagged: float) -> str:
    if np.isnan(chi2):
        return "Nothing could be judged: every pixel lies where the source is cut off."
    if verdict is Verdict.HONEST:
        return f"What was removed looks like the measured noise (chi² {chi2:.2f})."
    if verdict is Verdict.UNDER_DENOISED:
        return f"Noise was left in: only {chi2:.0%} of its variance was removed; stronger settings remove more."
    if verdict is Verdict.OVER_SMOOTHED:
        return (
            f"Signal was removed with the noise (chi² {chi2:.2f}, {flagged:.1%} of the pixels):"
            " look at the removed signal, or choose milder settings."
        )
    return (
        f"The result has structure that the source does not show, on {flagged:.1%} of the pixels:"
        " look at the removed signal before you rely on it."
    )


def _drift_sentence(drift: float, relative: float, unit: str) -> str:
    if abs(relative) <= _DRIFTED:
        return ""
    return f" The mean {'rose' if drift > 0 else 'fell'} by {three_digits(abs(drift))} {unit}."
