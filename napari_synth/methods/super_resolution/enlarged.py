"""Runs the super-resolution network on blocks, and holds its results to the measured pixels.

Back-projection: Irani and Peleg, "Improving resolution by image registration", CVGIP 1991.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Kernel, Prepared
from napari_synth.engine.resampling import RADIUS, resized
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.imaging.image import Image
from napari_synth.methods.noise_conditioning import (
    MEAN_SPREAD,
    Condition,
    bundled_network,
    from_opponents,
    full_precision,
    measure_certain_condition,
    to_opponents,
)
from napari_synth.methods.super_resolution.catalogue import FactorParams, NetworkParams, Pixels
from napari_synth.networks.enlargers import SuperResolutionUNet, enlarged
from napari_synth.networks.local_mean import local_mean, local_mean_reach
from napari_synth.networks.sigma_map import gaussian_blur

MODEL = "super-resolution"
LENS = 0.35
"""Standard deviation in coarse pixels of the point-spread function of pixels that are called "gaussian"."""
_HALO = 32
_ROUNDS = 6
_STEP = 1.5
# In standard deviations of the noise: what differs less is no reason to change the result.
_WITHIN_NOISE = 2.0
_BYTES_PER_PIXEL = 1000


class Enlarged(Prepared):
    """The super-resolution network with the noise of one image.

    Parameters
    ----------
    network : SuperResolutionUNet
    condition : Condition
    params : NetworkParams
    spec : BlockSpec
        Its scale is the network's; the runner resamples where that does not give the result's size.
    count : float
        What separates neighbouring values of an integer image, normalised; 0 for floats.
    weights : mapping of str to str
        Hashes of the weight files.

    Attributes
    ----------
    is_noisy : bool
        Whether the image has noise that can be seen, removed or not.
    """

    is_noisy: bool = False

    def __init__(
        self,
        network: SuperResolutionUNet,
        condition: Condition,
        params: NetworkParams,
        spec: BlockSpec,
        count: float,
        weights: Mapping[str, str],
    ) -> None:
        self._network, self._condition, self._params, self._count = network, condition, params, count
        self.spec, self.weights, self.noise = spec, weights, condition.report

    @classmethod
    def of(
        cls,
        image: Image,
        network: SuperResolutionUNet,
        weights: Mapping[str, str],
        params: NetworkParams,
        context: Context,
    ) -> Enlarged:
        """Measure the noise of an image, and choose the nearest scale of the network.

        Parameters
        ----------
        image : Image
        network : SuperResolutionUNet
        weights : mapping of str to str
            The hash of the weights, by name.
        params : NetworkParams
        context : Context
        """
        condition, kept = measure_certain_condition(image, context)
        told = condition if params.denoise else condition.stronger(0.0)
        scale = min((s for s in network.scales if s >= params.factor), default=max(network.scales))
        needed = max(_BYTES_PER_PIXEL, 24 * scale**2 + bytes_for_result(params.factor))
        spec = BlockSpec(
            "YX",
            (_HALO + (local_mean_reach(MEAN_SPREAD) if told.is_faint else 0),) * 2,
            (network.multiple,) * 2,
            (scale,) * 2,
            # Colours go through the network beside each other.
            bytes_per_pixel=needed * image.sizes.get("S", 1),
            result=finer(image, params.factor),
        )
        count = 1.0 / context.intensity.scale if image.dtype.kind in "iu" else 0.0
        prepared = cls(network, told, params, spec, count, weights)
        prepared.is_noisy = condition.is_coarse
        if params.denoise and kept:
            prepared.saying(kept)
        if params.factor > scale:
            prepared.saying(f"The network makes it {scale} times finer; the rest is interpolated.")
        return prepared

    @property
    def scale(self) -> int:
        """How many times finer the network's result is."""
        return self.spec.scale[0]

    def saying(self, sentence: str) -> Enlarged:
        """Add a note, and return this."""
        self.notes = (*self.notes, sentence)
        return self

    def with_network(self, network: SuperResolutionUNet) -> Enlarged:
        """Return the same with other weights."""
        return self._like(network, self._condition, self.spec)

    def apply(self, block: Tensor) -> Tensor:
        """Enlarge blocks (N, C, H, W); see `Prepared.apply`."""
        with full_precision(block) as network_precision:
            planes, variance = to_opponents(block, self._condition.variance(block))
            n, c, h, w = planes.shape
            flat, sigma = planes.reshape(n * c, 1, h, w), variance.sqrt().reshape(n * c, 1, h, w)
            with network_precision:
                fine = self._network(flat, sigma, self._condition.correlation_of(flat), self.scale).float()
            if self._count:
                size = [edge * self.scale for edge in flat.shape[-2:]]
                fine = above_rounding(fine, resized(flat, size, "lanczos"), self._count)
            if self._params.consistency:
                rounded = (sigma.square() + self._count**2 / 12).sqrt()
                fine = consistent(fine, flat, rounded, self.scale, self._params.pixels)
            if self._condition.is_faint:
                missing = local_mean(flat - functional.avg_pool2d(fine, self.scale), MEAN_SPREAD)
                fine = fine + functional.interpolate(missing, scale_factor=self.scale, mode="bilinear")
            return from_opponents(fine.reshape(n, c, *fine.shape[-2:]))

    def transposed(self) -> Prepared:
        """Return the same with the directions of correlated noise swapped."""
        y, x = self._condition.correlation
        swapped = replace(self.spec, result=self.spec.result and self.spec.result[::-1])
        return self._like(self._network, replace(self._condition, correlation=(x, y)), swapped)

    def _like(self, network: SuperResolutionUNet, condition: Condition, spec: BlockSpec) -> Enlarged:
        made = Enlarged(network, condition, self._params, spec, self._count, self.weights)
        made.notes, made.is_noisy = self.notes, self.is_noisy
        return made


def above_rounding(fine: Tensor, interpolated: Tensor, count: float) -> Tensor:
    """Take back what differs from the interpolation by less than one count, which may come from the rounding of the image.

    Parameters
    ----------
    fine, interpolated : Tensor
        Of one shape.
    count : float
        What separates neighbouring values of the image, in the units of `fine`.
    """
    detail = fine - interpolated
    power = detail.square()
    return interpolated + detail * (power / (power + count**2))


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
    """Return what measured pixels show of a fine image (N, C, scale * H, scale * W).

    Parameters
    ----------
    fine : Tensor, (N, C, scale * H, scale * W)
    scale : int
    pixels : {"cubic", "area", "gaussian"}
        How a measured pixel collects what lies under it.
    """
    if pixels == "cubic":
        size = (fine.shape[-2] // scale, fine.shape[-1] // scale)
        return functional.interpolate(fine, size, mode="bicubic", antialias=True)
    return functional.avg_pool2d(fine if pixels == "area" else gaussian_blur(fine, LENS * scale), scale)


def prepare_network(image: Image, params: NetworkParams, context: Context) -> Prepared:
    """Measure the noise and load the network.

    For its parameters see `Generator.prepare`.
    """
    network, weights = bundled_network(MODEL, context.device)
    prepared = Enlarged.of(image, network, weights, params, context)
    return RotationEnsemble(prepared, "mean") if params.ensemble else prepared


def finer(image: Image, factor: float) -> tuple[int, int]:
    """Return the height and width in pixels of an image that is ``factor`` times finer, rounded."""
    return round(image.sizes["Y"] * factor), round(image.sizes["X"] * factor)


def bytes_for_result(factor: float) -> int:
    """Return the working memory that the pixels of a result take, for each pixel of the image.

    There is a resampled copy beside the result, and two of rounded counts.
    """
    return round(16 * factor**2)


class Interpolated(Prepared):
    """An image that is interpolated.

    Parameters
    ----------
    image : Image
    factor : float
        How many times finer the result is.
    kernel : {"cubic", "lanczos"}
    """

    def __init__(self, image: Image, factor: float, kernel: Kernel) -> None:
        halo, one = (RADIUS[kernel] + 1,) * 2, (1, 1)
        needed = (16 + bytes_for_result(factor)) * image.sizes.get("S", 1)
        self.spec = BlockSpec("YX", halo, one, one, bytes_per_pixel=needed, result=finer(image, factor), kernel=kernel)

    def apply(self, block: Tensor) -> Tensor:
        """Return the block; see `Prepared.apply`."""
        return block


def prepare_lanczos(image: Image, params: FactorParams, context: Context) -> Prepared:
    """Return what leaves the work to the runner's resampling.

    For its parameters see `Generator.prepare`.
    """
    return Interpolated(image, params.factor, "lanczos")


def prepare_bicubic(image: Image, params: FactorParams, context: Context) -> Prepared:
    """Return what leaves the work to the runner's resampling.

    For its parameters see `Generator.prepare`.
    """
    return Interpolated(image, params.factor, "cubic")
