"""Learns from the fine planes of a volume what its slices lack along Z, and restores with it.

Planes are made coarse along Y or X as the slices are along Z; a small network learns the way back, and is applied to the ZX and the
ZY slices of the volume.

References
----------
Weigert et al., "Isotropic reconstruction of 3D fluorescence microscopy images using convolutional neural networks", MICCAI 2017;
Zhao et al., "SMORE: a self-supervised anti-aliasing and super-resolution algorithm for MRI using deep learning", IEEE TMI 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, InvalidParameterError, TrainingDivergedError
from napari_synth.engine.resampling import RADIUS, resampled, resized
from napari_synth.engine.tiling import Sampling
from napari_synth.imaging.image import Image
from napari_synth.methods.noise_conditioning import Condition, full_precision, measure_certain_condition
from napari_synth.networks.enlargers import AxialEnlarger
from napari_synth.networks.sigma_map import BLUR_STD, blur_radius, gaussian_blur
from napari_synth.training.loop import Budget, FitResult, FitSettings, fit
from napari_synth.training.patches import PatchPool, collect_crops

Consistency = Literal["exact", "within noise", "off"]

if TYPE_CHECKING:
    from napari_synth.methods.super_resolution.catalogue import IsotropicParams

MOST_FACTOR = 16
_LEAST_SLICES = 4
_PATCH = 64
_HELD_OUT = 1 / 16
_VALIDATION_PIXELS = 2**17
# In decibels: less is not worth the guess.
_LEAST_GAIN = 0.05
# A result this much finer than a whole number of planes a slice is resampled from it.
_TOLERANCE = Fraction(21, 20)
# In standard deviations of the noise: what differs less is no reason to change the result.
_WITHIN_NOISE = 3.0
_CHUNK_PIXELS = {"cpu": 2**16, "cuda": 2**22, "mps": 2**20}


def train_isotropic(image: Image, params: IsotropicParams, context: Context) -> Prepared:
    """Train on the planes of the volume, and return what restores it.

    For its parameters see `Generator.prepare`.
    """
    planes = result_planes(image, params.factor)
    ratio = Fraction(planes, image.sizes["Z"])
    model = SliceModel(max(2, math.ceil(ratio / _TOLERANCE)), ratio, params.slices, params.blur)
    result_size = (planes, image.sizes["Y"], image.sizes["X"])
    _check_planes(image, model)
    condition, _ = measure_certain_condition(image, context)
    exact = params.consistency == "exact" or (params.consistency == "auto" and params.slices == "thin")
    kept: Consistency = "off" if params.consistency == "off" else "exact" if exact else "within noise"

    def restorer(network: AxialEnlarger | None, *notes: str) -> IsotropicRestorer:
        made = IsotropicRestorer(network, model, condition, result_size, kept)
        made.notes = notes
        return made

    if not context.statistics.maximum > context.statistics.minimum:
        return restorer(None, "There was nothing to learn: the volume is the same everywhere.")
    least = model.length(_LEAST_SLICES)
    pool = collect_crops(image, "YX", context.intensity, context.device.torch_name).padded((least, least))
    training, held_out = pool.split(_HELD_OUT, least=least)
    task = Enlargement(model, condition, training, held_out)
    with torch.random.fork_rng([]):
        torch.manual_seed(context.seed)
        network = AxialEnlarger(model.scale)
    try:
        result = fit(
            network,
            task,
            Budget(params.steps, None if params.steps else params.minutes),
            context.device,
            context.torch_generator(),
            settings=FitSettings(5e-3, params.batch, held_flat=0.1, clip=0.5, optimizer="muon"),
            report=context.report,
        )
    except TrainingDivergedError:
        return restorer(None, "Learning from this volume did not settle: slices are filled in by cubic interpolation.")
    gain = task.gain(network)
    seen = training is held_out
    trained = restorer(network if gain >= _LEAST_GAIN else None, _training_note(result), _gain_note(gain, seen=seen))
    trained.resolved = {"steps": result.planned}
    return trained


def result_planes(image: Image, factor: float | None) -> int:
    """Return how many planes the volume has when it is finer by ``factor``, or so that its voxels are cubic.

    Raises
    ------
    InvalidParameterError
        There is nothing to do, or it cannot be told what.
    """
    if factor is None:
        factor = _factor_of_spacing(image)
    planes = round(image.sizes["Z"] * factor)
    if planes <= image.sizes["Z"]:
        raise InvalidParameterError(
            f"Along Z a factor of {factor:.4g} adds no plane to {image.sizes['Z']}: there is nothing to make finer."
        )
    return planes


def _factor_of_spacing(image: Image) -> float:
    z, y, x = (image.spacing.get(axis, 1.0) for axis in "ZYX")
    units = {image.units.get(axis) for axis in "ZX"}
    if len(units) > 1:
        raise InvalidParameterError("Z and X have different units: set the layer's units, or give a factor.")
    if not all(math.isfinite(size) and size > 0 for size in (z, y, x)):
        raise InvalidParameterError(
            f"A spacing of {z:g}, {y:g}, {x:g} cannot be: set the layer's scale, or give a factor."
        )
    if abs(y / x - 1.0) > 0.01:
        raise InvalidParameterError(
            f"Y and X have different spacings ({y:g} and {x:g}), so that voxels cannot become cubic along Z alone: resample the"
            " planes first, or give a factor."
        )
    if z / x < 1.01:
        raise InvalidParameterError(
            f"By its spacing (Z {z:g}, X {x:g}) the volume is not coarser along Z: set the layer's scale, or give a factor."
        )
    if z / x > MOST_FACTOR:
        raise InvalidParameterError(
            f"By its spacing (Z {z:g}, X {x:g}) the volume is {z / x:.4g} times coarser along Z, and {MOST_FACTOR} is the most:"
            " check the layer's scale, or give a smaller factor."
        )
    return z / x


def _check_planes(image: Image, model: SliceModel) -> None:
    if image.sizes["Z"] < 2:
        raise InvalidImageError("The volume has one slice alone: there is nothing between slices to fill in.")
    least, size = model.length(_LEAST_SLICES), max(image.sizes["Y"], image.sizes["X"])
    if size < least:
        raise InvalidImageError(
            f"Planes of {image.sizes['Y']} x {image.sizes['X']} pixels are too small to learn a factor of {float(model.ratio):.4g}"
            f" from: they need {least} pixels along Y or X, or a smaller factor."
        )


class Enlargement:
    """The error of enlarged lateral patches; an `Objective`.

    Parameters
    ----------
    model : SliceModel
    condition : Condition
        The noise of measured pixels: what was made coarse has less, and is given as much as measured slices have.
    training, held_out : PatchPool
        Planes (N, Y, X).
    """

    def __init__(self, model: SliceModel, condition: Condition, training: PatchPool, held_out: PatchPool) -> None:
        self.model, self.pool = model, training
        share = 1.0 - model.noise_share(sum(condition.correlation) / 2.0)
        self.lost_noise = condition.stronger(math.sqrt(share))
        count = max(2, math.ceil(_PATCH / model.ratio))
        self.patch = (model.length(min(count, model.slices(min(training.spatial)))),) * 2
        crops = held_out.crops
        height, width = held_out.spatial
        chosen = crops[:: -(-len(crops) // max(1, _VALIDATION_PIXELS // (height * width)))].unsqueeze(1)
        generator = torch.Generator(chosen.device).manual_seed(0)
        self.validation = [self._drawn(lateral, generator) for lateral in (chosen, chosen.transpose(-1, -2))]

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        slices, planes = self._drawn(self.pool.sample(batch_size, self.patch, generator), generator)
        detail: Tensor = network(slices)
        return (interpolated(slices, self.model.scale) + detail.float() - planes).abs().mean()

    def held_out(self, network: nn.Module) -> float:
        """See `Objective.held_out`."""
        return self._error(network)

    def gain(self, network: nn.Module) -> float:
        """Return by how many decibels the network is nearer held-out planes than cubic interpolation."""
        with torch.no_grad():
            before, after = self._error(None), self._error(network)
        return 10.0 * math.log10(before / after) if before > 0.0 and after > 0.0 else 0.0

    def _drawn(self, lateral: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return slices with noise, and the planes they stand for, of lateral pixels (N, 1, L, B)."""
        slices, planes = self.model.pair(lateral)
        if not self.lost_noise.is_clean:
            drawn = torch.randn(slices.shape, device=slices.device, generator=generator)
            slices = slices + self.lost_noise.variance(slices).sqrt() * drawn
        return slices, planes

    def _error(self, network: nn.Module | None) -> float:
        total, count = 0.0, 0
        for slices, planes in self.validation:
            restored = interpolated(slices, self.model.scale)
            if network is not None:
                restored = restored + network(slices).float()
            total += float((restored - planes).square().sum())
            count += planes.numel()
        return total / max(1, count)


class IsotropicRestorer(Prepared):
    """Fills in planes between slices.

    Parameters
    ----------
    network : AxialEnlarger or None
        None for cubic interpolation.
    model : SliceModel
    condition : Condition
        The noise of the volume.
    result : tuple of int
        Size of the whole result.
    kept : {"exact", "within noise", "off"}
        How far the result must measure as the slices do.
    """

    def __init__(
        self,
        network: AxialEnlarger | None,
        model: SliceModel,
        condition: Condition,
        result: tuple[int, int, int],
        kept: Consistency,
    ) -> None:
        self._network, self._model, self._condition, self._kept = network, model, condition, kept
        self.noise = condition.report
        lateral = 0 if network is None else network.receptive_field
        # One more, since a factor that is not whole is resampled from this.
        along = max(lateral, RADIUS["cubic"]) + 1 + (model.reach if kept != "off" else 0)
        if kept == "within noise" and not condition.is_clean:
            lateral = max(lateral, blur_radius(BLUR_STD))
        self.spec = BlockSpec(
            "ZYX",
            (along, lateral, lateral),
            (1, 1, 1),
            (model.scale, 1, 1),
            bytes_per_pixel=128 + 32 * model.scale,
            result=result,
        )

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, 1, Z, Y, X); see `Prepared.apply`."""
        n, _, z, y, x = block.shape
        with full_precision(block) as network_precision:
            slices = block.reshape(n, 1, z, y * x)
            planes = interpolated(slices, self._model.scale)
            if self._network is not None:
                with network_precision:
                    detail = self._detail(block) + self._detail(block.transpose(-1, -2)).transpose(-1, -2)
                planes = planes + 0.5 * detail.reshape(planes.shape)
            if self._kept != "off":
                planes = self._model.consistent(planes, slices, self._tolerance(block))
        return planes.reshape(n, 1, z * self._model.scale, y, x)

    def _tolerance(self, block: Tensor) -> Tensor | None:
        """Return how far slices, shaped (N, 1, Z, Y * X), may differ from what the result measures."""
        if self._kept == "exact" or self._condition.is_clean:
            return None
        n, _, z, y, x = block.shape
        variance = self._condition.variance(block.reshape(n * z, 1, y, x))
        return _WITHIN_NOISE * variance.sqrt().reshape(n, 1, z, y * x)

    def _detail(self, block: Tensor) -> Tensor:
        """Return what the network finds in the ZX slices of blocks (N, 1, Z, Y, X), of the size of the result."""
        assert self._network is not None
        n, _, z, y, x = block.shape
        across = block.permute(0, 3, 1, 2, 4).reshape(n * y, 1, z, x)
        chunk = max(1, _CHUNK_PIXELS[block.device.type] // (z * x))
        detail = torch.cat([self._network(part).float() for part in torch.split(across, chunk)])
        return detail.reshape(n, y, 1, -1, x).permute(0, 2, 3, 1, 4)


def interpolated(slices: Tensor, scale: int) -> Tensor:
    """Return slices (N, 1, A, B) with ``scale`` times as many rows, by cubic interpolation."""
    return resized(slices, (slices.shape[-2] * scale, slices.shape[-1]))


def _training_note(result: FitResult) -> str:
    return (
        f"Trained {result.steps} steps in {result.seconds:.0f} s: set steps to {result.planned} to train as long again."
    )


def _gain_note(gain: float, *, seen: bool) -> str:
    where = "On the planes it learnt from, too small to hold any out," if seen else "On held-out planes"
    if gain >= _LEAST_GAIN:
        return f"{where} it is {gain:.1f} dB nearer the truth than cubic interpolation."
    return f"{where} it is no nearer the truth than cubic interpolation, which is used."


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
