"""The methods for style: stains, contrast, colours, modalities, and their settings. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import Params, advanced, fitted_field
from napari_synth.contract.trainable import Dimensions, Trainable, TrainableInfo, TrainParams

Fit = dict[str, tuple[float, ...]]

"""What was learnt of a reference image, by name."""

Show = Literal["normalised", "haematoxylin", "eosin", "residual"]


class StrengthParams(Params):
    """How far to go."""

    strength: float = Field(
        1.0, ge=0.0, le=1.0, title="Strength", description="0 leaves the image as it is, 1 goes all the way."
    )


class FittedParams(StrengthParams):
    """Settings of a method that needs no more of a reference image than a few numbers."""

    fitted: tuple[Fit, ...] | None = fitted_field(
        title="Fitted reference",
        description="What an earlier run learnt of its reference image, one entry a channel; a recipe holds it, so that no"
        " reference image is needed to repeat it.",
    )


class SlideParams(FittedParams):
    """Settings of a method for stained slides."""

    white: float | None = Field(
        None,
        gt=0.0,
        title="Empty slide",
        description="Brightness of the empty slide, as a grey value; empty to estimate it."
        " A higher one makes stains appear stronger.",
        json_schema_extra={"advanced": True, "start": 240.0},
    )


class StainParams(SlideParams):
    """Settings of a method that takes two stains apart."""

    show: Show = Field(
        "normalised",
        title="Show",
        description="The slide in the reference's stains, or what each stain, or neither of them, contributes to it.",
    )


class StyleParams(StrengthParams):
    """Settings of a method that carries texture over."""

    strength: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="0 leaves the image as it is, 1 takes over all of the texture.",
    )
    structure: int = Field(
        32,
        ge=3,
        le=512,
        title="Largest structure",
        description="Pixels across of the largest structure that is taken from the style image; what is larger stays in its place.",
    )
    patch: int = advanced(
        7,
        ge=3,
        le=15,
        title="Patch",
        description="Edge of a patch in pixels, at every resolution."
        " Larger ones keep larger structures, and vary less.",
    )
    steps: int = advanced(
        12,
        ge=1,
        le=200,
        title="Steps",
        description="How often patches are moved at every resolution: more is closer to the style, and slower.",
    )


class NeuralStyleParams(StrengthParams):
    """Settings of a network that carries style over."""

    strength: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="0 leaves the image as it is, 1 takes over all of the style.",
    )
    steps: int = advanced(
        60,
        ge=1,
        le=2000,
        title="Steps",
        description="How often the image is changed at each resolution: more is closer to the style, and slower.",
    )


class PairedTrainParams(TrainParams):
    """Settings of any such training."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    ssim_weight: float = advanced(
        0.0,
        ge=0,
        le=10,
        title="Structural similarity",
        description="Weight of the structural similarity (SSIM) beside the error of each pixel: more makes results sharper, and"
        " less exact in brightness.",
    )
    width: int = advanced(
        32,
        ge=4,
        le=256,
        multiple_of=4,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
    )
    normalisation: Literal["none", "pixel", "instance"] = advanced(
        "none",
        title="Normalise features",
        description="Not at all, or each pixel's by its own strength: both keep absolute intensities, and tiles equal the whole."
        " By instance is what the papers do: it forgets how bright an image was, and needs whole planes.",
    )


class RegressionTrainParams(PairedTrainParams):
    """Settings of `Regression`."""

    error: Literal["absolute", "squared"] = advanced(
        "absolute",
        title="Error",
        description="What is minimised at each pixel: absolute errors give the median of what is possible and sharper results,"
        " squared ones its mean, which suits sums of intensities.",
    )


class Pix2PixTrainParams(PairedTrainParams):
    """Settings of `Pix2Pix`."""

    l1_weight: float = Field(
        100.0,
        ge=0,
        le=10_000,
        title="Weight of the error",
        description="How much the absolute error of each pixel counts beside looking real: less of it invents more.",
    )
    gan_loss: Literal["lsgan", "vanilla", "hinge"] = advanced(
        "lsgan",
        title="Adversarial loss",
        description="How results are judged against the target's images: by squares, logarithms or hinges.",
    )
    discriminator_layers: int = advanced(
        2,
        ge=1,
        le=4,
        title="Halvings of the critic",
        description="It judges patches of 12, 26, 54 or 110 pixels for 1 to 4.",
    )
    spectral: bool = advanced(
        False,
        title="Spectral norm",
        description="Bound how fast the critic's judgement can change: steadier, and slower to learn.",
    )
    r1_weight: float = advanced(
        0.0,
        ge=0,
        le=1000,
        title="Gradient penalty (R1)",
        description="Weight of keeping the critic flat around real images: steadier, for a third more time; 1 to 10 where training"
        " does not settle.",
    )


class UnpairedTrainParams(TrainParams):
    """Settings of any such training."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    width: int = advanced(
        24,
        ge=4,
        le=256,
        multiple_of=4,
        title="Width of the network",
        description="Channels of its finest level: more learn more and take longer.",
    )
    blocks: int = advanced(
        4,
        ge=1,
        le=16,
        title="Residual blocks",
        description="More of them see further, learn more and take longer; the papers have 6 or 9, at twice the width.",
    )
    normalisation: Literal["none", "pixel", "instance"] = advanced(
        "none",
        title="Normalise features",
        description="Not at all, or each pixel's by its own strength: both keep absolute intensities, and tiles equal the whole."
        " By instance is what the papers do: it forgets how bright an image was, and needs whole planes.",
    )
    gan_loss: Literal["lsgan", "vanilla", "hinge"] = advanced(
        "lsgan",
        title="Adversarial loss",
        description="How results are judged against the target's images: by squares, logarithms or hinges.",
    )

    patches: float = advanced(
        30.0,
        ge=0,
        le=1000,
        title="Patches",
        description="Weight of bringing small patches of results directly to where those of the target lie, which is quicker and"
        " steadier than being judged; 0 for what the papers do.",
    )


class CycleTrainParams(UnpairedTrainParams):
    """Settings of `CycleGAN`."""

    cycle_weight: float = advanced(
        10.0,
        ge=0,
        le=1000,
        title="Cycle",
        description="Weight of the way there and back: a result must hold what the source can be found from."
        " More keeps the source's structures, and changes the look less.",
    )
    identity_weight: float = advanced(
        0.5,
        ge=0,
        le=10,
        title="Identity",
        description="Weight, as a share of the cycle's, of leaving alone what looks like the target already; left out where source"
        " and target have other channels.",
    )
    pool: int = advanced(
        50,
        ge=0,
        le=10_000,
        title="Image pool",
        description="Results that are kept to be judged again. More make the training calmer.",
    )


class CutTrainParams(UnpairedTrainParams):
    """Settings of `Cut`."""

    variant: Literal["CUT", "FastCUT"] = Field(
        "CUT",
        title="Variant",
        description="FastCUT leaves out what is asked of images of the target, and asks more of those of the source: a third"
        " quicker a step.",
    )
    contrastive_weight: float | None = advanced(
        None,
        ge=0,
        le=1000,
        title="Contrast",
        description="Weight of showing the same things at the same places; 1 for CUT and 10 for FastCUT where left out.",
    )
    num_patches: int = advanced(
        256,
        ge=8,
        le=4096,
        title="Places",
        description="Patches of an image that are told apart from each other, at each depth of the network."
        " More hold the structures better and take more memory.",
    )


class AutoParams(FittedParams):
    """Settings of `Auto`."""

    method: Literal["macenko", "colour-transfer", "quantile-matching", "contrast"] | None = advanced(
        None,
        title="Method",
        description="Empty to choose by the reference, or by the image where there is none; the images of a batch go one way.",
        json_schema_extra={"decided_once": True},
    )


class QuantileParams(FittedParams):
    """Settings of quantile matching."""

    match: Literal["auto", "whole image", "each plane"] = Field(
        "auto",
        title="Match",
        description="Whether one curve serves all planes of a channel, or every plane gets its own, which evens out a stack that"
        " bleaches; auto gives every plane its own where there is no reference.",
    )


class ContrastParams(StrengthParams):
    """Settings of the stretch."""

    low: float = Field(
        0.5, ge=0.0, lt=50.0, title="Darkest, %", description="Percentile that becomes the lower end of the range."
    )
    high: float = Field(
        99.5,
        ge=50.0,
        le=100.0,
        title="Brightest, %",
        description="Percentile that becomes the upper end of the range."
        " A lower one makes the image brighter and clips more.",
    )
    over: Literal["image", "dtype"] = Field(
        "image",
        title="Range",
        description="That of the image, or all that its dtype holds (0 to 1 for floats).",
    )


class GammaParams(StrengthParams):
    """Settings of the power."""

    gamma: float = Field(
        0.7, ge=0.05, le=10.0, title="Gamma", description="Below 1 dark parts become brighter, above 1 darker."
    )


class ClaheParams(StrengthParams):
    """Settings of local equalisation."""

    parts: int = Field(
        8,
        ge=1,
        le=64,
        title="Parts",
        description="Along each side of the plane; each has a histogram of its own."
        " More even out smaller areas, and raise noise there.",
    )
    clip: float = Field(
        3.0,
        ge=1.0,
        le=100.0,
        title="Limit",
        description="How steep the curve of a part may become: 1 leaves the image as it is, more shows more noise too.",
    )


class UnsharpParams(StrengthParams):
    """Settings of the mask."""

    radius: float = Field(
        2.0,
        ge=0.3,
        le=50.0,
        title="Radius",
        description="Standard deviation of the blur, in pixels. A larger one sharpens coarser structures.",
    )
    amount: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        title="Amount",
        description="How much of the difference is added. More is sharper and noisier.",
    )


class BalanceParams(StrengthParams):
    """Settings of the balance."""

    gray: Literal["brightest", "mean", "as it is"] = Field(
        "brightest",
        title="Gray is",
        description="What should have no tint: the brightest pixels (an empty slide, say), the mean of all, or nothing.",
    )
    warmth: float = Field(
        0.0, ge=-2.0, le=2.0, title="Warmth", description="Above 0 more red and less blue, below 0 the other way round."
    )
    magenta: float = Field(0.0, ge=-2.0, le=2.0, title="Magenta", description="Above 0 less green, below 0 more.")
    saturation: float = Field(
        1.0, ge=0.0, le=4.0, title="Saturation", description="0 is gray, 1 as it is, above 1 stronger."
    )


METHODS = (
    Generator(
        GeneratorInfo(
            id="translate/auto",
            title="Match the reference",
            summary="Stains of slides, colours of other RGB images, intensities of gray ones; without a reference it brings"
            " slides to a"
            " standard stain and stretches the contrast of everything else.",
            task=Task.TRANSLATE,
            colour="joint",
            reference_image="optional",
        ),
        AutoParams,
        "napari_synth.methods.translate.selection:prepare_choice",
    ),
    Generator(
        GeneratorInfo(
            id="translate/macenko",
            title="Stains (Macenko)",
            summary="Brings the two stains of a slide to those of a reference slide, or of a standard one; the empty slide stays as"
            " it is.",
            task=Task.TRANSLATE,
            reference="Macenko et al., ISBI 2009",
            colour="joint",
            needs_colour=True,
            reference_image="optional",
        ),
        StainParams,
        "napari_synth.methods.translate.stains:prepare_macenko",
    ),
    Generator(
        GeneratorInfo(
            id="translate/vahadane",
            title="Stains (Vahadane)",
            summary="As Macenko's, with stains found so that most pixels need one of them: truer where the stains overlap, slower.",
            task=Task.TRANSLATE,
            reference="Vahadane et al., IEEE TMI 2016",
            colour="joint",
            needs_colour=True,
            reference_image="optional",
        ),
        StainParams,
        "napari_synth.methods.translate.stains:prepare_vahadane",
    ),
    Generator(
        GeneratorInfo(
            id="translate/reinhard",
            title="Stains (Reinhard)",
            summary="Brings the mean and the spread of the tissue's colours to those of a reference slide; takes no stains apart.",
            task=Task.TRANSLATE,
            reference="Reinhard et al., IEEE CG&A 2001",
            colour="joint",
            needs_colour=True,
            reference_image="optional",
        ),
        SlideParams,
        "napari_synth.methods.translate.stains:prepare_reinhard",
    ),
    Generator(
        GeneratorInfo(
            id="translate/quantile-matching",
            title="Quantile matching",
            summary="Gives the image the intensities of a reference, channel by channel; without one it evens out the planes of a"
            " stack.",
            task=Task.TRANSLATE,
            reference="Gonzalez & Woods, Digital Image Processing (histogram specification)",
            colour="joint",
            reference_image="optional",
        ),
        QuantileParams,
        "napari_synth.methods.translate.matching:prepare_quantile_matching",
    ),
    Generator(
        GeneratorInfo(
            id="translate/colour-transfer",
            title="Colour transfer",
            summary="Gives the image the colours of a reference, as many of each: for any two RGB images, stained or not.",
            task=Task.TRANSLATE,
            reference="Pitié et al., CVIU 2007; Rabin et al., SSVM 2011",
            colour="joint",
            needs_colour=True,
            reference_image="needed",
        ),
        StrengthParams,
        "napari_synth.methods.translate.matching:prepare_transport",
    ),
    Generator(
        GeneratorInfo(
            id="translate/patch-style",
            title="Patch style",
            summary="Carries the texture of a style image over, in the range of the image; needs no trained network. The texture is"
            " invented.",
            task=Task.TRANSLATE,
            reference="Elnekave & Weiss, ECCV 2022; Pitié et al., CVIU 2007",
            colour="joint",
            invents=True,
            reference_image="needed",
        ),
        StyleParams,
        "napari_synth.methods.translate.style:prepare_patch_style",
    ),
    Generator(
        GeneratorInfo(
            id="translate/contrast",
            title="Contrast",
            summary="Stretches the intensities between two percentiles of the whole image over its range; nothing else is changed.",
            task=Task.TRANSLATE,
            colour="joint",
        ),
        ContrastParams,
        "napari_synth.methods.translate.tone:prepare_contrast",
    ),
    Generator(
        GeneratorInfo(
            id="translate/gamma",
            title="Gamma",
            summary="Brightens or darkens the middle of the range; its ends stay where they are.",
            task=Task.TRANSLATE,
            colour="joint",
        ),
        GammaParams,
        "napari_synth.methods.translate.tone:prepare_gamma",
    ),
    Generator(
        GeneratorInfo(
            id="translate/clahe",
            title="Local contrast (CLAHE)",
            summary="Brings out faint detail in dark and bright parts of the field alike; intensities can no longer be compared.",
            task=Task.TRANSLATE,
            reference="Zuiderveld, Graphics Gems IV, 1994",
            colour="joint",
        ),
        ClaheParams,
        "napari_synth.methods.translate.tone:prepare_clahe",
    ),
    Generator(
        GeneratorInfo(
            id="translate/unsharp",
            title="Unsharp mask",
            summary="Raises edges and fine detail, and noise with them.",
            task=Task.TRANSLATE,
            colour="joint",
        ),
        UnsharpParams,
        "napari_synth.methods.translate.tone:prepare_unsharp",
    ),
    Generator(
        GeneratorInfo(
            id="translate/colour-balance",
            title="Colour balance",
            summary="Takes out a tint, and makes colours warmer, cooler, stronger or paler.",
            task=Task.TRANSLATE,
            colour="joint",
            needs_colour=True,
        ),
        BalanceParams,
        "napari_synth.methods.translate.tone:prepare_balance",
    ),
    Trainable(
        TrainableInfo(
            id="translate/regression",
            title="Paired, regression",
            summary="Learns from pairs of the same fields to predict other channels: labels from transmitted light, say; what"
            " cannot be"
            " known is smooth.",
            task=Task.TRANSLATE,
            images="paired",
            reference="Ounkomol et al., Label-free prediction of three-dimensional fluorescence images, Nature Methods 2018",
        ),
        RegressionTrainParams,
        "napari_synth.methods.translate.pix2pix:learn_regression",
    ),
    Trainable(
        TrainableInfo(
            id="translate/pix2pix",
            title="Paired, as if real (pix2pix)",
            summary="Learns from pairs of the same fields to make images that look real: virtual stains, say; what cannot be"
            " known is"
            " invented.",
            task=Task.TRANSLATE,
            images="paired",
            reference="Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017",
        ),
        Pix2PixTrainParams,
        "napari_synth.methods.translate.pix2pix:learn_pix2pix",
    ),
    Trainable(
        TrainableInfo(
            id="translate/cyclegan",
            title="Unpaired, both ways (CycleGAN)",
            summary="Learns from images of two kinds that show different fields; its results can be checked by the way back.",
            task=Task.TRANSLATE,
            images="unpaired",
            reference="Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017",
        ),
        CycleTrainParams,
        "napari_synth.methods.translate.cyclegan:learn_both_ways",
    ),
    Trainable(
        TrainableInfo(
            id="translate/cut",
            title="Unpaired, one way (CUT)",
            summary="Learns from images of two kinds that show different fields, in half the time and memory of both ways.",
            task=Task.TRANSLATE,
            images="unpaired",
            reference="Park et al., Contrastive learning for unpaired image-to-image translation, ECCV 2020",
        ),
        CutTrainParams,
        "napari_synth.methods.translate.cut:learn_one_way",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""

GENERATORS: Mapping[str, Generator[Any]] = {one.info.id: one for one in METHODS if isinstance(one, Generator)}
"""Those that are run on images, by id."""
