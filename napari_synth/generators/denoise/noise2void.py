"""Noise2Void: learns the signal from the noisy image alone, each pixel from its neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Params, Prepared, Task
from napari_synth.core.image import Image


class Noise2VoidParams(OutlierParams):
    """Settings of Noise2Void."""

    minutes: float = Field(
        1.0,
        gt=0,
        le=240,
        title="Minutes",
        description="About how long to train. Longer is better, up to about half an hour.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Steps",
        description="Train so many steps rather than by the clock: the same number gives the same result again.",
        json_schema_extra={"advanced": True},
    )
    dimensions: Literal["auto", "2D", "3D"] = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    patch: int = Field(
        64,
        ge=16,
        le=512,
        multiple_of=4,
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
    mask: Literal["auto", "pixel", "along x", "along y", "box"] = Field(
        "auto",
        title="Hidden pixels",
        description="What is hidden around a pixel while it is predicted. Auto hides those neighbours whose noise is correlated"
        " with it.",
        json_schema_extra={"advanced": True},
    )
    weigh_measurement: bool = Field(
        True,
        title="Weigh in the pixel itself",
        description="Combine the prediction with the measured value, by the measured noise. Off: from the neighbours alone.",
        json_schema_extra={"advanced": True},
    )


class Noise2Void(Generator[Noise2VoidParams]):
    """Trains a blind-spot network on the image it is given."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="denoise/noise2void",
        title="Noise2Void",
        summary="Trains a network on this image alone: for structures and noise that the bundled network does not know.",
        task=Task.DENOISE,
        reference="Krull et al., Noise2Void, CVPR 2019; Laine et al., NeurIPS 2019 (posterior)",
        spatial_dims=(2, 3),
        trains=True,
    )
    params_type: ClassVar[type[Params]] = Noise2VoidParams

    def prepare(self, image: Image, params: Noise2VoidParams, context: Context) -> Prepared:
        """Train on the image; see `Generator.prepare`."""
        from napari_synth.generators.denoise._blind_spot import train_blind_spot

        return train_blind_spot(image, params, context)
