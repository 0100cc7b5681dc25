"""``denoise/adapt``: the bundled network, adapted to the image in seconds."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Params, Prepared, Task
from napari_synth.core.image import Image


class AdaptParams(OutlierParams):
    """Settings of `Adapt`."""

    learn: Literal["network", "noise law"] = Field(
        "network",
        title="Learn",
        description="Adapt the network to the structures of this image, or leave it and learn how the noise grows with brightness:"
        " for noise that follows no known law.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Steps",
        description="How long to adapt: left out, 100 steps for the network and 400 for the noise law.",
        json_schema_extra={"advanced": True},
    )
    patch: int = Field(
        64,
        ge=16,
        le=512,
        multiple_of=8,
        title="Patch size",
        description="Edge of a training patch, in pixels.",
        json_schema_extra={"advanced": True},
    )
    batch: int = Field(
        4,
        ge=1,
        le=512,
        title="Batch size",
        description="Patches a training step.",
        json_schema_extra={"advanced": True},
    )
    strength: float = Field(
        1.0,
        ge=0.0,
        le=3.0,
        title="Strength",
        description="Scales the measured noise level: below 1 keeps more grain, above 1 smooths more.",
    )


class Adapt(Generator[AdaptParams]):
    """The bundled network, adapted by predicting pixels that it is not shown, and kept only where that helps."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="denoise/adapt",
        title="Adapted network",
        summary="Adapts the bundled network to this image in seconds; kept only where held-out pixels say it helps.",
        task=Task.DENOISE,
        reference="Krull et al., Noise2Void, CVPR 2019; Herbreteau et al., Noise2VST, ICCV 2025",
        weights_licence="BSD-3-Clause",
        spatial_dims=(2, 3),
        colour="joint",
        trains=True,
    )
    params_type: ClassVar[type[Params]] = AdaptParams

    def prepare(self, image: Image, params: AdaptParams, context: Context) -> Prepared:
        """Measure the noise, load the network and adapt it; see `Generator.prepare`."""
        from napari_synth.generators.denoise._adapted import adapt

        return adapt(image, params, context)
