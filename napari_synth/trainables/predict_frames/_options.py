"""Settings that trainings on clips have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.core.trainable import TrainParams


class ClipTrainParams(TrainParams):
    """Settings of a training that predicts the end of clips from their beginning."""

    past: int = Field(
        4,
        ge=1,
        le=32,
        title="Frames seen",
        description="How many frames the network is shown.",
    )
    future: int = Field(
        4,
        ge=1,
        le=32,
        title="Frames predicted",
        description="How many following frames it learns to predict at once; more are made from those.",
    )
    backwards: bool = Field(
        True,
        title="Backwards too",
        description="Learn from clips played backwards as well, so that missing frames can be filled from both sides. Off where"
        " time has a direction that matters.",
        json_schema_extra={"advanced": True},
    )
    channels: Literal["apart", "joint"] = Field(
        "apart",
        title="Channels",
        description="Learn from each channel as from a movie of its own, or from all of them together.",
        json_schema_extra={"advanced": True},
    )


class ConvLSTMTrainParams(ClipTrainParams):
    """Settings of the recurrent network."""

    width: int = Field(
        32,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of its state: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
    layers: int = Field(
        2,
        ge=1,
        le=6,
        title="Recurrent layers",
        description="How many lie one behind the other.",
        json_schema_extra={"advanced": True},
    )


class SimVPTrainParams(ClipTrainParams):
    """Settings of the convolutional network."""

    width: int = Field(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of a frame: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
    blocks: int = Field(
        4,
        ge=1,
        le=16,
        title="Blocks",
        description="Of the part that finds what moves: each sees 12 pixels further on either side.",
        json_schema_extra={"advanced": True},
    )
