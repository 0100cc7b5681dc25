"""Settings that ways to enlarge an image have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.generator import OutlierParams

Pixels = Literal["cubic", "area", "gaussian"]


class FactorParams(OutlierParams):
    """How much finer the result is."""

    factor: float = Field(
        2.0,
        ge=1.0,
        le=16.0,
        title="Factor",
        description="How many times finer the result is along Y and X; it need not be a whole number.",
    )


class NetworkParams(FactorParams):
    """Settings of a network that enlarges."""

    consistency: bool = Field(
        True,
        title="Keep the measured pixels",
        description="Correct the result until, made coarse again, it gives the image that was measured (within its noise).",
    )
    pixels: Pixels = Field(
        "cubic",
        title="Pixels",
        description="What a measured pixel is taken for: reduced with a cubic kernel, the mean of its area, or the mean behind a"
        " Gaussian point-spread function of 0.35 pixels.",
        json_schema_extra={"advanced": True},
    )
    denoise: bool = Field(
        True,
        title="Remove noise",
        description="Measure the noise and remove it on the way; switched off, noise is enlarged like everything else.",
        json_schema_extra={"advanced": True},
    )
    ensemble: bool = Field(
        False,
        title="Average over rotations",
        description="Run on all eight flips and rotations and average: a little better, eight times slower.",
        json_schema_extra={"advanced": True},
    )
