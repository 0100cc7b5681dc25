"""Settings of trainings of autoencoders."""

from __future__ import annotations

from pydantic import Field

from napari_synth.trainables.synthesize._options import SynthesisTrainParams


class AutoencoderTrainParams(SynthesisTrainParams):
    """Settings of a variational autoencoder."""

    latent_size: int = Field(
        128,
        ge=2,
        le=4096,
        title="Latents",
        description="How many numbers stand for an image: more keep more of it. Those that are not needed are left out of use.",
        json_schema_extra={"advanced": True},
    )
    beta: float = Field(
        1.0,
        gt=0,
        le=100,
        title="Beta",
        description="Weight of the latents' divergence from normal numbers: above 1 new images are better and those that are found"
        " again are worse, below 1 the other way round.",
        json_schema_extra={"advanced": True},
    )
    warm_up: int = Field(
        200,
        ge=0,
        le=1_000_000,
        title="Warm-up",
        description="Steps over which that weight rises from 0, so that latents come into use before they are priced.",
        json_schema_extra={"advanced": True},
    )
    width: int = Field(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels at half resolution: more learn more and take longer.",
        json_schema_extra={"advanced": True},
    )


class RefinedTrainParams(AutoencoderTrainParams):
    """Settings of a VAE-GAN."""

    fidelity: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Fidelity",
        description="How much what is drawn must look like the image that was encoded, beside looking real.",
        json_schema_extra={"advanced": True},
    )
