"""Measures the quality of an image without a truth to compare it with.

Every measure is one number of the whole image, sampled where it is huge, in the image's own counts or a share from 0 to 1, so that
images can be ranked by it. None of them says whether an image is good: that is for the user to decide.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """What was measured of an image; a number is NaN where it cannot be told.

    Attributes
    ----------
    shape : tuple of int
        Size along the axes.
    dtype : str
    axes : str
        Their roles, e.g. ``"ZYX"``.
    spacing : str
        Distance of neighbouring pixels with its unit, e.g. ``"Y 0.25 micrometer, X 0.25 micrometer"``; empty where unknown.
    mean, minimum, maximum : float
        Of the finite pixels, in counts.
    nonfinite : float
        Share of pixels that are NaN or infinite.
    noise : float
        Standard deviation of the noise at the median signal, in counts.
    gain : float
        Counts per photo-electron; 0 where the noise does not depend on the signal.
    snr : float
        Variance of the signal over that of the noise, in decibels; infinite without noise.
    correlation : float
        Of the noise of direct neighbours, mean over y and x; 0 where it is not significant.
    focus : float
        How much fine structure there is in relation to coarse structure once the noise is taken away, 0 to 1; to be compared
        between images of the same kind.
    saturated : float
        Share of pixels at the upper end of the image's range, where they pile up.
    clipped : float
        Share of pixels at the lower end, where they pile up.
    background : float
        Level of the darker, flat parts, in counts.
    unevenness : float
        How much the background varies smoothly over the field: its spread over the range of the image, 0 to 1.
    stripes : float
        Spread of what whole rows or columns share, over the noise; above 1 where it is more than chance.
    hot_pixels : float
        Share of single pixels that stand out of their neighbours.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: str
    spacing: str
    mean: float
    minimum: float
    maximum: float
    nonfinite: float
    noise: float
    gain: float
    snr: float
    correlation: float
    focus: float
    saturated: float
    clipped: float
    background: float
    unevenness: float
    stripes: float
    hot_pixels: float


MEASURES = (
    "mean",
    "minimum",
    "maximum",
    "nonfinite",
    "noise",
    "gain",
    "snr",
    "correlation",
    "focus",
    "saturated",
    "clipped",
    "background",
    "unevenness",
    "stripes",
    "hot_pixels",
)
"""The numbers of a `Quality`, in their order."""
