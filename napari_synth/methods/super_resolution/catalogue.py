"""The methods for super-resolution and isotropic volumes, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import OutlierParams, advanced, batch_field, ensemble_field, steps_field

Pixels = Literal["cubic", "area", "gaussian"]


class FactorParams(OutlierParams):
    """How much finer the result is."""

    factor: float = Field(
        2.0,
        ge=1.0,
        le=16.0,
        title="Factor",
        description="How many times finer the result is along Y and X; it need not be a whole number.",
    )


class NetworkParams(FactorParams):
    """Settings of a network that enlarges."""

    consistency: bool = Field(
        True,
        title="Keep the measured pixels",
        description="Correct the result until, made coarse again, it gives the image that was measured (within its noise).",
    )
    pixels: Pixels = advanced(
        "cubic",
        title="Pixels",
        description="What a measured pixel is taken for: reduced with a cubic kernel, the mean of its area, or the mean behind a"
        " Gaussian point-spread function of 0.35 pixels.",
    )
    denoise: bool = advanced(
        True,
        title="Remove noise",
        description="Measure the noise and remove it on the way; switched off, noise is enlarged like everything else.",
    )
    ensemble: bool = ensemble_field()


class AdaptedParams(NetworkParams):
    """Settings of `Adapted`."""

    steps: int = Field(
        150,
        ge=1,
        le=20_000,
        title="Steps",
        description="How long to adapt: 150 steps are about a minute on a CPU and seconds on a GPU."
        " More fit the image better, up to a point.",
    )
    patch: int = advanced(
        32,
        ge=16,
        le=256,
        multiple_of=2,
        title="Patch size",
        description="Edge of a coarse training patch, in pixels."
        " A larger one shows more context at once, and takes more memory and time.",
    )
    batch: int = batch_field(8, most=256)


class IsotropicParams(OutlierParams):
    """Settings of the isotropic restoration."""

    factor: float | None = Field(
        None,
        gt=1,
        le=16,
        title="Factor",
        description="How many times finer along Z. Empty: from the spacing of Z and X, so that voxels become cubic.",
    )
    slices: Literal["thick", "thin"] = Field(
        "thick",
        title="Slices",
        description="Thick slices collect all light between them and the next; thin ones were measured at their middle alone.",
    )
    minutes: float = Field(
        1.0,
        gt=0,
        le=240,
        title="Minutes",
        description="About how long to learn from the volume's planes. Longer is better, up to a point.",
    )
    steps: int | None = steps_field(
        "Train so many steps rather than by the clock: the same number gives the same result again."
    )
    blur: float = advanced(
        0.0,
        ge=0,
        le=1,
        title="Blur along Z",
        description="Standard deviation, in distances of slices, of a blur along Z that the planes do not have; it is undone."
        " More sharpens more along Z, and noise with it.",
    )
    consistency: Literal["auto", "exact", "within noise", "off"] = advanced(
        "auto",
        title="Keep the measured slices",
        description="Correct the result until its planes measure as the slices do: exactly (nearly, where the factor is"
        " no whole number), or as far as that is not noise."
        " Auto is exact for thin slices, and within the noise for thick ones, which would be noisier than they were else.",
    )
    batch: int = batch_field(4)


METHODS = (
    Generator(
        GeneratorInfo(
            id="super-resolution/network",
            title="Super-resolution network",
            summary="Makes the image finer with a network that comes with the plugin. More pixels do not mean more resolution:"
            " detail finer than yours is a guess.",
            task=Task.SUPER_RESOLUTION,
            reference="Shi et al., CVPR 2016; Kim et al., VDSR, CVPR 2016; Irani & Peleg, CVGIP 1991 (back-projection)",
            weights_licence="BSD-3-Clause",
            colour="joint",
        ),
        NetworkParams,
        "napari_synth.methods.super_resolution.enlarged:prepare_network",
    ),
    Generator(
        GeneratorInfo(
            id="super-resolution/adapted",
            title="Adapted network",
            summary="Trains the network on a coarser copy of this image for a minute; kept only where held-out pixels say it helps."
            " More pixels do not mean more resolution: detail finer than yours is a guess.",
            task=Task.SUPER_RESOLUTION,
            reference="Shocher et al., Zero-Shot Super-Resolution, CVPR 2018",
            weights_licence="BSD-3-Clause",
            colour="joint",
            trains=True,
        ),
        AdaptedParams,
        "napari_synth.methods.super_resolution.adapted:prepare_adapted",
    ),
    Generator(
        GeneratorInfo(
            id="super-resolution/lanczos",
            title="Lanczos",
            summary="The sharpest interpolation between the measured pixels: adds pixels and no detail.",
            task=Task.SUPER_RESOLUTION,
            reference="Duchon, J. Applied Meteorology 1979",
            colour="joint",
        ),
        FactorParams,
        "napari_synth.methods.super_resolution.enlarged:prepare_lanczos",
    ),
    Generator(
        GeneratorInfo(
            id="super-resolution/bicubic",
            title="Bicubic",
            summary="Smooth interpolation between the measured pixels: adds pixels and no detail.",
            task=Task.SUPER_RESOLUTION,
            reference="Keys, IEEE TASSP 1981",
            colour="joint",
        ),
        FactorParams,
        "napari_synth.methods.super_resolution.enlarged:prepare_bicubic",
    ),
    Generator(
        GeneratorInfo(
            id="super-resolution/isotropic",
            title="Make isotropic",
            summary="For stacks with thick or distant slices: learns from their fine planes how to fill in what lies between"
            " slices."
            " More planes do not mean more resolution: what no slice measured is a guess.",
            task=Task.SUPER_RESOLUTION,
            reference="Weigert et al., Isotropic reconstruction of 3D fluorescence microscopy images, MICCAI 2017; Zhao et"
            " al., SMORE,"
            " IEEE TMI 2021",
            spatial_dims=(3,),
            trains=True,
        ),
        IsotropicParams,
        "napari_synth.methods.super_resolution.isotropic:train_isotropic",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
