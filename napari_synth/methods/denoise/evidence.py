"""What else shows the same as a plane: the frames before and after, the planes above and below, the volume cut in other directions.

Each kind of evidence is tried on held-out photons, and the best is taken: the image is split in two whose noise has nothing in
common, one is restored, and the other tells how well. Evidence that makes a result worse loses there against none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from torch import Tensor

from napari_synth.contract.generator import BlockSpec, Context
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise.motion import (
    Displacement,
    Motion,
    inside,
    measure_motions,
    moved,
    noise_correlation,
    noise_gain,
)
from napari_synth.methods.noise_conditioning import Condition
from napari_synth.networks.sigma_map import gaussian_blur

Restore = Callable[[Tensor, Tensor, tuple[float, float]], Tensor]
"""Restores planes (P, C, H, W) with the variance of their noise and its correlation between neighbours along y and x."""

_RADIUS = 2
_SCALES = (1.0, 3.0)
# Squared differences in units of the noise: up to the first they are noise, and beyond they count less and less. Less tolerance
# rejects what differs by chance, and the mean of the rest is too near to what it is compared with.
_TOLERANCE, _SOFT = 6.0, 4.0
_NAMES = {"T": "frames", "Z": "z planes"}
# Coarser than that across than along planes, a volume shows other shapes when it is cut in other directions.
_MOST_ANISOTROPY = 2.5
_FEWEST_PLANES = 8
_BYTES_PER_PIXEL, _BYTES_PER_VOXEL = 320, 72
_MOST_VOXELS = 2**24
_AT_ONCE = 2**20
_STILL = 0.2

_PROBES = 3
_PROBE_EDGE = 192
_VOLUME_PROBES, _VOLUME_EDGE, _VOLUME_DEPTH = 2, 80, 40
# Standard deviation of the noise that is added, in that of the noise there is.
_SPLIT = 0.7
_SURE = 1.0


class Evidence(ABC):
    """What is put together before, or behind, the network.

    Attributes
    ----------
    axes : str
        The three spatial axes of its blocks.
    """

    axes: str

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, in a sentence that lists what was compared."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """Say in plain words what is done."""

    @abstractmethod
    def spec(self, halo: int, multiple: int) -> BlockSpec:
        """Return what blocks must be like, for a network with this halo and multiple."""

    @abstractmethod
    def restored(self, block: Tensor, condition: Condition, restore: Restore) -> Tensor:
        """Restore blocks (N, C, D, H, W).

        Parameters
        ----------
        block : Tensor, (N, C, D, H, W)
        condition : Condition
            What is known of the noise.
        restore : callable
            The network, on planes.
        """

    def turned(self, change: Callable[[Displacement], Displacement]) -> Evidence:
        """Return the same for images whose planes are turned, where `change` turns a displacement along y and x."""
        return self


@dataclass(frozen=True)
class Neighbours(Evidence):
    """Planes along one axis, in register where they are the frames of a movie.

    Attributes
    ----------
    axis : str
        ``"T"`` or ``"Z"``.
    radius : int
        Planes on each side.
    motion : Motion or None
        What moves how; None where nothing does.
    correlation : tuple of float
        How the noise of neighbours along y and x goes together in what was merged, beyond that of the image.
    """

    axis: str
    radius: int
    motion: Motion | None = None
    correlation: tuple[float, float] = (0.0, 0.0)

    @property
    def axes(self) -> str:  # type: ignore[override]
        """The three spatial axes of its blocks."""
        return self.axis + "YX"

    @property
    def name(self) -> str:
        """What it is."""
        what = f"neighbouring {_NAMES[self.axis]}"
        return what if self.motion is None else f"{what} in register"

    @property
    def sentence(self) -> str:
        """Say in plain words what is done."""
        said = (
            f"{self.radius} neighbouring {_NAMES[self.axis]} on each side are used as evidence where they show the same"
        )
        if self.motion is None:
            return said
        others = len(self.motion.displacements[0]) - 1
        more = f", {others} more displacements in parts" if others > 1 else ", another one in parts" if others else ""
        return f"{said}, after registration ({self.motion.fastest:.1f} pixels from one to the next{more})"

    def spec(self, halo: int, multiple: int) -> BlockSpec:
        """Return what blocks must be like; see `Evidence.spec`."""
        if self.motion is not None:
            halo += multiple * ceil(self.motion.reach / multiple)
        return BlockSpec.volume(
            self.axes,
            (self.radius, halo, halo),
            multiple=(1, multiple, multiple),
            bytes_per_pixel=_BYTES_PER_PIXEL,
        )

    def turned(self, change: Callable[[Displacement], Displacement]) -> Neighbours:
        """Return the same for images whose planes are turned; see `Evidence.turned`."""
        y, x = change(self.correlation)
        motion = None if self.motion is None else self.motion.turned(change)
        return replace(self, motion=motion, correlation=(abs(y), abs(x)))

    def restored(self, block: Tensor, condition: Condition, restore: Restore) -> Tensor:
        """Merge every plane with those beside it, and restore it; see `Evidence.restored`."""
        planes = block.transpose(1, 2)
        c, h, w = planes.shape[2:]
        variance = condition.variance(planes.reshape(-1, c, h, w))
        guides = None
        if self.motion is not None and any(len(lag) > 1 for lag in self.motion.displacements):
            guides = in_parts(restore, planes.reshape(-1, c, h, w), variance, condition.correlation).reshape(
                planes.shape
            )
        merged, left = self.merged(planes, variance.reshape(planes.shape), guides, condition)
        correlation = (
            max(condition.correlation[0], self.correlation[0]),
            max(condition.correlation[1], self.correlation[1]),
        )
        restored = in_parts(restore, merged.reshape(-1, c, h, w), left.reshape(-1, c, h, w), correlation)
        return restored.reshape(planes.shape).transpose(1, 2)

    def merged(
        self, planes: Tensor, variance: Tensor, guides: Tensor | None, condition: Condition
    ) -> tuple[Tensor, Tensor]:
        """Return merged planes and the variance of their noise.

        Parameters
        ----------
        planes, variance : Tensor, (N, D, C, H, W)
            Noisy planes and the variance of their noise.
        guides : Tensor, (N, D, C, H, W), or None
            Denoised planes, by which is told what moved how, where there is a choice.
        condition : Condition
        """
        depth, gains = planes.shape[1], blur_gains(condition.correlation)
        total, weight, left = planes.clone(), torch.ones_like(planes), variance.clone()
        for lag in (lag for size in range(1, min(self.radius, depth - 1) + 1) for lag in (size, -size)):
            here = slice(max(0, -lag), depth - max(0, lag))
            there = slice(max(0, lag), depth - max(0, -lag))
            a, b, var_a, var_b = (
                one.flatten(0, 1) for one in (planes[:, here], planes[:, there], variance[:, here], variance[:, there])
            )
            shape = planes[:, here].shape
            for displacement, likely in self._displacements(guides, here, there, var_a + var_b, lag):
                noise = noise_gain(displacement)
                seen, var = moved(b, displacement), moved(var_b, displacement).clamp_min(0.0) * noise
                same = agreement(a, seen, var_a, var, gains) * likely * inside(seen, displacement)
                total[:, here] += (same * seen).reshape(shape)
                weight[:, here] += same.reshape(shape)
                left[:, here] += (same.square() * var).reshape(shape)
        return total / weight, left / weight.square()

    def _displacements(
        self, guides: Tensor | None, here: slice, there: slice, variance: Tensor, lag: int
    ) -> Sequence[tuple[Displacement, Tensor | float]]:
        if self.motion is None:
            return [((0.0, 0.0), 1.0)]
        if guides is None:
            sign = 1.0 if lag > 0 else -1.0
            y, x = self.motion.displacements[abs(lag) - 1][0]
            return [((sign * y, sign * x), 1.0)]
        return self.motion.registered(guides[:, here].flatten(0, 1), guides[:, there].flatten(0, 1), variance, lag)


@dataclass(frozen=True)
class Orientations(Evidence):
    """A volume restored as planes of three directions, whose mean is taken.

    Attributes
    ----------
    radius : int
        Planes on each side with which each is merged before; 0 for none.
    """

    radius: int = 0
    axes: str = "ZYX"

    @property
    def name(self) -> str:
        """What it is."""
        return "planes of three orientations" + (" with their neighbours" if self.radius else "")

    @property
    def sentence(self) -> str:
        """Say in plain words what is done."""
        said = "The volume is restored as planes of three orientations (XY, XZ and YZ), whose mean is taken"
        return said + (", each plane with its neighbours where they show the same" if self.radius else "")

    def spec(self, halo: int, multiple: int) -> BlockSpec:
        """Return what blocks must be like; see `Evidence.spec`."""
        return replace(
            BlockSpec.volume(self.axes, (halo,) * 3, multiple=(multiple,) * 3, bytes_per_pixel=_BYTES_PER_VOXEL),
            most_pixels=_MOST_VOXELS,
        )

    def restored(self, block: Tensor, condition: Condition, restore: Restore) -> Tensor:
        """Restore the planes of each direction; see `Evidence.restored`."""
        y, x = condition.correlation
        total = torch.zeros_like(block)
        # Which axis of the block comes first, and how the noise of neighbours goes together along the other two.
        for first, correlation in ((2, (y, x)), (3, (0.0, x)), (4, (0.0, y))):
            turned = block.movedim(first, 2)
            one = replace(condition, correlation=correlation)
            for start, reach, part, own in _slabs(turned, self.radius):
                here = one.turned(first, reach)
                if self.radius:
                    restored = Neighbours("Z", self.radius).restored(part, here, restore)[:, :, own]
                else:
                    planes = part.transpose(1, 2)
                    flat = planes.reshape(-1, *planes.shape[2:])
                    restored = in_parts(restore, flat, here.variance(flat), correlation)
                    restored = restored.reshape(planes.shape).transpose(1, 2)
                total.movedim(first, 2)[:, :, start : start + restored.shape[2]] += restored
        return total / 3


def _slabs(block: Tensor, radius: int) -> Iterator[tuple[int, slice, Tensor, slice]]:
    """Yield parts of blocks (N, C, D, H, W) along D with `radius` planes on each side, so that memory does not grow with D.

    Each comes with the place of its first plane, with that of the part, and with its own planes among those that it has.
    """
    depth, each = block.shape[2], max(1, _AT_ONCE // (block.shape[-1] * block.shape[-2] * block.shape[1]))
    for start in range(0, depth, each):
        first, stop = max(0, start - radius), min(depth, start + each)
        reach = slice(first, stop + radius)
        yield start, reach, block[:, :, reach], slice(start - first, stop - first)


def in_parts(restore: Restore, planes: Tensor, variance: Tensor, correlation: tuple[float, float]) -> Tensor:
    """Restore planes a few at a time, so that memory does not grow with their number.

    Parameters
    ----------
    restore : callable
        The network, on planes.
    planes, variance : Tensor, (P, C, H, W)
        Noisy planes and the variance of their noise.
    correlation : tuple of float
        Of the noise of neighbours along y and x.
    """
    each = max(1, _AT_ONCE // (planes.shape[-1] * planes.shape[-2] * planes.shape[1]))
    parts = []
    for start in range(0, len(planes), each):
        check_cancelled()
        part = slice(start, start + each)
        parts.append(restore(planes[part], variance[part], correlation))
    return torch.cat(parts)


def agreement(a: Tensor, b: Tensor, variance_a: Tensor, variance_b: Tensor, gains: tuple[float, ...]) -> Tensor:
    """Return how well noise explains the difference of two planes at every pixel: 1 fully, 0 not at all.

    Planes and variances are (P, C, H, W); colours are judged together.

    Parameters
    ----------
    a, b : Tensor, (P, C, H, W)
        The two planes.
    variance_a, variance_b : Tensor, (P, C, H, W)
        Of the noise of each.
    gains : tuple of float
        What is left of the noise after each of the blurs, as a factor on the variance.
    """
    difference, expected = a - b, (variance_a + variance_b).clamp_min(1e-12)
    worst = torch.zeros_like(difference[:, :1])
    for scale, gain in zip(_SCALES, gains, strict=True):
        excess = gaussian_blur(difference, scale).square() / (expected * gain)
        worst = torch.maximum(worst, excess.amax(1, keepdim=True))
    return torch.exp(-(worst - _TOLERANCE).clamp_min(0.0) / _SOFT).expand_as(difference)


def blur_gains(correlation: tuple[float, float]) -> tuple[float, ...]:
    """Return, for each smoothing, the variance after it over that before, for noise of exponential correlation."""
    gains = []
    for scale in _SCALES:
        gain = 1.0
        for rho in correlation:
            impulse = torch.zeros(1, 1, 1, 65)
            impulse[..., 32] = 1.0
            smooth = gaussian_blur(impulse, (0.0, scale)).flatten()
            lags = (torch.arange(65)[:, None] - torch.arange(65)[None, :]).abs()
            spectrum = torch.where(lags == 0, 1.0, torch.tensor(rho) ** lags)
            gain *= float(smooth @ spectrum @ smooth)
        gains.append(gain)
    return tuple(gains)


def choose_evidence(
    image: Image, condition: Condition, context: Context, restore: Restore, multiple: int
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Return the evidence that restores best, or None where none does better than a plane alone, and what to say of it.

    Parameters
    ----------
    image : Image
    condition : Condition
        What was measured of the noise.
    context : Context
    restore : callable
        The network, on planes.
    multiple : int
        What sizes of planes must be multiples of.
    """
    axes = [axis for axis in "TZ" if image.sizes.get(axis, 1) > 1]
    if condition.is_clean or not axes:
        return None, ()
    context.report.start("Comparing neighbouring planes")
    with torch.inference_mode():
        tried = [one for axis in axes for one in _tried(image, axis, condition, context, restore, multiple)]
    best = max(tried, key=lambda one: one.gain, default=None)
    if best is None:
        return None, ()
    if best.gain <= _SURE * best.error:
        names = " and ".join(dict.fromkeys(one.evidence.name.removesuffix(" in register") for one in tried))
        return None, (f"Each plane is restored alone: on held-out photons, {names} are no help.",)
    return best.evidence, (
        f"{best.evidence.sentence}: on held-out photons, the squared error is lower than that of each plane alone,"
        f" by {best.gain:.2g} ± {best.error:.1g} of the variance of the noise.",
    )


@dataclass(frozen=True)
class _Tried:
    """Evidence with what it gains.

    Attributes
    ----------
    evidence : Evidence
    gain : float
        The squared error that it saves against planes alone, in units of the variance of the noise.
    error : float
        The standard error of that.
    """

    evidence: Evidence
    gain: float
    error: float


def _tried(
    image: Image, axis: str, condition: Condition, context: Context, restore: Restore, multiple: int
) -> list[_Tried]:
    """Return what there is of evidence along one axis, with what it gains on held-out photons."""
    spacing = [image.spacing.get(one, 1.0) for one in "ZYX"]
    cubic = axis == "Z" and min(image.sizes.get("Z", 1), *(image.sizes[a] for a in "YX")) >= _FEWEST_PLANES
    cubic = cubic and max(spacing) < _MOST_ANISOTROPY * min(spacing)
    radius = min(_RADIUS, image.sizes[axis] - 1)
    length = min(image.sizes[axis], _VOLUME_DEPTH if cubic else 2 * radius + 1)
    edge, count = (_VOLUME_EDGE, _VOLUME_PROBES) if cubic else (_PROBE_EDGE, _PROBES)
    device = context.device.torch_name
    found_probes = _probes(image, axis, length, edge, count, context)
    probes = [_fitting(pixels.to(device), multiple, cubic) for pixels, _ in found_probes]
    conditions = [
        condition.beside(None if gains is None else _fitting(gains.to(device), multiple, cubic), condition.level)
        for _, gains in found_probes
    ]
    candidates: list[Evidence] = [Neighbours(axis, radius)]
    if cubic:
        candidates += [Orientations(), Orientations(1)]
    if axis == "T":
        guided = []
        for probe, own in zip(probes, conditions, strict=True):
            planes = probe[0].transpose(0, 1)
            variance = own.variance(planes)
            guided.append((in_parts(restore, planes, variance, condition.correlation), variance))
        candidates += _in_register(guided, axis, radius)
    generator = torch.Generator().manual_seed(context.seed)
    alone: list[Tensor] = []
    errors: list[list[Tensor]] = [[] for _ in candidates]
    for probe, own in zip(probes, conditions, strict=True):
        shown, hidden, unit = _split(probe, own, generator)
        middle = slice(None) if cubic else slice(length // 2, length // 2 + 1)
        planes = shown.transpose(1, 2)[:, middle]
        flat = planes.reshape(-1, *planes.shape[2:])
        known = _noisier(own)
        # Of one plane in the middle, or of all.
        alike = known.turned(2, middle)
        single = in_parts(restore, flat, alike.variance(flat), known.correlation).reshape(planes.shape).transpose(1, 2)
        alone.append(_squares(single, hidden[:, :, middle], unit))
        for i, candidate in enumerate(candidates):
            result = candidate.restored(shown, known, restore)[:, :, middle]
            errors[i].append(_squares(result, hidden[:, :, middle], unit))
    base = torch.cat(alone)
    found = []
    for candidate, squares in zip(candidates, errors, strict=True):
        saved = base - torch.cat(squares)
        found.append(_Tried(candidate, float(saved.mean()), float(saved.std()) / max(1, saved.numel()) ** 0.5))
    return found


def _in_register(guided: Sequence[tuple[Tensor, Tensor]], axis: str, radius: int) -> list[Evidence]:
    """Return the frames of a movie in register, in each of the ways in which they may have moved."""
    return [
        Neighbours(axis, radius, motion, _correlation(motion, radius))
        for motion in measure_motions(guided, radius)
        if any(abs(s) > _STILL for lag in motion.displacements for d in lag for s in d)
    ]


def _correlation(motion: Motion, radius: int) -> tuple[float, float]:
    """Return how the noise of neighbours goes together in planes that were merged with moved ones of the same weight."""
    total, variance = np.zeros(2), 1.0
    for lag, shares in zip(motion.displacements, motion.shares, strict=True):
        for displacement, share in zip(lag, shares, strict=True):
            noise = 2 * share * noise_gain(displacement)
            variance += noise
            total += noise * np.asarray(noise_correlation(displacement))
    y, x = np.clip(total / variance, 0.0, 0.9)
    return float(y), float(x)


def _noisier(condition: Condition) -> Condition:
    """Return the condition of an image to which noise was added; see `_split`."""
    return condition.stronger((1.0 + _SPLIT**2) ** 0.5)


def _split(probe: Tensor, condition: Condition, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return an image with more noise, one of the same scene whose noise has nothing to do with that, and the level of noise.

    With noise of standard deviation s, y + a z and y - z / a are independent where z is noise of that same strength.

    References
    ----------
    Pang et al., "Recorrupted-to-Recorrupted", CVPR 2021; Oliveira et al., "Unbiased risk estimation in the normal means problem via
    coupled bootstrap techniques", 2021.
    """
    n, c, depth, h, w = probe.shape
    planes = probe.transpose(1, 2).reshape(-1, c, h, w)
    sigma = condition.variance(planes).sqrt().reshape(n, depth, c, h, w).transpose(1, 2)
    noise = torch.randn(probe.shape, generator=generator)
    for axis, rho in zip((-2, -1), condition.correlation, strict=True):
        if rho > 0:
            noise = _correlated(noise, axis, rho)
    noise = noise.to(probe.device) * sigma
    return probe + _SPLIT * noise, probe - noise / _SPLIT, sigma.square().mean().sqrt().clamp_min(1e-6)


def _correlated(noise: Tensor, axis: int, rho: float) -> Tensor:
    """Return white noise with an exponential correlation along an axis, at its strength."""
    size = noise.shape[axis]
    frequency = torch.fft.rfftfreq(size) * 2 * torch.pi
    power = (1 - rho**2) / (1 - 2 * rho * frequency.cos() + rho**2)
    shape = [1] * noise.ndim
    shape[axis] = -1
    found: Tensor = torch.fft.irfft(torch.fft.rfft(noise, dim=axis) * power.sqrt().reshape(shape), n=size, dim=axis)
    return found


def _squares(result: Tensor, hidden: Tensor, unit: Tensor) -> Tensor:
    return ((result - hidden) / unit).square().mean(1).flatten()


def _probes(
    image: Image, axis: str, length: int, edge: int, count: int, context: Context
) -> list[tuple[Tensor, Tensor | None]]:
    """Return parts of the image, (1, C, length, Y, X), spread over it, each with by what its noise was multiplied."""
    others = [a for a in image.axes if a not in axis + "YXS"]
    found: list[tuple[Tensor, Tensor | None]] = []
    for probe in range(count):
        at = (probe + 0.5) / count
        where: dict[str, slice | int] = {a: min(image.sizes[a] - 1, int(at * image.sizes[a])) for a in others}
        where |= {"Y": _part(image.sizes["Y"], edge, at), "X": _part(image.sizes["X"], edge, 1 - at)}
        where[axis] = _part(image.sizes[axis], length, at)
        part = image.select(**where)
        order = [part.axes.index(a) for a in part.axes if a == "S"] + [part.axes.index(a) for a in axis + "YX"]
        pixels = torch.from_numpy(context.intensity.forward(part.read().transpose(order))).nan_to_num_().float()
        gains = torch.from_numpy(part.gain().transpose(order)) if part.gains else None
        if "S" not in part.axes:
            pixels, gains = pixels[None], None if gains is None else gains[None]
        found.append((pixels[None], None if gains is None else gains[None]))
    # Of a small image, all parts are one.
    return found[:1] if all(torch.equal(found[0][0], other) for other, _ in found[1:]) else found


def _part(size: int, length: int, at: float) -> slice:
    start = round((size - min(size, length)) * at)
    return slice(start, start + min(size, length))


def _fitting(probe: Tensor, multiple: int, cubic: bool) -> Tensor:
    """Return as much of a part as the network takes, padded by reflection where it is smaller."""
    for axis in (2, 3, 4) if cubic else (3, 4):
        size = probe.shape[axis]
        if size >= multiple:
            probe = probe.narrow(axis, 0, size // multiple * multiple)
        else:
            index = torch.arange(multiple, device=probe.device) % (2 * size)
            probe = probe.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return probe
