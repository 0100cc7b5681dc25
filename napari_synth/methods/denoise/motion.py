"""Brings the frames of a movie into register, place by place, so that they are evidence for each other where things move.

What moves how is measured once on windows of the whole movie (see `measure_motions`): the displacements from one frame to the next
and to the one after. A block then asks at each of its pixels which of them explains best what lies around it.
Nothing of that depends on more than a few pixels around each, so that a tile is moved like the same pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.imaging.registration import Shift, estimate_shift, mean_shift
from napari_synth.networks.sigma_map import gaussian_blur

Displacement = tuple[float, float]
"""Along y and x, in pixels."""

_TAPS = 4
_WINDOW = 6.0
# Pixels over which the errors of denoised frames go together.
_TOGETHER = 20.0
# In pixels: displacements that are nearer to each other are one.
_ALIKE = 0.5
_MOST = 8
_TILE, _EDGE = 64, 8
# Of the squared differences of a tile: over those of the quieter ones, and after over before.
_STANDS_OUT, _BETTER = 2.0, 0.6
_MOST_TILES = 6
_FEW = 0.01
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Motion:
    """What moves how in a movie.

    Attributes
    ----------
    displacements : tuple of tuple of (float, float)
        For each distance in time from 1 frame on: what is at ``x`` in a frame is at ``x`` plus one of these that many frames later.
    shares : tuple of tuple of float
        How much of the movie each of them explains, 0 to 1.
    guide_error : float
        Variance of what denoised frames in register differ by, over the sum of the variances of their noise.
    """

    displacements: tuple[tuple[Displacement, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    guide_error: float

    @property
    def reach(self) -> int:
        """How far away along an axis a pixel of another frame may come from, with the window by which that is decided."""
        farthest = max((abs(s) for lag in self.displacements for d in lag for s in d), default=0.0)
        return ceil(farthest) + _TAPS + ceil(3 * _WINDOW)

    @property
    def fastest(self) -> float:
        """The typical distance from one frame to the next, in pixels."""
        return float(sum(share * np.hypot(*d) for d, share in zip(self.displacements[0], self.shares[0], strict=True)))

    def turned(self, change: Callable[[Displacement], Displacement]) -> Motion:
        """Return the same for a movie whose frames are turned."""
        return replace(self, displacements=tuple(tuple(change(d) for d in lag) for lag in self.displacements))

    def registered(self, here: Tensor, there: Tensor, variance: Tensor, lag: int) -> list[tuple[Displacement, Tensor]]:
        """Return the displacements that explain some of a pair of frames, with how likely each is at every pixel.

        Parameters
        ----------
        here, there : Tensor, (P, C, H, W)
            Denoised frames, and those `lag` frames later.
        variance : Tensor, (P, C, H, W)
            Of the noise of both together.
        lag : int
            May be negative.
        """
        sign = 1.0 if lag > 0 else -1.0
        known = [(sign * y, sign * x) for y, x in self.displacements[abs(lag) - 1]]
        if len(known) == 1:
            return [(known[0], torch.ones_like(here[:, :1]))]
        scores = []
        for displacement, share in zip(known, self.shares[abs(lag) - 1], strict=True):
            misfit = (here - moved(there, displacement)).square() / (self.guide_error * variance).clamp_min(1e-12)
            blurred = gaussian_blur(misfit.mean(1, keepdim=True).clamp_max(9.0), _WINDOW)
            scores.append(np.log(share) - 0.5 * blurred * (4 * pi * _WINDOW**2 / _TOGETHER))
        likely = torch.stack(scores).softmax(0)
        return [(d, p) for d, p in zip(known, likely, strict=True) if float(p.max()) > _NEGLIGIBLE]


def moved(planes: Tensor, displacement: Displacement) -> Tensor:
    """Return planes (P, C, H, W) as they are at ``x + displacement``, by Lanczos' kernel of four lobes; see `kernel`."""
    p, c, h, w = planes.shape
    flat = planes.reshape(p * c, 1, h, w)
    for axis, shift in enumerate(displacement):
        taps, whole = kernel(shift)
        size = flat.shape[2 + axis]
        if len(taps) > 1:
            weights = flat.new_tensor(taps).reshape((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
            pad = (0, 0, _TAPS - 1, _TAPS) if axis == 0 else (_TAPS - 1, _TAPS, 0, 0)
            flat = functional.conv2d(functional.pad(flat, pad, mode="replicate"), weights)
        if whole:
            index = (torch.arange(size, device=flat.device) + whole).clamp(0, size - 1)
            flat = flat.index_select(2 + axis, index)
    return flat.reshape(p, c, h, w)


def kernel(shift: float) -> tuple[list[float], int]:
    """Return the weights that move by the part of a shift below one pixel (a single 1 for none), and its whole pixels."""
    whole = floor(shift)
    part = shift - whole
    if part < 0.02 or part > 0.98:
        return [1.0], round(shift)
    at = np.arange(1 - _TAPS, _TAPS + 1) - part
    weights = np.sinc(at) * np.sinc(at / _TAPS)
    return list(weights / weights.sum()), whole


def noise_gain(displacement: Displacement) -> float:
    """Return the variance of white noise after `moved` over that before."""
    return float(np.prod([np.square(kernel(shift)[0]).sum() for shift in displacement]))


def noise_correlation(displacement: Displacement) -> tuple[float, float]:
    """Return how white noise of direct neighbours along y and x goes together after `moved`."""
    found = []
    for shift in displacement:
        taps = np.asarray(kernel(shift)[0])
        found.append(float((taps[1:] * taps[:-1]).sum() / np.square(taps).sum()))
    return found[0], found[1]


def inside(planes: Tensor, displacement: Displacement) -> Tensor:
    """Return 1 where ``x + displacement`` lies in the planes, else 0; (1, 1, H, W)."""
    h, w = planes.shape[-2:]
    rows, columns = (torch.arange(size, device=planes.device) for size in (h, w))
    y, x = displacement
    valid_y = (rows + y >= 0) & (rows + y <= h - 1)
    valid_x = (columns + x >= 0) & (columns + x <= w - 1)
    return (valid_y[:, None] & valid_x[None, :]).to(planes.dtype)[None, None]


def measure_motions(windows: Sequence[tuple[Tensor, Tensor]], radius: int) -> list[Motion]:
    """Measure what moves how, and return the different ways to see it, the simplest first.

    Everything may move at one steady speed, or otherwise from frame to frame; and parts may move otherwise than the whole.

    Parameters
    ----------
    windows : sequence of (Tensor, Tensor), each (D, C, H, W)
        Parts of the movie: a few consecutive denoised frames, and the variance of the noise of each.
    radius : int
        The farthest distance in time, in frames.
    """
    lags = range(1, radius + 1)
    pairs = {
        lag: [
            (guides[t], guides[t + lag], variance[t] + variance[t + lag])
            for guides, variance in windows
            for t in range(len(guides) - lag)
        ]
        for lag in lags
    }
    shifts = {lag: [estimate_shift(_gray(a), _gray(b)) for a, b, _ in pairs[lag]] for lag in lags}
    speed = mean_shift([one for lag in lags for one in shifts[lag]], [lag for lag in lags for _ in shifts[lag]])
    steady = {lag: [(lag * speed[0], lag * speed[1])] for lag in lags}
    unsteady = {lag: _alike(shifts[lag]) for lag in lags}
    found = [steady] if all(len(unsteady[lag]) == 1 for lag in lags) else [steady, unsteady]
    others = {
        lag: _alike(
            [
                part
                for (here, there, variance), whole in zip(pairs[lag], shifts[lag], strict=True)
                for part in _other_shifts(here, there, variance, (whole.displacement[0], whole.displacement[1]))
            ],
            least=2,
        )
        for lag in lags
    }
    if any(others.values()):
        whole = found[-1]
        found.append(
            {
                lag: whole[lag] + [d for d in others[lag] if all(_distance(d, known) > _ALIKE for known in whole[lag])]
                for lag in lags
            }
        )
    motions = []
    for displacements in found:
        explained = [_explained(pairs[lag], displacements[lag][:_MOST]) for lag in lags]
        error = max(1e-4, min(one[2] for one in explained))
        motions.append(Motion(tuple(one[0] for one in explained), tuple(one[1] for one in explained), error))
    return motions


def _gray(frame: Tensor) -> npt.NDArray[np.float64]:
    return np.asarray(frame.mean(0).double().cpu().numpy(), np.float64)


def _distance(one: Displacement, other: Displacement) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _other_shifts(here: Tensor, there: Tensor, variance: Tensor, whole: Displacement) -> list[Shift]:
    """Return how those tiles are shifted that the displacement of the whole leaves far more different than the others."""
    left = ((here - moved(there[None], whole)[0]).square() / variance.clamp_min(1e-12)).mean(0)
    corners = [range(0, size - _TILE + 1, _TILE // 2) for size in left.shape]
    parts = [np.s_[top : top + _TILE, start : start + _TILE] for top in corners[0] for start in corners[1]]
    if len(parts) < 4:
        return []
    together = [float(left[part][_EDGE:-_EDGE, _EDGE:-_EDGE].mean()) for part in parts]
    usual = float(np.quantile(together, 0.25))
    found = []
    for square, part in sorted(zip(together, parts, strict=True), key=lambda one: -one[0])[:_MOST_TILES]:
        if square < _STANDS_OUT * usual:
            break
        own = estimate_shift(_gray(here[:, *part]), _gray(there[:, *part]))
        d = (own.displacement[0], own.displacement[1])
        seen = moved(there[None, :, *part], d)[0]
        after = ((here[:, *part] - seen).square() / variance[:, *part].clamp_min(1e-12)).mean(0)
        valid = inside(seen[None], d)[0, 0]
        valid[:_EDGE], valid[-_EDGE:], valid[:, :_EDGE], valid[:, -_EDGE:] = 0, 0, 0, 0
        if _distance(d, whole) > _ALIKE and float((after * valid).sum() / valid.sum().clamp_min(1)) < _BETTER * square:
            found.append(own)
    return found


def _alike(shifts: Sequence[Shift], least: int = 1) -> list[Displacement]:
    """Return the means of displacements that are alike, the most frequent first; those of fewer than `least` are left out."""
    left = list(shifts)
    means: list[tuple[Displacement, int]] = []

    def near(one: Shift) -> list[Shift]:
        return [
            other
            for other in left
            if max(abs(a - b) for a, b in zip(one.displacement, other.displacement, strict=True)) <= _ALIKE
        ]

    while left:
        group = max((near(one) for one in left), key=len)
        y, x = mean_shift(group)
        means.append(((y, x), len(group)))
        left = [one for one in left if one not in group]
    return [d for d, count in sorted(means, key=lambda one: -one[1]) if count >= least]


def _explained(
    pairs: Sequence[tuple[Tensor, Tensor, Tensor]], known: list[Displacement]
) -> tuple[tuple[Displacement, ...], tuple[float, ...], float]:
    """Return the displacements that explain something, how much each does, and what is left in units of the noise."""
    best, squares = np.zeros(len(known)), []
    for here, there, variance in pairs:
        misfits = torch.stack(
            [
                gaussian_blur((here - moved(there[None], d)[0]).square().mean(0)[None, None], _WINDOW)[0, 0]
                for d in known
            ]
        )
        least, which = misfits.min(0)
        best += np.bincount(which.flatten().cpu().numpy(), minlength=len(known))
        squares.append(float(least.median() / variance.mean().clamp_min(1e-12)))
    share = best / best.sum()
    kept = [i for i in range(len(known)) if share[i] > _FEW] or [0]
    return (
        tuple(known[i] for i in kept),
        tuple(float(share[i] / share[kept].sum()) for i in kept),
        float(np.median(squares)),
    )
