"""``super-resolution/lanczos``: Lanczos interpolation, the sharpest that invents nothing."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.super_resolution._options import FactorParams


class Lanczos(Generator[FactorParams]):
    """Interpolation with a windowed sinc of three lobes."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="super-resolution/lanczos",
        title="Lanczos",
        summary="The sharpest interpolation between the measured pixels: adds pixels and no detail.",
        task=Task.SUPER_RESOLUTION,
        reference="Duchon, J. Applied Meteorology 1979",
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = FactorParams

    def prepare(self, image: Image, params: FactorParams, context: Context) -> Prepared:
        """Return what leaves the work to the runner's resampling; see `Generator.prepare`."""
        from napari_synth.generators.super_resolution._interpolated import Interpolated

        return Interpolated(image, params.factor, "lanczos")
