"""Runs the denoising network on blocks: the noise model becomes the map of noise levels that the network is given."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.catalogue import BlindParams
from napari_synth.methods.denoise.multiplicative import prepare_multiplicative
from napari_synth.methods.noise_conditioning import (
    Condition,
    bundled_network,
    from_opponents,
    full_precision,
    measure_condition,
    to_opponents,
)
from napari_synth.networks.local_mean import local_mean, local_mean_reach
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.networks.sigma_map import gaussian_blur

MODEL = "denoise-blind"
HALO = 80
"""Default halo in pixels: what lies further away changes a result by less than 1e-3 of the range."""
_MOST_REMOVED = 3.0
# Noise at the brightest, over the range, from which on few photons are left: the network was shown hardly any of such images and
# errs in their mean, which is put right over so many cells.
_FAINT, _MEAN_SPREAD = 0.3, 1.0
_BYTES_PER_PIXEL = 320


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
        self._network, self._condition, self._neighbours, self._halo = network, condition, neighbours, halo
        self.weights, self.noise = weights, condition.report
        self._keeps_mean = float(condition.model.sigma(1.0)) > _FAINT
        multiple = network.multiple
        halo += local_mean_reach(_MEAN_SPREAD) if self._keeps_mean else 0
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
            self._halo,
        )
        swapped.notes = self.notes
        return swapped

    def _restore(self, planes: Tensor, variance: Tensor, precision: AbstractContextManager[object]) -> Tensor:
        """Restore (N, C, H, W) planes with the variance of their noise: colours as opponents, everything else apart."""
        planes, variance = to_opponents(planes, variance)
        n, c, h, w = planes.shape
        flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
        with precision if self._condition.is_coarse else nullcontext():
            restored = self._network(flat, sigma, self._condition.correlation_of(flat)).float()
        if not self._condition.is_coarse:
            # The network has an error of its own, which must not outweigh the noise of an image that has little.
            most = _MOST_REMOVED * sigma
            restored = flat - (flat - restored).clamp(-most, most)
        if self._keeps_mean:
            restored = restored + local_mean(flat - restored, _MEAN_SPREAD)
        return from_opponents(restored.reshape(n, c, h, w))


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

    Parameters
    ----------
    a, b : Tensor, (..., C, H, W)
        The two planes.
    variance_a, variance_b : Tensor, (..., C, H, W)
        Of the noise of each.
    blur_gain : tuple of float
        What is left of the noise after each of the blurs, as a factor on the variance.
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
    """Return the axis whose neighbouring planes agree best, or None where none is worth using.

    Parameters
    ----------
    image : Image
    condition : Condition
        What was measured of the noise.
    context : Context
    """
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


def prepare_blind(image: Image, params: BlindParams, context: Context) -> Prepared:
    """Measure the noise and load the bundled network; see `Generator.prepare`."""
    network, weights = bundled_network(MODEL, context.device)
    return prepare_conditioned(network, weights, image, params, context)


def prepare_conditioned(
    network: NoiseConditionedUNet,
    weights: Mapping[str, str],
    image: Image,
    params: BlindParams,
    context: Context,
) -> Prepared:
    """Measure the noise of an image, as added or as multiplied, and put it before a denoising network.

    Parameters
    ----------
    network : NoiseConditionedUNet
        On the device of the context.
    weights : mapping of str to str
        SHA-256 of its weights, by model name.
    image : Image
    params : BlindParams
    context : Context
    """

    def added(image: Image, context: Context) -> Prepared:
        if params.noise == "multiplicative":
            condition = measure_condition(image, context)
        else:
            condition = measure_condition(image, context, sigma=params.sigma, correlated=params.noise)
        condition = condition.stronger(params.strength)
        neighbours = choose_neighbours(image, condition, context) if params.neighbours == "auto" else None
        return Conditioned(network, condition, neighbours, weights)

    is_multiplied = params.noise == "multiplicative"
    prepared = prepare_multiplicative(image, context, added) if is_multiplied else added(image, context)
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
