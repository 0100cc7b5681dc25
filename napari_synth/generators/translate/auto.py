"""``translate/auto``: what fits the image and the reference."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import FittedParams


class AutoParams(FittedParams):
    """Settings of `Auto`."""

    method: Literal["macenko", "colour-transfer", "quantile-matching", "contrast"] | None = Field(
        None,
        title="Method",
        description="Empty to choose by the image and the reference.",
        json_schema_extra={"advanced": True},
    )


class Auto(Generator[AutoParams]):
    """Stains for slides, colours for other RGB images, intensities for gray ones; contrast where there is no reference."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/auto",
        title="Match the reference",
        summary="Stains of slides, colours of other RGB images, intensities of gray ones; without a reference it brings slides to a"
        " standard stain and stretches the contrast of everything else.",
        task=Task.TRANSLATE,
        colour="joint",
        reference_image="optional",
    )
    params_type: ClassVar[type[Params]] = AutoParams

    def prepare(self, image: Image, params: AutoParams, context: Context) -> Prepared:
        """Choose a method and let it look; see `Generator.prepare`."""
        from napari_synth.generators.translate._choice import prepare_choice

        return prepare_choice(image, params, context)
