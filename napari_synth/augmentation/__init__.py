"""Augmentation: an image, its labels, points, shapes, vectors and tracks changed together, by the same random draw.

Importing this package loads neither torch nor napari: transforms only declare what `warping` and `shading` do. `AugmentedCrops`, a
data set for torch, is loaded where it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_synth.augmentation.draws import Draw, Step
from napari_synth.augmentation.geometry import (
    Crop,
    Elastic,
    Fisheye,
    Flip,
    Perspective,
    QuarterTurn,
    Resize,
    Rotate,
    Scale,
    Shear,
    ThinPlate,
    Translate,
)
from napari_synth.augmentation.intensities import (
    Bleaching,
    Blur,
    Brightness,
    CameraNoise,
    ColourJitter,
    Contrast,
    CutMix,
    Erase,
    Gamma,
    HistogramJitter,
    Illumination,
    MixUp,
    MotionBlur,
    Rings,
    Sharpen,
    StainJitter,
    Stripes,
    Vignetting,
)
from napari_synth.augmentation.pipeline import PRESETS, TRANSFORMS, Pipeline, preset
from napari_synth.augmentation.sample import Sample
from napari_synth.augmentation.transform import Frame, Sampling, Transform

if TYPE_CHECKING:
    from napari_synth.augmentation.dataset import AugmentedCrops

__all__ = [
    "PRESETS",
    "TRANSFORMS",
    "AugmentedCrops",
    "Bleaching",
    "Blur",
    "Brightness",
    "CameraNoise",
    "ColourJitter",
    "Contrast",
    "Crop",
    "CutMix",
    "Draw",
    "Elastic",
    "Erase",
    "Fisheye",
    "Flip",
    "Frame",
    "Gamma",
    "HistogramJitter",
    "Illumination",
    "MixUp",
    "MotionBlur",
    "Perspective",
    "Pipeline",
    "QuarterTurn",
    "Resize",
    "Rings",
    "Rotate",
    "Sample",
    "Sampling",
    "Scale",
    "Sharpen",
    "Shear",
    "StainJitter",
    "Step",
    "Stripes",
    "ThinPlate",
    "Transform",
    "Translate",
    "Vignetting",
    "preset",
]


def __getattr__(name: str) -> Any:
    if name == "AugmentedCrops":
        from napari_synth.augmentation.dataset import AugmentedCrops

        return AugmentedCrops
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
