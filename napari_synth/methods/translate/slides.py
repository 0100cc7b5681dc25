"""Stained slides in transmitted light: the empty slide, optical density, and where there is tissue.

Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_synth.contract.generator import Context
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_windows
from napari_synth.methods.translate.catalogue import Fit, FittedParams

TISSUE = 0.15
"""Mean optical density (natural logarithm) over the colours from which on a pixel is tissue."""
_BLACK = 3.0
_FEWEST, _LEAST_SHARE = 30, 1e-3
# Noise spreads the directions of colours, and stains would be taken for purer than they are.
_BLOCK = 3
_DARKEST = 1e-3
_BRIGHTEST = 99.0
_MOST_TINT = 0.15
# In turns of the hue: what is green, or blue and strong, is of no usual stain; haematoxylin is paler or more violet.
_GREEN, _BLUE = (60 / 360, 190 / 360), (190 / 360, 250 / 360)
_GREEN_STRENGTH, _BLUE_STRENGTH = 0.25, 0.62
# Fewer are single pixels; more are the stain of the slide.
_FEWEST_MARKED, _MOST_MARKED = 1e-2, 0.5
_AT_BORDERS = 0.5


@dataclass(frozen=True)
class Slide:
    """A slide whose light is known.

    Attributes
    ----------
    white : numpy.ndarray, (3,)
        Colour of the empty slide in counts; ones where the image is black all over.
    tissue : numpy.ndarray, (pixels, 3)
        Optical densities of evenly spread pixels with tissue; none where there is too little to measure.
    marks : tuple of (str, float)
        Colours that no usual stain has, as of a pen, and their shares of the pixels; these are no tissue.
    """

    white: Colours
    tissue: Colours
    marks: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, image: Image, white: float | None = None, seed: int = 0) -> Slide:
        """Estimate the light of a slide, unless ``white`` (in counts) is known, and find its tissue.

        Parameters
        ----------
        image : Image
            With the samples of an RGB pixel.
        white : float, optional
            The light of the empty slide in counts.
        seed : int
            Draws the pixels that are looked at.
        """
        colours = sample_colours(image, seed, block=_BLOCK)
        light = np.full(3, white) if white is not None else estimate_white(colours)
        density = -np.log(np.maximum(colours / light, _DARKEST))
        mean = density.mean(axis=1)
        is_tissue = (mean >= TISSUE) & (mean <= _BLACK)
        transmitted = torch.from_numpy(np.exp(-density.T))[None, :, None]
        coloured = is_mark(transmitted)[0, 0, 0].numpy() & is_tissue
        marks: tuple[tuple[str, float], ...] = ()
        if _FEWEST_MARKED * len(density) < coloured.sum() < _MOST_MARKED * is_tissue.sum():
            is_green = np.argmax(-density[coloured], axis=1) == 1
            shares = (("green", float(is_green.sum())), ("blue", float((~is_green).sum())))
            marks = tuple((name, n / len(density)) for name, n in shares if n > _FEWEST_MARKED * len(density))
            # At its border a mark mixes with what is beside it.
            is_tissue &= ~is_mark(transmitted, _AT_BORDERS)[0, 0, 0].numpy()
        found = density[is_tissue]
        enough = len(found) >= max(_FEWEST, _LEAST_SHARE * len(density))
        return cls(light, found if enough else found[:0], marks)

    def mark_notes(self) -> tuple[str, ...]:
        """Say which colours were left out."""
        if not self.marks:
            return ()
        named = " and ".join(f"{name} ({share:.0%} of the pixels)" for name, share in self.marks)
        return (f"Hues that neither stain has are taken for marks of a pen, left out and kept as they are: {named}.",)

    @property
    def is_empty(self) -> bool:
        """Whether there is no tissue to measure."""
        return len(self.tissue) == 0


def estimate_white(colours: Colours) -> Colours:
    """Return the colour of the empty slide: that of the brightest pixels.

    Parameters
    ----------
    colours : numpy.ndarray, (pixels, 3)

    Returns
    -------
    numpy.ndarray, (3,)
        Above 0.
    """
    brightness = colours.mean(axis=1)
    white: Colours = np.median(colours[brightness >= np.percentile(brightness, _BRIGHTEST)], axis=0)
    # Where the whole field is tissue, the brightest pixels have its tint and the lamp has not.
    if np.ptp(white) > _MOST_TINT * white.max():
        white = np.full(3, white.max())
    return white if white.min() > 0 else np.ones(3)


@dataclass(frozen=True)
class Light:
    """Turns the normalised intensities of blocks into transmitted light, and back.

    Parameters
    ----------
    white : numpy.ndarray, (3,)
    context : Context
    """

    white: Colours
    context: Context

    def transmitted(self, block: Tensor) -> Tensor:
        """Return intensities (N, 3, H, W) as shares of the empty slide's."""
        intensity = self.context.intensity
        gain, offset = intensity.scale / self.white, intensity.offset / self.white
        return torch.addcmul(self._colour(block, offset), block, self._colour(block, gain))

    def normalised(self, transmitted: Tensor) -> Tensor:
        """Return transmitted light as normalised intensities."""
        intensity = self.context.intensity
        gain, offset = self.white / intensity.scale, intensity.offset / intensity.scale
        return (transmitted * self._colour(transmitted, gain)).sub_(offset)

    @staticmethod
    def _colour(like: Tensor, values: Colours) -> Tensor:
        return like.new_tensor(values.tolist()).view(1, 3, 1, 1)


def optical_density(transmitted: Tensor) -> Tensor:
    """Return the natural logarithm of how much weaker light became; bounded where there is none left."""
    return transmitted.clamp_min(_DARKEST).log_().neg_()


def tissue_weight(density: Tensor) -> Tensor:
    """Return 1 where there is tissue, 0 where there is none, and what lies between at its edge, (N, 1, H, W)."""
    along = density.mean(dim=1, keepdim=True).mul_(2.0 / TISSUE).sub_(1.0).clamp_(0.0, 1.0)
    return along.square() * (3.0 - 2.0 * along)


def is_mark(transmitted: Tensor, strength: float = 1.0) -> Tensor:
    """Return which pixels have a hue that no usual stain has.

    Parameters
    ----------
    transmitted : torch.Tensor, (N, 3, H, W)
        Shares of the empty slide's light.
    strength : float
        How pure a colour must be, over what a mark itself is.

    Returns
    -------
    torch.Tensor of bool, (N, 1, H, W)
    """
    light = transmitted.clamp_min(0.0)
    red, green, blue = light.unbind(1)
    high, low = light.amax(1), light.amin(1)
    spread = (high - low).clamp_min(1e-9)
    hue = torch.where(high == green, (blue - red) / spread + 2.0, (red - green) / spread + 4.0) / 6.0
    purity = spread / high.clamp_min(1e-9)
    is_green = (hue >= _GREEN[0]) & (hue < _GREEN[1]) & (purity > strength * _GREEN_STRENGTH)
    is_blue = (hue >= _BLUE[0]) & (hue < _BLUE[1]) & (purity > strength * _BLUE_STRENGTH)
    return ((is_green | is_blue) & (high > red)).unsqueeze(1)


Colours = npt.NDArray[np.float64]

MOST_COLOURS = 2**17


def sample_colours(image: Image, seed: int = 0, most: int = MOST_COLOURS, block: int = 1) -> Colours:
    """Return the colours of pixels that are spread over the image.

    Parameters
    ----------
    image : Image
        With three samples along S.
    seed : int
        Draws pixels where there are more than `most`.
    most : int
    block : int
        Edge of the squares of pixels that are averaged, against noise; 1 where the image is smaller than two of them.

    Returns
    -------
    numpy.ndarray, (pixels, 3)
        In counts, finite.

    Raises
    ------
    InvalidImageError
        The image has no three colours, or no finite pixel.
    """
    if image.sizes.get("S") != 3:
        raise InvalidImageError("There are no three colours: give an RGB image, or set the axes.")
    found = []
    for at in sample_windows(image.select(S=0)):
        pixels = image.read(**at)
        left = [axis for axis in image.axes if not isinstance(at.get(axis), int)]
        window = np.moveaxis(pixels, left.index("S"), -1)
        height, width = window.shape[:2]
        if block > 1 and min(height, width) >= 2 * block:
            cut = window[: height // block * block, : width // block * block].astype(np.float64)
            window = cut.reshape(height // block, block, width // block, block, 3).mean(axis=(1, 3))
        found.append(window.reshape(-1, 3))
    colours: Colours = np.concatenate(found)
    if len(colours) > most:
        colours = colours[np.sort(np.random.default_rng(seed).integers(0, len(colours), most))]
    colours = colours.astype(np.float64)
    colours = colours[np.isfinite(colours).all(axis=1)]
    if len(colours) == 0:
        raise InvalidImageError("No pixel has three finite colours: there is nothing to measure.")
    return colours


def full_scale(image: Image) -> float:
    """Return the counts that are called white by convention: the largest of an integer dtype, 1 of a float."""
    return float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 1.0


_DIGITS = 8


def fit_of(
    params: FittedParams, context: Context, sizes: Mapping[str, int], learn: Callable[[Image], Fit]
) -> Fit | None:
    """Return what is known of the reference of a channel, None where there is none.

    Parameters
    ----------
    params : FittedParams
        What a recipe holds; a reference image takes its place.
    context : Context
    sizes : mapping of str to int
        How many numbers there must be, by name.
    learn : callable
        Learns from the reference image.

    Raises
    ------
    InvalidParameterError
        What the recipe holds does not fit this method or this channel.
    """
    if context.reference is not None:
        return {
            name: tuple(float(f"{v:.{_DIGITS}g}") for v in values) for name, values in learn(context.reference).items()
        }
    if params.fitted is None:
        return None
    channel = context.channel or 0
    if len(params.fitted) > 1 and channel >= len(params.fitted):
        raise InvalidParameterError(
            f"Parameter 'fitted' holds the reference of {len(params.fitted)} channels, the image has more:"
            " give the reference image again."
        )
    fit = params.fitted[channel if len(params.fitted) > 1 else 0]
    wrong = {name: len(values) for name, values in fit.items()} != dict(sizes)
    if wrong or not all(np.isfinite(values).all() for values in fit.values()):
        raise InvalidParameterError(
            "Parameter 'fitted' is not what this method learns of a reference image: give the reference image again."
        )
    return fit
