"""``inpaint/biharmonic``: the smoothest surface through a hole."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._options import NeighbourParams


class Biharmonic(Generator[NeighbourParams]):
    """Solves the biharmonic equation in the holes."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="inpaint/biharmonic",
        title="Smooth (biharmonic)",
        summary="Bends a smooth surface through holes; for scratches, dust and dead pixels.",
        task=Task.INPAINT,
        reference="Damelin & Hoang, On surface completion and image inpainting by biharmonic functions, 2018",
        spatial_dims=(2, 3),
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = NeighbourParams

    def prepare(self, image: Image, params: NeighbourParams, context: Context) -> Prepared:
        """Look which holes there are; see `Generator.prepare`."""
        from napari_synth.generators.inpaint._filling import Method, prepare_filling

        return prepare_filling(image, Method(), params.neighbours, context)
