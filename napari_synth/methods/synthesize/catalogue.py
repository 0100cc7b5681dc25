"""The methods for new images, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.params import advanced, width_field
from napari_synth.contract.synthesis import SynthesisParams, Synthesizer
from napari_synth.contract.trainable import Trainable, TrainableInfo, TrainParams


class RefinedParams(SynthesisParams):
    """Settings of a VAE-GAN."""

    manner: Literal["auto", "source", "blurred"] = advanced(
        "auto",
        title="Manner",
        description="Auto makes images of the second kind where the model learnt two, source those of the first one; blurred ones"
        " are what the decoder knows, before anything is invented.",
    )


class FlowParams(SynthesisParams):
    """Settings of a flow."""

    steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Steps",
        description="From noise to the image: more are more exact, and take longer. Where left out, as many as were found to be"
        " enough when the model was trained.",
    )
    solver: Literal["heun", "euler"] = advanced(
        "heun",
        title="Solver",
        description="Heun's looks at every step twice, and needs far fewer of them than Euler's.",
    )


class SynthesisTrainParams(TrainParams):
    """Settings of any training of a synthesizer."""

    patch: int = Field(
        64,
        ge=16,
        le=256,
        multiple_of=16,
        title="Image size",
        description="Height and width of the images that are made, in pixels: crops of that size are learnt from."
        " Larger ones show more and take longer to learn.",
    )
    flips_and_rotations: bool = advanced(
        True,
        title="Turn and flip",
        description="Learn from turned and flipped crops as well. Off where up is not like down.",
    )


class GanTrainParams(SynthesisTrainParams):
    """Settings of a generator that plays against a discriminator."""

    width: int = width_field(24, network="networks", where="at half resolution")
    latent_size: int = advanced(
        128, ge=2, le=4096, title="Latents", description="How many random numbers an image is made of."
    )
    discriminator_augmentation: bool = advanced(
        True,
        title="Little data",
        description="Shift, cut and bend the brightness of images before they are judged, so that few of them are not learnt by"
        " heart. Off where there are tens of thousands.",
    )
    r1_weight: float = advanced(
        0.1,
        ge=0,
        le=1000,
        title="Smoothness",
        description="How far the discriminator is kept from being steep around real and made images (R1, R2): more is steadier,"
        " and slower.",
    )


class AutoencoderTrainParams(SynthesisTrainParams):
    """Settings of a variational autoencoder."""

    latent_size: int = advanced(
        128,
        ge=2,
        le=4096,
        title="Latents",
        description="How many numbers stand for an image: more keep more of it. Those that are not needed are left out of use.",
    )
    beta: float = advanced(
        1.0,
        gt=0,
        le=100,
        title="Beta",
        description="Weight of the latents' divergence from normal numbers: above 1 new images are better and those that are found"
        " again are worse, below 1 the other way round.",
    )
    warm_up: int = advanced(
        200,
        ge=0,
        le=1_000_000,
        title="Warm-up",
        description="Steps over which that weight rises from 0, so that latents come into use before they are priced."
        " More let images be sharper and latents less even.",
    )
    width: int = width_field(24, where="at half resolution")


class RefinedTrainParams(AutoencoderTrainParams):
    """Settings of a VAE-GAN."""

    fidelity: float = advanced(
        1.0,
        ge=0,
        le=100,
        title="Fidelity",
        description="How much what is drawn must look like the image that was encoded, beside looking real."
        " More is truer to it, less is sharper.",
    )


class LabelsToImageTrainParams(TrainParams):
    """Settings of `LabelsToImage`."""

    labels: Literal["auto", "classes", "instances"] = Field(
        "auto",
        title="Labels",
        description="What labels are: kinds of pixels (classes), or numbers of single objects (instances), which are all alike."
        " Auto takes few labels for classes, unless each is one region.",
    )
    flips_and_rotations: bool = advanced(
        True,
        title="Turn and flip",
        description="Learn from turned and flipped patches as well. Off where up is not like down.",
    )
    width: int = width_field(32)


class PatchSynthesisParams(SynthesisParams):
    """Settings of `Patches`."""

    structure: int = Field(
        64,
        ge=4,
        le=512,
        title="Largest structure",
        description="Pixels across of the largest structure that is kept together: larger ones are broken up.",
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
        6,
        ge=1,
        le=100,
        title="Steps",
        description="How often patches are exchanged at every resolution: more is closer to the image, and slower.",
    )


_REFERENCE = "Larsen et al., Autoencoding beyond pixels using a learned similarity metric, ICML 2016"


class FlowTrainParams(SynthesisTrainParams):
    """Settings of flow matching."""

    width: int = width_field(32)


METHODS = (
    Synthesizer(
        GeneratorInfo(
            id="synthesize/patches",
            title="From one image",
            summary="Makes images of any size that have the texture of one image, without training; large structures are"
            " broken up.",
            task=Task.SYNTHESIZE,
            reference="Granot et al., CVPR 2022",
            colour="joint",
            invents=True,
        ),
        PatchSynthesisParams,
        "napari_synth.methods.synthesize.patches:prepare_patches",
        needs="image",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/flow-matching",
            title="Flow matching",
            summary="Learns the way from noise to images, which is followed in a few steps: steady to train, for images of any"
            " size.",
            task=Task.SYNTHESIZE,
            images="one",
            reference="Lipman et al., Flow matching for generative modeling, ICLR 2023; Liu et al., Flow straight and fast,"
            " ICLR 2023",
        ),
        FlowTrainParams,
        "napari_synth.methods.synthesize.flow_matching:learn_velocities",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/vae",
            title="Variational autoencoder",
            summary="Learns to make images, and to find images again, from a few smooth numbers: steady and quick, but blurred.",
            task=Task.SYNTHESIZE,
            images="one",
            reference="Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014",
        ),
        AutoencoderTrainParams,
        "napari_synth.methods.synthesize.vae:learn_latents",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/vae-gan",
            title="VAE-GAN",
            summary="Learns smooth latents as the autoencoder does, and to draw the fine structure that its images lack.",
            task=Task.SYNTHESIZE,
            images="one",
            reference=_REFERENCE,
        ),
        RefinedTrainParams,
        "napari_synth.methods.synthesize.vae_gan:learn_to_refine",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/vae-gan-translated",
            title="VAE-GAN into a second kind",
            summary="Learns the latents of the source, and draws its images in the manner of the target, which may show other"
            " fields.",
            task=Task.SYNTHESIZE,
            images="unpaired",
            reference=f"{_REFERENCE}; Zhu et al., Unpaired image-to-image translation, ICCV 2017 (the way back)",
        ),
        RefinedTrainParams,
        "napari_synth.methods.synthesize.vae_gan:learn_to_refine",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/dcgan",
            title="DCGAN",
            summary="Two small networks play against each other: sharp images of one size within minutes.",
            task=Task.SYNTHESIZE,
            reference="Radford et al., Unsupervised representation learning with deep convolutional GANs, ICLR 2016",
        ),
        GanTrainParams,
        "napari_synth.methods.synthesize.gan:set_up_dcgan",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/fastgan",
            title="FastGAN",
            summary="Gated channels, and a critic that must know what it sees: a little slower than the DCGAN, for few images.",
            task=Task.SYNTHESIZE,
            reference="Liu et al., Towards faster and stabilized GAN training for few-shot image synthesis, ICLR 2021",
        ),
        GanTrainParams,
        "napari_synth.methods.synthesize.gan:set_up_fastgan",
    ),
    Trainable(
        TrainableInfo(
            id="synthesize/labels-to-image",
            title="Labels to image",
            summary="Learns from labels and the image they were drawn on to make images for other labels, and to draw such labels:"
            " new images with their annotation.",
            task=Task.SYNTHESIZE,
            images="paired",
            reference="Lipman et al., Flow matching for generative modeling, ICLR 2023; Silverman, Density estimation for"
            " statistics and data analysis, 1986 (new shapes)",
            source="labels",
        ),
        LabelsToImageTrainParams,
        "napari_synth.methods.synthesize.labels_to_image:learn_to_paint",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
