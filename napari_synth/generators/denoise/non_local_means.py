"""Non-local means behind the noise model: averages of places that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Task
from napari_synth.core.image import Image
from napari_synth.generators.denoise._options import VolumeParams

if TYPE_CHECKING:
    from napari_synth.generators.denoise._classical import ClassicalPrepared


class NonLocalMeansParams(VolumeParams):
    """Settings of non-local means."""

    strength: float | None = pydantic.Field(
        None,
        title="Strength",
        description="How different two places may look, in standard deviations of the noise; empty to choose it on"
        " held-out pixels.",
        ge=0.05,
        le=10.0,
        json_schema_extra={"start": 1.0},
    )
    patch_radius: int = pydantic.Field(
        2,
        title="Patch radius",
        description="Pixels around a place by which it is compared.",
        ge=0,
        le=10,
        json_schema_extra={"advanced": True},
    )
    search_radius: int = pydantic.Field(
        7,
        title="Search radius",
        description="How far away alike places are looked for, in pixels; time grows with its square.",
        ge=1,
        le=30,
        json_schema_extra={"advanced": True},
    )


class NonLocalMeans(Generator[NonLocalMeansParams]):
    """Non-local means of the variance-stabilised image."""

    info = GeneratorInfo(
        id="denoise/non-local-means",
        title="Non-local means",
        summary="Averages places that look alike; good for repeating structures.",
        task=Task.DENOISE,
        reference="Buades, Coll & Morel, CVPR 2005",
        spatial_dims=(2, 3),
    )
    params_type = NonLocalMeansParams

    def prepare(self, image: Image, params: NonLocalMeansParams, context: Context) -> ClassicalPrepared:
        """Measure the noise and choose the strength; see `Generator.prepare`."""
        from napari_synth.generators.denoise._classical import Filter, prepare_classical
        from napari_synth.generators.denoise._non_local_means import non_local_means

        method = Filter(
            smooth=lambda x, strength: non_local_means(
                x, strength, patch_radius=params.patch_radius, search_radius=params.search_radius, planes=1
            ),
            halo=params.patch_radius + params.search_radius,
            planes=1,
            values=(0.4, 0.55, 0.75, 1.0, 1.4),
            shown=1.25,
            default=0.75,
            setting="strength",
        )
        return prepare_classical(image, context, method, params.strength, params.neighbours)
