"""Merges each plane with the frames or z planes beside it, where they show the same, and tells the noise that is left.

A neighbour counts at a pixel as far as its smoothed difference to the plane is explained by the noise of both. The merged
plane has a known, lower variance, which the noise-conditioned network takes as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_synth.core.generator import Context
from napari_synth.core.image import Image
from napari_synth.generators._conditioning import Condition
from napari_synth.networks.sigma_map import gaussian_blur

_SCALES = (1.0, 3.0)
_TOLERANCE = 2.0
_WORTHWHILE = 0.3
_PROBES = 4
_PROBE_EDGE = 256
_NAMES = {"T": "frames", "Z": "z planes"}


@dataclass(frozen=True)
class Neighbours:
    """Which neighbours are evidence.

    Attributes
    ----------
    axis : str
        ``"T"`` or ``"Z"``.
    radius : int
        Planes on each side.
    agreement : float
        Mean weight of a direct neighbour, 0 to 1, measured on the image.
    blur_gain : tuple of float
        Variance of the noise after each smoothing over that before.
    """

    axis: str
    radius: int
    agreement: float
    blur_gain: tuple[float, ...]

    @property
    def sentence(self) -> str:
        """Say in plain words what is done."""
        return (
            f"Neighbouring {_NAMES[self.axis]} agree with each other at {self.agreement:.0%}:"
            f" {self.radius} on each side are used as evidence, only where they show the same."
        )

    def merge(self, planes: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return merged planes and the variance of their noise.

        Parameters
        ----------
        planes, variance : Tensor, (N, D, C, H, W)
            Noisy planes and the variance of their noise.
        """
        depth = planes.shape[1]
        total, weight, left = planes.clone(), torch.ones_like(planes), variance.clone()
        for shift in range(1, self.radius + 1):
            if shift >= depth:
                break
            same = agreement(
                planes[:, :-shift], planes[:, shift:], variance[:, :-shift], variance[:, shift:], self.blur_gain
            )
            for here, there in ((slice(None, -shift), slice(shift, None)), (slice(shift, None), slice(None, -shift))):
                total[:, here] += same * planes[:, there]
                weight[:, here] += same
                left[:, here] += same.square() * variance[:, there]
        return total / weight, left / weight.square()


def agreement(a: Tensor, b: Tensor, variance_a: Tensor, variance_b: Tensor, blur_gain: tuple[float, ...]) -> Tensor:
    """Return how well noise explains the difference of two planes at every pixel: 1 fully, 0 not at all.

    Planes and variances are (..., C, H, W); colours are judged together.
    """
    shape = a.shape
    h, w = shape[-2:]
    channels = shape[-3]
    difference = (a - b).reshape(-1, channels, h, w)
    expected = (variance_a + variance_b).reshape(-1, channels, h, w).clamp_min(1e-12)
    worst = torch.zeros_like(difference[:, :1])
    for scale, gain in zip(_SCALES, blur_gain, strict=True):
        excess = gaussian_blur(difference, scale).square() / (expected * gain)
        worst = torch.maximum(worst, excess.amax(1, keepdim=True))
    same = torch.exp(-(worst - _TOLERANCE).clamp_min(0.0) / 4)
    return same.expand(-1, channels, -1, -1).reshape(shape)


def choose_neighbours(image: Image, condition: Condition, context: Context) -> Neighbours | None:
    """Return the axis whose neighbouring planes agree best, or None where none is worth using."""
    if condition.is_clean:
        return None
    gains = _blur_gains(condition.correlation)
    candidates = []
    for axis in "TZ":
        if image.sizes.get(axis, 1) > 1:
            measured = _measure_agreement(image, axis, condition, context, gains)
            candidates.append(Neighbours(axis, min(2, image.sizes[axis] - 1), measured, gains))
    best = max(candidates, key=lambda candidate: candidate.agreement, default=None)
    return best if best is not None and best.agreement >= _WORTHWHILE else None


def _measure_agreement(
    image: Image, axis: str, condition: Condition, context: Context, gains: tuple[float, ...]
) -> float:
    """Return the mean weight of direct neighbours over a few windows spread over the image, where there is signal."""
    size = image.sizes[axis]
    windows = {a: _middle(image.sizes[a], _PROBE_EDGE) for a in "YX"}
    others = [a for a in image.axes if a not in axis + "YX"]
    weights = []
    for probe in range(min(_PROBES, size - 1)):
        start = round(probe * (size - 2) / max(1, min(_PROBES, size - 1) - 1))
        fixed: dict[str, slice | int] = {a: image.sizes[a] // 2 for a in others}
        part = image.select(**fixed, **windows, **{axis: slice(start, start + 2)})
        order = [part.axes.index(a) for a in axis + "YX"]
        pair = torch.from_numpy(context.intensity.forward(part.read().transpose(order))).nan_to_num_()[:, None]
        variance = condition.variance(pair)
        weights.append(float(agreement(pair[:1], pair[1:], variance[:1], variance[1:], gains).mean()))
    return sum(weights) / len(weights)


def _middle(size: int, edge: int) -> slice:
    start = max(0, (size - edge) // 2)
    return slice(start, min(size, start + edge))


def _blur_gains(correlation: tuple[float, float]) -> tuple[float, ...]:
    """Return, for each smoothing, the variance after it over that before, for noise of exponential correlation."""
    gains = []
    for scale in _SCALES:
        gain = 1.0
        for rho in correlation:
            impulse = torch.zeros(1, 1, 1, 65)
            impulse[..., 32] = 1.0
            kernel = gaussian_blur(impulse, (0.0, scale)).flatten()
            lags = (torch.arange(65)[:, None] - torch.arange(65)[None, :]).abs()
            spectrum = torch.where(lags == 0, 1.0, torch.tensor(rho) ** lags)
            gain *= float(kernel @ spectrum @ kernel)
        gains.append(gain)
    return tuple(gains)
