"""Finds the setting of a filter that predicts pixels best that it was not shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

import torch
from torch import Tensor

from napari_synth.core.progress import Reporter
from napari_synth.generators.denoise._held_out import hold_out

_FEWEST = 200
# Variance of the guess of a hidden pixel, in units of that of the noise, from which on it tells nothing of the best setting.
_ALL_DETAIL = 0.4


@dataclass(frozen=True)
class Calibration:
    """A setting, and how well the filter predicts with it.

    Attributes
    ----------
    value : float
        The best setting.
    loss : float
        Mean error on the held-out pixels at the best setting that was tried.
    """

    value: float
    loss: float

    @property
    def trust(self) -> float:
        """How far the choice is about the noise, 0 to 1.

        Where noise is weak, it is the detail of the image that a hidden pixel's neighbours do not tell, and a filter that is
        shown the pixel has to smooth far less than one that has to guess it.
        """
        return min(1.0, max(0.0, 1.0 - (2.0 * self.loss - 1.0) / _ALL_DETAIL))


def calibrate(
    windows: Tensor,
    smooth: Callable[[Tensor, float], Tensor],
    values: Sequence[float],
    reach: tuple[int, int],
    report: Reporter,
    *,
    between: bool = True,
) -> Calibration | None:
    """Try settings on windows of the image.

    Parameters
    ----------
    windows : torch.Tensor, (N, 1, Z, Y, X)
        With noise of standard deviation 1.
    smooth : callable
        The filter, of windows and a setting.
    values : sequence of float
        Settings to try, increasing.
    reach : tuple of int, (y, x)
        How far the noise of neighbours goes together.
    report : Reporter
        Told of every setting.
    between : bool
        Whether a setting between those that were tried may be returned.

    Returns
    -------
    Calibration or None
        None where there are too few pixels to tell.
    """
    held_out = hold_out(windows, reach)
    if held_out.measured.numel() < _FEWEST:
        return None
    losses = []
    for value in values:
        with torch.inference_mode():
            losses.append(float(held_out.errors(smooth(held_out.filled, value)).mean()))
        report.advance()
    best = min(range(len(values)), key=losses.__getitem__)
    value = values[best]
    if between and 0 < best < len(values) - 1:
        value = _lowest(values[best - 1 : best + 2], losses[best - 1 : best + 2])
    return Calibration(value, losses[best])


def _lowest(values: Sequence[float], losses: Sequence[float]) -> float:
    """Return where the parabola through three points over the logarithm is lowest."""
    left, middle, right = (log(value) for value in values)
    slope_left = (losses[1] - losses[0]) / (middle - left)
    slope_right = (losses[2] - losses[1]) / (right - middle)
    if slope_right <= slope_left:
        return values[1]
    # The slopes belong to the middles of the two intervals; the parabola is lowest where the slope is 0.
    share = -slope_left / (slope_right - slope_left)
    return exp((left + middle) / 2.0 + share * (right - left) / 2.0)
