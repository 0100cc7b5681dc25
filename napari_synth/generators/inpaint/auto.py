"""``inpaint/auto``: a method for each hole, by its radius and by what lies beside it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._options import SearchParams


class AutoParams(SearchParams):
    """Settings of `Auto`."""

    thin: float = Field(
        3.0,
        ge=0,
        le=64,
        title="Thin up to",
        description="Radius of the largest circle in a hole, in pixels, up to which it is filled smoothly and not with texture.",
        json_schema_extra={"advanced": True},
    )
    surface: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Share of the guide",
        description="How far what varies slowly in thick holes is that of a guide, the mean of a smooth surface and the network's:"
        " 0 keeps the patches as they are. Left out, a hole of the same shape beside each one decides.",
        json_schema_extra={"advanced": True},
    )


class Auto(Generator[AutoParams]):
    """Smooth surfaces in thin holes, neighbouring planes where they tell what is missing, guided patches elsewhere."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="inpaint/auto",
        title="Automatic choice",
        summary="Fills thin holes smoothly, thick ones with texture, and missing planes from their neighbours.",
        task=Task.INPAINT,
        weights_licence="BSD-3-Clause",
        reference="Newson et al., Video inpainting of complex scenes, SIAM J. Imaging Sciences 2014; Damelin & Hoang, 2018",
        spatial_dims=(2, 3),
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = AutoParams

    def prepare(self, image: Image, params: AutoParams, context: Context) -> Prepared:
        """Look which holes there are; see `Generator.prepare`."""
        from napari_synth.generators._conditioning import bundled_network
        from napari_synth.generators.inpaint._filling import Method, prepare_filling
        from napari_synth.generators.inpaint._fills import NetworkFill, PatchFill, own_network
        from napari_synth.generators.inpaint._learned import MODEL

        network, weights = bundled_network(MODEL, context.device)
        guide = NetworkFill(own_network(network), network.multiple, share=0.5)
        method = Method(
            PatchFill(params.patch_radius, params.surface, guide),
            thin=params.thin,
            context=params.context,
            apart=2 * params.patch_radius + 1,
        )
        prepared = prepare_filling(image, method, params.neighbours, context)
        prepared.weights = dict(weights)
        return prepared
