"""Runs the denoising network on blocks: the noise model becomes the map of noise levels that the network is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.catalogue import BlindParams
from napari_synth.methods.denoise.evidence import Evidence, choose_evidence
from napari_synth.methods.denoise.motion import Displacement
from napari_synth.methods.denoise.multiplicative import prepare_multiplicative
from napari_synth.methods.noise_conditioning import (
    MEAN_SPREAD,
    Condition,
    bundled_network,
    from_opponents,
    full_precision,
    measure_condition,
    to_opponents,
)
from napari_synth.networks.local_mean import local_mean, local_mean_reach
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet

MODEL = "denoise-blind"
HALO = 80
"""Default halo in pixels: what lies further away changes a result by less than 1e-3 of the range."""
_HALO_OF_LOGARITHMS = 128
_MOST_REMOVED = 3.0
_BYTES_PER_PIXEL = 320


class Conditioned(Prepared):
    """A noise-conditioned network with the noise of one image.

    Parameters
    ----------
    network : NoiseConditionedUNet
    condition : Condition
    evidence : Evidence, optional
        What else shows the same as a plane; planes are restored alone where there is none.
    weights : mapping of str to str
        Hashes of the weight files.
    halo : int
        Context in pixels on each side of a block.
    """

    def __init__(
        self,
        network: NoiseConditionedUNet,
        condition: Condition,
        evidence: Evidence | None,
        weights: Mapping[str, str],
        halo: int = HALO,
    ) -> None:
        self._network, self._condition, self._evidence, self._halo = network, condition, evidence, halo
        self.weights, self.noise = weights, condition.report
        multiple = network.multiple
        halo += local_mean_reach(MEAN_SPREAD) if condition.is_faint else 0
        if evidence is None:
            self.spec = BlockSpec.plane(halo, multiple=multiple, bytes_per_pixel=_BYTES_PER_PIXEL)
        else:
            self.spec = evidence.spec(halo, multiple)
        if any(condition.correlation):
            self.notes = ("The noise is treated as correlated between neighbours.",)

    def with_gains(self, gains: Tensor) -> Prepared:
        """Return what is told the noise of these very blocks; see `Prepared.with_gains`."""
        return self._turned(self._condition.beside(gains, self._condition.level), lambda d: d)

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, [D,] H, W); see `Prepared.apply`."""
        if self._condition.is_clean:
            return block
        with full_precision(block) as precision:
            if self._evidence is None:
                return restored(self._network, block, self._condition, self._condition.variance(block), precision)

            def restore(planes: Tensor, variance: Tensor, correlation: tuple[float, float]) -> Tensor:
                condition = replace(self._condition, correlation=correlation)
                return restored(self._network, planes, condition, variance, precision)

            return self._evidence.restored(block, self._condition, restore)

    def transposed(self) -> Prepared:
        """Return the same with the directions of correlated noise, and of what moves, swapped."""
        y, x = self._condition.correlation
        gains = self._condition.gains
        swapped = replace(self._condition, correlation=(x, y), gains=None if gains is None else gains.mT)
        return self._turned(swapped, lambda d: (d[1], d[0]))

    def flipped(self, y: bool, x: bool) -> Prepared:
        """Return the same with the directions of what moves flipped."""
        condition, axes = self._condition, [axis for axis, turns in ((-2, y), (-1, x)) if turns]
        if condition.gains is not None:
            condition = replace(condition, gains=condition.gains.flip(axes))
        return self._turned(condition, lambda d: (-d[0] if y else d[0], -d[1] if x else d[1]))

    def _turned(self, condition: Condition, change: Callable[[Displacement], Displacement]) -> Prepared:
        evidence = None if self._evidence is None else self._evidence.turned(change)
        turned = Conditioned(self._network, condition, evidence, self.weights, self._halo)
        turned.notes = self.notes
        return turned


def restored(
    network: NoiseConditionedUNet,
    planes: Tensor,
    condition: Condition,
    variance: Tensor,
    precision: AbstractContextManager[object] | None = None,
) -> Tensor:
    """Restore planes (P, C, H, W) of any size that the network takes: colours as opponents, everything else apart.

    Parameters
    ----------
    network : NoiseConditionedUNet
    planes : Tensor, (P, C, H, W)
    condition : Condition
        Tells how the noise of neighbours goes together, and whether it is strong.
    variance : Tensor, (P, C, H, W)
        Of the noise at every pixel.
    precision : context manager, optional
        In which the network computes where the noise is strong.
    """
    planes, variance = to_opponents(planes, variance)
    n, c, h, w = planes.shape
    flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
    with precision if precision is not None and condition.is_coarse else nullcontext():
        made = network(flat, sigma, condition.correlation_of(flat)).float()
    if not condition.is_coarse:
        # The network has an error of its own, which must not outweigh the noise of an image that has little.
        most = _MOST_REMOVED * sigma
        made = flat - (flat - made).clamp(-most, most)
    if condition.is_faint:
        made = made + local_mean(flat - made, MEAN_SPREAD)
    return from_opponents(made.reshape(n, c, h, w))


def find_evidence(
    network: NoiseConditionedUNet, image: Image, condition: Condition, context: Context
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Return what else in an image shows the same as a plane, where that helps this network, and what to say of it.

    Parameters
    ----------
    network : NoiseConditionedUNet
        On the device of the context.
    image : Image
    condition : Condition
        What was measured of the noise.
    context : Context
    """

    def restore(planes: Tensor, variance: Tensor, correlation: tuple[float, float]) -> Tensor:
        return restored(network, planes, replace(condition, correlation=correlation), variance)

    return choose_evidence(image, condition, context, restore, network.multiple)


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
        if params.sigma is not None:
            # It is that of the image as it is now.
            image = replace(image, gains=())
        evidence, said = (
            find_evidence(network, image, condition, context) if params.neighbours == "auto" else (None, ())
        )
        # What is little on the scale of logarithms is more on that of counts, where these are large.
        halo = _HALO_OF_LOGARITHMS if params.noise == "multiplicative" else HALO
        prepared = Conditioned(network, condition.stronger(params.strength), evidence, weights, halo)
        prepared.notes = (*said, *prepared.notes)
        prepared.wants_gains = bool(image.gains)
        return prepared

    is_multiplied = params.noise == "multiplicative"
    prepared = prepare_multiplicative(image, context, added) if is_multiplied else added(image, context)
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
