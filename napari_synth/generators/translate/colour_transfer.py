"""``translate/colour-transfer``: the colours of a reference, all of them and as many of each."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class ColourTransfer(Generator[StrengthParams]):
    """Sliced optimal transport between the colours of two images."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/colour-transfer",
        title="Colour transfer",
        summary="Gives the image the colours of a reference, as many of each: for any two RGB images, stained or not.",
        task=Task.TRANSLATE,
        reference="Pitié et al., CVIU 2007; Rabin et al., SSVM 2011",
        colour="joint",
        needs_colour=True,
        reference_image="needed",
    )
    params_type: ClassVar[type[Params]] = StrengthParams

    def prepare(self, image: Image, params: StrengthParams, context: Context) -> Prepared:
        """Find the way between the colours; see `Generator.prepare`."""
        from napari_synth.generators.translate._transport import prepare_transport

        return prepare_transport(image, params, context)
