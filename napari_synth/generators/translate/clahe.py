"""``translate/clahe``: contrast evened out over the field."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StrengthParams


class ClaheParams(StrengthParams):
    """Settings of local equalisation."""

    parts: int = Field(
        8, ge=1, le=64, title="Parts", description="Along each side of the plane; each has a histogram of its own."
    )
    clip: float = Field(
        3.0,
        ge=1.0,
        le=100.0,
        title="Limit",
        description="How steep the curve of a part may become: 1 leaves the image as it is, more shows more noise too.",
    )


class Clahe(Generator[ClaheParams]):
    """Local contrast (CLAHE)."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/clahe",
        title="Local contrast (CLAHE)",
        summary="Brings out faint detail in dark and bright parts of the field alike; intensities can no longer be compared.",
        task=Task.TRANSLATE,
        reference="Zuiderveld, Graphics Gems IV, 1994",
        colour="joint",
    )
    params_type: ClassVar[type[Params]] = ClaheParams

    def prepare(self, image: Image, params: ClaheParams, context: Context) -> Prepared:
        """Measure what the change needs; see `Generator.prepare`."""
        from napari_synth.generators.translate._tone import prepare_clahe

        return prepare_clahe(params, context)
