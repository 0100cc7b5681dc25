"""Wavelet shrinkage behind the noise model: keeps the details that stand out of the noise at their scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic

from napari_synth.core.generator import Context, Generator, GeneratorInfo, OutlierParams, Task
from napari_synth.core.image import Image

if TYPE_CHECKING:
    from napari_synth.generators.denoise._classical import ClassicalPrepared


class WaveletParams(OutlierParams):
    """Settings of wavelet shrinkage."""

    strength: float | None = pydantic.Field(
        None,
        title="Strength",
        description="Factor on the measured noise; empty to choose it on held-out pixels.",
        ge=0.1,
        le=10.0,
        json_schema_extra={"start": 1.0},
    )
    levels: int = pydantic.Field(
        4,
        title="Levels",
        description="Scales that are cleaned; one more for noise twice as coarse.",
        ge=1,
        le=6,
        json_schema_extra={"advanced": True},
    )


class Wavelet(Generator[WaveletParams]):
    """Shift-invariant BayesShrink of the variance-stabilised image."""

    info = GeneratorInfo(
        id="denoise/wavelet",
        title="Wavelet",
        summary="Keeps details that stand out of the noise at their scale; quick, good for fine structure.",
        task=Task.DENOISE,
        reference="Chang, Yu & Vetterli, IEEE TIP 9 (2000); Coifman & Donoho 1995",
    )
    params_type = WaveletParams

    def prepare(self, image: Image, params: WaveletParams, context: Context) -> ClassicalPrepared:
        """Measure the noise and choose the strength; see `Generator.prepare`."""
        from napari_synth.generators.denoise._classical import Filter, prepare_classical
        from napari_synth.generators.denoise._wavelet import reach, shrink

        method = Filter(
            smooth=lambda x, strength: shrink(x, strength, levels=params.levels),
            halo=reach(params.levels),
            values=(0.7, 0.9, 1.1, 1.4, 1.8, 2.4),
            shown=1.1,
            default=1.15,
            setting="strength",
            bytes_per_pixel=64 + 16 * params.levels,
        )
        return prepare_classical(image, context, method, params.strength, "ignore")
