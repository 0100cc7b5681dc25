"""Restores images of speckle, which multiplies the signal: on their logarithm, where it is added.

The logarithm of a noisy value is not, on average, that of the signal. How far it is below follows from how strong the noise is: of
intensities that are the mean of L looks it is the digamma function of L less the logarithm of L.

References
----------
Deledalle et al., "MuLoG, or how to apply Gaussian denoisers to multi-channel SAR speckle reduction?", IEEE TIP 26 (2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from torch import Tensor

from napari_synth.contract.generator import Context, Prepared
from napari_synth.core.errors import InvalidImageError
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform, measure_statistics
from napari_synth.imaging.sampling import sample_planes

_LOOKS = (0.05, 1e6)
_FAINTEST = 1e-3


@dataclass(frozen=True)
class Logarithm(Image):
    """The natural logarithm of an image, whose counts below a least one are taken for that."""

    image: Image | None = None
    least: float = 1.0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(np.float32)

    def read(self, **selection: slice | int) -> npt.NDArray[Any]:
        """Load a part, see `Image.read`."""
        assert self.image is not None
        counts = self.image.read(**selection).astype(np.float64)
        return np.log(np.maximum(counts, self.least)).astype(np.float32)

    def select(self, **selection: slice | int) -> Image:
        """Return a part without loading it, see `Image.select`."""
        assert self.image is not None
        return _logarithm(self.image.select(**selection), self.least)


def _logarithm(image: Image, least: float) -> Logarithm:
    return Logarithm(
        image.data, image.axes, image.spacing, image.units, image.name, image.mask, image=image, least=least
    )


class OnLogarithm(Prepared):
    """What was prepared for the logarithm of an image.

    Parameters
    ----------
    inner : Prepared
    counts, logarithms : IntensityTransform
        Of the image, and of its logarithm.
    least : float
        Counts that smaller ones are taken for.
    looks : float
        Of how many independent values a pixel is the mean.
    """

    def __init__(
        self, inner: Prepared, counts: IntensityTransform, logarithms: IntensityTransform, least: float, looks: float
    ) -> None:
        self._inner, self._counts, self._logarithms = inner, counts, logarithms
        self._least, self._looks = least, looks
        self._bias = float(np.log(looks) - digamma(looks))
        self.spec, self.weights = inner.spec, inner.weights
        self.notes = (
            f"The noise is taken as multiplicative, {looks**-0.5:.0%} of the signal (as of {looks:.2g} looks): the logarithm"
            " was restored.",
            *inner.notes,
        )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, *spatial); see `Prepared.apply`."""
        counts = block * self._counts.scale + self._counts.offset
        logarithm = (counts.clamp_min(self._least).log() - self._logarithms.offset) / self._logarithms.scale
        restored = self._inner.apply(logarithm) * self._logarithms.scale + self._logarithms.offset + self._bias
        return (torch.exp(restored) - self._counts.offset) / self._counts.scale

    def transposed(self) -> Prepared:
        """Return the same for the image with Y and X swapped."""
        return OnLogarithm(self._inner.transposed(), self._counts, self._logarithms, self._least, self._looks)

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same for the image flipped along Y or X."""
        return OnLogarithm(self._inner.flipped(y, x), self._counts, self._logarithms, self._least, self._looks)


def prepare_multiplicative(
    image: Image, context: Context, prepare: Callable[[Image, Context], Prepared]
) -> OnLogarithm:
    """Prepare a method for the logarithm of an image.

    Parameters
    ----------
    image : Image
    context : Context
    prepare : callable
        Prepares a method that measures its noise.

    Raises
    ------
    InvalidImageError
        No pixel is above 0.
    """
    pixels = np.concatenate([plane[np.isfinite(plane)] for plane in sample_planes(image)]).astype(np.float64)
    positive = pixels[pixels > 0.0]
    if positive.size == 0:
        raise InvalidImageError("No pixel is above 0, so that noise cannot multiply a signal: set the noise to auto.")
    least = max(0.5 if image.dtype.kind in "iu" else 0.0, _FAINTEST * float(np.median(positive)))
    logarithm = _logarithm(image, least)
    statistics = measure_statistics(logarithm)
    intensity = IntensityTransform.from_statistics(statistics)
    inner = prepare(logarithm, replace(context, intensity=intensity, statistics=statistics))
    variance = inner.noise.sigma_typical**2 if inner.noise is not None else 0.0
    return OnLogarithm(inner, context.intensity, intensity, least, _looks(variance))


def _looks(variance: float) -> float:
    """Return of how many looks intensities are whose logarithm has this variance."""
    if variance <= float(polygamma(1, _LOOKS[1])):
        return _LOOKS[1]
    if variance >= float(polygamma(1, _LOOKS[0])):
        return _LOOKS[0]
    return float(brentq(lambda looks: float(polygamma(1, looks)) - variance, *_LOOKS))
