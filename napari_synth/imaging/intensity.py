"""Invertible maps between what the camera counted and what a network expects, and the statistics they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError, MaskError
from napari_synth.core.texts import three_digits
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import holes
from napari_synth.imaging.sampling import sample_windows
from napari_synth.imaging.screening import Screened, ScreenedImage

# Beyond, squares are no longer finite; float32 ends long before.
_LARGEST = 1e100


@dataclass(frozen=True)
class Statistics:
    """Intensities of a whole image, in counts; of an evenly spread sample where the image is huge.

    Attributes
    ----------
    low, high : float
        Percentiles 0.1 and 99.9 of the finite pixels.
    minimum, maximum, mean, std : float
        Of the finite pixels.
    nan, infinite, saturated : int
        Counted pixels that are NaN, infinite, or at the top of an integer dtype.
    pixels : int
        How many pixels were looked at.
    outliers, no_data : int
        Counted pixels that were taken out before anything else was measured, see `napari_synth.imaging.screening`.
    """

    low: float
    high: float
    minimum: float
    maximum: float
    mean: float
    std: float
    nan: int
    infinite: int
    saturated: int
    pixels: int
    outliers: int = 0
    no_data: int = 0

    def warnings(self) -> tuple[str, ...]:
        """Say in plain words what the user should know about unusual pixels."""
        found = []
        for count, what in (
            (self.nan, "NaN and stay NaN"),
            (self.infinite, "infinite and stay so"),
            (self.saturated, "saturated: their true brightness is unknown"),
        ):
            if count:
                found.append(f"{count} of {self.pixels} pixels looked at are {what}.")
        if self.no_data:
            found.append(
                f"{self.no_data} of {self.pixels} pixels looked at lie in constant regions that hold no data:"
                " nothing is measured in them, and they come back as they were."
            )
        return tuple(found)


@dataclass(frozen=True)
class IntensityTransform:
    """The affine map ``(counts - offset) / scale`` and its inverse.

    Attributes
    ----------
    offset, scale : float
        In counts; ``scale`` is positive.
    """

    offset: float
    scale: float

    @classmethod
    def from_statistics(cls, statistics: Statistics) -> IntensityTransform:
        """Map the percentiles 0.1 and 99.9 to 0 and 1; a constant image is only shifted."""
        spread = statistics.high - statistics.low
        if not spread > 0:
            spread = statistics.maximum - statistics.minimum
        return cls(statistics.low, spread if spread > 0 else 1.0)

    def forward(self, counts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return normalised intensities as float32; the difference is taken in float64."""
        return ((counts.astype(np.float64) - self.offset) / self.scale).astype(np.float32)

    def inverse(self, normalised: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return counts as float64."""
        return np.asarray(normalised, dtype=np.float64) * self.scale + self.offset


def measure_statistics(image: Image) -> Statistics:
    """Measure the intensities of the whole image (of an evenly spread sample where it is huge), without what is to be filled.

    Raises
    ------
    InvalidImageError
        No pixel is finite, or one is beyond 1e100.
    MaskError
        All that are finite are to be filled.
    """
    seen = [_intact(image, at) for at in sample_windows(image)]
    pixels = np.concatenate([part.source for part in seen])
    outliers, no_data = (
        sum(0 if marked is None else int(marked.sum()) for marked in (getattr(part, name) for part in seen))
        for name in ("outliers", "no_data")
    )
    finite = np.concatenate([part.pixels for part in seen])
    if finite.dtype.kind == "f":
        finite = finite[np.isfinite(finite)]
    if finite.size == 0 and image.mask is not None:
        raise MaskError("The mask leaves no pixel to learn from: mark less of the image.")
    if finite.size == 0:
        raise InvalidImageError("The image has no finite pixel: there is nothing to restore from.")
    values = finite.astype(np.float64)
    check_computable(values)
    low, high = np.percentile(values, [0.1, 99.9])
    top = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else np.inf
    return Statistics(
        low=float(low),
        high=float(high),
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        std=float(values.std()),
        nan=int(np.isnan(pixels).sum()) if image.dtype.kind == "f" else 0,
        infinite=int(np.isinf(pixels).sum()) if image.dtype.kind == "f" else 0,
        saturated=int((finite == top).sum()),
        pixels=int(pixels.size),
        outliers=outliers,
        no_data=no_data,
    )


def check_computable(values: npt.NDArray[Any]) -> None:
    """Raise `InvalidImageError` where finite intensities are so large that their squares are not finite.

    Parameters
    ----------
    values : numpy.ndarray
        At least one.
    """
    if (farthest := max(abs(float(values.min())), abs(float(values.max())))) > _LARGEST:
        raise InvalidImageError(
            f"The intensities reach {three_digits(farthest)}, which cannot be computed with: bring the image to smaller numbers."
        )


def _intact(image: Image, at: dict[str, slice | int]) -> Screened:
    """Return the pixels of a window that are not to be filled, one dimension each."""
    if isinstance(image, ScreenedImage):
        part = image.screened(**at)
    else:
        pixels = image.read(**at)
        part = Screened(pixels, pixels)
    kept = slice(None) if image.mask is None else ~np.broadcast_to(holes(image, at), part.pixels.shape)
    arrays = (part.pixels, part.source, part.outliers, part.no_data)
    return Screened(*(None if array is None else array[kept].ravel() for array in arrays))  # type: ignore[arg-type]
