"""What a slice of a volume measures of the finer planes it stands for; used along the first spatial axis of images.

Thick slices are the mean of their planes, thin ones the plane at their middle, either behind a blur along the axis. The outer edges
of the first and last slices and planes coincide, so that for an even number of planes a slice's middle lies between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal

from torch import Tensor

from napari_synth.core.resampling import RADIUS, resampled, resized
from napari_synth.core.tiling import Sampling
from napari_synth.networks.sigma_map import blur_radius, gaussian_blur

Profile = Literal["thick", "thin"]

_MARGIN = RADIUS["lanczos"]
_ROUNDS = 3


@dataclass(frozen=True)
class SliceModel:
    """How slices come from planes.

    Attributes
    ----------
    scale : int
        Planes for each slice.
    ratio : Fraction
        Distance of slices in lateral pixels; where it is not `scale`, planes are not a lateral pixel apart.
    profile : {"thick", "thin"}
    blur : float
        Standard deviation of the blur along the axis, in distances of slices.
    """

    scale: int
    ratio: Fraction
    profile: Profile = "thick"
    blur: float = 0.0

    @property
    def reach(self) -> int:
        """How many slices away a slice changes what `consistent` returns."""
        each = RADIUS["cubic"] + ceil(self._radius(self.scale) / self.scale) + (_MARGIN if self._between else 0)
        return (_ROUNDS + 1) * each

    def length(self, slices: int) -> int:
        """Return how many lateral pixels `pair` needs for so many slices."""
        return ceil(slices * self.ratio) + 2 * self._margin

    def slices(self, length: int) -> int:
        """Return how many slices `pair` makes of so many lateral pixels."""
        return max(0, int((length - 2 * self._margin) / self.ratio))

    def noise_share(self, correlation: float) -> float:
        """Return the variance of the noise of what `pair` makes coarse, over that of its pixels.

        Parameters
        ----------
        correlation : float
            Of the noise of neighbouring lateral pixels.
        """
        if self.profile == "thin" and self.blur == 0.0:
            return 1.0
        pixels = float(self.ratio) if self.profile == "thick" else max(1.0, 3.5 * self.blur * float(self.ratio))
        return min(1.0, (1.0 + 2.0 * correlation) / pixels)

    def pair(self, lateral: Tensor) -> tuple[Tensor, Tensor]:
        """Return slices, and the planes they stand for, both made from lateral pixels.

        Parameters
        ----------
        lateral : Tensor
            Shape (N, 1, L, B), at least `length` of two slices long.

        Returns
        -------
        (slices, planes) : pair of Tensor
            Shapes (N, 1, A, B) and (N, 1, scale * A, B).
        """
        count = self.slices(lateral.shape[-2]) * self.scale
        step = self.ratio / self.scale
        # Thin slices are pixels as they were measured: what lies between pixels are the planes around them.
        shift = Fraction(1, 2) if self._between and step == 1 else Fraction(0)
        first = (step - 1) / 2 + self._margin + shift
        planes = self._sampled(lateral, first, step, count)
        if self.profile == "thick":
            return self._mean(self._blurred(planes, self.scale)), planes
        blurred = self._blurred(lateral, self.ratio)
        middles = self._sampled(blurred, first + (step / 2 if self._between else 0), step, count)
        return self._middles(middles), planes

    def measured(self, planes: Tensor) -> Tensor:
        """Return the slices (N, 1, A, B) of planes (N, 1, scale * A, B)."""
        planes = self._blurred(planes, self.scale)
        if self.profile == "thick":
            return self._mean(planes)
        if self._between:
            planes = self._sampled(planes, Fraction(1, 2), Fraction(1), planes.shape[-2])
        return self._middles(planes)

    def consistent(self, planes: Tensor, slices: Tensor, tolerance: Tensor | None = None) -> Tensor:
        """Correct planes until they measure as the given slices do.

        Back-projection: Irani and Peleg, "Improving resolution by image registration", CVGIP 1991.

        Parameters
        ----------
        planes : Tensor
            Shape (N, 1, scale * A, B).
        slices : Tensor
            Shape (N, 1, A, B).
        tolerance : Tensor, optional
            How far they may differ, like `slices`; not at all where left out.
        """

        def missing() -> Tensor:
            difference = slices - self.measured(planes)
            return difference if tolerance is None else difference - difference.clamp(-tolerance, tolerance)

        for _ in range(_ROUNDS):
            planes = planes + resized(missing(), (planes.shape[-2], planes.shape[-1]))
        # What little is left is put where it was measured, which leaves nothing.
        if self.profile == "thick" and self.blur == 0.0:
            return planes + missing().repeat_interleave(self.scale, dim=-2)
        if self.profile == "thin" and self.blur == 0.0 and not self._between:
            planes[..., self.scale // 2 :: self.scale, :] += missing()
        return planes

    @property
    def _between(self) -> bool:
        """Whether the middle of a slice lies between two planes."""
        return self.profile == "thin" and self.scale % 2 == 0

    @property
    def _margin(self) -> int:
        """Lateral pixels on each side that resampling looks at."""
        exact = self.ratio == self.scale and not self._between
        return (0 if exact else _MARGIN) + self._radius(self.ratio)

    def _radius(self, pixels: float | Fraction) -> int:
        return blur_radius(self.blur * float(pixels))

    def _sampled(self, image: Tensor, first: Fraction, step: Fraction, count: int) -> Tensor:
        length, width = image.shape[-2:]
        if step == 1 and first.denominator == 1:
            return image.narrow(-2, int(first), count)
        along = Sampling(first, step, count, length)
        return resampled(image, (along, Sampling(Fraction(0), Fraction(1), width, width)), "lanczos")

    def _mean(self, planes: Tensor) -> Tensor:
        n, c, length, width = planes.shape
        return planes.reshape(n, c, length // self.scale, self.scale, width).mean(dim=3)

    def _middles(self, planes: Tensor) -> Tensor:
        return planes[..., (self.scale - 1) // 2 :: self.scale, :]

    def _blurred(self, image: Tensor, pixels: float | Fraction) -> Tensor:
        """Blur by the blur of the axis, of which a distance of slices has so many pixels."""
        return gaussian_blur(image, (self.blur * float(pixels), 0.0))
