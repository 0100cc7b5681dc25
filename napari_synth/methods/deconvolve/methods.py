"""The methods without a stop, as `napari_synth.methods.deconvolve.held_out.Solver`: which steps each makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from napari_synth.methods.deconvolve.solvers import (
    Light,
    Optics,
    filled,
    gradient_consensus,
    mirrored,
    plug_and_play,
    richardson_lucy,
    wiener,
)
from napari_synth.methods.noise_conditioning import Condition, full_precision
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

_PATIENCE = 6
# How many planes pass through the network at once, which bounds the memory that it takes.
_PLANES = 16
_REGULARIZATIONS = tuple(10.0 ** (1.0 - i / 4.0) for i in range(21))


class Stepwise(ABC):
    """A method whose estimates follow each other."""

    most: int

    def optics(self, psf: Tensor, sizes: tuple[int, ...]) -> Optics:
        """Return the domain of blocks of a size."""
        return Optics(psf, sizes)

    def trail(self, optics: Optics, light: Light) -> Iterator[tuple[float, Tensor]]:
        """Yield every step, each with its number from 1."""
        for step, estimate in enumerate(islice(self._steps(optics, light), self.most), 1):
            yield float(step), estimate

    def at(self, optics: Optics, light: Light, stop: float) -> Tensor:
        """Return a step.

        Parameters
        ----------
        optics : Optics
        light : Light
        stop : float
            Its number.
        """
        return next(islice(self._steps(optics, light), round(stop) - 1, None))

    @abstractmethod
    def _steps(self, optics: Optics, light: Light) -> Iterator[Tensor]:
        """Return the estimates on the domain."""


@dataclass(frozen=True)
class Iterations(Stepwise):
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
    kept : float
        The intensity from which on corrections multiplied, where there were any.
    """

    gain: float
    offset: float
    ground: float
    level: float
    kept: float = 0.0

    def fewer(self, times: float) -> Electrons:
        """Return the same for so many times fewer electrons, each of so many times the intensity."""
        return replace(self, gain=self.gain * times, ground=self.ground / times**2, level=max(self.level / times, 1e-3))

    def light(self, block: Tensor, gains: Tensor | None = None) -> Light:
        """Return normalised intensities as counts of the camera.

        Parameters
        ----------
        block : Tensor
        gains : Tensor, like the block, or None
            By what corrections multiplied it.
        """
        seen = block if gains is None else (block - self.kept) / gains + self.kept
        counts = ((seen - self.offset) / self.gain + self.ground).clamp_min(0.0)
        return Light(counts, self.ground, self.level, gains=gains)

    def intensity(self, electrons: Tensor, gains: Tensor | None = None) -> Tensor:
        """Return electrons without a ground, which corrections multiplied, as normalised intensities.

        Parameters
        ----------
        electrons : Tensor
        gains : Tensor, like the electrons, or None
        """
        dark = self.offset if gains is None else (self.offset - self.kept) * gains + self.kept
        return electrons * self.gain + dark


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
        counts = light.even if light.mask is None else filled(light.even, light.mask)
        image = self.electrons.intensity(counts / light.share, light.gains)
        # Of fewer photons, brought back to the brightness of all of them.
        told = self.condition.stronger(light.share**-0.5).beside(light.gains, self.electrons.kept)
        planes = image.reshape(-1, 1, *image.shape[-2:])
        clean = self.run(planes, told.variance(planes).sqrt(), told.correlation).reshape(image.shape)
        again = self.electrons.light(clean, light.gains).counts - self.electrons.ground
        return replace(light, counts=(again * light.share + light.ground).clamp_min(0.0))

    def run(self, planes: Tensor, sigma: Tensor, correlation: tuple[float, float] = (0.0, 0.0)) -> Tensor:
        """Return planes (P, 1, Y, X) of any size and unit behind the network.

        Parameters
        ----------
        planes : Tensor
        sigma : Tensor
            Standard deviation of their noise, of the same shape and unit.
        correlation : (float, float)
            Of the noise of neighbours along Y and X.
        """
        return torch.cat(
            [
                self._run(some, told, correlation)
                for some, told in zip(torch.split(planes, _PLANES), torch.split(sigma, _PLANES), strict=True)
            ]
        )

    def _run(self, planes: Tensor, sigma: Tensor, correlation: tuple[float, float]) -> Tensor:
        height, width = planes.shape[-2:]
        multiple = self.network.multiple
        for axis, size in ((-2, height), (-1, width)):
            if size % multiple:
                places = torch.arange(size + -size % multiple, device=planes.device)
                planes, sigma = (mirrored(values, axis, places) for values in (planes, sigma))
        told = planes.new_tensor([correlation]).expand(len(planes), 2)
        with full_precision(planes) as precision, precision:
            clean: Tensor = self.network(planes, sigma, told).float()
        return clean[..., :height, :width]


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
class PlugAndPlay(Stepwise):
    """The network as the prior of an inversion.

    Attributes
    ----------
    network : Network
    most : int
        Steps. The noise that the network is told of falls from the first to the last of them.
    inner : int
        Iterations in each step.
    weight : float
        Of the distance to what the network made.
    last : float
        Told noise of the last step, over that of the photons.
    """

    network: Network
    most: int = 12
    inner: int = 16
    weight: float = 0.05
    last: float = 1.5

    @property
    def patience(self) -> int:
        """Steps after the best that are looked at: all of them."""
        return self.most

    def _steps(self, optics: Optics, light: Light) -> Iterator[Tensor]:
        noise = (max(light.level, 0.0) + light.ground) ** 0.5
        # In units of the noise of what is worked on; the first step hides all but what is coarse.
        first = max(_FIRST * light.share / self.network.electrons.gain / max(noise, 1e-6), _LEAST_FIRST)
        ratio = (self.last / first) ** (1.0 / max(self.most - 1, 1))
        strengths = [self.last / ratio**step for step in reversed(range(self.most))]
        return plug_and_play(optics, light, self._clean, strengths, self.weight, self.inner)

    def _clean(self, planes: Tensor, sigma: Tensor) -> Tensor:
        return self.network.run(planes, sigma, (_TOLD_CORRELATION,) * 2)


# An inversion spreads the noise of a pixel over its neighbours.
_TOLD_CORRELATION = 0.25
# Of the range of an image, and of its noise: what the network is told of first.
_FIRST, _LEAST_FIRST = 0.1, 2.5
