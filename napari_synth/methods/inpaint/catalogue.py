"""The methods for filling holes, and their settings. Loads no torch."""

from __future__ import annotations

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import Params, advanced, batch_field, patch_field


class NeighbourParams(Params):
    """Settings of what can look at neighbouring planes and frames."""

    neighbours: bool = Field(
        True,
        title="Neighbouring planes and frames",
        description="In stacks and movies, take what lies above and below, before and after, as far as it is alike.",
    )


class FillerParams(NeighbourParams):
    """Settings of networks."""

    texture: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Fine detail",
        description="How much fine detail from elsewhere in the image is added to what the network fills: 0 is nearest to the"
        " truth on average, 1 looks most like what is around.",
    )
    context: int = advanced(
        96,
        ge=8,
        le=2048,
        title="Context",
        description="How far around a hole the network looks at least, in pixels; around large holes further."
        " Farther gives it more to go by and takes longer.",
    )


class SearchParams(NeighbourParams):
    """Settings of what looks for patches."""

    patch_radius: int = advanced(
        3,
        ge=1,
        le=8,
        title="Patch radius",
        description="Pixels around a place by which it is compared; larger ones copy larger structures.",
    )
    context: int = advanced(
        64,
        ge=8,
        le=1024,
        title="Context",
        description="How far around a hole alike places are looked for at least, in pixels; large holes look further."
        " Farther finds more of them and takes longer.",
    )


class PatchParams(SearchParams):
    """Settings of what copies patches."""

    surface: float = advanced(
        0.0,
        ge=0,
        le=1,
        title="Share of the smooth surface",
        description="How far what varies slowly in thick holes is that of a smooth surface: 0 looks best; more is nearer to"
        " the truth on average, and blurs large structures.",
    )


class AutoParams(SearchParams):
    """Settings of `Auto`."""

    thin: float = advanced(
        3.0,
        ge=0,
        le=64,
        title="Thin up to",
        description="Radius of the largest circle in a hole, in pixels, up to which it is filled smoothly and not with texture."
        " More fills more holes smoothly.",
    )
    surface: float | None = advanced(
        None,
        ge=0,
        le=1,
        title="Share of the network",
        description="How far what varies slowly in thick holes is what the network makes of them:"
        " 0 keeps the patches as they are. Left out, a hole of the same shape beside each one decides.",
    )


class AdaptedParams(FillerParams):
    """Settings of `Adapted`."""

    steps: int = Field(
        80,
        ge=1,
        le=20_000,
        title="Steps",
        description="How long to adapt: 80 steps are about half a minute on a CPU and seconds on a GPU."
        " More fit the image better, up to a point.",
    )
    patch: int = patch_field(96, least=32)
    batch: int = batch_field(4, most=256)


METHODS = (
    Generator(
        GeneratorInfo(
            id="inpaint/auto",
            title="Automatic choice",
            summary="Fills thin holes smoothly, thick ones with texture, and missing planes from their neighbours.",
            task=Task.INPAINT,
            weights_licence="BSD-3-Clause",
            reference="Newson et al., Video inpainting of complex scenes, SIAM J. Imaging Sciences 2014; Damelin & Hoang, 2018",
            spatial_dims=(2, 3),
            colour="joint",
            invents=True,
        ),
        AutoParams,
        "napari_synth.methods.inpaint.filling:prepare_auto",
    ),
    Generator(
        GeneratorInfo(
            id="inpaint/biharmonic",
            title="Smooth (biharmonic)",
            summary="Bends a smooth surface through holes; for scratches, dust and dead pixels.",
            task=Task.INPAINT,
            reference="Damelin & Hoang, On surface completion and image inpainting by biharmonic functions, 2018",
            spatial_dims=(2, 3),
            colour="joint",
            invents=True,
        ),
        NeighbourParams,
        "napari_synth.methods.inpaint.filling:prepare_biharmonic",
    ),
    Generator(
        GeneratorInfo(
            id="inpaint/patches",
            title="Texture (patches)",
            summary="Fills holes with texture and structure found elsewhere in the image; for burnt regions and objects that"
            " must go.",
            task=Task.INPAINT,
            reference="Newson et al., Video inpainting of complex scenes, SIAM J. Imaging Sciences 2014; Wexler et al., Space-time"
            " completion of video, IEEE TPAMI 2007",
            spatial_dims=(2, 3),
            colour="joint",
            invents=True,
        ),
        PatchParams,
        "napari_synth.methods.inpaint.filling:prepare_patches",
    ),
    Generator(
        GeneratorInfo(
            id="inpaint/network",
            title="Inpainting network",
            summary="Fills holes with a network that comes with the plugin and continues lines and surfaces; for holes up to"
            " about 60"
            " pixels.",
            task=Task.INPAINT,
            reference="Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019",
            weights_licence="BSD-3-Clause",
            spatial_dims=(2, 3),
            colour="joint",
            invents=True,
        ),
        FillerParams,
        "napari_synth.methods.inpaint.filling:prepare_network",
    ),
    Generator(
        GeneratorInfo(
            id="inpaint/adapted",
            title="Adapted network",
            summary="Trains the network for a moment on holes in the intact part of this image; kept only where held-out holes"
            " say it"
            " helps.",
            task=Task.INPAINT,
            reference="Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019; Ulyanov et al., Deep Image Prior,"
            " CVPR 2018 (learning from the image alone)",
            weights_licence="BSD-3-Clause",
            spatial_dims=(2, 3),
            colour="joint",
            invents=True,
            trains=True,
        ),
        AdaptedParams,
        "napari_synth.methods.inpaint.adapted:adapt",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
