"""Settings that trainings of denoisers have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.trainable import TrainParams

Dimensions = Literal["auto", "2D", "3D"]


class DenoiserTrainParams(TrainParams):
    """Settings of any training of a denoiser."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )


class PairTrainParams(DenoiserTrainParams):
    """Settings of a training on pairs."""

    start: Literal["auto", "bundled", "scratch"] = Field(
        "auto",
        title="Start from",
        description="The bundled denoiser, which knows images already and is told the measured noise, or a fresh network."
        " Auto takes the bundled one for planes of gray or RGB images in which noise is found.",
        json_schema_extra={"advanced": True},
    )
    width: int = Field(
        32,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of a fresh network",
        description="Channels of its finest level: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
