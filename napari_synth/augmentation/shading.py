"""What the transforms of `napari_synth.augmentation.intensities` do to batches of images.

Images are (B, T, C, Z, Y, X), with all of T, C and Z even where they are 1, and in units of their own range: 0 and 1 are its
low and high ends. Nothing is clipped: where kornia clips to [0, 1], what lies outside keeps its distance to that range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, hypot, pi

import torch
import torch.nn.functional as F
from kornia.enhance import adjust_brightness, adjust_contrast, adjust_gamma, adjust_hue, adjust_saturation
from torch import Tensor

from napari_synth.augmentation.filtering import blurred, smeared
from napari_synth.augmentation.plan import PlannedStep, generators

_FAINT = 0.15
"""Optical density of tissue that is hardly stained."""
_DARKEST = 1e-3
_MANY_PHOTONS = 12.0
_MOST_OF_FEW = 40


@dataclass(frozen=True)
class Scene:
    """What a function must know besides the images and the drawn values, of the active items alone.

    Attributes
    ----------
    step : PlannedStep
        For its random fields.
    low, high : Tensor (B, C)
        The range in counts.
    rgb : bool
        Whether the channels are red, green and blue.
    """

    step: PlannedStep
    low: Tensor
    high: Tensor
    rgb: bool

    def uniform(self, images: Tensor, *shape: int) -> Tensor:
        """Return numbers from 0 to 1, (B, *shape)."""
        device = images.device
        return torch.stack([torch.rand(shape, generator=g, device=device) for g in generators(self.step, device)]).to(
            images
        )

    def normal(self, images: Tensor, *shape: int) -> Tensor:
        """Return numbers of mean 0 and standard deviation 1, (B, *shape)."""
        device = images.device
        return torch.stack([torch.randn(shape, generator=g, device=device) for g in generators(self.step, device)]).to(
            images
        )


Values = Mapping[str, Tensor]


def shade(
    images: Tensor,
    steps: tuple[PlannedStep, ...],
    low: Tensor,
    high: Tensor,
    *,
    rgb: bool,
    partner: Tensor | None = None,
) -> Tensor:
    """Apply the intensity transforms of a plan in order, each to the items that are active.

    Parameters
    ----------
    images : Tensor (B, T, C, Z, Y, X)
        In units of the range.
    steps : tuple of PlannedStep
    low, high : Tensor (B, C)
        The range in counts.
    rgb : bool
    partner : Tensor (B, T, C, Z, Y, X), optional
        What MixUp and CutMix bring in; other items of the batch where left out.
    """
    for step in steps:
        if step.kind in MIXING:
            if partner is None:
                others = partners(step).to(images.device)
                shape = (len(images), 1, -1, 1, 1, 1)
                spread = high - low
                scale, shift = spread[others] / spread, (low[others] - low) / spread
                # Counts stay counts: units of one range become units of the other.
                partner_now = images[others] * scale.to(images).view(shape) + shift.to(images).view(shape)
            else:
                partner_now = partner
            images = _mixed(images, partner_now, step)
            continue
        function = _FUNCTIONS[step.kind]
        if bool(step.active.all()):
            images = function(images, _moved(step.values, images), Scene(step, low, high, rgb))
            continue
        chosen = step.active.nonzero()[:, 0]
        own = _moved({name: value[chosen] for name, value in step.values.items()}, images)
        rows = chosen.to(images.device)
        part = function(images[rows], own, Scene(step, low[rows], high[rows], rgb))
        images = images.index_copy(0, rows, part)
    return images


def shades(kind: str) -> bool:
    """Whether a transform is one of intensities."""
    return kind in _FUNCTIONS or kind in MIXING


def partners(step: PlannedStep) -> Tensor:
    """Return which other item of the batch each item is mixed with; itself where there is no other."""
    count = len(step.active)
    others = torch.floor(step.values["partner"] * max(count - 1, 1)).long()
    return (torch.arange(count) + (1 + others if count > 1 else 0)) % count


def box_mask(box: Tensor, sizes: tuple[int, int], device: torch.device) -> Tensor:
    """Return which pixels (..., Y, X) lie in boxes (..., 4): first Y, first X, height and width, in parts of the frame.

    Parameters
    ----------
    box : Tensor, (..., 4)
        First Y, first X, height and width, in parts of the frame (0 to 1).
    sizes : (int, int)
        Height and width of the frame in pixels.
    device : torch.device
        Of the result.
    """
    height, width = sizes
    box = box.to(device)
    top, left = box[..., 0:1], box[..., 1:2]
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    rows = (y >= top) & (y < top + box[..., 2:3])
    columns = (x >= left) & (x < left + box[..., 3:4])
    return rows[..., :, None] & columns[..., None, :]


def _moved(values: Values, images: Tensor) -> dict[str, Tensor]:
    return {name: value.to(images) for name, value in values.items()}


def _mixed(images: Tensor, other: Tensor, step: PlannedStep) -> Tensor:
    active = _each(step.active.to(images.device))
    if step.kind == "mixup":
        weight = _each(step.values["weight"].to(images)) * active
        return torch.lerp(images, other, weight.expand_as(images))
    mask = box_mask(step.values["box"], (images.shape[-2], images.shape[-1]), images.device)
    return torch.where(mask[:, None, None, None] & active, other, images)


def _each(value: Tensor) -> Tensor:
    """Return one value an item (B,), to be combined with images."""
    return value.view(-1, 1, 1, 1, 1, 1)


def _within(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Change what lies in [0, 1]; what lies outside keeps its distance to it."""
    inner = images.clamp(0.0, 1.0)
    return function(inner) + (images - inner)


def _brightness(images: Tensor, values: Values, scene: Scene) -> Tensor:
    changed: Tensor = adjust_brightness(images, values["add"], clip_output=False)
    return changed


def _contrast(images: Tensor, values: Values, scene: Scene) -> Tensor:
    mean = images.mean((1, 3, 4, 5), keepdim=True)
    changed: Tensor = adjust_contrast(images - mean, values["factor"], clip_output=False) + mean
    return changed


def _gamma(images: Tensor, values: Values, scene: Scene) -> Tensor:
    def raised(inner: Tensor) -> Tensor:
        # Straight below a millionth, where the slope of a power has no bound.
        safe = inner.clamp(min=_DARKEST**2)
        changed: Tensor = adjust_gamma(safe, values["gamma"]) * (inner / safe)
        return changed

    return _within(images, raised)


def _blur(images: Tensor, values: Values, scene: Scene) -> Tensor:
    return blurred(images.flatten(1, 2), values["sigmas"]).view(images.shape)


def _sharpen(images: Tensor, values: Values, scene: Scene) -> Tensor:
    sigmas = values["sigma"][:, None].expand(-1, 2)
    soft = blurred(images.flatten(1, 3), sigmas).view(images.shape)
    return images + _each(values["amount"]) * (images - soft)


def _colour_jitter(images: Tensor, values: Values, scene: Scene) -> Tensor:
    images = images * values["gains"].view(len(images), 1, -1, 1, 1, 1)
    if not scene.rgb:
        return images
    # Kornia wants the colours third from the end, and an angle.
    pixels = images.movedim(2, 3)
    shape = (-1, 1, 1, 1, 1, 1)

    def jittered(inner: Tensor) -> Tensor:
        inner = adjust_saturation(inner, values["saturation"].view(shape))
        changed: Tensor = adjust_hue(inner, values["hue"].view(shape) * 2 * pi)
        return changed

    return _within(pixels, jittered).movedim(3, 2)


def _illumination(images: Tensor, values: Values, scene: Scene) -> Tensor:
    grid = int(values["grid"][0])
    coarse = scene.uniform(images, 1, grid, grid)
    field = F.interpolate(coarse * 2 - 1, images.shape[-2:], mode="bicubic", align_corners=True)
    return images * torch.exp(_each(values["strength"]) * field[:, None, None])


def _vignetting(images: Tensor, values: Values, scene: Scene) -> Tensor:
    y, x = _aside(images, values["centre"])
    square = (y * y)[:, :, None] + (x * x)[:, None]
    falloff = square / square.flatten(1).amax(1).clamp(min=1e-12)[:, None, None]
    return images * (1 - _each(values["strength"]) * falloff[:, None, None, None])


def _camera_noise(images: Tensor, values: Values, scene: Scene) -> Tensor:
    shape = (len(images), 1, -1, 1, 1, 1)
    low, high = scene.low.to(images).view(shape), scene.high.to(images).view(shape)
    known, offset = (_each(part) for part in values["offset"].unbind(1))
    black = torch.where(known > 0, (offset - low) / (high - low), torch.zeros_like(offset))
    known, gain = (_each(part) for part in values["gain"].unbind(1))
    counts = (1 - black) * (high - low)
    photons = torch.where(known > 0, counts / gain.clamp(min=1e-12), _each(values["photons"])).clamp(min=1e-3)
    unit = (1 - black).clamp(min=1e-6) / photons
    expected = (images - black) / unit
    rates = expected.detach().clamp(min=0.0)
    sources = generators(scene.step, images.device)
    counted = torch.stack([_counted(rate, source) for rate, source in zip(rates, sources, strict=True)])
    # Counting has no gradient; its mean has.
    electrons = expected + (counted - rates)
    read = torch.stack(
        [torch.randn(rate.shape, generator=s, device=rate.device) for rate, s in zip(rates, sources, strict=True)]
    )
    return black + unit * (electrons + _each(values["read_noise"]) * read.to(images))


def _counted(rates: Tensor, source: torch.Generator) -> Tensor:
    """Count photons, one random number a pixel.

    Where they are many, by a normal distribution with the skewness of Poisson's; where they are few, by inverting its cumulative
    distribution. Other methods use more numbers the brighter a pixel is, and a pixel's noise would hang on all others.
    """
    normal = torch.randn(rates.shape, generator=source, device=rates.device, dtype=torch.float32).to(rates)
    counts = (rates + rates.sqrt() * normal + (normal * normal - 1) / 6).round_()
    few = rates < _MANY_PHOTONS
    mean, share = rates[few], torch.special.ndtr(normal[few])
    if mean.numel():
        probability = torch.exp(-mean)
        below, number = probability.clone(), torch.zeros_like(mean)
        for count in range(1, _MOST_OF_FEW):
            number += share > below
            probability *= mean / count
            below += probability
        counts[few] = number
    return counts


def _bleaching(images: Tensor, values: Values, scene: Scene) -> Tensor:
    times = images.shape[1]
    when = torch.linspace(0.0, 1.0, times, dtype=images.dtype, device=images.device).view(1, -1, 1, 1, 1, 1)
    return images * _each(values["left"]) ** when


def _motion_blur(images: Tensor, values: Values, scene: Scene) -> Tensor:
    moved = smeared(images.flatten(1, 3), values["length"], values["degrees"], values["lopsided"])
    return moved.view(images.shape)


def _stripes(images: Tensor, values: Values, scene: Scene) -> Tensor:
    rows, columns = (_lines(images, values, scene, images.shape[axis]) for axis in (-2, -1))
    pattern = torch.where(
        _each(values["rows"]) > 0.5, rows[:, None, None, None, :, None], columns[:, None, None, None, None]
    )
    return images + _each(values["strength"]) * pattern


def _rings(images: Tensor, values: Values, scene: Scene) -> Tensor:
    height, width = images.shape[-2:]
    y, x = _aside(images, values["centre"])
    radius = torch.sqrt((y * y * height**2)[:, :, None] + (x * x * width**2)[:, None])
    # The same for every centre, so that an item's rings do not hang on the rest of its batch.
    count = ceil(hypot(height, width)) + 2
    profile = _lines(images, values, scene, count)
    below = torch.floor(radius).clamp(max=count - 2)
    part = radius - below
    index = below.long().flatten(1)
    pattern = torch.lerp(profile.gather(1, index), profile.gather(1, index + 1), part.flatten(1)).view(radius.shape)
    return images + _each(values["strength"]) * pattern[:, None, None, None]


def _erase(images: Tensor, values: Values, scene: Scene) -> Tensor:
    boxes = values["boxes"].view(len(images), -1, 4)
    mask = box_mask(boxes, (images.shape[-2], images.shape[-1]), images.device).any(1)[:, None, None, None]
    mean = images.mean((1, 3, 4, 5), keepdim=True)
    texture = int(values["fill"][0])
    if texture == 1:
        filled = torch.zeros_like(mean)
    elif texture == 2:
        spread = images.std((1, 3, 4, 5), keepdim=True, correction=0)
        filled = mean + spread * scene.normal(images, *images.shape[1:])
    else:
        filled = mean
    return torch.where(mask, filled, images)


def _histogram_jitter(images: Tensor, values: Values, scene: Scene) -> Tensor:
    rises = values["rises"]
    count = rises.shape[1]

    def bent(inner: Tensor) -> Tensor:
        total = torch.zeros_like(inner)
        for piece in range(count):
            total = total + _each(rises[:, piece]) * (inner * count - piece).clamp(0.0, 1.0)
        return total

    return _within(images, bent)


def _stain_jitter(images: Tensor, values: Values, scene: Scene) -> Tensor:
    # Optical densities of haematoxylin, eosin and DAB (Ruifrok & Johnston, 2001), one a row.
    stains = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=torch.float64)
    stains = stains / stains.norm(dim=1, keepdim=True)
    pixels = images.movedim(2, -1)
    dark = pixels.clamp(min=_DARKEST)
    amounts = -torch.log(dark) @ torch.linalg.inv(stains).to(images)
    # Unstained glass has nothing to shift.
    stained = 1 - torch.exp(-((amounts.abs().sum(-1, keepdim=True) / _FAINT) ** 2))
    shape = (len(images), 1, 1, 1, 1, 3)
    changed = amounts * values["factors"].view(shape) + values["shifts"].view(shape) * stained
    result = torch.exp(-(changed @ stains.to(images))) + (pixels - dark)
    return result.movedim(-1, 2)


def _lines(images: Tensor, values: Values, scene: Scene, count: int) -> Tensor:
    """Return the brightness of lines (B, count), of which only a share differs from 0."""
    strengths, chosen = scene.normal(images, 2, count).unbind(1)
    # The share of a normal distribution below this is the share of lines.
    limit = torch.special.ndtri(values["share"].double().clamp(1e-6, 1 - 1e-6)).to(images)
    return torch.where(chosen < limit[:, None], strengths, torch.zeros_like(strengths))


def _aside(images: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances (B, Y) and (B, X) from a centre (B, 2), both in parts of the frame."""
    height, width = images.shape[-2:]
    y = (torch.arange(height, device=images.device, dtype=images.dtype) + 0.5) / height
    x = (torch.arange(width, device=images.device, dtype=images.dtype) + 0.5) / width
    return y - centre[:, 0:1], x - centre[:, 1:2]


MIXING = ("mixup", "cutmix")
"""The transforms that bring in another image."""

_FUNCTIONS: dict[str, Callable[[Tensor, Values, Scene], Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "gamma": _gamma,
    "blur": _blur,
    "sharpen": _sharpen,
    "colour-jitter": _colour_jitter,
    "illumination": _illumination,
    "vignetting": _vignetting,
    "camera-noise": _camera_noise,
    "bleaching": _bleaching,
    "motion-blur": _motion_blur,
    "stripes": _stripes,
    "rings": _rings,
    "erase": _erase,
    "histogram-jitter": _histogram_jitter,
    "stain-jitter": _stain_jitter,
}
