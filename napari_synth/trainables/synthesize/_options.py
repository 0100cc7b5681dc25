"""Settings that trainings of synthesizers have in common."""

from __future__ import annotations

from pydantic import Field

from napari_synth.core.trainable import TrainParams


class SynthesisTrainParams(TrainParams):
    """Settings of any training of a synthesizer."""

    patch: int = Field(
        64,
        ge=16,
        le=256,
        multiple_of=16,
        title="Image size",
        description="Height and width of the images that are made, in pixels: crops of that size are learnt from.",
    )
    turns: bool = Field(
        True,
        title="Turn and flip",
        description="Learn from turned and flipped crops as well. Off where up is not like down.",
        json_schema_extra={"advanced": True},
    )
