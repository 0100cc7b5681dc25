"""Adapts the bundled network, or the noise law it is used behind, to one image by predicting hidden pixels.

A region of the image is held out. What was learnt is used only where it predicts the hidden pixels of that region better than the
bundled network with the measured noise does, by more than chance.

References
----------
Krull et al., "Noise2Void", CVPR 2019 (hidden pixels); Herbreteau et al., "Noise2VST", ICCV 2025 (a learnt stabilisation around a
frozen network).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image
from napari_synth.methods.adapting import CONVINCING, NOT_SETTLED, adapt_to_image
from napari_synth.methods.denoise.blind_spot import validation_pixels
from napari_synth.methods.denoise.conditioned import HALO, MODEL, Conditioned, find_evidence
from napari_synth.methods.denoise.even_noise import with_even_noise
from napari_synth.methods.denoise.hidden_pixels import hold_out
from napari_synth.methods.denoise.shared import TransposedRestorer, noise_variance
from napari_synth.methods.noise_conditioning import Condition, bundled_network, measure_condition
from napari_synth.networks.blind_spot_unet import BlindSpotMask
from napari_synth.networks.curves import MonotoneSpline
from napari_synth.networks.noise_conditioned_unet import NoiseConditionedUNet
from napari_synth.training.patches import PatchPool, collect_crops

if TYPE_CHECKING:
    from napari_synth.methods.denoise.catalogue import AdaptParams

_HELD_OUT = 1 / 8
_LEAST = 16
_GAP = 4
_PIECES = 64
_STEPS = {"network": 100, "noise law": 400}
_RATE = {"network": 1e-4, "noise law": 1e-2}
_STAGE = {"network": "Adapting the network", "noise law": "Learning the noise law"}


def adapt(image: Image, params: AdaptParams, context: Context) -> Prepared:
    """Return the bundled network with what was learnt where that is better on held-out pixels, else as it is.

    For its parameters see `Generator.prepare`.
    """
    return with_even_noise(image, context, lambda even: _adapt(even, params, context))


def _adapt(image: Image, params: AdaptParams, context: Context) -> Prepared:
    network, weights = bundled_network(MODEL, context.device)
    condition = measure_condition(image, context)
    wanted = condition.stronger(params.strength)
    evidence, said = find_evidence(network, image, condition, context)
    bundled = Conditioned(network, wanted, evidence, weights)
    bundled.notes = (*said, *bundled.notes)
    if condition.is_clean:
        bundled.notes = (*bundled.notes, "No noise was found: there was nothing to adapt to.")
        return bundled
    pool = collect_crops(image, "YX", context.intensity, context.device.torch_name).padded((_LEAST, _LEAST))
    training, held_out = pool.split(_HELD_OUT, least=_LEAST)
    task = HiddenPixels(condition, training, held_out, params.patch)
    learner: MeasuredLaw | LearntLaw
    if params.learn == "network":
        learner = MeasuredLaw(copy.deepcopy(network).requires_grad_(True), condition)
    else:
        learner = LearntLaw.starting_from(network, condition, pool.crops)
    steps, rate = params.steps or _STEPS[params.learn], _RATE[params.learn]
    if not adapt_to_image(
        learner, task, context, steps=steps, rate=rate, batch=params.batch, stage=_STAGE[params.learn]
    ):
        bundled.notes = (*bundled.notes, NOT_SETTLED)
        return bundled
    verdict = task.compare(MeasuredLaw(network, condition), learner)
    notes = (*bundled.notes, verdict.sentence(params.learn))
    if not verdict.convincing:
        bundled.notes = notes
        return bundled
    if isinstance(learner, LearntLaw):
        return StabilisedRestorer(learner, condition, params.strength, weights, notes)
    adapted = Conditioned(learner.network, wanted, evidence, weights)
    adapted.notes = notes
    return adapted


class MeasuredLaw(nn.Module):
    """A noise-conditioned network behind the measured noise.

    Parameters
    ----------
    network : NoiseConditionedUNet
    condition : Condition
    """

    def __init__(self, network: NoiseConditionedUNet, condition: Condition) -> None:
        super().__init__()
        self.network, self.condition = network, condition

    def forward(self, planes: Tensor) -> Tensor:
        """Restore planes (N, 1, Y, X) in normalised units."""
        sigma = self.condition.variance(planes).sqrt()
        restored: Tensor = self.network(planes, sigma, self.condition.correlation_of(planes))
        return restored


class LearntLaw(nn.Module):
    """A frozen network between a learnt stabilisation, after which noise has the standard deviation 1, and its way back.

    Parameters
    ----------
    network : NoiseConditionedUNet
    correlation : (float, float)
    stabilise : MonotoneSpline
        Its inverse leads back, up to `correct`.
    correct : MonotoneSpline
        Takes away the bias of the inverse.
    """

    def __init__(
        self,
        network: NoiseConditionedUNet,
        correlation: tuple[float, float],
        stabilise: MonotoneSpline,
        correct: MonotoneSpline,
    ) -> None:
        super().__init__()
        self.network, self.correlation = network, correlation
        self.stabilise, self.correct = stabilise, correct

    @classmethod
    def starting_from(cls, network: NoiseConditionedUNet, condition: Condition, crops: Tensor) -> LearntLaw:
        """Return the closed form of the measured noise, over the range of ``crops``.

        Parameters
        ----------
        network : NoiseConditionedUNet
            The bundled network.
        condition : Condition
            What was measured of the noise.
        crops : Tensor, (N, C, Y, X)
            Parts of the image, normalised.
        """
        low, high = float(crops.min()), float(crops.max())
        width = max(high - low, 1e-3) / _PIECES
        middles = low + width * (torch.arange(_PIECES, dtype=torch.float32) + 0.5)
        sigma = noise_variance(condition.model, middles).sqrt()
        sigma = sigma.clamp_min(0.1 * float(sigma.max()))
        stabilise = MonotoneSpline(1.0 / sigma, low, low + width * _PIECES)
        correct = MonotoneSpline(torch.ones(_PIECES), low, low + width * _PIECES, start=low)
        frozen = copy.deepcopy(network).requires_grad_(False)
        return cls(frozen, condition.correlation, stabilise.to(crops.device), correct.to(crops.device))

    def forward(self, planes: Tensor, strength: float = 1.0) -> Tensor:
        """Restore planes (N, 1, Y, X) in normalised units."""
        correlation = planes.new_tensor([self.correlation]).expand(len(planes), 2)
        level = torch.full_like(planes[..., :1, :1], strength)
        restored = self.network(self.stabilise(planes), level.expand_as(planes), correlation)
        result: Tensor = self.correct(self.stabilise.inverse(restored.float()))
        return result


@dataclass(frozen=True)
class Verdict:
    """What held-out pixels say of a change.

    Attributes
    ----------
    before, after : float
        Mean loss of the bundled network, and of what was learnt.
    standard_error : float
        Of the difference.
    """

    before: float
    after: float
    standard_error: float

    @property
    def convincing(self) -> bool:
        """Whether the loss fell by more than chance."""
        return self.before - self.after > CONVINCING * self.standard_error

    def sentence(self, what: str) -> str:
        """Say in plain words what was taken."""
        change = self.after / self.before - 1.0 if self.before > 0 else 0.0
        if self.convincing:
            return f"The adapted {what} predicts held-out pixels better (loss {change:+.2%}), so it is used."
        return f"The adapted {what} does not clearly predict held-out pixels better (loss {change:+.2%}): the bundled one is used."


class HiddenPixels:
    """The squared error at hidden pixels in units of the measured noise; an `Objective`.

    Parameters
    ----------
    condition : Condition
    training, held_out : PatchPool
    patch : int
        Edge in pixels; smaller where the pool is.
    """

    def __init__(self, condition: Condition, training: PatchPool, held_out: PatchPool, patch: int) -> None:
        self.mask = BlindSpotMask.for_correlation(condition.correlation, 2, gap=_GAP)
        self.condition, self.pool = condition, training
        multiple = NoiseConditionedUNet.multiple
        self.patch = training.fitting((patch, patch), (multiple, multiple))
        self.validation = validation_pixels(held_out, multiple)

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        turn = self.condition.correlation[0] == self.condition.correlation[1]
        pixels = self.pool.sample(batch_size, self.patch, generator, turn=turn)
        return self._errors(network, pixels, self.mask.draw(pixels, generator)).mean()

    def held_out(self, network: nn.Module) -> float:
        """See `Objective.held_out`."""
        return float(self._held_out_errors(network, every=4).mean())

    def compare(self, before: nn.Module, after: nn.Module) -> Verdict:
        """Compare two networks on every held-out pixel."""
        with torch.no_grad():
            old, new = (self._held_out_errors(network, every=1) for network in (before.eval(), after.eval()))
        difference = old - new
        return Verdict(float(old.mean()), float(new.mean()), float(difference.std()) / len(difference) ** 0.5)

    def _held_out_errors(self, network: nn.Module, every: int) -> Tensor:
        phases = list(self.mask.phases())[::every]
        grids = [self.mask.centres(phase, self.validation).expand_as(self.validation) for phase in phases]
        return torch.cat([self._errors(network, self.validation, grid) for grid in grids])

    def _errors(self, network: nn.Module, pixels: Tensor, centres: Tensor) -> Tensor:
        restored: Tensor = network(self.mask.hide(pixels, centres))[centres].float()
        return (restored - pixels[centres]).square() / self.condition.variance(pixels)[centres]


class StabilisedRestorer(Prepared):
    """The bundled network behind a learnt noise law, plane by plane.

    Parameters
    ----------
    law : LearntLaw
    condition : Condition
    strength : float
    weights : mapping of str to str
    notes : tuple of str
    """

    def __init__(
        self, law: LearntLaw, condition: Condition, strength: float, weights: Mapping[str, str], notes: tuple[str, ...]
    ) -> None:
        self._law, self._strength = law, strength
        self.noise, self.weights, self.notes = condition.report, weights, notes
        self.spec = BlockSpec.plane(HALO, multiple=law.network.multiple, bytes_per_pixel=400)

    def apply(self, block: Tensor) -> Tensor:
        """Restore blocks (N, C, Y, X), every sample apart; see `Prepared.apply`."""
        n, c, height, width = block.shape
        restored: Tensor = self._law(block.reshape(n * c, 1, height, width), self._strength)
        return restored.reshape(block.shape)

    def transposed(self) -> Prepared:
        """Return what restores the image with Y and X swapped."""
        return self if self._law.correlation[0] == self._law.correlation[1] else TransposedRestorer(self)


_FEWEST = 200
# Variance of the guess of a hidden pixel, in units of that of the noise, from which on it tells nothing of the best setting.
_ALL_DETAIL = 0.4


@dataclass(frozen=True)
class Calibration:
    """A setting, and how well the filter predicts with it.

    Attributes
    ----------
    value : float
        The best setting.
    loss : float
        Mean error on the held-out pixels at the best setting that was tried.
    """

    value: float
    loss: float

    @property
    def trust(self) -> float:
        """How far the choice is about the noise, 0 to 1.

        Where noise is weak, it is the detail of the image that a hidden pixel's neighbours do not tell, and a filter that is
        shown the pixel has to smooth far less than one that has to guess it.
        """
        return min(1.0, max(0.0, 1.0 - (2.0 * self.loss - 1.0) / _ALL_DETAIL))


def calibrate(
    windows: Tensor,
    smooth: Callable[[Tensor, float], Tensor],
    values: Sequence[float],
    reach: tuple[int, int],
    report: Reporter,
    *,
    between: bool = True,
) -> Calibration | None:
    """Try settings on windows of the image.

    Parameters
    ----------
    windows : torch.Tensor, (N, 1, Z, Y, X)
        With noise of standard deviation 1.
    smooth : callable
        The filter, of windows and a setting.
    values : sequence of float
        Settings to try, increasing.
    reach : tuple of int, (y, x)
        How far the noise of neighbours goes together.
    report : Reporter
        Told of every setting.
    between : bool
        Whether a setting between those that were tried may be returned.

    Returns
    -------
    Calibration or None
        None where there are too few pixels to tell.
    """
    held_out = hold_out(windows, reach)
    if held_out.measured.numel() < _FEWEST:
        return None
    losses = []
    for value in values:
        with torch.inference_mode():
            losses.append(float(held_out.errors(smooth(held_out.filled, value)).mean()))
        report.advance()
    best = min(range(len(values)), key=losses.__getitem__)
    value = values[best]
    if between and 0 < best < len(values) - 1:
        value = _lowest(values[best - 1 : best + 2], losses[best - 1 : best + 2])
    return Calibration(value, losses[best])


def _lowest(values: Sequence[float], losses: Sequence[float]) -> float:
    """Return where the parabola through three points over the logarithm is lowest."""
    left, middle, right = (log(value) for value in values)
    slope_left = (losses[1] - losses[0]) / (middle - left)
    slope_right = (losses[2] - losses[1]) / (right - middle)
    if slope_right <= slope_left:
        return values[1]
    # The slopes belong to the middles of the two intervals; the parabola is lowest where the slope is 0.
    share = -slope_left / (slope_right - slope_left)
    return exp((left + middle) / 2.0 + share * (right - left) / 2.0)
