"""``super-resolution/bicubic``: cubic interpolation, which invents nothing."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.super_resolution._options import FactorParams


class Bicubic(Generator[FactorParams]):
    """Cubic convolution."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="super-resolution/bicubic",
        title="Bicubic",
        summary="Smooth interpolation between the measured pixels: adds pixels and no detail.",
        task=Task.SUPER_RESOLUTION,
        reference="Keys, IEEE TASSP 1981",
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = FactorParams

    def prepare(self, image: Image, params: FactorParams, context: Context) -> Prepared:
        """Return what leaves the work to the runner's resampling; see `Generator.prepare`."""
        from napari_synth.generators.super_resolution._interpolated import Interpolated

        return Interpolated(image, params.factor, "cubic")
