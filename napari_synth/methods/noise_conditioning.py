"""What generators with a noise-conditioned network share: the measured noise, opponent colours, bundled weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_synth import models
from napari_synth.contract.generator import Context
from napari_synth.core.device import Device
from napari_synth.core.errors import InvalidParameterError
from napari_synth.core.texts import three_digits
from napari_synth.imaging.image import Image
from napari_synth.imaging.noise import NoiseModel, NoiseReport
from napari_synth.imaging.noise_floor import quietest_level
from napari_synth.imaging.sampling import sample_planes
from napari_synth.imaging.screening import noise_of
from napari_synth.networks.sigma_map import sigma_map

_TYPICAL_CORRELATION = 0.6
_COARSE = 0.01
_MOSTLY = 0.9
_ONE_COUNT = NoiseModel(gain=0.0, offset=0.0, read_noise=1.0)
# Texture leaves some differences everywhere: with all of them taken for noise, grass and gravel came out worse than by Lanczos.
_CERTAINLY_WHITE = 0.6

# Orthonormal opponent colours: brightness, red-blue, green-magenta. Brightness collects what the three samples share.
_OPPONENT = torch.tensor(
    [
        [3**-0.5, 3**-0.5, 3**-0.5],
        [2**-0.5, 0.0, -(2**-0.5)],
        [6**-0.5, -2 * 6**-0.5, 6**-0.5],
    ]
)

# Of the noise, in ranges of the image: beyond, its square is no float32.
_LOUDEST = 1e6


MEAN_SPREAD = 1.0
"""Over how many cells of `local_mean` the mean of faint images is put right."""
FAINT = 0.3
"""Noise at the brightest, over the range, from which on photons are so few that methods err in their mean."""


@dataclass(frozen=True)
class Condition:
    """What the network is told of the noise.

    Attributes
    ----------
    model : NoiseModel
        In normalised intensities.
    correlation : tuple of float
        Of the noise of neighbouring pixels along y and x, 0 to 1.
    report : NoiseReport
        What was measured, in counts.
    gains : Tensor, (N, D, 1 or C, H, W), or None
        By what the noise of every pixel of the planes of the blocks was multiplied; None where it was not.
    level : float
        The normalised intensity from which on it was.
    """

    model: NoiseModel
    correlation: tuple[float, float]
    report: NoiseReport
    gains: Tensor | None = None
    level: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether there is no noise to remove."""
        return self.model.gain <= 0 and self.model.read_noise <= 0

    @property
    def is_coarse(self) -> bool:
        """Whether the noise is stronger than the errors of the network and of its half precision."""
        return float(self.model.sigma(0.5)) > _COARSE

    @property
    def is_faint(self) -> bool:
        """Whether so few photons are left that networks, which were shown hardly any such images, err in their mean."""
        return float(self.model.sigma(1.0)) > FAINT

    def beside(self, gains: Tensor | None, level: float) -> Condition:
        """Return the condition of blocks whose noise was multiplied.

        Parameters
        ----------
        gains : Tensor, (N, C, [D,] H, W), or None
        level : float
            Normalised.
        """
        if gains is None:
            return replace(self, gains=None)
        planes = gains[:, :, None] if gains.ndim == 4 else gains
        return replace(self, gains=planes.transpose(1, 2), level=level)

    def turned(self, first: int, part: slice) -> Condition:
        """Return the condition of some planes of blocks (N, C, D, H, W) along another of their axes, which comes first there."""
        if self.gains is None:
            return self
        return replace(self, gains=self.gains.transpose(1, 2).movedim(first, 2)[:, :, part].transpose(1, 2))

    def correlation_of(self, planes: Tensor) -> Tensor:
        """Return the correlation for every plane of a batch (N, 1, H, W), shape (N, 2)."""
        return planes.new_tensor([self.correlation]).expand(len(planes), 2)

    def stronger(self, strength: float) -> Condition:
        """Return the condition with the noise level scaled by ``strength``."""
        model = NoiseModel(
            gain=self.model.gain * strength**2, offset=self.model.offset, read_noise=self.model.read_noise * strength
        )
        return replace(self, model=model)

    def with_gain(self, gain: float) -> Condition:
        """Return the condition with another gain, normalised."""
        return replace(self, model=replace(self.model, gain=gain))

    def variance(self, signal: Tensor) -> Tensor:
        """Return the variance of the noise at every pixel of a noisy image (N, C, H, W)."""
        if self.gains is not None:
            gains = self.gains.flatten(0, 1)
            even = replace(self, gains=None).variance((signal - self.level) / gains + self.level)
            return even * gains.square()
        if self.model.gain == 0:
            return torch.full_like(signal, self.model.read_noise**2)
        return sigma_map(signal - self.model.offset, self.model.gain, self.model.read_noise**2).square()


def measure_condition(
    image: Image,
    context: Context,
    *,
    sigma: float | None = None,
    correlated: Literal["auto", "independent", "correlated"] = "auto",
) -> Condition:
    """Measure the noise of an image.

    Parameters
    ----------
    image : Image
        In counts.
    context : Context
    sigma : float, optional
        Standard deviation in counts, where the user knows it.
    correlated : {"auto", "independent", "correlated"}
        Whether to trust the measured correlation of neighbours, or what the user knows.
    """
    context.report.start("Measuring the noise")
    return _condition_of(image, noise_of(image), context, sigma, correlated)


def measure_certain_condition(image: Image, context: Context) -> tuple[Condition, str]:
    """Measure the noise of an image, and take nothing for noise that could as well be texture.

    No part of an image is quieter than its noise, and so the quietest parts bound it. Correlated noise looks like texture in all
    that can be measured: of it, only what differs between direct neighbours even in the quietest parts is taken, as white noise.

    Returns
    -------
    (condition, sentence) : pair of Condition and str
        The sentence tells what was not taken for noise; it is empty where all was.
    """
    context.report.start("Measuring the noise")
    planes = sample_planes(image)
    report = noise_of(image)
    measured = _condition_of(image, report, context)
    if report.correlated:
        white = quietest_level(planes, _ONE_COUNT) or 0.0
        model = _ONE_COUNT.scaled(context.intensity.scale, context.intensity.offset)
        certain = replace(measured, model=model, correlation=(0.0, 0.0)).stronger(_CERTAINLY_WHITE * white)
        return certain, (
            "What looks like correlated noise may as well be texture, and was kept: denoise the image first if it is noise."
        )
    level = quietest_level(planes, report.model)
    share = 1.0 if level is None else min(level, 1.0)
    if share > _MOSTLY or measured.is_clean:
        return measured.stronger(share), ""
    return measured.stronger(share), (
        f"Parts of the image are quieter: only {share:.0%} of the measured noise level is taken for noise."
    )


def _condition_of(
    image: Image,
    report: NoiseReport,
    context: Context,
    sigma: float | None = None,
    correlated: Literal["auto", "independent", "correlated"] = "auto",
) -> Condition:
    if sigma is not None and sigma > _LOUDEST * context.intensity.scale:
        raise InvalidParameterError(
            f"Parameter 'sigma' cannot be {sigma:.6g}:"
            f" the intensities of the image span only {three_digits(context.intensity.scale)}."
        )
    model = report.model if sigma is None else NoiseModel(gain=0.0, offset=0.0, read_noise=sigma)
    correlation = report.correlation if report.correlated else (0.0, 0.0)
    if correlated == "independent":
        correlation = (0.0, 0.0)
    elif correlated == "correlated" and not report.correlated:
        correlation = (_TYPICAL_CORRELATION,) * 2
    scale, offset = context.intensity.scale, context.intensity.offset
    level = 0.0 if not image.gains else (float(image.gains[-1].levels[0]) - offset) / scale
    return Condition(model.scaled(scale, offset), correlation, report, level=level)


def to_opponents(planes: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return RGB samples (N, 3, H, W) and the variance of their noise as opponent colours; any other number as it is."""
    if planes.shape[1] != 3:
        return planes, variance
    mix = _OPPONENT.to(planes.device)
    return torch.einsum("oc,nchw->nohw", mix, planes), torch.einsum("oc,nchw->nohw", mix.square(), variance)


def from_opponents(planes: Tensor) -> Tensor:
    """Return opponent colours (N, 3, H, W) as RGB samples; any other number as it is."""
    return torch.einsum("oc,nohw->nchw", _OPPONENT.to(planes.device), planes) if planes.shape[1] == 3 else planes


@cache
def _load(path: Path, torch_name: str) -> tuple[nn.Module, str]:
    loaded, _ = models.load_model(path)
    network: Any = loaded.to(torch_name)
    return network.to(memory_format=torch.channels_last).eval(), models.weights_hash(path)


def bundled_network(name: str, device: Device) -> tuple[Any, Mapping[str, str]]:
    """Return a bundled network on a device, and the hash of its weights by name.

    Raises
    ------
    ModelFileError
        The file is missing or corrupt.
    """
    network, digest = _load(models.bundled(name), device.torch_name)
    return network, {name: digest}


@contextmanager
def full_precision(like: Tensor) -> Iterator[AbstractContextManager[object]]:
    """Compute in float32 inside, and give the precision that was wanted outside, for the network alone."""
    kind = like.device.type
    wanted = torch.autocast(kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))
    with torch.autocast(kind, enabled=False):
        yield wanted
