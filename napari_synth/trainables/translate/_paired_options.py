"""Settings of trainings on images of two kinds that show the same fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.trainable import TrainParams

Dimensions = Literal["auto", "2D", "3D"]


class PairedTrainParams(TrainParams):
    """Settings of any such training."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    similarity: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Structural similarity",
        description="Weight of the structural similarity (SSIM) beside the error of each pixel: more makes results sharper, and"
        " less exact in brightness.",
        json_schema_extra={"advanced": True},
    )
    width: int = Field(
        32,
        ge=4,
        le=256,
        multiple_of=4,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
    features: Literal["none", "pixel", "instance"] = Field(
        "none",
        title="Normalise features",
        description="Not at all, or each pixel's by its own strength: both keep absolute intensities, and tiles equal the whole."
        " By instance is what the papers do: it forgets how bright an image was, and needs whole planes.",
        json_schema_extra={"advanced": True},
    )


class RegressionTrainParams(PairedTrainParams):
    """Settings of `Regression`."""

    error: Literal["absolute", "squared"] = Field(
        "absolute",
        title="Error",
        description="What is minimised at each pixel: absolute errors give the median of what is possible and sharper results,"
        " squared ones its mean, which suits sums of intensities.",
        json_schema_extra={"advanced": True},
    )


class Pix2PixTrainParams(PairedTrainParams):
    """Settings of `Pix2Pix`."""

    error_weight: float = Field(
        100.0,
        ge=0,
        le=10_000,
        title="Weight of the error",
        description="How much the absolute error of each pixel counts beside looking real: less of it invents more.",
    )
    game: Literal["lsgan", "vanilla", "hinge"] = Field(
        "lsgan",
        title="Adversarial loss",
        description="How results are judged against the target's images: by squares, logarithms or hinges.",
        json_schema_extra={"advanced": True},
    )
    halvings: int = Field(
        2,
        ge=1,
        le=4,
        title="Halvings of the critic",
        description="It judges patches of 12, 26, 54 or 110 pixels for 1 to 4.",
        json_schema_extra={"advanced": True},
    )
    spectral: bool = Field(
        False,
        title="Spectral norm",
        description="Bound how fast the critic's judgement can change: steadier, and slower to learn.",
        json_schema_extra={"advanced": True},
    )
    penalty: float = Field(
        0.0,
        ge=0,
        le=1000,
        title="Gradient penalty (R1)",
        description="Weight of keeping the critic flat around real images: steadier, for a third more time; 1 to 10 where training"
        " does not settle.",
        json_schema_extra={"advanced": True},
    )
