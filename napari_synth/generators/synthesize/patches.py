"""``synthesize/patches``: images of any size, made of the patches of one image."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import GeneratorInfo, Params, Task
from napari_synth.core.image import Image
from napari_synth.core.synthesis import Needs, Sampler, SynthesisContext, SynthesisParams, Synthesizer


class PatchSynthesisParams(SynthesisParams):
    """Settings of `Patches`."""

    structure: int = Field(
        64,
        ge=4,
        le=512,
        title="Largest structure",
        description="Pixels across of the largest structure that is kept together: larger ones are broken up.",
    )
    patch: int = Field(
        7,
        ge=3,
        le=15,
        title="Patch",
        description="Edge of a patch in pixels, at every resolution.",
        json_schema_extra={"advanced": True},
    )
    steps: int = Field(
        6,
        ge=1,
        le=100,
        title="Steps",
        description="How often patches are exchanged at every resolution: more is closer to the image, and slower.",
        json_schema_extra={"advanced": True},
    )


class Patches(Synthesizer[PatchSynthesisParams]):
    """Noise whose patches give way to those of an image."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="synthesize/patches",
        title="From one image",
        summary="Makes images of any size that have the texture of one image, without training; large structures are broken up.",
        task=Task.SYNTHESIZE,
        reference="Granot et al., CVPR 2022",
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = PatchSynthesisParams
    needs: ClassVar[Needs] = "image"

    def open(self, source: Image | None, params: PatchSynthesisParams, context: SynthesisContext) -> Sampler:
        """Look at the image; see `Synthesizer.open`."""
        from napari_synth.generators.synthesize._patches import PatchSampler

        assert source is not None
        return PatchSampler.of(source, params, context)
