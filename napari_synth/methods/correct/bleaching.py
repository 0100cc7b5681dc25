"""Bleaching and flicker of a movie: every frame is made as bright as the curve through all of them says of the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.imaging.image import Image
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.correct.catalogue import BleachingParams, Fit
from napari_synth.methods.translate.matching import Curve, shares

if TYPE_CHECKING:
    from napari_synth.imaging.noise import NoiseModel

Floats = npt.NDArray[np.float64]

_BYTES_PER_PIXEL = 64
# Pixels of a frame and planes of a volume that are looked at.
_SAMPLED, _PLANES = 2**16, 8
_FEWEST = {"exponential": 5, "two exponentials": 8}
_DIGITS = 6
# Of the pixels by their mean over time: the darkest tell the dark level, the brighter half flicker.
_DARKEST, _BRIGHT = 1.0, 50.0
# Standard deviations by which one in a hundred lies below its mean.
_BELOW = 2.326
# Of the dark level, by which a movie is brighter that has dark pixels.
_FAINT = 0.02


class Unbleached(Prepared):
    """A movie whose frames are each multiplied by a number.

    Parameters
    ----------
    gains : numpy.ndarray, (frames,)
    dark : float
        Normalised level without light, which the gains leave as it is.
    frame : int
        Which one the blocks are of.
    """

    def __init__(self, gains: Floats, dark: float, frame: int = 0) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._gains, self._dark, self._frame = gains, dark, frame

    @property
    def is_placed(self) -> bool:
        """Each frame has its own gain."""
        return True

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what corrects the blocks of one frame; see `Prepared.at`."""
        return Unbleached(self._gains, self._dark, place["T"].start) if "T" in place else self

    def apply(self, block: Tensor) -> Tensor:
        """Correct one batch of blocks; see `Prepared.apply`."""
        return (block - self._dark) * float(self._gains[self._frame]) + self._dark

    def gains(self, block: Tensor) -> Tensor:
        """Return how much brighter the frame was made; see `Prepared.gains`."""
        return torch.full_like(block, float(self._gains[self._frame]))


class Matched(Prepared):
    """A movie whose frames all have the intensities of the first.

    Parameters
    ----------
    levels : numpy.ndarray, (frames, LEVELS)
        Normalised, of each frame.
    frame : int
        Which one the blocks are of.
    """

    def __init__(self, levels: Floats, frame: int = 0) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._levels, self._frame = levels, frame

    @property
    def is_placed(self) -> bool:
        """Each frame has its own levels."""
        return True

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what corrects the blocks of one frame; see `Prepared.at`."""
        return Matched(self._levels, place["T"].start)

    def apply(self, block: Tensor) -> Tensor:
        """Match one batch of blocks; see `Prepared.apply`."""
        return Curve.between(self._levels[self._frame], self._levels[0]).of(block)


def prepare_bleaching(image: Image, params: BleachingParams, context: Context) -> Prepared:
    """Read every frame once, and fit a curve through their signals.

    Parameters
    ----------
    image : Image
    params : BleachingParams
    context : Context

    Raises
    ------
    InvalidImageError
        There is no signal above the dark level.
    InvalidParameterError
        The recipe holds the curve of a movie of another length.
    """
    frames = image.sizes.get("T", 1)
    context.report.start("Reading the frames", frames)
    scale, offset = context.intensity.scale, context.intensity.offset
    if frames == 1:
        still = Unbleached(np.ones(1), 0.0)
        still.notes = (
            "There is one frame, and nothing to compare it with: it stays as it is. Set the axes if it is a movie.",
        )
        return still
    if params.fitted is not None:
        fit = _held(params.fitted, context.channel or 0, frames)
        return _scaled(fit, (), scale, offset)
    samples, noise = _samples(image, context), noise_of(image).model
    if params.model == "histogram":
        levels = np.stack([np.quantile(one, shares()) for one in samples])
        matched = Matched((levels - offset) / scale)
        matched.notes = (
            "Every frame has the intensities of the first now: they can be looked at and segmented, but no longer be measured.",
        )
        return matched
    dark = _dark(samples, noise) if params.dark is None else params.dark
    said = f"The level without light is taken for {dark:.4g} counts."
    if params.dark is None and samples.mean(1).min() - dark <= _FAINT * abs(dark):
        dark, said = (
            0.0,
            "No pixel is dark enough to tell the level without light, which is taken for 0: set the dark level.",
        )
    signal = samples.mean(1) - dark
    if signal.min() <= 0:
        raise InvalidImageError(
            f"There is a frame without signal above the dark level of {dark:.4g} counts, which no factor can brighten: set the"
            " dark level lower, or leave such frames out."
        )
    notes = [said] if params.dark is None else []
    model = params.model
    if frames < _FEWEST.get(model, 0):
        notes.append(f"{frames} frames are too few for a curve: each is made as bright as the first (ratio).")
        model = "ratio"
    curve = signal
    if model != "ratio":
        curve = fit_curve(signal, noise, dark, samples.shape[1], two=model == "two exponentials")
    gains = curve[0] / curve
    if params.flicker and model != "ratio":
        gains = gains / _flicker(samples - dark, curve)
    fell = f"The signal of the last frame is {100 * curve[-1] / curve[0]:.0f} % of the first"
    below = np.nonzero(curve < curve[0] / 2)[0]
    notes.insert(0, f"{fell}; half of it is gone at frame {below[0] + 1}." if len(below) else f"{fell}.")
    fit = {"gains": tuple(float(f"{gain:.{_DIGITS}g}") for gain in gains), "dark": (float(f"{dark:.{_DIGITS}g}"),)}
    return _scaled(fit, tuple(notes), scale, offset)


def fit_curve(signal: Floats, noise: NoiseModel, dark: float, pixels: int, *, two: bool = False) -> Floats:
    """Return the curve of bleaching through the signals of the frames: one or two exponentials and what does not bleach.

    Parameters
    ----------
    signal : numpy.ndarray, (frames,)
        Mean counts above the dark level.
    noise : NoiseModel
        By which frames are weighed: dim ones are surer.
    dark : float
        The dark level in counts.
    pixels : int
        How many were averaged in a frame.
    two : bool
        Whether there are two exponentials.
    """
    from scipy.optimize import least_squares

    frames = len(signal)
    time = np.arange(frames) / (frames - 1)
    sigma = np.sqrt(np.maximum(noise.variance(signal + dark), 0.0) / pixels)
    # What varies between frames beside noise is in proportion to the signal, as flicker is.
    steps = np.diff(signal, 2) / np.sqrt(6.0)
    flicker = 1.4826 * np.median(np.abs(steps)) if len(steps) else 0.0
    sigma = np.hypot(sigma, flicker * signal / signal.mean()) + 1e-9 * signal.max()
    first, last = signal[0], signal[-1]
    count = 2 if two else 1

    def of(values: Floats) -> Floats:
        heights, rates = np.exp(values[:count]), np.exp(values[count : 2 * count])
        decay: Floats = (heights[:, None] * np.exp(-rates[:, None] * time)).sum(0) + np.exp(values[-1])
        return decay

    best, least = np.full(frames, signal.mean()), np.inf
    floor = 1e-4 * signal.max()
    for rate in (0.3, 1.0, 3.0, 10.0):
        rates = [rate] if not two else [rate, 5.0 * rate]
        height = max(first - last, floor) / count
        start = np.log([*[height] * count, *rates, max(last, floor)])
        found = least_squares(lambda values: (of(values) - signal) / sigma, start, loss="soft_l1", max_nfev=400)
        if found.cost < least:
            best, least = of(found.x), found.cost
    return best


def _dark(samples: Floats, noise: NoiseModel) -> float:
    """Return the level of the darkest pixels by their means over time, without what noise makes of the darkest."""
    darkest = float(np.percentile(samples.mean(0), _DARKEST))
    return darkest + float(_BELOW * float(noise.sigma(darkest)) / len(samples) ** 0.5)


def _flicker(signal: Floats, curve: Floats) -> Floats:
    """Return by how much each frame is brighter than the curve in most of its bright pixels; flashes of a few do not count."""
    level = signal / curve[:, None]
    still = level.mean(0)
    bright = still >= np.percentile(still, _BRIGHT)
    factors: Floats = np.median(level[:, bright] / np.maximum(still[bright], 1e-12), axis=1)
    return factors / np.median(factors)


def _scaled(fit: Fit, notes: tuple[str, ...], scale: float, offset: float) -> Unbleached:
    made = Unbleached(np.asarray(fit["gains"]), (fit["dark"][0] - offset) / scale)
    made.notes, made.resolved = notes, {"fitted": [fit]}
    made.noise_level, made.multiplies = fit["dark"][0], True
    return made


def _held(fitted: tuple[Fit, ...], channel: int, frames: int) -> Fit:
    """Return what a recipe holds of the curve of a channel."""
    fit = fitted[min(channel, len(fitted) - 1)]
    if not {"gains", "dark"} <= set(fit) or len(fit["gains"]) != frames or len(fit["dark"]) != 1:
        raise InvalidParameterError(
            f"The recipe holds no curve of a movie of {frames} frames: let it be fitted to this movie, with the name of the"
            " method instead of the recipe."
        )
    return fit


def _samples(image: Image, context: Context) -> Floats:
    """Return the same evenly spread pixels of every frame; pixels that are not finite in all of them are left out."""
    planes: dict[str, slice | int] = {}
    if "Z" in image.axes and image.sizes["Z"] > _PLANES:
        middle = (image.sizes["Z"] - _PLANES) // 2
        planes["Z"] = slice(middle, middle + _PLANES)
    found = []
    for frame in range(image.sizes["T"]):
        pixels = np.ravel(image.read(T=frame, **planes))
        found.append(pixels[:: max(1, pixels.size // _SAMPLED)].astype(np.float64))
        context.report.advance()
    values = np.stack(found)
    known = np.isfinite(values).all(0)
    if not known.any():
        raise InvalidImageError("No pixel is finite in all frames: there is nothing to compare them by.")
    return values[:, known]
