"""``translate/patch-style``: the texture of another image, started from the content."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.generator import Context, Generator, GeneratorInfo, Params, Prepared, Task
from napari_synth.core.image import Image
from napari_synth.generators.translate._options import StyleParams


class PatchStyle(Generator[StyleParams]):
    """Patches move to their places among those of the style."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="translate/patch-style",
        title="Patch style",
        summary="Carries the texture of a style image over, in the range of the image; needs no trained network. The texture is"
        " invented.",
        task=Task.TRANSLATE,
        reference="Elnekave & Weiss, ECCV 2022; Pitié et al., CVIU 2007",
        colour="joint",
        invents=True,
        reference_image="needed",
    )
    params_type: ClassVar[type[Params]] = StyleParams

    def prepare(self, image: Image, params: StyleParams, context: Context) -> Prepared:
        """Look at the style; see `Generator.prepare`."""
        from napari_synth.generators.translate._patches import prepare_patch_style

        return prepare_patch_style(image, params, context)
