"""Settings of trainings that make images of labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.trainable import TrainParams


class LabelsToImageTrainParams(TrainParams):
    """Settings of `LabelsToImage`."""

    labels: Literal["auto", "classes", "instances"] = Field(
        "auto",
        title="Labels",
        description="What labels are: kinds of pixels (classes), or numbers of single objects (instances), which are all alike."
        " Auto takes few labels for classes, unless each is one region.",
    )
    error_weight: float = Field(
        30.0,
        ge=0,
        le=10_000,
        title="Weight of the error",
        description="How much the error at a quarter of the resolution counts beside looking real: less of it varies more.",
        json_schema_extra={"advanced": True},
    )
    turns: bool = Field(
        True,
        title="Turn and flip",
        description="Learn from turned and flipped patches as well. Off where up is not like down.",
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
