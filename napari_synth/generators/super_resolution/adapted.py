"""``super-resolution/adapted``: the bundled network, fine-tuned on the image itself."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.super_resolution._options import NetworkParams


class AdaptedParams(NetworkParams):
    """Settings of `Adapted`."""

    steps: int = Field(
        150,
        ge=1,
        le=20_000,
        title="Steps",
        description="How long to adapt: 150 steps are about a minute on a CPU and seconds on a GPU.",
    )
    patch: int = Field(
        32,
        ge=16,
        le=256,
        multiple_of=2,
        title="Patch size",
        description="Edge of a coarse training patch, in pixels.",
        json_schema_extra={"advanced": True},
    )
    batch: int = Field(
        8,
        ge=1,
        le=256,
        title="Batch size",
        description="Patches a training step.",
        json_schema_extra={"advanced": True},
    )


class Adapted(Generator[AdaptedParams]):
    """The bundled network, adapted by enlarging a coarser copy of the image, and kept only where that helps."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="super-resolution/adapted",
        title="Adapted network",
        summary="Trains the network on a coarser copy of this image for a minute; kept only where held-out pixels say it helps."
        " More pixels do not mean more resolution: detail finer than yours is a guess.",
        task=Task.SUPER_RESOLUTION,
        reference="Shocher et al., Zero-Shot Super-Resolution, CVPR 2018",
        weights_licence="BSD-3-Clause",
        colour="joint",
        trains=True,
    )
    params_type: ClassVar[type[Params]] = AdaptedParams

    def prepare(self, image: Image, params: AdaptedParams, context: Context) -> Prepared:
        """Measure the noise, load the network and adapt it; see `Generator.prepare`."""
        from napari_synth.core.rotations import RotationEnsemble
        from napari_synth.generators.super_resolution._adapted import adapt

        prepared = adapt(image, params, context)
        return RotationEnsemble(prepared, "mean") if params.ensemble else prepared
