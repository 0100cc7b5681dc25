"""Stained slides in transmitted light: the empty slide, optical density, and where there is tissue.

Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_synth.core.generator import Context
from napari_synth.core.image import Image
from napari_synth.generators.translate._colours import Colours, sample_colours

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
        """Estimate the light of a slide, unless ``white`` (in counts) is known, and find its tissue."""
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
