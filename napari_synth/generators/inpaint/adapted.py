"""``inpaint/adapted``: the bundled network, fine-tuned on the intact part of the image."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._options import FillerParams


class AdaptedParams(FillerParams):
    """Settings of `Adapted`."""

    steps: int = Field(
        80,
        ge=1,
        le=20_000,
        title="Steps",
        description="How long to adapt: 80 steps are about half a minute on a CPU and seconds on a GPU.",
    )
    patch: int = Field(
        96,
        ge=32,
        le=512,
        multiple_of=8,
        title="Patch size",
        description="Edge of a training patch, in pixels.",
        json_schema_extra={"advanced": True},
    )
    batch: int = Field(
        4,
        ge=1,
        le=256,
        title="Batch size",
        description="Patches a training step.",
        json_schema_extra={"advanced": True},
    )


class Adapted(Generator[AdaptedParams]):
    """The bundled network, adapted by filling holes in the intact part of the image or stack, and kept only where that helps."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="inpaint/adapted",
        title="Adapted network",
        summary="Trains the network for a moment on holes in the intact part of this image; kept only where held-out holes say it"
        " helps.",
        task=Task.INPAINT,
        reference="Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019; Ulyanov et al., Deep Image Prior,"
        " CVPR 2018 (learning from the image alone)",
        weights_licence="BSD-3-Clause",
        spatial_dims=(2, 3),
        colour="joint",
        invents=True,
        trains=True,
    )
    params_type: ClassVar[type[Params]] = AdaptedParams

    def prepare(self, image: Image, params: AdaptedParams, context: Context) -> Prepared:
        """Load the network and adapt it; see `Generator.prepare`."""
        from napari_synth.generators.inpaint._adapted import adapt

        return adapt(image, params, context)
