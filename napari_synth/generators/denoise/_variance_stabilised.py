"""Makes Poisson-Gaussian noise one unit strong everywhere, and undoes it without bias.

References
----------
Starck, Murtagh & Bijaoui, "Image Processing and Data Analysis", 1998 (the generalised Anscombe transform);
Mäkitalo & Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise",
IEEE TIP 22 (2013) (the exact unbiased inverse in closed form).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from napari_synth.core.noise import NoiseModel

_LEAST_NOISE = 1e-5
_DARKEST = 2.0 * sqrt(3.0 / 8.0)


@dataclass(frozen=True)
class VarianceStabilisation:
    """The generalised Anscombe transform of one noise model; a division where noise does not depend on the signal.

    Attributes
    ----------
    gain, offset, read_noise : float
        Of the noise model, in the units of the blocks.
    """

    gain: float
    offset: float
    read_noise: float

    @classmethod
    def of(cls, model: NoiseModel) -> VarianceStabilisation:
        """Return the transform for a model in the units of the blocks; where it has no noise, a trace is assumed."""
        return cls(model.gain, model.offset, max(model.read_noise, 0.0 if model.gain > 0.0 else _LEAST_NOISE))

    def forward(self, image: Tensor) -> Tensor:
        """Return values of any shape with noise of standard deviation 1."""
        if self.gain <= 0.0:
            return image / self.read_noise
        electrons = (image - self.offset) / self.gain
        return 2.0 * torch.sqrt(torch.clamp(electrons + 3.0 / 8.0 + (self.read_noise / self.gain) ** 2, min=0.0))

    def inverse(self, stabilised: Tensor) -> Tensor:
        """Return the expected intensities of denoised stabilised values."""
        if self.gain <= 0.0:
            return stabilised * self.read_noise
        root = torch.clamp(stabilised, min=_DARKEST)
        reciprocal = 1.0 / root
        correction = 0.25 * sqrt(1.5) * reciprocal - 11.0 / 8.0 * reciprocal**2 + 0.625 * sqrt(1.5) * reciprocal**3
        electrons = 0.25 * root**2 - 1.0 / 8.0 - (self.read_noise / self.gain) ** 2 + correction
        return electrons * self.gain + self.offset
