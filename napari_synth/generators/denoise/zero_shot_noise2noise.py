"""Zero-shot Noise2Noise: learns from two half-size images that one noisy image holds."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Params, Prepared, Task
from napari_synth.core.image import Image


class ZeroShotNoise2NoiseParams(OutlierParams):
    """Settings of zero-shot Noise2Noise."""

    steps: int = Field(
        1000, ge=1, le=100_000, title="Steps", description="How long to train; more than 2000 seldom helps."
    )
    patch: int = Field(
        64,
        ge=16,
        le=1024,
        multiple_of=2,
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


class ZeroShotNoise2Noise(Generator[ZeroShotNoise2NoiseParams]):
    """Trains a three-layer network on the image it is given."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="denoise/zero-shot-noise2noise",
        title="Zero-shot Noise2Noise",
        summary="Trains a tiny network on this image alone, plane by plane, for noise that differs from pixel to pixel.",
        task=Task.DENOISE,
        reference="Mansour & Heckel, Zero-shot Noise2Noise, CVPR 2023",
        trains=True,
    )
    params_type: ClassVar[type[Params]] = ZeroShotNoise2NoiseParams

    def prepare(self, image: Image, params: ZeroShotNoise2NoiseParams, context: Context) -> Prepared:
        """Train on the image; see `Generator.prepare`."""
        from napari_synth.generators.denoise._zero_shot import train_zero_shot

        return train_zero_shot(image, params, context)
