"""Settings that ways to translate have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.generator import Params

Fit = dict[str, tuple[float, ...]]
"""What was learnt of a reference image, by name."""

Show = Literal["normalised", "haematoxylin", "eosin", "residual"]


class StrengthParams(Params):
    """How far to go."""

    strength: float = Field(
        1.0, ge=0.0, le=1.0, title="Strength", description="0 leaves the image as it is, 1 goes all the way."
    )


class FittedParams(StrengthParams):
    """Settings of a method that needs no more of a reference image than a few numbers."""

    fitted: tuple[Fit, ...] | None = Field(
        None,
        min_length=1,
        title="Fitted reference",
        description="What an earlier run learnt of its reference image, one entry a channel; a recipe holds it, so that no"
        " reference image is needed to repeat it.",
        json_schema_extra={"fitted": True},
    )


class SlideParams(FittedParams):
    """Settings of a method for stained slides."""

    white: float | None = Field(
        None,
        gt=0.0,
        title="Empty slide",
        description="Brightness of the empty slide in counts; empty to estimate it.",
        json_schema_extra={"advanced": True, "start": 240.0},
    )


class StainParams(SlideParams):
    """Settings of a method that takes two stains apart."""

    show: Show = Field(
        "normalised",
        title="Show",
        description="The slide in the reference's stains, or what each stain, or neither of them, contributes to it.",
    )


class StyleParams(StrengthParams):
    """Settings of a method that carries texture over."""

    strength: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="0 leaves the image as it is, 1 takes over all of the texture.",
    )
    structure: int = Field(
        32,
        ge=3,
        le=512,
        title="Largest structure",
        description="Pixels across of the largest structure that is taken from the style image; what is larger stays in its place.",
    )
    patch: int = Field(
        7,
        ge=3,
        le=15,
        title="Patch",
        description="Edge of a patch in pixels, at every resolution.",
        json_schema_extra={"advanced": True},
    )
    steps: int = Field(
        12,
        ge=1,
        le=200,
        title="Steps",
        description="How often patches are moved at every resolution: more is closer to the style, and slower.",
        json_schema_extra={"advanced": True},
    )


class NeuralStyleParams(StrengthParams):
    """Settings of a network that carries style over."""

    strength: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="0 leaves the image as it is, 1 takes over all of the style.",
    )
    steps: int = Field(
        60,
        ge=1,
        le=2000,
        title="Steps",
        description="How often the image is changed at each resolution: more is closer to the style, and slower.",
        json_schema_extra={"advanced": True},
    )
