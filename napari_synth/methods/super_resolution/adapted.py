"""Adapts the super-resolution network to one image: a coarser copy of it is enlarged, and the image itself is the truth.

Shocher et al., "Zero-shot super-resolution using deep internal learning", CVPR 2018, from bundled weights instead of random ones.
A region of the image is held out; what was learnt is used only where it enlarges that region better than the bundled network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.contract.generator import Context, Prepared
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.adapting import CONVINCING, NOT_SETTLED, adapt_to_image
from napari_synth.methods.noise_conditioning import bundled_network
from napari_synth.methods.super_resolution.catalogue import AdaptedParams, Pixels
from napari_synth.methods.super_resolution.enlarged import MODEL, Enlarged, coarse
from napari_synth.networks.enlargers import SuperResolutionUNet
from napari_synth.training.patches import PatchPool, collect_crops

if TYPE_CHECKING:
    from napari_synth.methods.super_resolution.catalogue import AdaptedParams

_HELD_OUT = 1 / 6
_RATE = 3e-4
_LEAST = 8
_MOST_HELD_OUT = 2**18
_FEWEST_TILES = 4


def adapt(image: Image, params: AdaptedParams, context: Context) -> Prepared:
    """Return the adapted network where it is better on held-out pixels, else the bundled one.

    For its parameters see `Generator.prepare`.
    """
    network, weights = bundled_network(MODEL, context.device)
    bundled = Enlarged.of(image, network, weights, params, context)
    pool = collect_crops(image, "YX", context.intensity, context.device.torch_name)
    least = _LEAST * bundled.scale
    training, held_out = pool.split(_HELD_OUT, least=least)
    if training is held_out or min(training.spatial) < least or _tiles_of(held_out, least) < _FEWEST_TILES:
        return bundled.saying("The image is too small to learn from: the bundled network is used.")
    if bundled.is_noisy:
        return bundled.saying("The image is noisy, and adapting would learn its noise: the bundled network is used.")
    watch = partial(_show, bundled, context.interim) if context.interim else None
    setup = CoarserCopy(training, held_out, bundled.scale, params.patch, params.pixels, watch)
    learner = copy.deepcopy(network).requires_grad_(True)
    if not adapt_to_image(learner, setup, context, steps=params.steps, rate=_RATE, batch=params.batch):
        return bundled.saying(NOT_SETTLED)
    before, after, error = setup.compare(network, learner.eval())
    change = after / before - 1.0 if before > 0 else 0.0
    if before - after <= CONVINCING * error:
        return bundled.saying(
            f"Adapting does not clearly help on held-out pixels ({change:+.1%}): the bundled network is used."
        )
    return bundled.with_network(learner).saying(
        f"The adapted network enlarges held-out pixels better (squared error {change:+.1%}), so it is used."
    )


def _show(bundled: Enlarged, interim: Callable[[Prepared], None], network: Any) -> None:
    interim(bundled.with_network(network))


def _tiles_of(pool: PatchPool, edge: int) -> int:
    return len(pool.crops) * prod(size // edge for size in pool.spatial)


class CoarserCopy:
    """The squared error of a coarser copy that is enlarged; an `Objective`.

    Parameters
    ----------
    training, held_out : PatchPool
    scale : int
    patch : int
        Edge of a coarse patch in pixels; smaller where the pool is.
    pixels : {"cubic", "area", "gaussian"}
        How the copy is made coarse.
    watch : callable, optional
        Given the network at every validation, to be shown.
    """

    def __init__(
        self,
        training: PatchPool,
        held_out: PatchPool,
        scale: int,
        patch: int,
        pixels: Pixels,
        watch: Callable[[nn.Module], None] | None = None,
    ) -> None:
        self.pool, self.scale, self.pixels, self.watch = training, scale, pixels, watch
        multiple = SuperResolutionUNet.multiple * scale
        self.patch = training.fitting((patch * scale,) * 2, (multiple,) * 2)
        height, width = held_out.fitting(held_out.spatial, (multiple,) * 2)
        # A check between two steps must not take much longer than they do.
        width = max(multiple, min(width, _MOST_HELD_OUT // height // multiple * multiple))
        every = -(-len(held_out.crops) * height * width // _MOST_HELD_OUT)
        self.validation = held_out.crops[::every, None, :height, :width]

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        errors = self._errors(network, self.pool.sample(batch_size, self.patch, generator))
        return (errors.square().mean(dim=(1, 2, 3)) + 1e-8).sqrt().mean()

    def held_out(self, network: nn.Module) -> float:
        """See `Objective.held_out`."""
        if self.watch is not None:
            self.watch(network)
        with torch.no_grad():
            return float(torch.cat([error.square() for error in self._held_out(network)]).mean())

    def compare(self, before: nn.Module, after: nn.Module) -> tuple[float, float, float]:
        """Return the mean squared held-out error of two networks, and the standard error of its difference, taken over tiles."""
        with torch.no_grad():
            old, new = (
                torch.cat([self._tiles(error) for error in self._held_out(network)]) for network in (before, after)
            )
        difference = old - new
        return float(old.mean()), float(new.mean()), float(difference.std()) / len(difference) ** 0.5

    def _held_out(self, network: nn.Module) -> list[Tensor]:
        return [self._errors(network, crop) for crop in torch.split(self.validation, 1)]

    def _tiles(self, error: Tensor) -> Tensor:
        return functional.avg_pool2d(error.square(), _LEAST * self.scale).flatten()

    def _errors(self, network: nn.Module, fine: Tensor) -> Tensor:
        small = coarse(fine, self.scale, self.pixels)
        answer: Tensor = network(small, torch.zeros_like(small), None, self.scale)
        return answer.float() - fine


def prepare_adapted(image: Image, params: AdaptedParams, context: Context) -> Prepared:
    """Measure the noise, load the network and adapt it.

    For its parameters see `Generator.prepare`.
    """
    prepared = adapt(image, params, context)
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
