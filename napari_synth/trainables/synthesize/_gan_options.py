"""Settings of trainings of GANs."""

from __future__ import annotations

from pydantic import Field

from napari_synth.trainables.synthesize._options import SynthesisTrainParams


class GanTrainParams(SynthesisTrainParams):
    """Settings of a generator that plays against a discriminator."""

    width: int = Field(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the networks",
        description="Channels at half resolution: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )
    latent_size: int = Field(
        128,
        ge=2,
        le=4096,
        title="Latents",
        description="How many random numbers an image is made of.",
        json_schema_extra={"advanced": True},
    )
    little_data: bool = Field(
        True,
        title="Little data",
        description="Shift, cut and bend the brightness of images before they are judged, so that few of them are not learnt by"
        " heart. Off where there are tens of thousands.",
        json_schema_extra={"advanced": True},
    )
    smoothness: float = Field(
        0.1,
        ge=0,
        le=1000,
        title="Smoothness",
        description="How far the discriminator is kept from being steep around real and made images (R1, R2): more is steadier,"
        " and slower.",
        json_schema_extra={"advanced": True},
    )
