"""``inpaint/patches``: holes are filled with what the image shows elsewhere."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.inpaint._options import PatchParams


class Patches(Generator[PatchParams]):
    """Copies patches of the intact part, from coarse to fine."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="inpaint/patches",
        title="Texture (patches)",
        summary="Fills holes with texture and structure found elsewhere in the image; for burnt regions and objects that must go.",
        task=Task.INPAINT,
        reference="Newson et al., Video inpainting of complex scenes, SIAM J. Imaging Sciences 2014; Wexler et al., Space-time"
        " completion of video, IEEE TPAMI 2007",
        spatial_dims=(2, 3),
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = PatchParams

    def prepare(self, image: Image, params: PatchParams, context: Context) -> Prepared:
        """Look which holes there are; see `Generator.prepare`."""
        from napari_synth.generators.inpaint._filling import Method, prepare_filling
        from napari_synth.generators.inpaint._fills import PatchFill

        fill = PatchFill(params.patch_radius, params.surface)
        method = Method(fill, along=False, thin=1.0, context=params.context, apart=2 * params.patch_radius + 1)
        return prepare_filling(image, method, params.neighbours, context)
