"""Total variation behind the noise model: piecewise smooth images with sharp edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Task
from napari_synth.core.image import Image
from napari_synth.generators.denoise._options import VolumeParams

if TYPE_CHECKING:
    from napari_synth.generators.denoise._classical import ClassicalPrepared


class TotalVariationParams(VolumeParams):
    """Settings of total-variation denoising."""

    weight: float | None = pydantic.Field(
        None,
        title="Weight",
        description="How smooth the result is, in standard deviations of the noise; empty to choose it on held-out"
        " pixels.",
        ge=0.01,
        le=20.0,
        json_schema_extra={"start": 1.0},
    )
    iterations: int = pydantic.Field(
        60,
        title="Iterations",
        description="Steps of the solver; very strong smoothing needs more of them.",
        ge=10,
        le=1000,
        json_schema_extra={"advanced": True},
    )


class TotalVariation(Generator[TotalVariationParams]):
    """Rudin-Osher-Fatemi denoising of the variance-stabilised image."""

    info = GeneratorInfo(
        id="denoise/total-variation",
        title="Total variation",
        summary="Smooths within regions and keeps their edges; quick, best where regions are flat.",
        task=Task.DENOISE,
        reference="Rudin, Osher & Fatemi, Physica D 60 (1992); Beck & Teboulle, IEEE TIP 18 (2009)",
        spatial_dims=(2, 3),
    )
    params_type = TotalVariationParams

    def prepare(self, image: Image, params: TotalVariationParams, context: Context) -> ClassicalPrepared:
        """Measure the noise and choose the weight; see `Generator.prepare`."""
        from napari_synth.generators.denoise._classical import Filter, prepare_classical
        from napari_synth.generators.denoise._total_variation import total_variation

        in_plane, axial = image.spacing.get("X", 1.0), image.spacing.get("Z", 1.0)
        # Distant planes have less to say about each other.
        axial_weight = min(1.0, in_plane / axial) if axial > 0.0 else 1.0
        method = Filter(
            smooth=lambda x, weight: total_variation(x, weight, iterations=params.iterations, axial=axial_weight),
            halo=24,
            planes=12,
            values=(0.2, 0.35, 0.6, 0.9, 1.4, 2.2),
            shown=1.15,
            default=0.65,
            setting="weight",
        )
        return prepare_classical(image, context, method, params.weight, params.neighbours)
