"""``translate/macenko``: the two stains of a slide, brought to those of a reference."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StainParams


class Macenko(Generator[StainParams]):
    """Stains are the extreme directions of optical density."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/macenko",
        title="Stains (Macenko)",
        summary="Brings the two stains of a slide to those of a reference slide, or of a standard one; the empty slide stays as"
        " it is.",
        task=Task.TRANSLATE,
        reference="Macenko et al., ISBI 2009",
        colour="joint",
        needs_colour=True,
        reference_image="optional",
    )
    params_type: ClassVar[type[Params]] = StainParams

    def prepare(self, image: Image, params: StainParams, context: Context) -> Prepared:
        """Measure the stains; see `Generator.prepare`."""
        from napari_synth.generators.translate._stains import by_extreme_angles, prepare_stains

        return prepare_stains(image, params, context, by_extreme_angles)
