"""``translate/gamma``: intensities raised to a power."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class GammaParams(StrengthParams):
    """Settings of the power."""

    gamma: float = Field(
        0.7, ge=0.05, le=10.0, title="Gamma", description="Below 1 dark parts become brighter, above 1 darker."
    )


class Gamma(Generator[GammaParams]):
    """Gamma."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/gamma",
        title="Gamma",
        summary="Brightens or darkens the middle of the range; its ends stay where they are.",
        task=Task.TRANSLATE,
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = GammaParams

    def prepare(self, image: Image, params: GammaParams, context: Context) -> Prepared:
        """Measure what the change needs; see `Generator.prepare`."""
        from napari_synth.generators.translate._tone import prepare_gamma

        return prepare_gamma(params, context)
