"""``translate/colour-balance``: colours scaled so that gray is gray."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class BalanceParams(StrengthParams):
    """Settings of the balance."""

    gray: Literal["brightest", "mean", "as it is"] = Field(
        "brightest",
        title="Gray is",
        description="What should have no tint: the brightest pixels (an empty slide, say), the mean of all, or nothing.",
    )
    warmth: float = Field(
        0.0, ge=-2.0, le=2.0, title="Warmth", description="Above 0 more red and less blue, below 0 the other way round."
    )
    magenta: float = Field(0.0, ge=-2.0, le=2.0, title="Magenta", description="Above 0 less green, below 0 more.")
    saturation: float = Field(
        1.0, ge=0.0, le=4.0, title="Saturation", description="0 is gray, 1 as it is, above 1 stronger."
    )


class ColourBalance(Generator[BalanceParams]):
    """Colour balance."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/colour-balance",
        title="Colour balance",
        summary="Takes out a tint, and makes colours warmer, cooler, stronger or paler.",
        task=Task.TRANSLATE,
        colour="joint",
        needs_colour=True,
    )
    params_type: ClassVar[type[Params]] = BalanceParams

    def prepare(self, image: Image, params: BalanceParams, context: Context) -> Prepared:
        """Measure what the change needs; see `Generator.prepare`."""
        from napari_synth.generators.translate._tone import prepare_balance

        return prepare_balance(image, params, context)
