"""The median filter: for dead and hot pixels, and a baseline that everybody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pydantic

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Task, outliers_field
from napari_synth.core.image import Image
from napari_synth.generators.denoise._options import VolumeParams

if TYPE_CHECKING:
    from napari_synth.generators.denoise._classical import ClassicalPrepared

_LARGEST = 3


class MedianParams(VolumeParams):
    """Settings of the median filter, which is chosen for its way with single pixels."""

    outliers: Literal["keep", "replace"] = outliers_field("replace")
    radius: int | None = pydantic.Field(
        None,
        title="Radius",
        description="Pixels on each side that count: 1 is a square of 3 by 3; empty to choose it on held-out pixels.",
        ge=1,
        le=10,
        json_schema_extra={"start": 1},
    )


class Median(Generator[MedianParams]):
    """The median of every pixel's neighbourhood."""

    info = GeneratorInfo(
        id="denoise/median",
        title="Median",
        summary="Takes out single bright or dark pixels; blurs fine detail.",
        task=Task.DENOISE,
        reference="Tukey, Exploratory Data Analysis (1977)",
        spatial_dims=(2, 3),
    )
    params_type = MedianParams

    def prepare(self, image: Image, params: MedianParams, context: Context) -> ClassicalPrepared:
        """Choose the radius; see `Generator.prepare`."""
        from napari_synth.generators.denoise._classical import Filter, prepare_classical
        from napari_synth.generators.denoise._median import median

        radius = params.radius or _LARGEST
        method = Filter(
            smooth=lambda x, r: median(x, int(r), planes=1 if x.shape[-3] > 1 else 0),
            halo=radius,
            planes=1,
            values=tuple(float(r) for r in range(1, _LARGEST + 1)),
            default=1.0,
            between=False,
            setting="radius",
            bytes_per_pixel=3 * 4 * (2 * radius + 1) ** 2,
        )
        return prepare_classical(image, context, method, params.radius, params.neighbours)
