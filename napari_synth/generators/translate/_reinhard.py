"""Brings the mean and the spread of a slide's colours to those of a reference, in CIELAB.

Reinhard et al., "Color transfer between images", IEEE CG&A 2001.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from napari_synth.core.errors import ReferenceImageError
from napari_synth.core.generator import BlockSpec, Context, Prepared
from napari_synth.core.image import Image
from napari_synth.generators._conditioning import full_precision
from napari_synth.generators.translate._colours import Colours
from napari_synth.generators.translate._fits import fit_of
from napari_synth.generators.translate._options import Fit, SlideParams
from napari_synth.generators.translate._slides import Light, Slide, is_mark, optical_density, tissue_weight
from napari_synth.generators.translate._stains import STANDARD, resolved, slide_notes

_BYTES_PER_PIXEL = 200
_MOST_CHANGE = 5.0
_STEPS = 48
_STRONGEST = 0.99


@dataclass(frozen=True)
class LabStatistics:
    """The mean and the standard deviation of tissue along L, a and b, each (3,)."""

    mean: Colours
    std: Colours

    @classmethod
    def of(cls, tissue: Colours) -> LabStatistics:
        """Measure tissue, given as optical densities (pixels, 3)."""
        transmitted = torch.from_numpy(np.exp(-tissue.T).copy())[None, :, None]
        lab = rgb_to_lab(transmitted)[0, :, 0].numpy()
        return cls(lab.mean(axis=1), lab.std(axis=1))


@cache
def _standard() -> LabStatistics:
    """Measure tissue with the standard stains whose amounts fall off exponentially, as they about do in slides."""
    share = (np.arange(_STEPS) + 0.5) / _STEPS
    amount = np.log1p(-share) / np.log1p(-_STRONGEST)
    both = np.stack(np.meshgrid(*(amount * strongest for strongest in STANDARD.maxima)), axis=-1).reshape(-1, 2)
    return LabStatistics.of(both @ STANDARD.vectors.T)


class ReinhardPrepared(Prepared):
    """A slide whose colours are known.

    Parameters
    ----------
    light : Light
    own, target : LabStatistics
    strength : float
    marked : bool
        Whether it has marks of a pen, which stay as they are.
    """

    def __init__(
        self, light: Light, own: LabStatistics, target: LabStatistics, strength: float, *, marked: bool = False
    ) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._light, self._strength, self._marked = light, strength, marked
        spread = target.std / np.maximum(own.std, 1e-6)
        self._gain = np.where(own.std > 1e-6, spread.clip(1 / _MOST_CHANGE, _MOST_CHANGE), 1.0)
        self._offset = target.mean - self._gain * own.mean

    def apply(self, block: Tensor) -> Tensor:
        """Move the colours of blocks (N, 3, H, W); see `Prepared.apply`."""
        with full_precision(block):
            transmitted = self._light.transmitted(block)
            lab = rgb_to_lab(transmitted.clamp_min(0.0))
            gain, offset = (block.new_tensor(v.tolist()).view(1, 3, 1, 1) for v in (self._gain, self._offset))
            changed = self._light.normalised(lab_to_rgb(lab * gain + offset, clip=False))
            weight = self._strength * tissue_weight(optical_density(transmitted.clone()))
            if self._marked:
                weight = weight.masked_fill(is_mark(transmitted), 0.0)
            return block + weight * (changed - block)


def prepare_reinhard(image: Image, params: SlideParams, context: Context) -> ReinhardPrepared:
    """Measure the colours of the tissue of a slide and of its reference.

    Raises
    ------
    ReferenceImageError
        The reference image has no tissue.
    """
    context.report.start("Measuring the colours")

    def learn(reference: Image) -> Fit:
        slide = Slide.of(reference, seed=context.seed)
        if slide.is_empty:
            raise ReferenceImageError(
                "No tissue is found in the reference image: give a stained slide in transmitted light."
            )
        found = LabStatistics.of(slide.tissue)
        return {"mean": tuple(found.mean), "std": tuple(found.std)}

    fit = fit_of(params, context, {"mean": 3, "std": 3}, learn)
    target = _standard() if fit is None else LabStatistics(np.array(fit["mean"]), np.array(fit["std"]))
    slide = Slide.of(image, params.white, context.seed)
    own = target if slide.is_empty else LabStatistics.of(slide.tissue)
    light = Light(slide.white, context)
    prepared = ReinhardPrepared(light, own, target, params.strength, marked=bool(slide.marks))
    prepared.notes = slide_notes(slide, fit)
    prepared.resolved = resolved(fit)
    return prepared
