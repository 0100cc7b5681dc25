"""``translate/reinhard``: the mean and the spread of a slide's colours."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import SlideParams


class Reinhard(Generator[SlideParams]):
    """Colours are moved and stretched along the axes of CIELAB."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/reinhard",
        title="Stains (Reinhard)",
        summary="Brings the mean and the spread of the tissue's colours to those of a reference slide; takes no stains apart.",
        task=Task.TRANSLATE,
        reference="Reinhard et al., IEEE CG&A 2001",
        colour="joint",
        needs_colour=True,
        reference_image="optional",
    )
    params_type: ClassVar[type[Params]] = SlideParams

    def prepare(self, image: Image, params: SlideParams, context: Context) -> Prepared:
        """Measure the colours; see `Generator.prepare`."""
        from napari_synth.generators.translate._reinhard import prepare_reinhard

        return prepare_reinhard(image, params, context)
