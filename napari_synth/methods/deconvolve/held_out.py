"""Says when to stop: by photons, or pixels, that were held out.

Counts are thinned: each photon is kept with a chance of 80 %, and an estimate from those is asked how well it explains the other
20 %. As long as it becomes sharper, it does so better; once it makes noise sharper, worse. Where no gain could be measured, so that
nothing tells what a photon is, some pixels are held out instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from napari_synth.core.progress import Reporter
from napari_synth.methods.deconvolve.solvers import Light, Optics

KEPT = 0.8
"""Chance of a photon to be worked on."""
_HIDDEN = 0.08
_TINY = 1e-6
# Photons of a pixel from which on it tells how strong noise is, and how many such pixels do.
_BRIGHT, _FEWEST = 4.0, 500


class Solver(Protocol):
    """A method with its settings, without a stop."""

    @property
    def patience(self) -> int:
        """How many estimates after the best one are looked at before the search ends."""

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield estimates on the domain, each with the number that stands for it: iterations, or a regularization."""

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return the estimate with a number.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
        """


@dataclass(frozen=True)
class Split:
    """Counts of which a part is held out.

    Attributes
    ----------
    light : Light
        What is worked on.
    held : Tensor
        The rest: counts like those of the light.
    ratio : float
        Of the held-out photons to those that are worked on; 1 where pixels are held out.
    by_pixels : bool
    """

    light: Light
    held: Tensor
    ratio: float
    by_pixels: bool

    def deviance(self, expected: Tensor) -> float:
        """Return how badly an estimate behind the point spread function explains what was held out; about 1 for the truth.

        Parameters
        ----------
        expected : Tensor
            Like the counts, as a correction multiplied them, without the ground.
        """
        expected = self.light.expected(expected)
        if self.by_pixels:
            assert self.light.mask is not None
            hidden = self.light.mask == 0
            error = (self.held - expected - self.light.ground)[hidden]
            return float(error.square().mean()) / max(self.light.ground + self.light.level, _TINY)
        rate = ((expected + self.light.ground) * self.ratio).clamp_min(_TINY)
        held = self.held
        terms = rate - held + torch.where(held > 0, held * (held.clamp_min(1.0) / rate).log(), 0.0)
        return 2.0 * float(terms.mean(dtype=torch.float64))

    def dispersion(self, expected: Tensor) -> float:
        """Return how many times stronger the noise of the light is than that of photons; 1 where too few pixels are bright.

        Parameters
        ----------
        expected : Tensor
            As for `deviance`.
        """
        rate = self.light.expected(expected).clamp_min(0.0)
        bright = rate > max(_BRIGHT, 2.0 * self.light.ground)
        if self.by_pixels or int(bright.sum()) < _FEWEST:
            return 1.0
        rate, counts = rate[bright], self.light.counts[bright]
        chi2 = (counts - rate - self.light.ground).square() / (rate + self.light.ground)
        return 1.0 + (float(chi2.mean(dtype=torch.float64)) - 1.0) / self.light.share


def split_photons(light: Light, generator: torch.Generator) -> Split:
    """Hold out a fifth of the photons."""
    whole = light.counts.round()
    kept = torch.binomial(whole.cpu(), torch.full(whole.shape, KEPT), generator=generator).to(whole.device)
    part = Light(kept, light.ground * KEPT, light.level * KEPT, share=KEPT, gains=light.gains)
    return Split(part, whole - kept, (1.0 - KEPT) / KEPT, by_pixels=False)


def split_pixels(light: Light, generator: torch.Generator) -> Split:
    """Hold out one pixel of twelve."""
    mask = (torch.rand(light.counts.shape, generator=generator) >= _HIDDEN).to(light.counts)
    part = Light(light.counts * mask, light.ground, light.level, mask=mask, gains=light.gains)
    return Split(part, light.counts, 1.0, by_pixels=True)


@dataclass(frozen=True)
class Curve:
    """How well the steps of a method explain what was held out.

    Attributes
    ----------
    points : tuple of (float, float)
        The number of each step, and its deviance.
    dispersion : float
        Of the step with the smallest deviance, see `Split.dispersion`.
    """

    points: tuple[tuple[float, float], ...]
    dispersion: float

    @property
    def best(self) -> tuple[float, float]:
        """The number with the smallest deviance, and that."""
        return min(self.points, key=lambda point: point[1])


def curve_of(solver: Solver, psf: Tensor, splits: Sequence[Split], report: Reporter, stage: str) -> Curve:
    """Return the deviance of what was held out after every step of a method, until it has risen for long enough.

    Parameters
    ----------
    solver : Solver
    psf : Tensor, (*spatial)
    splits : sequence of Split
        One or several that are looked at together.
    report : Reporter
    stage : str
        What is said meanwhile.
    """
    report.start(stage)
    optics = [solver.optics(psf, tuple(split.held.shape[2:])) for split in splits]
    trails = [solver.trail(one, split.light) for one, split in zip(optics, splits, strict=True)]
    curve: list[tuple[float, float]] = []
    best, dispersion = 0, 1.0
    for steps in zip(*trails, strict=True):
        seen = [one.crop(one.blur(estimate)) for (_, estimate), one in zip(steps, optics, strict=True)]
        deviances = [split.deviance(one) for split, one in zip(splits, seen, strict=True)]
        curve.append((steps[0][0], sum(deviances) / len(deviances)))
        report.cancel.check()
        if len(curve) == 1 or curve[-1][1] < curve[best][1]:
            best = len(curve) - 1
            found = [split.dispersion(one) for split, one in zip(splits, seen, strict=True)]
            dispersion = sum(found) / len(found)
        if len(curve) - 1 - best >= solver.patience:
            break
    return Curve(tuple(curve), dispersion)
