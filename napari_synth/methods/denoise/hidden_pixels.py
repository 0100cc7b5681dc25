"""Measures a denoiser without ground truth, on pixels that it was not shown.

A pixel is held out by writing over it, and over all neighbours whose noise goes with its own, what the pixels around
them suggest. Whatever a denoiser then predicts there is independent of the noise that was measured there, so that the
error against the measured value is, up to a constant, the error against the truth.

References
----------
Batson & Royer, "Noise2Self: blind denoising by self-supervision", ICML 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.imaging.noise import NoiseReport
from napari_synth.networks.blind_spot_unet import reach_of

_OUTLIER = 3.0


@dataclass(frozen=True)
class HeldOut:
    """Windows of an image with some pixels held out.

    Attributes
    ----------
    filled : torch.Tensor, (N, C, Z, Y, X)
        What a denoiser is shown.
    measured : torch.Tensor, (P,)
        What was measured at the held-out pixels.
    where : torch.Tensor of bool, (N, C, Z, Y, X)
        The held-out pixels.
    """

    filled: Tensor
    measured: Tensor
    where: Tensor

    def errors(self, predicted: Tensor, unit: Tensor | float = 1.0) -> Tensor:
        """Return half the squared error of each held-out pixel in units of the noise; outliers count linearly.

        Parameters
        ----------
        predicted : torch.Tensor, (N, C, Z, Y, X)
            What a denoiser made of `filled`.
        unit : torch.Tensor, (P,), or float
            Standard deviation of the noise.
        """
        error = (predicted[self.where] - self.measured) / unit
        return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=_OUTLIER)


def correlation_reach(report: NoiseReport) -> tuple[int, int]:
    """Return how many pixels away, along y and x, noise still goes with that of a pixel, as if it had been blurred."""
    return reach_of(report.correlation[0]), reach_of(report.correlation[1])


def hold_out(windows: Tensor, reach: Sequence[int], phase: int = 0) -> HeldOut:
    """Hold out pixels on a grid.

    Parameters
    ----------
    windows : torch.Tensor, (N, C, Z, Y, X)
        In which noise has about the same strength everywhere; not changed.
    reach : sequence of int, (y, x)
        How far the noise of neighbours goes together.
    phase : int
        Which of the grids, of which the first few hold out different pixels.
    """
    depth, height, width = windows.shape[-3:]
    device = windows.device
    step_y, step_x = (4 + 2 * pixels for pixels in reach)
    z, y, x = torch.meshgrid(*(torch.arange(size, device=device) for size in (depth, height, width)), indexing="ij")
    # Planes are held out at different places, so that a neighbouring plane has what one lacks.
    off_y = (y + (phase // 2 + z) * (step_y // 2)) % step_y
    off_x = (x + (phase + z // 2) * (step_x // 2)) % step_x
    centre = (off_y == step_y // 2) & (off_x == step_x // 2)
    hidden = ((off_y - step_y // 2).abs() <= reach[0]) & ((off_x - step_x // 2).abs() <= reach[1])
    shown = (~hidden).to(windows.dtype)
    guess = _blur(windows * shown, reach) / _blur(shown.expand_as(windows[:1, :1]), reach).clamp(min=1e-6)
    where = centre.expand_as(windows)
    return HeldOut(torch.where(hidden, guess, windows), windows[where], where)


def _blur(values: Tensor, reach: Sequence[int]) -> Tensor:
    """Blur planes so far that a hidden pixel sees those around it."""
    n, c, z, height, width = values.shape
    planes = values.reshape(n * c * z, 1, height, width)
    for axis, pixels in enumerate(reach):
        std = 0.85 * (pixels + 1)
        radius = ceil(1.5 * (pixels + 1))
        offsets = torch.arange(-radius, radius + 1, device=values.device, dtype=values.dtype)
        weights = torch.exp(-0.5 * (offsets / std) ** 2)
        shape = (1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1)
        padding = (radius, 0) if axis == 0 else (0, radius)
        planes = functional.conv2d(planes, weights.reshape(shape), padding=padding)
    return planes.reshape(values.shape)
