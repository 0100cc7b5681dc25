"""Changes of tone, in the range of the image: what lies outside of it is carried along, never clipped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import adjust_gamma
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_planes
from napari_synth.methods.noise_conditioning import full_precision
from napari_synth.methods.translate.catalogue import (
    BalanceParams,
    ClaheParams,
    ContrastParams,
    GammaParams,
    UnsharpParams,
)
from napari_synth.methods.translate.slides import sample_colours

Change = Callable[[Tensor], Tensor]

_BYTES_PER_PIXEL = 64
_BINS = 256
_SIGMAS = 4.0
_GRAY_LEAST = 1e-3
_MOST_GAIN = 10.0
_BRIGHT = 99.0


class Toned(Prepared):
    """An image whose tone is changed.

    Parameters
    ----------
    change : callable
        Of normalised blocks (N, samples, H, W).
    strength : float
    spec : BlockSpec, optional
        That of a change of single pixels where it is left out.
    """

    def __init__(self, change: Change, strength: float, spec: BlockSpec | None = None) -> None:
        self.spec = spec or BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._change, self._strength = change, strength

    def apply(self, block: Tensor) -> Tensor:
        """Change the tone of blocks; see `Prepared.apply`."""
        with full_precision(block):
            return block + self._strength * (self._change(block) - block)


def prepare_contrast(image: Image, params: ContrastParams, context: Context) -> Toned:
    """Stretch what lies between two percentiles of the whole image over its range, or over that of its dtype.

    For its parameters see `Generator.prepare`.
    """
    pixels = np.concatenate([plane.ravel() for plane in sample_planes(image)])
    low, high = np.percentile(pixels[np.isfinite(pixels)].astype(np.float64), [params.low, params.high])
    bottom, top = context.statistics.minimum, context.statistics.maximum
    if params.over == "dtype":
        bottom, top = (0.0, 1.0) if image.dtype.kind == "f" else (np.iinfo(image.dtype).min, np.iinfo(image.dtype).max)
    if not high > low:
        prepared = Toned(lambda block: block, 0.0)
        prepared.notes = ("There is nothing between the percentiles to stretch: the image stays as it is.",)
        return prepared
    gain = (top - bottom) / (high - low)
    # Of normalised intensities: counts are offset + scale * x.
    scale, offset = context.intensity.scale, context.intensity.offset
    shift = (bottom + gain * (offset - low) - offset) / scale
    return Toned(lambda block: block * gain + shift, params.strength)


def prepare_gamma(image: Image, params: GammaParams, context: Context) -> Toned:
    """Raise intensities to a power, the ends of the image's range staying where they are.

    For its parameters see `Generator.prepare`.
    """
    to_range, from_range = _range(context)

    def change(block: Tensor) -> Tensor:
        along = to_range(block)
        inside = along.clamp(0.0, 1.0)
        return from_range(adjust_gamma(inside, params.gamma) + (along - inside))

    return Toned(change, params.strength)


def prepare_clahe(image: Image, params: ClaheParams, context: Context) -> Toned:
    """Equalise the histograms of parts of the plane.

    For its parameters see `Generator.prepare`.
    """
    to_range, from_range = _range(context)

    def change(block: Tensor) -> Tensor:
        along = to_range(block)
        planes = along.reshape(-1, 1, *block.shape[-2:])
        equalised = torch.cat([equalise_parts(plane[None], params.parts, params.clip) for plane in planes])
        return from_range(equalised.view(block.shape) + (along - along.clamp(0.0, 1.0)))

    return Toned(change, params.strength, BlockSpec.plane(0, whole=True, bytes_per_pixel=2 * _BYTES_PER_PIXEL))


def equalise_parts(plane: Tensor, parts: int, clip: float) -> Tensor:
    """Equalise the histogram of every part of a plane, limited, and blend between the curves of neighbouring parts.

    The curves are read between their points, so that there are as many levels after as before, which kornia's of 256 do not give.
    Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.

    Parameters
    ----------
    plane : torch.Tensor, (1, 1, H, W)
        Values outside of 0 to 1 are taken for these.
    parts : int
        Along each axis.
    clip : float
        How many times the mean count a bin of a histogram may hold; what is more goes where there is room.

    Returns
    -------
    torch.Tensor, (1, 1, H, W)
        0 to 1.
    """
    height, width = plane.shape[-2:]
    rows, columns = min(parts, height), min(parts, width)
    values = plane.clamp(0.0, 1.0)
    row = torch.arange(height, device=plane.device) * rows // height
    column = torch.arange(width, device=plane.device) * columns // width
    part = (row[:, None] * columns + column).flatten()
    bins = (values.flatten() * _BINS).long().clamp_max(_BINS - 1)
    counts = torch.bincount(part * _BINS + bins, minlength=rows * columns * _BINS).view(-1, _BINS).to(plane.dtype)
    shares = counts / counts.sum(dim=1, keepdim=True).clamp_min(1.0)
    clipped = shares.clamp_max(clip / _BINS)
    room = clip / _BINS - clipped
    excess = 1.0 - clipped.sum(dim=1, keepdim=True)
    clipped = clipped + excess * room / room.sum(dim=1, keepdim=True).clamp_min(1e-9)
    curves = functional.pad(clipped.cumsum(dim=1), (1, 0)).T.reshape(1, 1, _BINS + 1, rows, columns)
    # One volume of curves, read at (value, row, column): between points and between parts at once.
    y = ((torch.arange(height, device=plane.device) + 0.5) * 2 / height - 1).view(1, 1, height, 1)
    x = ((torch.arange(width, device=plane.device) + 0.5) * 2 / width - 1).view(1, 1, 1, width)
    z = (values * 2 - 1) * (_BINS / (_BINS + 1))
    where = torch.stack([along.to(plane).expand(values.shape) for along in (x, y, z)], dim=-1)
    return functional.grid_sample(curves, where, padding_mode="border", align_corners=False)[:, 0]


def prepare_unsharp(image: Image, params: UnsharpParams, context: Context) -> Toned:
    """Add what a blur takes away.

    For its parameters see `Generator.prepare`.
    """
    radius = int(np.ceil(_SIGMAS * params.radius))

    def change(block: Tensor) -> Tensor:
        blurred = gaussian_blur2d(block, 2 * radius + 1, (params.radius,) * 2, border_type="replicate")
        return block + params.amount * (block - blurred)

    return Toned(change, params.strength, BlockSpec.plane(radius, bytes_per_pixel=_BYTES_PER_PIXEL))


def prepare_balance(image: Image, params: BalanceParams, context: Context) -> Toned:
    """Scale the colours so that what should be gray is, then shift and saturate them as was asked.

    For its parameters see `Generator.prepare`.
    """
    colours = sample_colours(image, context.seed)
    if params.gray == "mean":
        neutral = colours.mean(axis=0)
    else:
        neutral = np.percentile(colours, _BRIGHT, axis=0) if params.gray == "brightest" else np.ones(3)
    level = neutral.mean()
    own = neutral if neutral.min() > _GRAY_LEAST * max(level, 0.0) and level > 0 else np.ones(3)
    wanted = 2.0 ** np.array([params.warmth / 2, -params.magenta / 2, -params.warmth / 2])
    gains = (own.mean() / own * wanted).clip(1 / _MOST_GAIN, _MOST_GAIN)
    scale, offset = context.intensity.scale, context.intensity.offset
    shift = (gains - 1.0) * offset / scale

    def change(block: Tensor) -> Tensor:
        gain, moved = (block.new_tensor(v.tolist()).view(1, 3, 1, 1) for v in (gains, shift))
        balanced = block * gain + moved
        gray = rgb_to_grayscale(balanced)
        return gray + params.saturation * (balanced - gray)

    return Toned(change, params.strength)


def _range(context: Context) -> tuple[Change, Change]:
    """Return the maps between normalised intensities and 0 to 1 over the range of the whole image."""
    scale, offset = context.intensity.scale, context.intensity.offset
    bottom = (context.statistics.minimum - offset) / scale
    span = (context.statistics.maximum - context.statistics.minimum) / scale
    span = span if span > 0 else 1.0
    return lambda block: (block - bottom) / span, lambda along: along * span + bottom
