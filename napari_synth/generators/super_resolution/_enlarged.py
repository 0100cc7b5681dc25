"""Runs the super-resolution network on blocks, and holds its results to the measured pixels.

Back-projection: Irani and Peleg, "Improving resolution by image registration", CVGIP 1991.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.core.quiet import share_of_noise
from napari_synth.core.sampling import sample_planes
from napari_synth.generators._conditioning import (
    Condition,
    from_opponents,
    full_precision,
    measure_condition,
    to_opponents,
)
from napari_synth.generators.super_resolution._interpolated import finer
from napari_synth.generators.super_resolution._options import NetworkParams, Pixels
from napari_synth.networks.sigma_map import gaussian_blur
from napari_synth.networks.super_resolution_unet import SuperResolutionUNet, enlarged

MODEL = "super-resolution"
LENS = 0.35
"""Standard deviation in coarse pixels of the point-spread function of pixels that are called "gaussian"."""
_HALO = 32
_ROUNDS = 6
_STEP = 1.5
# In standard deviations of the noise: what differs less is no reason to change the result.
_WITHIN_NOISE = 3.0
_MOSTLY = 0.9
_BYTES_PER_PIXEL = 900


class Enlarged(Prepared):
    """The super-resolution network with the noise of one image.

    Parameters
    ----------
    network : SuperResolutionUNet
    condition : Condition
    params : NetworkParams
    sizes : tuple of int
        Height and width of the result.
    scale : int
        How many times finer the network's result is; the runner resamples it where that is not the size that is wanted.
    weights : mapping of str to str
        Hashes of the weight files.
    """

    def __init__(
        self,
        network: SuperResolutionUNet,
        condition: Condition,
        params: NetworkParams,
        sizes: tuple[int, ...],
        scale: int,
        weights: Mapping[str, str],
    ) -> None:
        self._network, self._condition, self._params = network, condition, params
        self._sizes, self._scale = sizes, scale
        self.weights, self.noise = weights, condition.report
        self.spec = BlockSpec(
            "YX",
            (_HALO,) * 2,
            (network.multiple,) * 2,
            (scale,) * 2,
            bytes_per_pixel=_BYTES_PER_PIXEL + 24 * scale**2,
            result=sizes,
        )

    @classmethod
    def of(
        cls,
        image: Image,
        network: SuperResolutionUNet,
        weights: Mapping[str, str],
        params: NetworkParams,
        context: Context,
    ) -> Enlarged:
        """Measure the noise of an image, and choose the nearest scale of the network."""
        condition = measure_condition(image, context)
        real = share_of_noise(sample_planes(image), condition.report) if params.denoise else 0.0
        condition = condition.stronger(real)
        scale = min((s for s in network.scales if s >= params.factor), default=max(network.scales))
        prepared = cls(network, condition, params, finer(image, params.factor), scale, weights)
        if params.denoise and real < _MOSTLY and not condition.is_clean:
            prepared.saying(
                f"Parts of the image are quieter: only {real:.0%} of the measured noise level is taken for noise."
            )
        if params.factor > scale:
            prepared.saying(f"The network makes it {scale} times finer; the rest is interpolated.")
        return prepared

    @property
    def scale(self) -> int:
        """How many times finer the network's result is."""
        return self._scale

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise that can be seen."""
        return self._condition.is_coarse

    def saying(self, sentence: str) -> Enlarged:
        """Add a note, and return this."""
        self.notes = (*self.notes, sentence)
        return self

    def with_network(self, network: SuperResolutionUNet) -> Enlarged:
        """Return the same with other weights."""
        other = Enlarged(network, self._condition, self._params, self._sizes, self._scale, self.weights)
        other.notes = self.notes
        return other

    def apply(self, block: Tensor) -> Tensor:
        """Enlarge blocks (N, C, H, W); see `Prepared.apply`."""
        with full_precision(block) as network_precision:
            planes, variance = to_opponents(block, self._condition.variance(block))
            n, c, h, w = planes.shape
            flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
            with network_precision:
                fine = self._network(flat, sigma, self._condition.correlation_of(flat), self._scale).float()
            if self._params.consistency:
                fine = consistent(fine, flat, sigma, self._scale, self._params.pixels)
            return from_opponents(fine.reshape(n, c, *fine.shape[-2:]))

    def transposed(self) -> Prepared:
        """Return the same with the directions of correlated noise swapped."""
        y, x = self._condition.correlation
        condition, sizes = replace(self._condition, correlation=(x, y)), self._sizes[::-1]
        swapped = Enlarged(self._network, condition, self._params, sizes, self._scale, self.weights)
        swapped.notes = self.notes
        return swapped


def consistent(fine: Tensor, measured: Tensor, sigma: Tensor, scale: int, pixels: Pixels) -> Tensor:
    """Correct a fine image until, made coarse, it gives the measured one, as far as that is not noise.

    Parameters
    ----------
    fine : Tensor
        Shape (N, 1, scale * H, scale * W).
    measured : Tensor
        Shape (N, 1, H, W).
    sigma : Tensor
        Standard deviation of the noise, like `measured`.
    scale : int
    pixels : {"cubic", "area", "gaussian"}
        What a measured pixel is taken for.

    Returns
    -------
    Tensor
        Like `fine`.
    """
    tolerance = _WITHIN_NOISE * sigma
    for _ in range(_ROUNDS):
        missing = measured - coarse(fine, scale, pixels)
        missing = missing - missing.clamp(-tolerance, tolerance)
        fine = fine + _STEP * enlarged(missing, scale)
    return fine


def coarse(fine: Tensor, scale: int, pixels: Pixels) -> Tensor:
    """Return what measured pixels show of a fine image (N, C, scale * H, scale * W)."""
    if pixels == "cubic":
        size = (fine.shape[-2] // scale, fine.shape[-1] // scale)
        return functional.interpolate(fine, size, mode="bicubic", antialias=True)
    return functional.avg_pool2d(fine if pixels == "area" else gaussian_blur(fine, LENS * scale), scale)
