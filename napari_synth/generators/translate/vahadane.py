"""``translate/vahadane``: the two stains of a slide, found by a sparse factorisation."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StainParams


class Vahadane(Generator[StainParams]):
    """Stains are the factors of optical density of which pixels need the fewest."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/vahadane",
        title="Stains (Vahadane)",
        summary="As Macenko's, with stains found so that most pixels need one of them: truer where the stains overlap, slower.",
        task=Task.TRANSLATE,
        reference="Vahadane et al., IEEE TMI 2016",
        colour="joint",
        needs_colour=True,
        reference_image="optional",
    )
    params_type: ClassVar[type[Params]] = StainParams

    def prepare(self, image: Image, params: StainParams, context: Context) -> Prepared:
        """Measure the stains; see `Generator.prepare`."""
        from napari_synth.generators.translate._stains import by_sparse_factors, prepare_stains

        return prepare_stains(image, params, context, by_sparse_factors)
