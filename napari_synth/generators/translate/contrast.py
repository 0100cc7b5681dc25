"""``translate/contrast``: what lies between two percentiles, stretched."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class ContrastParams(StrengthParams):
    """Settings of the stretch."""

    low: float = Field(
        0.5, ge=0.0, lt=50.0, title="Darkest, %", description="Percentile that becomes the lower end of the range."
    )
    high: float = Field(
        99.5, ge=50.0, le=100.0, title="Brightest, %", description="Percentile that becomes the upper end of the range."
    )
    over: Literal["image", "dtype"] = Field(
        "image",
        title="Range",
        description="That of the image, or all that its dtype holds (0 to 1 for floats).",
    )


class Contrast(Generator[ContrastParams]):
    """Contrast."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/contrast",
        title="Contrast",
        summary="Stretches the intensities between two percentiles of the whole image over its range; nothing else is changed.",
        task=Task.TRANSLATE,
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = ContrastParams

    def prepare(self, image: Image, params: ContrastParams, context: Context) -> Prepared:
        """Measure what the change needs; see `Generator.prepare`."""
        from napari_synth.generators.translate._tone import prepare_contrast

        return prepare_contrast(image, params, context)
