"""Makes the voxels of a volume cubic: thick or distant slices are filled in by what the volume's own planes teach."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Params, Prepared, Task
from napari_synth.core.image import Image


class IsotropicParams(OutlierParams):
    """Settings of the isotropic restoration."""

    factor: float | None = Field(
        None,
        gt=1,
        le=16,
        title="Factor",
        description="How many times finer along Z. Empty: from the spacing of Z and X, so that voxels become cubic.",
    )
    slices: Literal["thick", "thin"] = Field(
        "thick",
        title="Slices",
        description="Thick slices collect all light between them and the next; thin ones were measured at their middle alone.",
    )
    minutes: float = Field(
        1.0,
        gt=0,
        le=240,
        title="Minutes",
        description="About how long to learn from the volume's planes.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        title="Steps",
        description="Train so many steps rather than by the clock: the same number gives the same result again.",
        json_schema_extra={"advanced": True},
    )
    blur: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Blur along Z",
        description="Standard deviation, in distances of slices, of a blur along Z that the planes do not have; it is undone.",
        json_schema_extra={"advanced": True},
    )
    consistency: Literal["auto", "exact", "within noise", "off"] = Field(
        "auto",
        title="Keep the measured slices",
        description="Correct the result until its planes measure as the slices do: exactly (nearly, where the factor is"
        " no whole number), or as far as that is not noise."
        " Auto is exact for thin slices, and within the noise for thick ones, which would be noisier than they were else.",
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


class Isotropic(Generator[IsotropicParams]):
    """Trains a network on the planes of the volume it is given, and applies it to the slices across them."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="super-resolution/isotropic",
        title="Make isotropic",
        summary="For stacks with thick or distant slices: learns from their fine planes how to fill in what lies between slices."
        " More planes do not mean more resolution: what no slice measured is a guess.",
        task=Task.SUPER_RESOLUTION,
        reference="Weigert et al., Isotropic reconstruction of 3D fluorescence microscopy images, MICCAI 2017; Zhao et al., SMORE,"
        " IEEE TMI 2021",
        spatial_dims=(3,),
        trains=True,
    )
    params_type: ClassVar[type[Params]] = IsotropicParams

    def prepare(self, image: Image, params: IsotropicParams, context: Context) -> Prepared:
        """Train on the volume; see `Generator.prepare`."""
        from napari_synth.generators.super_resolution._isotropic import train_isotropic

        return train_isotropic(image, params, context)
