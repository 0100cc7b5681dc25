"""Runs a noise-conditioned network on blocks: the noise model becomes the map of noise levels that the network is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor

from napari_synth import models
from napari_synth.core.device import Device
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.noise import NoiseModel, NoiseReport, estimate_noise
from napari_synth.core.sampling import sample_planes
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.networks.sigma_map import sigma_map

if TYPE_CHECKING:
    from napari_synth.generators.denoise._neighbours import Neighbours

MODEL = "denoise-blind"
HALO = 48
"""Default halo in pixels: what lies further away changes a result by less than 1e-3 of the range."""
_TYPICAL_CORRELATION = 0.6
_MOST_REMOVED = 3.0
_COARSE = 0.01
_BYTES_PER_PIXEL = 320

# Orthonormal opponent colours: brightness, red-blue, green-magenta. Brightness collects what the three samples share.
_OPPONENT = torch.tensor(
    [
        [3**-0.5, 3**-0.5, 3**-0.5],
        [2**-0.5, 0.0, -(2**-0.5)],
        [6**-0.5, -2 * 6**-0.5, 6**-0.5],
    ]
)


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
    """

    model: NoiseModel
    correlation: tuple[float, float]
    report: NoiseReport

    @property
    def is_clean(self) -> bool:
        """Whether there is no noise to remove."""
        return self.model.gain <= 0 and self.model.read_noise <= 0

    @property
    def is_coarse(self) -> bool:
        """Whether the noise is stronger than the errors of the network and of its half precision."""
        return float(self.model.sigma(0.5)) > _COARSE

    def stronger(self, strength: float) -> Condition:
        """Return the condition with the noise level scaled by ``strength``."""
        model = NoiseModel(
            gain=self.model.gain * strength**2, offset=self.model.offset, read_noise=self.model.read_noise * strength
        )
        return replace(self, model=model)

    def variance(self, signal: Tensor) -> Tensor:
        """Return the variance of the noise at every pixel of a noisy image (N, C, H, W)."""
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
    report = estimate_noise(sample_planes(image))
    model = report.model if sigma is None else NoiseModel(gain=0.0, offset=0.0, read_noise=sigma)
    correlation = report.correlation if report.correlated else (0.0, 0.0)
    if correlated == "independent":
        correlation = (0.0, 0.0)
    elif correlated == "correlated" and not report.correlated:
        correlation = (_TYPICAL_CORRELATION,) * 2
    return Condition(model.scaled(context.intensity.scale, context.intensity.offset), correlation, report)


@cache
def _load(path: Path, torch_name: str) -> tuple[NoiseConditionedUNet, str]:
    loaded, _ = models.load_model(path)
    network: Any = loaded.to(torch_name)
    return network.to(memory_format=torch.channels_last).eval(), models.weights_hash(path)


def bundled_network(device: Device) -> tuple[NoiseConditionedUNet, Mapping[str, str]]:
    """Return the bundled network on a device, and the hash of its weights by name.

    Raises
    ------
    ModelFileError
        The file is missing or corrupt.
    """
    network, digest = _load(models.bundled(MODEL), device.torch_name)
    return network, {MODEL: digest}


class Conditioned(Prepared):
    """A noise-conditioned network with the noise of one image.

    Parameters
    ----------
    network : NoiseConditionedUNet
    condition : Condition
    neighbours : Neighbours, optional
        Merges each plane with those beside it before the network sees it.
    weights : mapping of str to str
        Hashes of the weight files.
    halo : int
        Context in pixels on each side of a block.
    """

    def __init__(
        self,
        network: NoiseConditionedUNet,
        condition: Condition,
        neighbours: Neighbours | None,
        weights: Mapping[str, str],
        halo: int = HALO,
    ) -> None:
        self._network, self._condition, self._neighbours = network, condition, neighbours
        self.weights, self.noise = weights, condition.report
        multiple = network.multiple
        if neighbours is None:
            self.spec = BlockSpec.plane(halo, multiple=multiple, bytes_per_pixel=_BYTES_PER_PIXEL)
        else:
            self.spec = BlockSpec.volume(
                neighbours.axis + "YX",
                (neighbours.radius, halo, halo),
                multiple=(1, multiple, multiple),
                bytes_per_pixel=_BYTES_PER_PIXEL,
            )
            self.notes = (neighbours.sentence,)
        if any(condition.correlation):
            self.notes = (*self.notes, "The noise is treated as correlated between neighbours.")

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, [D,] H, W); see `Prepared.apply`."""
        if self._condition.is_clean:
            return block
        with full_precision(block) as network_precision:
            if self._neighbours is None:
                return self._restore(block, self._condition.variance(block), network_precision)
            n, c, depth, h, w = block.shape
            planes = block.transpose(1, 2).reshape(n * depth, c, h, w)
            variance = self._condition.variance(planes).reshape(n, depth, c, h, w)
            merged, variance = self._neighbours.merge(planes.reshape(n, depth, c, h, w), variance)
            restored = self._restore(merged.reshape(-1, c, h, w), variance.reshape(-1, c, h, w), network_precision)
            return restored.reshape(n, depth, c, h, w).transpose(1, 2)

    def transposed(self) -> Prepared:
        """Return the same with the directions of correlated noise swapped."""
        y, x = self._condition.correlation
        swapped = Conditioned(
            self._network,
            replace(self._condition, correlation=(x, y)),
            self._neighbours,
            self.weights,
            self.spec.halo[-1],
        )
        swapped.notes = self.notes
        return swapped

    def _restore(self, planes: Tensor, variance: Tensor, precision: AbstractContextManager[object]) -> Tensor:
        """Restore (N, C, H, W) planes with the variance of their noise: colours as opponents, everything else apart."""
        n, c, h, w = planes.shape
        if c == 3:
            mix = _OPPONENT.to(planes.device)
            planes = torch.einsum("oc,nchw->nohw", mix, planes)
            variance = torch.einsum("oc,nchw->nohw", mix.square(), variance)
        flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
        correlation = torch.tensor(self._condition.correlation, device=flat.device).expand(n * c, 2)
        with precision if self._condition.is_coarse else nullcontext():
            restored = self._network(flat, sigma, correlation).float()
        if not self._condition.is_coarse:
            # The network has an error of its own, which must not outweigh the noise of an image that has little.
            most = _MOST_REMOVED * sigma
            restored = flat - (flat - restored).clamp(-most, most)
        restored = restored.reshape(n, c, h, w)
        if c == 3:
            restored = torch.einsum("oc,nohw->nchw", _OPPONENT.to(planes.device), restored)
        return cast(Tensor, restored)


@contextmanager
def full_precision(like: Tensor) -> Iterator[AbstractContextManager[object]]:
    """Compute in float32 inside, and give the precision that was wanted outside, for the network alone."""
    kind = like.device.type
    wanted = torch.autocast(kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))
    with torch.autocast(kind, enabled=False):
        yield wanted
