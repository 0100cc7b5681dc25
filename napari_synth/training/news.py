"""What a training run tells while it works, for whoever draws it: points of the curve, validations, previews. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Figures = Mapping[str, float]


@dataclass(frozen=True)
class CurvePoint:
    """The losses at a step; the first one is what is trained for.

    Attributes
    ----------
    step : int
    seconds : float
        Of training, pauses left out.
    losses : mapping of str to float
        Each the mean since the last point.
    """

    step: int
    seconds: float
    losses: Figures


@dataclass(frozen=True)
class Validated:
    """What the averaged weights do on pixels that are never trained on.

    Attributes
    ----------
    step : int
    seconds : float
    score : float
        Lower is better: the best is chosen by it.
    metrics : mapping of str to float
        By name with its unit, e.g. ``"PSNR (dB)"``.
    baselines : mapping of str to mapping
        The same of methods that need no learning, by what they are.
    is_best : bool
        Whether no earlier weights were better.
    """

    step: int
    seconds: float
    score: float
    metrics: Figures
    baselines: Mapping[str, Figures]
    is_best: bool


@dataclass(frozen=True)
class Resumed:
    """What a run that is gone on with had told before.

    Attributes
    ----------
    points : tuple of CurvePoint
    validations : tuple of Validated
        Without baselines.
    """

    points: tuple[CurvePoint, ...]
    validations: tuple[Validated, ...]


@dataclass(frozen=True)
class Preview:
    """What the networks make of a part of the data.

    Attributes
    ----------
    pixels : numpy.ndarray, float32
        In counts.
    axes : str
        Roles of the dimensions.
    place : mapping of str to int
        Where the part begins in its image, along its axes; empty for samples that are no part of one.
    image : int
        The source image that it is a part of.
    """

    pixels: npt.NDArray[np.float32]
    axes: str
    place: Mapping[str, int] = field(default_factory=dict)
    image: int = 0


@dataclass(frozen=True)
class Previewed:
    """A preview of the averaged weights at a step."""

    step: int
    preview: Preview
