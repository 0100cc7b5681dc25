"""The methods without a stop, as `napari_synth.methods.deconvolve.held_out.Solver`: which steps each makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from napari_synth.methods.deconvolve.solvers import (
    Light,
    Optics,
    extended,
    filled,
    gradient_consensus,
    mirrored,
    richardson_lucy,
    wiener,
)
from napari_synth.methods.noise_conditioning import Condition, full_precision
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

_PATIENCE = 6
_REGULARIZATIONS = tuple(10.0 ** (1.0 - i / 4.0) for i in range(21))
_STEPS = 8
# Of the noise that the network is told in the first step, in ranges of the image; and the weight of what it says.
_FIRST_SIGMA, _WEIGHT = 49.0 / 255.0, 0.23


@dataclass(frozen=True)
class Iterations:
    """Richardson-Lucy and its kin.

    Attributes
    ----------
    kind : {"richardson-lucy", "gradient-consensus"}
    accelerated : bool
    weight : float
        Of the total variation.
    most : int
        Iterations.
    """

    kind: Literal["richardson-lucy", "gradient-consensus"] = "richardson-lucy"
    accelerated: bool = True
    weight: float = 0.0
    most: int = 60

    @property
    def patience(self) -> int:
        """Iterations after the best that are looked at."""
        return _PATIENCE if self.accelerated else 2 * _PATIENCE

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""
        return Optics(psf, sizes)

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield every iteration."""
        for step, estimate in enumerate(islice(self._steps(optics, light), self.most), 1):
            yield float(step), estimate

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return an iteration.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
        """
        return next(islice(self._steps(optics, light), round(stop) - 1, None))

    def _steps(self, optics: Optics, light: Light) -> Iterator[Tensor]:
        if self.kind == "gradient-consensus":
            return gradient_consensus(optics, light)
        return richardson_lucy(optics, light, accelerated=self.accelerated, weight=self.weight)


@dataclass(frozen=True)
class Regularizations:
    """Wiener's filter, from the smoothest to the sharpest."""

    patience: int = 4

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""
        return Optics(psf, sizes, mirrored=True)

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield what every regularization gives."""
        for regularization in _REGULARIZATIONS:
            yield regularization, wiener(optics, light, regularization)

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return what one regularization gives.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
        """
        return wiener(optics, light, stop)


@dataclass(frozen=True)
class Electrons:
    """Between the normalised intensities of blocks and electrons.

    Attributes
    ----------
    gain : float
        Intensity of an electron.
    offset : float
        Intensity of none.
    ground : float
        Variance of the read noise in electrons.
    level : float
        Mean of the image in electrons.
    """

    gain: float
    offset: float
    ground: float
    level: float

    def light(self, block: Tensor) -> Light:
        """Return normalised intensities as counts."""
        return Light(((block - self.offset) / self.gain + self.ground).clamp_min(0.0), self.ground, self.level)

    def intensity(self, electrons: Tensor) -> Tensor:
        """Return electrons without a ground as normalised intensities."""
        return electrons * self.gain + self.offset


@dataclass(frozen=True)
class Network:
    """The denoising network with the noise of one image.

    Attributes
    ----------
    network : NoiseConditionedUNet
    condition : Condition
    electrons : Electrons
    """

    network: NoiseConditionedUNet
    condition: Condition
    electrons: Electrons

    def denoised(self, light: Light) -> Light:
        """Return counts without their noise."""
        if self.condition.is_clean:
            return light
        counts = light.counts if light.mask is None else filled(light.counts, light.mask)
        image = self.electrons.intensity((counts - light.ground) / light.share)
        # Of fewer photons, brought back to the brightness of all of them.
        told = self.condition.stronger(light.share**-0.5)
        planes = image.reshape(-1, 1, *image.shape[-2:])
        clean = self._run(planes, told.variance(planes).sqrt(), told.correlation).reshape(image.shape)
        again = ((clean - self.electrons.offset) / self.electrons.gain * light.share + light.ground).clamp_min(0.0)
        return Light(again, light.ground, light.level, light.mask, light.share)

    def smooth(self, estimate: Tensor, sigma: float, axis: int) -> Tensor:
        """Return a volume (N, 1, Z, Y, X) without noise of a level, denoised in planes.

        Parameters
        ----------
        estimate : Tensor
            Normalised intensities.
        sigma : float
        axis : int
            -3 for planes of Y and X, -2 for planes of Z and X.
        """
        ordered = estimate.movedim(axis, 2)
        planes = ordered.reshape(-1, 1, *ordered.shape[-2:])
        level = planes.new_full((1, 1, 1, 1), sigma).expand(len(planes), 1, *planes.shape[-2:])
        return self._run(planes, level, (0.0, 0.0)).reshape(ordered.shape).movedim(2, axis)

    def _run(self, planes: Tensor, sigma: Tensor, correlation: tuple[float, float]) -> Tensor:
        height, width = planes.shape[-2:]
        multiple = self.network.multiple
        for axis, size in ((-2, height), (-1, width)):
            if size % multiple:
                places = torch.arange(size + -size % multiple, device=planes.device)
                planes, sigma = (mirrored(values, axis, places) for values in (planes, sigma))
        told = planes.new_tensor([correlation]).expand(len(planes), 2)
        with full_precision(planes) as precision, precision:
            return self.network(planes, sigma, told).float()[..., :height, :width]


@dataclass(frozen=True)
class DenoisedFirst:
    """The network, and then Richardson-Lucy."""

    network: Network
    after: Iterations

    @property
    def patience(self) -> int:
        """Iterations after the best that are looked at."""
        return self.after.patience

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""
        return Optics(psf, sizes)

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield every iteration."""
        return self.after.trail(optics, self.network.denoised(light))

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return an iteration.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
        """
        return self.after.at(optics, self.network.denoised(light), stop)


@dataclass(frozen=True)
class PlugAndPlay:
    """The network between the steps of an inversion (half quadratic splitting), in planes of two orientations in turn.

    Attributes
    ----------
    network : Network
    sigma : float
        Of the noise, in normalised intensities.
    most : int
        Steps.
    """

    network: Network
    sigma: float
    most: int = _STEPS
    patience: int = _STEPS

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""
        return Optics(psf, sizes)

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield every step."""
        yield from ((float(step), estimate) for step, estimate in enumerate(self._steps(optics, light), 1))

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return a step.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
        """
        return next(islice(self._steps(optics, light), round(stop) - 1, None))

    def _steps(self, optics: Optics, light: Light) -> Iterator[Tensor]:
        electrons, least = self.network.electrons, max(self.sigma, 1e-3) * light.share**-0.5
        first = max(_FIRST_SIGMA, 1.5 * least)
        counts = light.counts if light.mask is None else filled(light.counts, light.mask)
        measured = electrons.intensity((counts - light.ground) / light.share)
        start = Light(measured, 0.0, 0.0)
        clean = extended(optics, start)
        seen, power = clean.clone(), optics.transfer.abs().square()
        axes = (-3, -2) if clean.ndim == 5 else (None,)
        for step in range(self.most):
            sigma = first * (least / first) ** (step / (self.most - 1))
            weight = _WEIGHT * (least / sigma) ** 2
            inside: tuple[Any, ...] = (..., *optics.field)
            seen[inside] = measured
            sharp = optics.filtered(seen, optics.transfer.conj() / (power + weight))
            sharp = sharp + optics.filtered(clean, weight / (power + weight))
            axis = axes[step % len(axes)]
            clean = (
                self.network.smooth(sharp, sigma, axis)
                if axis
                else self.network.smooth(sharp[:, :, None], sigma, -3)[:, :, 0]
            )
            # Beyond the field, what the estimate says is what was seen.
            seen = optics.blur(clean)
            yield ((clean - electrons.offset) / electrons.gain * light.share).clamp_min(0.0)
