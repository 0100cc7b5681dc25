"""The transforms that change intensities: their settings and draws; `napari_synth.augmentation.shading` does the work.

Strengths are in parts of the image's own range, from its percentile 0.1 to its percentile 99.9.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_synth.augmentation.transform import (
    NOISE,
    Frame,
    Group,
    Intensity,
    Random,
    Values,
    needs_rgb,
    noise_seed,
    ordered,
)

_TEXTURES = {"mean": 0.0, "low": 1.0, "noise": 2.0}


class Brightness(Intensity):
    """Add a constant."""

    kind: ClassVar[str] = "brightness"
    title: ClassVar[str] = "Brightness"
    summary: ClassVar[str] = "Adds a constant to all pixels."

    strength: float = Field(
        0.15, ge=0.0, le=1.0, title="Strength", description="Largest change, in parts of the range."
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw what is added."""
        return {"add": float(rng.uniform(-self.strength, self.strength))}


class Contrast(Intensity):
    """Stretch intensities about their mean."""

    kind: ClassVar[str] = "contrast"
    title: ClassVar[str] = "Contrast"
    summary: ClassVar[str] = "Stretches or squeezes the intensities of each channel about their mean."

    smallest: float = Field(0.75, ge=0.05, le=10.0, title="Smallest", description="Factor at least.")
    largest: float = Field(1.33, ge=0.05, le=10.0, title="Largest", description="Factor at most.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "smallest", "largest")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the factor."""
        return {"factor": _between(rng, self.smallest, self.largest)}


class Gamma(Intensity):
    """Raise intensities to a power."""

    kind: ClassVar[str] = "gamma"
    title: ClassVar[str] = "Gamma"
    summary: ClassVar[str] = "Lifts or lowers the middle tones; what lies outside the range keeps its distance to it."

    smallest: float = Field(0.7, ge=0.1, le=10.0, title="Smallest", description="Exponent at least; below 1 brightens.")
    largest: float = Field(1.4, ge=0.1, le=10.0, title="Largest", description="Exponent at most; above 1 darkens.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "smallest", "largest")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the exponent."""
        return {"gamma": _between(rng, self.smallest, self.largest)}


class Blur(Intensity):
    """Blur with a Gaussian."""

    kind: ClassVar[str] = "blur"
    title: ClassVar[str] = "Gaussian blur"
    summary: ClassVar[str] = "Blurs as a wider point-spread function, or an image out of focus, would."

    least: float = Field(0.3, ge=0.0, le=20.0, title="Least", description="Standard deviation in pixels, at least.")
    most: float = Field(1.5, ge=0.0, le=20.0, title="Most", description="Standard deviation in pixels, at most.")
    depth: float = Field(
        0.0,
        ge=0.0,
        le=5.0,
        title="Along Z",
        description="How much wider the blur of volumes is along Z than along X and Y, in planes a pixel; 0 blurs planes only.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "least", "most")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the standard deviations along Z, Y and X."""
        sigma = float(rng.uniform(self.least, self.most))
        return {"sigmas": (self.depth * sigma, sigma, sigma)}


class Sharpen(Intensity):
    """Add what a Gaussian blur takes away."""

    kind: ClassVar[str] = "sharpen"
    title: ClassVar[str] = "Sharpen"
    summary: ClassVar[str] = "Sharpens edges with an unsharp mask."

    amount: float = Field(1.0, ge=0.0, le=5.0, title="Strength", description="Share of the fine detail added, at most.")
    sigma: float = Field(1.0, ge=0.3, le=10.0, title="Radius", description="What counts as fine, in pixels.")

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the strength."""
        return {"amount": float(rng.uniform(0.0, self.amount)), "sigma": self.sigma}


class ColourJitter(Intensity):
    """Change hue, saturation and the balance of channels."""

    kind: ClassVar[str] = "colour-jitter"
    title: ClassVar[str] = "Colour jitter"
    summary: ClassVar[str] = "Shifts the balance of channels; of RGB images hue and saturation, too."

    hue: float = Field(
        0.03, ge=0.0, le=0.5, title="Hue", description="Largest shift in turns of the colour wheel (RGB only)."
    )
    saturation: float = Field(
        0.25, ge=0.0, le=1.0, title="Saturation", description="Largest relative change of saturation (RGB only)."
    )
    balance: float = Field(
        0.1, ge=0.0, le=0.9, title="Balance", description="Largest relative change of one channel's brightness."
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the shift of hue and the factors of saturation and of each channel."""
        hue, saturation = rng.uniform(-1.0, 1.0, 2)
        gains = 1.0 + self.balance * rng.uniform(-1.0, 1.0, frame.channels)
        return {
            "hue": float(self.hue * hue),
            "saturation": float(1.0 + self.saturation * saturation),
            "gains": tuple(float(gain) for gain in gains),
        }


class Illumination(Intensity):
    """Multiply with a smooth random field."""

    kind: ClassVar[str] = "illumination"
    title: ClassVar[str] = "Illumination"
    summary: ClassVar[str] = "Lights the field unevenly, as a lamp that is not aligned or a receive coil does."

    strength: float = Field(
        0.3, ge=0.0, le=2.0, title="Strength", description="Largest relative change of brightness across the field."
    )
    grid: int = Field(
        3,
        ge=2,
        le=8,
        title="Patches",
        description="Bright and dark patches along each axis.",
        json_schema_extra={"advanced": True},
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw strength and seed."""
        return {"strength": float(rng.uniform(0.0, self.strength)), "grid": float(self.grid), NOISE: noise_seed(rng)}


class Vignetting(Intensity):
    """Darken towards the corners."""

    kind: ClassVar[str] = "vignetting"
    title: ClassVar[str] = "Vignetting"
    summary: ClassVar[str] = "Darkens the image towards its corners."

    strength: float = Field(0.4, ge=0.0, le=0.95, title="Strength", description="Light lost in the corners, at most.")
    shift: float = Field(
        0.1,
        ge=0.0,
        le=0.5,
        title="Off centre",
        description="Most that the brightest place lies beside the centre, in parts of the frame.",
        json_schema_extra={"advanced": True},
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the strength and the brightest place (Y, X), in parts of the frame."""
        y, x = 0.5 + rng.uniform(-self.shift, self.shift, 2)
        return {"strength": float(rng.uniform(0.0, self.strength)), "centre": (float(y), float(x))}


class CameraNoise(Intensity):
    """Count photons and read them out: Poisson and Gaussian noise (Foi et al., IEEE TIP 2008)."""

    kind: ClassVar[str] = "camera-noise"
    title: ClassVar[str] = "Camera noise"
    summary: ClassVar[str] = "Poisson noise of a few photons and Gaussian noise of the camera, above its offset."

    fewest: float = Field(
        30.0,
        ge=0.5,
        le=1e6,
        title="Fewest photons",
        description="Photons of the brightest pixels, at least: fewer is noisier.",
    )
    most: float = Field(
        300.0, ge=0.5, le=1e6, title="Most photons", description="Photons of the brightest pixels, at most."
    )
    read_noise: float = Field(
        1.5,
        ge=0.0,
        le=100.0,
        title="Read noise",
        description="Standard deviation of the camera's noise in electrons, at most.",
    )
    gain: float | None = Field(
        None,
        gt=0.0,
        le=1e6,
        title="Gain",
        description="Counts a photon, where your camera's is known: then it, not the photons above, sets the noise.",
        json_schema_extra={"advanced": True},
    )
    offset: float | None = Field(
        None,
        ge=-1e6,
        le=1e6,
        title="Offset",
        description="Counts without light; the darkest pixels of the image where left on automatic.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "fewest", "most")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw photons, read noise and the seed; gain and offset follow a 1 where they are known."""
        return {
            "photons": _between(rng, self.fewest, self.most),
            "read_noise": float(rng.uniform(0.0, self.read_noise)),
            "gain": (1.0, self.gain) if self.gain is not None else (0.0, 0.0),
            "offset": (1.0, self.offset) if self.offset is not None else (0.0, 0.0),
            NOISE: noise_seed(rng),
        }


class Bleaching(Intensity):
    """Fade over time."""

    kind: ClassVar[str] = "bleaching"
    title: ClassVar[str] = "Bleaching"
    summary: ClassVar[str] = "Lets the signal of a movie fade, as a bleaching dye does; still images stay as they are."

    least: float = Field(
        0.3, gt=0.0, le=1.0, title="Least", description="Share of the signal left in the last frame, at least."
    )
    most: float = Field(
        0.9, gt=0.0, le=1.0, title="Most", description="Share of the signal left in the last frame, at most."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "least", "most")
        return self

    def drawn_for(self, frame: Frame) -> bool:
        """See `Transform.drawn_for`."""
        return frame.times > 1

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the share that is left."""
        return {"left": _between(rng, self.least, self.most)}


class MotionBlur(Intensity):
    """Smear along a line."""

    kind: ClassVar[str] = "motion-blur"
    title: ClassVar[str] = "Motion blur"
    summary: ClassVar[str] = "Smears along a line in the plane, as a moving stage or sample does."

    shortest: int = Field(3, ge=3, le=51, title="Shortest", description="Length of the line in pixels, at least.")
    longest: int = Field(9, ge=3, le=51, title="Longest", description="Length of the line in pixels, at most.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "shortest", "longest")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw length, angle in degrees, and how lopsided the smear is."""
        length = int(rng.integers(self.shortest, self.longest + 1))
        return {
            "length": float(length),
            "degrees": float(rng.uniform(0.0, 180.0)),
            "lopsided": float(rng.uniform(-0.5, 0.5)),
        }


class Stripes(Intensity):
    """Lines that are too bright or too dark."""

    kind: ClassVar[str] = "stripes"
    title: ClassVar[str] = "Stripes"
    summary: ClassVar[str] = (
        "Lines too bright or too dark: scanning noise, shadows of a light sheet, curtains of an ion beam."
    )

    strength: float = Field(
        0.15,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="Standard deviation of the lines' brightness, in parts of the range.",
    )
    share: float = Field(0.3, ge=0.0, le=1.0, title="Share", description="Share of the lines that are striped.")
    direction: Literal["either", "rows", "columns"] = Field(
        "either", title="Direction", description="Whether rows or columns are striped."
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw strength, direction and seed."""
        coin = rng.random() < 0.5
        rows = coin if self.direction == "either" else self.direction == "rows"
        return {
            "strength": float(rng.uniform(0.0, self.strength)),
            "share": self.share,
            "rows": float(rows),
            NOISE: noise_seed(rng),
        }


class Rings(Intensity):
    """Rings about a centre of rotation."""

    kind: ClassVar[str] = "rings"
    title: ClassVar[str] = "Rings"
    summary: ClassVar[str] = "Rings about the centre of rotation, as defective detector elements leave in CT."

    strength: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="Standard deviation of the rings' brightness, in parts of the range.",
    )
    share: float = Field(0.2, ge=0.0, le=1.0, title="Share", description="Share of the radii that carry a ring.")
    shift: float = Field(
        0.05,
        ge=0.0,
        le=0.5,
        title="Off centre",
        description="Most that the rings' centre lies beside that of the image, in parts of the frame.",
        json_schema_extra={"advanced": True},
    )

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw strength, centre (Y, X) in parts of the frame, and seed."""
        y, x = 0.5 + rng.uniform(-self.shift, self.shift, 2)
        return {
            "strength": float(rng.uniform(0.0, self.strength)),
            "share": self.share,
            "centre": (float(y), float(x)),
            NOISE: noise_seed(rng),
        }


class Erase(Intensity):
    """Blank rectangles (Zhong et al., AAAI 2020)."""

    kind: ClassVar[str] = "erase"
    title: ClassVar[str] = "Random erasing"
    summary: ClassVar[str] = "Blanks rectangles of the image, and leaves labels and points as they are."

    count: int = Field(2, ge=1, le=16, title="Rectangles", description="How many.")
    smallest: float = Field(0.05, gt=0.0, le=1.0, title="Smallest", description="Edge at least, in parts of the frame.")
    largest: float = Field(0.2, gt=0.0, le=1.0, title="Largest", description="Edge at most, in parts of the frame.")
    fill: Literal["mean", "low", "noise"] = Field(
        "mean", title="Filled with", description="The channel's mean, its low end, or noise like its pixels."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "smallest", "largest")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the rectangles as first Y, first X, height and width, in parts of the frame."""
        boxes: list[float] = []
        for _ in range(self.count):
            height, width = rng.uniform(self.smallest, self.largest, 2)
            boxes += [rng.uniform(0.0, 1.0 - height), rng.uniform(0.0, 1.0 - width), height, width]
        return {"boxes": tuple(float(edge) for edge in boxes), "fill": _TEXTURES[self.fill], NOISE: noise_seed(rng)}


class HistogramJitter(Intensity):
    """Bend the intensities along a random monotone curve."""

    kind: ClassVar[str] = "histogram-jitter"
    title: ClassVar[str] = "Histogram jitter"
    summary: ClassVar[str] = "Bends intensities along a random rising curve, as another scanner or sequence would."

    knots: int = Field(
        6, ge=2, le=32, title="Knots", description="Pieces of the curve.", json_schema_extra={"advanced": True}
    )
    strength: float = Field(0.5, ge=0.0, le=0.95, title="Strength", description="How far its slopes differ from 1.")

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the rise of the curve over each piece; they add up to 1."""
        rises = 1.0 + self.strength * rng.uniform(-1.0, 1.0, self.knots)
        return {"rises": tuple(float(rise) for rise in rises / rises.sum())}


class StainJitter(Intensity):
    """Vary haematoxylin, eosin and the rest in optical density (Tellez et al., IEEE TMI 2018)."""

    kind: ClassVar[str] = "stain-jitter"
    title: ClassVar[str] = "Stain jitter"
    summary: ClassVar[str] = "Varies how strongly haematoxylin and eosin stain an RGB image; the background stays."

    strength: float = Field(0.2, ge=0.0, le=0.9, title="Strength", description="Largest relative change of one stain.")
    shift: float = Field(
        0.03, ge=0.0, le=0.5, title="Shift", description="Largest optical density added to stained tissue."
    )

    def check(self, frame: Frame) -> None:
        """See `Transform.check`."""
        needs_rgb(self, frame)

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw factor and shift of haematoxylin, eosin and the rest."""
        factors = 1.0 + self.strength * rng.uniform(-1.0, 1.0, 3)
        shifts = self.shift * rng.uniform(-1.0, 1.0, 3)
        return {"factors": tuple(float(f) for f in factors), "shifts": tuple(float(s) for s in shifts)}


class Mixing(Random):
    """A transform that brings in a second image."""

    group: ClassVar[Group] = "mixing"


class MixUp(Mixing):
    """Blend with another image (Zhang et al., ICLR 2018)."""

    kind: ClassVar[str] = "mixup"
    title: ClassVar[str] = "MixUp"
    summary: ClassVar[str] = "Blends another image in; labels and points stay those of this one, which outweighs it."

    most: float = Field(0.3, gt=0.0, le=0.5, title="Strength", description="Weight of the other image, at most.")

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the other image, its weight and the seed of its own draw."""
        weight = float(rng.uniform(0.0, self.most))
        return {"partner": float(rng.random()), "weight": weight, NOISE: noise_seed(rng)}


class CutMix(Mixing):
    """Paste a rectangle of another image (Yun et al., ICCV 2019)."""

    kind: ClassVar[str] = "cutmix"
    title: ClassVar[str] = "CutMix"
    summary: ClassVar[str] = "Pastes a rectangle of another image, with its labels and points."

    smallest: float = Field(0.2, gt=0.0, le=1.0, title="Smallest", description="Edge at least, in parts of the frame.")
    largest: float = Field(0.5, gt=0.0, le=1.0, title="Largest", description="Edge at most, in parts of the frame.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ordered(self, "smallest", "largest")
        return self

    def draw(self, rng: np.random.Generator, frame: Frame) -> Values:
        """Draw the other image, the rectangle as first Y, first X, height and width, and the seed of the other's draw."""
        height, width = rng.uniform(self.smallest, self.largest, 2)
        box = (rng.uniform(0.0, 1.0 - height), rng.uniform(0.0, 1.0 - width), height, width)
        return {"partner": float(rng.random()), "box": tuple(float(edge) for edge in box), NOISE: noise_seed(rng)}


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a positive number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
