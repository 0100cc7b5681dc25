"""``translate/unsharp``: edges raised by what a blur takes away."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class UnsharpParams(StrengthParams):
    """Settings of the mask."""

    radius: float = Field(
        2.0, ge=0.3, le=50.0, title="Radius", description="Standard deviation of the blur, in pixels."
    )
    amount: float = Field(1.0, ge=0.0, le=10.0, title="Amount", description="How much of the difference is added.")


class Unsharp(Generator[UnsharpParams]):
    """Unsharp mask."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/unsharp",
        title="Unsharp mask",
        summary="Raises edges and fine detail, and noise with them.",
        task=Task.TRANSLATE,
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = UnsharpParams

    def prepare(self, image: Image, params: UnsharpParams, context: Context) -> Prepared:
        """Measure what the change needs; see `Generator.prepare`."""
        from napari_synth.generators.translate._tone import prepare_unsharp

        return prepare_unsharp(params)
