"""``translate/quantile-matching``: the intensities of a reference, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import FittedParams


class QuantileParams(FittedParams):
    """Settings of quantile matching."""

    match: Literal["auto", "whole image", "each plane"] = Field(
        "auto",
        title="Match",
        description="Whether one curve serves all planes of a channel, or every plane gets its own, which evens out a stack that"
        " bleaches; auto gives every plane its own where there is no reference.",
    )


class QuantileMatching(Generator[QuantileParams]):
    """A rising curve of intensities, so that as many pixels lie above every level as in the reference."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/quantile-matching",
        title="Quantile matching",
        summary="Gives the image the intensities of a reference, channel by channel; without one it evens out the planes of a"
        " stack.",
        task=Task.TRANSLATE,
        reference="Gonzalez & Woods, Digital Image Processing (histogram specification)",
        colour="joint",
        reference_image="optional",
    )
    params_type: ClassVar[type[Params]] = QuantileParams

    def prepare(self, image: Image, params: QuantileParams, context: Context) -> Prepared:
        """Measure the intensities; see `Generator.prepare`."""
        from napari_synth.generators.translate._quantile_matching import prepare_quantile_matching

        return prepare_quantile_matching(image, params, context)
