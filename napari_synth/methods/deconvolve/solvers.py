"""Takes a known blur out of photon counts: Richardson-Lucy and its kin, and Wiener's filter.

All work on batches (N, 1, *spatial) in electrons. What lies beyond the borders of a block is unknown rather than dark or mirrored:
it is estimated too, on a domain that is larger by the reach of the point spread function (Bertero and Boccacci, Astronomy and
Astrophysics 437, 2005), so that nothing rings at the edges. No number is taken from a block as a whole: a tile comes out like the
same pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from napari_synth.networks.sigma_map import gaussian_blur

_TINY = 1e-6
# Share of a pixel's light that falls into the field below which it is not estimated.
_SEEN = 0.01
# Of a step, where the total variation is weighed: a larger share lets rounding grow until blocks differ.
_CARRIED_ON = 0.7
_RAMP = 4.0
# Of the mean of the image: gradients below are taken for none.
_FLAT = 0.05


@dataclass(frozen=True)
class Light:
    """What a camera counted, in electrons.

    Attributes
    ----------
    counts : Tensor, (N, 1, *spatial)
        Not negative, with `ground` in them.
    ground : float
        What is added to every pixel: the variance of the read noise, so that its noise is like that of photons.
    level : float
        Mean of the counts without the ground over the whole image, at which an estimate begins.
    mask : Tensor or None
        1 where a pixel was counted and 0 where not; like `counts`.
    share : float
        Of all photons, those that are in the counts.
    gains : Tensor or None
        By what a correction multiplied each pixel of the image whose blur is taken out, so that so many times fewer photons were
        counted of it; like `counts`, which are those of the camera. None where nothing was multiplied.
    """

    counts: Tensor
    ground: float
    level: float
    mask: Tensor | None = None
    share: float = 1.0
    gains: Tensor | None = None

    @property
    def seen(self) -> Tensor:
        """What share of the light of a pixel was counted."""
        there = torch.ones_like(self.counts) if self.mask is None else self.mask
        return there if self.gains is None else there / self.gains

    @property
    def even(self) -> Tensor:
        """The counts without the ground as a correction multiplied them."""
        return self.counts - self.ground if self.gains is None else (self.counts - self.ground) * self.gains

    def expected(self, blurred: Tensor) -> Tensor:
        """Return the counts, without the ground, that are expected behind an image of the field."""
        return blurred if self.gains is None else blurred / self.gains


class Optics:
    """A point spread function on the domain of blocks of one size.

    Parameters
    ----------
    psf : Tensor, (*spatial)
        Odd sizes, the centre in the middle, sum 1.
    sizes : tuple of int
        Of a block along its spatial axes.
    mirrored : bool
        Whether the domain is the block and its mirror image, which meet without a step, rather than the block and what is in reach.
    """

    def __init__(self, psf: Tensor, sizes: tuple[int, ...], *, mirrored: bool = False) -> None:
        radius = tuple(size // 2 for size in psf.shape)
        self.sizes, self._axes = sizes, tuple(range(-len(sizes), 0))
        self._first = (0,) * len(sizes) if mirrored else radius
        self.domain = tuple(
            max(1, 2 * (s - 1)) if mirrored else next_fast_len(s + 2 * r, real=True)
            for s, r in zip(sizes, radius, strict=True)
        )
        wrapped = psf
        for axis, (size, r) in enumerate(zip(self.domain, radius, strict=True)):
            places = torch.arange(-r, r + 1, device=psf.device).remainder(size)
            folded = wrapped.new_zeros((*wrapped.shape[:axis], size, *wrapped.shape[axis + 1 :]))
            wrapped = folded.index_add_(axis, places, wrapped)
        self.transfer = torch.fft.rfftn(wrapped, dim=self._axes)

    def blur(self, estimate: Tensor) -> Tensor:
        """Return an estimate of the domain behind the point spread function."""
        return self.filtered(estimate, self.transfer)

    def back(self, ratios: Tensor) -> Tensor:
        """Return the adjoint of `blur`."""
        return self.filtered(ratios, self.transfer.conj())

    def filtered(self, values: Tensor, transfer: Tensor) -> Tensor:
        """Return values of the domain behind any filter."""
        spectrum = torch.fft.rfftn(values, dim=self._axes)
        result: Tensor = torch.fft.irfftn(spectrum.mul_(transfer), s=self.domain, dim=self._axes)
        return result

    @property
    def field(self) -> tuple[slice, ...]:
        """Where the block lies in the domain."""
        return tuple(slice(r, r + s) for r, s in zip(self._first, self.sizes, strict=True))

    def crop(self, values: Tensor) -> Tensor:
        """Return the block of values of the domain."""
        part: tuple[Any, ...] = (..., *self.field)
        return values[part]

    def embed(self, block: Tensor, fill: float = 0.0) -> Tensor:
        """Return a block in its domain."""
        domain = block.new_full((*block.shape[: -len(self.sizes)], *self.domain), fill)
        part: tuple[Any, ...] = (..., *self.field)
        domain[part] = block
        return domain

    @cached_property
    def frequencies(self) -> Tensor:
        """The eigenvalues of minus the Laplacian, 0 to 4 an axis, at every frequency of the domain."""
        total: Tensor = self.transfer.real.new_zeros(())
        for axis, size in zip(self._axes, self.domain, strict=True):
            count = self.transfer.shape[axis]
            angle = torch.arange(count, device=total.device, dtype=total.dtype) * (2.0 * torch.pi / size)
            shape = [1] * len(self.domain)
            shape[axis] = count
            total = total + (2.0 - 2.0 * torch.cos(angle)).reshape(shape)
        return total


def richardson_lucy(optics: Optics, light: Light, *, accelerated: bool = True, weight: float = 0.0) -> Iterator[Tensor]:
    """Yield the estimate on the domain after every iteration, without end.

    Parameters
    ----------
    optics : Optics
    light : Light
    accelerated : bool
        Whether each step is carried on in its direction, the further the more steps were made (Wang and Miller, IEEE TIP 23,
        2014). The share depends on the number of the step alone, so that it is the same in every block.
    weight : float
        Of the total variation (Dey et al., 2006); 0 for none.
    """
    counts, share, seen = _on_domain(optics, light)
    estimate, before = _start(optics, light), None
    step = 0
    while True:
        ahead = estimate
        if accelerated and before is not None:
            further = step / (step + 3.0) if weight == 0.0 else min(step / (step + 3.0), _CARRIED_ON)
            ahead = (estimate + further * (estimate - before)).clamp_min_(0.0)
            step += 1
        expected = (share * optics.blur(ahead)).add_(light.ground).clamp_min_(_TINY)
        change = _per_light(optics.back(share * counts / expected), seen)
        if weight > 0.0:
            change = change / (1.0 - weight * _curvature(ahead, len(optics.sizes), light.level)).clamp_min(0.1)
        before, estimate = estimate, (ahead * change).clamp_min_(0.0)
        yield estimate


def gradient_consensus(optics: Optics, light: Light) -> Iterator[Tensor]:
    """Yield the estimate after every iteration, each of which changes only what two halves of the photons agree on.

    The photons are split anew in every iteration, by numbers that follow from the counts around each pixel: so every block that
    sees a pixel splits it in the same way.
    """
    counts, share, seen = _on_domain(optics, light)
    estimate = _start(optics, light)
    words = _words_of(light.counts)
    whole = light.counts.round()
    step = 0
    while True:
        first = optics.embed(_half_of(whole, words, step))
        expected = (share * optics.blur(estimate)).add_(light.ground).clamp_min_(_TINY)
        both = [
            _per_light(optics.back(share * 2.0 * half / expected), seen)
            for half in (first, (counts - first).clamp_min(0.0))
        ]
        product = (both[0] - 1.0) * (both[1] - 1.0)
        # From no consensus to a whole one in a ramp rather than in a step, over which rounding would decide.
        agreed = (optics.blur(product) / optics.blur(product.abs()).clamp_min(1e-12)).mul_(_RAMP).clamp_(0.0, 1.0)
        estimate = (estimate * (1.0 + agreed * (0.5 * (both[0] + both[1]) - 1.0))).clamp_min_(0.0)
        step += 1
        yield estimate


Denoise = Callable[[Tensor, Tensor], Tensor]
"""Takes noise out of planes (P, 1, Y, X), with a map of its standard deviation of the same shape."""


def plug_and_play(
    optics: Optics, light: Light, denoise: Denoise, strengths: Sequence[float], weight: float, inner: int
) -> Iterator[Tensor]:
    """Yield the estimate after every step, each of which explains the photons better and then passes through a denoiser.

    Half-quadratic splitting (Zhang et al., Plug-and-play image restoration with deep denoiser prior, IEEE TPAMI 44, 2022) with the
    likelihood of photons in place of a squared error: an iteration of expectation maximisation with a quadratic penalty has a
    solution in closed form that is never negative (De Pierro, IEEE TMI 14, 1995). Where little light comes from the denoiser is
    told of little noise. Volumes pass through it as planes of YX, ZX and ZY in turn, and the mean of the last three is taken:
    what a plane alone makes up is not there in the others.

    Parameters
    ----------
    optics : Optics
    light : Light
    denoise : callable
    strengths : sequence of float
        What noise the denoiser is told of in each step, over that of the photons of the mean of the image.
    weight : float
        Of the distance to what the denoiser made, over that of noise.
    inner : int
        Iterations in each step.
    """
    counts, share, seen = _on_domain(optics, light)
    estimate = _start(optics, light)
    level = max(light.level, _TINY)
    noise = (level + light.ground) ** 0.5
    # Of fewer photons, as many times stronger where a correction multiplied them.
    stronger = 1.0 if light.gains is None else optics.embed(light.gains, 1.0).sqrt_()
    spread = stronger * torch.full_like(estimate, noise)
    made: list[Tensor] = []
    for step, strength in enumerate(strengths):
        pull = weight / (strength * spread).square()
        base = pull * (made[-1] if made else estimate) - seen
        before = None
        for i in range(inner):
            ahead = estimate if before is None else (estimate + i / (i + 3.0) * (estimate - before)).clamp_min_(0.0)
            expected = (share * optics.blur(ahead)).add_(light.ground).clamp_min_(_TINY)
            gained = ahead * optics.back(share * counts / expected).clamp_min_(0.0)
            before, estimate = estimate, (base + (base.square() + 4.0 * pull * gained).sqrt_()) / (2.0 * pull)
        spread = stronger * noise * (_smooth(estimate) / level).clamp_min_(_DARKEST).sqrt_()
        made = [*made[1 - _ORIENTATIONS :], _by_planes(denoise, estimate, strength * spread, step).clamp_min_(0.0)]
        yield torch.stack(made).mean(0)
        # What is nothing would stay so.
        estimate = made[-1].clamp_min(_LEAST * level)


_DARKEST, _LEAST = 0.1, 1e-4
_NEAR = 1.5
_ORIENTATIONS = 3


def _smooth(values: Tensor) -> Tensor:
    h, w = values.shape[-2:]
    return gaussian_blur(values.reshape(-1, 1, h, w), _NEAR).reshape(values.shape)


def _by_planes(denoise: Denoise, values: Tensor, sigma: Tensor, step: int) -> Tensor:
    """Return the planes of one orientation behind a denoiser: those of YX first, then ZX, then ZY."""
    normal = (-3, -2, -1)[step % _ORIENTATIONS] if values.ndim == _VOLUME else -3
    values, sigma = (one.movedim(normal, -3) for one in (values, sigma))
    h, w = values.shape[-2:]
    made = denoise(values.reshape(-1, 1, h, w), sigma.reshape(-1, 1, h, w)).reshape(values.shape)
    return made.movedim(-3, normal)


_VOLUME = 5


def wiener(optics: Optics, light: Light, regularization: float) -> Tensor:
    """Return what Wiener's filter makes of counts, on the domain; natural images have less power the finer it is.

    Parameters
    ----------
    optics : Optics
    light : Light
    regularization : float
        Power of the noise over that of the signal at the period of about 6 pixels.
    """
    power = optics.transfer.abs().square()
    inverse = optics.transfer.conj() / (power + regularization * optics.frequencies).clamp_min(1e-12)
    return optics.filtered(extended(optics, light), inverse)


def extended(optics: Optics, light: Light) -> Tensor:
    """Return counts without the ground on the domain, mirrored at the borders of the field; the mirrors meet far from it."""
    counts = light.even
    if light.mask is not None:
        counts = filled(counts, light.mask)
    for axis, (length, part) in enumerate(zip(optics.domain, optics.field, strict=True)):
        counts = mirrored(counts, axis + 2, torch.arange(length, device=counts.device) - part.start)
    return counts


def filled(counts: Tensor, mask: Tensor) -> Tensor:
    """Return counts with the mean of what was counted around each pixel that was not, in its plane."""
    h, w = counts.shape[-2:]
    planes, weights = counts.reshape(-1, 1, h, w), mask.reshape(-1, 1, h, w)
    mean = gaussian_blur(planes * weights, 1.0) / gaussian_blur(weights, 1.0).clamp_min(_TINY)
    return torch.where(weights > 0, planes, mean).reshape(counts.shape)


def mirrored(values: Tensor, axis: int, places: Tensor) -> Tensor:
    """Return values at places along an axis, which is mirrored at its ends, however far beyond they are.

    Parameters
    ----------
    values : Tensor
    axis : int
    places : Tensor, (count,)
        Whole numbers.
    """
    size = values.shape[axis]
    if size == 1:
        return values.index_select(axis, torch.zeros_like(places))
    turned = places.remainder(2 * (size - 1))
    return values.index_select(axis, torch.where(turned > size - 1, 2 * (size - 1) - turned, turned))


def _on_domain(optics: Optics, light: Light) -> tuple[Tensor, Tensor, Tensor]:
    """Return counts on the domain, what share of the light of each of its pixels is counted, and of that which comes from each."""
    share = optics.embed(light.seen)
    return optics.embed(light.counts), share, optics.back(share)


def _start(optics: Optics, light: Light) -> Tensor:
    n, c = light.counts.shape[:2]
    return light.counts.new_full((n, c, *optics.domain), max(light.level, _TINY))


def _per_light(values: Tensor, seen: Tensor) -> Tensor:
    """Return values over the share of light that is counted; 1 where hardly any is."""
    return torch.where(seen > _SEEN, values / seen.clamp_min(_SEEN), 1.0)


def _curvature(estimate: Tensor, dims: int, level: float) -> Tensor:
    """Return the divergence of the normalised gradient."""
    axes = tuple(range(-dims, 0))
    steps = [torch.roll(estimate, -1, axis) - estimate for axis in axes]
    length = torch.stack([step.square() for step in steps]).sum(0).add((_FLAT * level) ** 2 + 1e-12).sqrt()
    total = torch.zeros_like(estimate)
    for axis, step in zip(axes, steps, strict=True):
        flow = step / length
        total += flow - torch.roll(flow, 1, axis)
    return total


_MIX = (-7046029254386353131, -4417276706812531889, 1609587929392839161)


def _words_of(counts: Tensor) -> Tensor:
    """Return a whole number of 64 bits for every pixel that follows from the counts in its plane within two pixels."""
    whole = counts.round().to(torch.int64)
    height, width = whole.shape[-2:]
    for axis, size in ((-2, height), (-1, width)):
        # Mirrored, so that a border does not look at the other one, which is another in every block.
        whole = mirrored(whole, axis, torch.arange(-2, size + 2, device=whole.device))
    word = torch.zeros_like(counts, dtype=torch.int64)
    for dy in range(5):
        for dx in range(5):
            word = (word + whole[..., dy : dy + height, dx : dx + width]) * _MIX[0]
            word = word ^ (word >> 29)
    return word


def _half_of(whole: Tensor, words: Tensor, step: int) -> Tensor:
    """Return how many of so many photons a fair coin gives to the first half; nearly normal numbers where there are many."""
    bits = _scrambled(words + (((step + 1) * _MIX[2] + 2**63) % 2**64 - 2**63))
    other = _scrambled(bits ^ _MIX[1])
    few = whole.clamp(0, 62).to(torch.int64)
    exact = _ones(bits & ((torch.ones_like(few) << few) - 1))
    uniform = [((one >> 11) & ((1 << 52) - 1)).to(torch.float64).add(0.5).div(float(1 << 52)) for one in (bits, other)]
    normal = torch.sqrt(-2.0 * uniform[0].log()) * torch.cos(2.0 * torch.pi * uniform[1])
    many = (0.5 * whole.double() + 0.5 * whole.double().sqrt() * normal).round()
    drawn = torch.where(whole > 62, many, exact.double())
    return torch.minimum(drawn.clamp_min(0.0), whole.double()).to(whole.dtype)


def _scrambled(words: Tensor) -> Tensor:
    for factor in _MIX[:2]:
        words = (words ^ ((words >> 30) & ((1 << 34) - 1))) * factor
    return words ^ ((words >> 31) & ((1 << 33) - 1))


def _ones(words: Tensor) -> Tensor:
    """Return how many bits of each number are set; none of the two highest is."""
    words = words - ((words >> 1) & 0x5555555555555555)
    words = (words & 0x3333333333333333) + ((words >> 2) & 0x3333333333333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (words * 0x0101010101010101) >> 56
