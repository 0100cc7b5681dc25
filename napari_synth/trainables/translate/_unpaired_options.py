"""Settings of trainings on images of two kinds that show different fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.trainable import TrainParams

Dimensions = Literal["auto", "2D", "3D"]


class UnpairedTrainParams(TrainParams):
    """Settings of any such training."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    width: int = Field(
        24,
        ge=4,
        le=256,
        multiple_of=4,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
    blocks: int = Field(
        4,
        ge=1,
        le=16,
        title="Residual blocks",
        description="More of them see further, learn more and take longer; the papers have 6 or 9, at twice the width.",
        json_schema_extra={"advanced": True},
    )
    features: Literal["none", "pixel", "instance"] = Field(
        "none",
        title="Normalise features",
        description="Not at all, or each pixel's by its own strength: both keep absolute intensities, and tiles equal the whole."
        " By instance is what the papers do: it forgets how bright an image was, and needs whole planes.",
        json_schema_extra={"advanced": True},
    )
    game: Literal["lsgan", "vanilla", "hinge"] = Field(
        "lsgan",
        title="Adversarial loss",
        description="How results are judged against the target's images: by squares, logarithms or hinges.",
        json_schema_extra={"advanced": True},
    )

    patches: float = Field(
        30.0,
        ge=0,
        le=1000,
        title="Patches",
        description="Weight of bringing small patches of results directly to where those of the target lie, which is quicker and"
        " steadier than being judged; 0 for what the papers do.",
        json_schema_extra={"advanced": True},
    )


class CycleTrainParams(UnpairedTrainParams):
    """Settings of `CycleGAN`."""

    cycle: float = Field(
        10.0,
        ge=0,
        le=1000,
        title="Cycle",
        description="Weight of the way there and back: a result must hold what the source can be found from.",
        json_schema_extra={"advanced": True},
    )
    identity: float = Field(
        0.5,
        ge=0,
        le=10,
        title="Identity",
        description="Weight, as a share of the cycle's, of leaving alone what looks like the target already; left out where source"
        " and target have other channels.",
        json_schema_extra={"advanced": True},
    )
    pool: int = Field(
        50,
        ge=0,
        le=10_000,
        title="Image pool",
        description="Results that are kept to be judged again.",
        json_schema_extra={"advanced": True},
    )


class CutTrainParams(UnpairedTrainParams):
    """Settings of `Cut`."""

    variant: Literal["CUT", "FastCUT"] = Field(
        "CUT",
        title="Variant",
        description="FastCUT leaves out what is asked of images of the target, and asks more of those of the source: a third"
        " quicker a step.",
    )
    contrast: float | None = Field(
        None,
        ge=0,
        le=1000,
        title="Contrast",
        description="Weight of showing the same things at the same places; 1 for CUT and 10 for FastCUT where left out.",
        json_schema_extra={"advanced": True},
    )
    places: int = Field(
        256,
        ge=8,
        le=4096,
        title="Places",
        description="Patches of an image that are told apart from each other, at each depth of the network.",
        json_schema_extra={"advanced": True},
    )
