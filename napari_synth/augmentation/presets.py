"""Pipelines to start from, one for each kind of image."""

from __future__ import annotations

from napari_synth.augmentation.geometry import Elastic, Flip, QuarterTurn, Rotate, Scale, Shear, ThinPlate, Translate
from napari_synth.augmentation.intensities import (
    Bleaching,
    Blur,
    Brightness,
    CameraNoise,
    ColourJitter,
    Contrast,
    Erase,
    Gamma,
    HistogramJitter,
    Illumination,
    MotionBlur,
    Rings,
    Sharpen,
    StainJitter,
    Stripes,
    Vignetting,
)
from napari_synth.augmentation.pipeline import Pipeline, Sampling
from napari_synth.core.errors import InvalidParameterError
from napari_synth.core.texts import shown

PRESETS: dict[str, Pipeline] = {
    "light-microscopy": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.5),
            Scale(probability=0.5),
            Elastic(probability=0.3),
            Gamma(probability=0.3),
            Contrast(probability=0.3),
            Brightness(strength=0.1, probability=0.3),
            Illumination(probability=0.2),
            Vignetting(probability=0.2),
            Blur(probability=0.2),
            Bleaching(probability=0.3),
            CameraNoise(probability=0.5),
        )
    ),
    "electron-microscopy": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.3),
            Scale(probability=0.3),
            Elastic(grid=96.0, probability=0.3),
            ThinPlate(probability=0.2),
            Contrast(probability=0.5),
            Brightness(probability=0.5),
            Gamma(probability=0.3),
            Blur(most=1.2, probability=0.2),
            Sharpen(probability=0.1),
            MotionBlur(probability=0.1),
            Stripes(strength=0.1, probability=0.2),
            CameraNoise(fewest=60.0, most=600.0, probability=0.4),
            Erase(probability=0.1),
        ),
        sampling=Sampling(outside="mirror"),
    ),
    "histology": Pipeline(
        transforms=(
            Flip(),
            QuarterTurn(),
            Rotate(probability=0.3),
            Scale(probability=0.5),
            Elastic(grid=96.0, probability=0.2),
            StainJitter(probability=0.8),
            ColourJitter(hue=0.02, saturation=0.15, balance=0.05, probability=0.3),
            Brightness(strength=0.05, probability=0.3),
            Blur(most=1.5, probability=0.2),
            Sharpen(amount=0.5, probability=0.1),
        ),
        sampling=Sampling(outside="mirror"),
    ),
    "mri": Pipeline(
        transforms=(
            Flip(along_y=False, probability=0.5),
            Rotate(degrees=15.0, depth=5.0, probability=0.8),
            Scale(smallest=0.9, largest=1.1, probability=0.5),
            Shear(degrees=5.0, probability=0.2),
            Elastic(grid=40.0, least=1.0, most=6.0, depth=True, probability=0.4),
            HistogramJitter(probability=0.3),
            Gamma(probability=0.3),
            Illumination(strength=0.4, probability=0.5),
            Blur(most=1.0, probability=0.2),
            MotionBlur(longest=5, probability=0.1),
            CameraNoise(fewest=200.0, most=2000.0, read_noise=10.0, probability=0.3),
        )
    ),
    "ct": Pipeline(
        transforms=(
            Flip(along_y=False, probability=0.5),
            Rotate(degrees=15.0, depth=5.0, probability=0.8),
            Scale(smallest=0.9, largest=1.1, probability=0.5),
            Translate(fraction=0.05, probability=0.3),
            Elastic(grid=48.0, least=1.0, most=6.0, depth=True, probability=0.3),
            Brightness(strength=0.03, probability=0.3),
            Contrast(smallest=0.9, largest=1.1, probability=0.3),
            Blur(most=1.2, probability=0.2),
            Sharpen(probability=0.2),
            Rings(probability=0.2),
            CameraNoise(fewest=100.0, most=1000.0, read_noise=5.0, probability=0.3),
        )
    ),
}
"""Pipelines by name."""


def preset(name: str) -> Pipeline:
    """Return a preset; raises `InvalidParameterError` where there is none of this name."""
    if name not in PRESETS:
        raise InvalidParameterError(
            f"There is no augmentation {shown(name)}: take one of {', '.join(PRESETS)}, or give transforms."
        )
    return PRESETS[name]
