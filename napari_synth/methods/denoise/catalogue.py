"""The methods for denoising, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.contract.generator import Generator, GeneratorInfo, Task
from napari_synth.contract.params import (
    OutlierParams,
    Params,
    advanced,
    batch_field,
    ensemble_field,
    outliers_field,
    patch_field,
    steps_field,
    strength_field,
    weigh_measurement_field,
    width_field,
)
from napari_synth.contract.trainable import Dimensions, Trainable, TrainableInfo, TrainParams

Neighbours = Literal["auto", "ignore", "use"]


class VolumeParams(OutlierParams):
    """Settings of a method that can use the planes of a volume together."""

    neighbours: Neighbours = advanced(
        "auto",
        title="Neighbouring planes",
        description="Whether planes along Z are evidence for each other; auto tries both on held-out pixels.",
    )


class DenoiserTrainParams(TrainParams):
    """Settings of any training of a denoiser."""

    dimensions: Dimensions = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )


class PairTrainParams(DenoiserTrainParams):
    """Settings of a training on pairs."""

    initial_weights: Literal["auto", "bundled", "scratch"] = advanced(
        "auto",
        title="Start from",
        description="The bundled denoiser, which knows images already and is told the measured noise, or a fresh network."
        " Auto takes the bundled one for planes of gray or RGB images in which noise is found.",
    )
    width: int = width_field(32, network="fresh network")


class BlindParams(OutlierParams):
    """Settings of `Blind`."""

    strength: float = strength_field()
    neighbours: Literal["auto", "off"] = Field(
        "auto",
        title="Neighbouring planes",
        description="Use neighbouring frames or z planes as extra evidence where they show the same (auto), or never (off).",
    )
    noise: Literal["auto", "independent", "correlated", "multiplicative"] = advanced(
        "auto",
        title="Kind of noise",
        description="Whether the noise of neighbouring pixels is correlated: measured (auto), or as you know it. Multiplicative"
        " noise, the speckle of ultrasound, radar and OCT, is removed on the logarithm of the image.",
    )
    sigma: float | None = Field(
        None,
        gt=0.0,
        title="Noise level",
        description="Standard deviation of the noise in the grey values of the image, where you know it; measured where it is left"
        " out, and where noise is multiplicative. A higher one removes more.",
        json_schema_extra={"advanced": True, "start": 10.0},
    )
    ensemble: bool = ensemble_field()


class AutoParams(Params):
    """Settings of `Auto`."""

    outliers: Literal["auto", "keep", "replace"] = advanced(
        "auto",
        title="Outliers",
        description="Hot and dead pixels, which neither noise nor their neighbours explain: auto keeps their values, but replaces"
        " them where the image is best restored by the median, which is so where they are many.",
    )

    candidates: Literal["all", "classical"] = Field(
        "all",
        title="Candidates",
        description="The bundled network and the classical methods, or the classical ones alone.",
    )
    trained: bool = Field(
        False,
        title="Include trained",
        description="Try the methods too that learn from your image first: minutes instead of seconds.",
        json_schema_extra={"slow": True},
    )


class AdaptParams(OutlierParams):
    """Settings of `Adapt`."""

    learn: Literal["network", "noise law"] = Field(
        "network",
        title="Learn",
        description="Adapt the network to the structures of this image, or leave it and learn how the noise grows with brightness:"
        " for noise that follows no known law.",
    )
    steps: int | None = steps_field(
        "How long to adapt: left out, 100 steps for the network and 400 for the noise law."
        " More take longer and fit the image better, up to a point.",
        most=10_000,
    )
    patch: int = patch_field(64)
    batch: int = batch_field(4)
    strength: float = strength_field()


class Noise2VoidParams(OutlierParams):
    """Settings of Noise2Void."""

    minutes: float = Field(
        1.0,
        gt=0,
        le=240,
        title="Minutes",
        description="About how long to train. Longer is better, up to about half an hour.",
    )
    steps: int | None = steps_field(
        "Train so many steps rather than by the clock: the same number gives the same result again."
    )
    dimensions: Literal["auto", "2D", "3D"] = Field(
        "auto",
        title="Dimensions",
        description="Learn plane by plane (2D) or from whole volumes (3D). Auto takes 3D on a GPU, for stacks of 8 planes or more.",
    )
    patch: int = patch_field(64, multiple_of=4)
    batch: int = batch_field(4)
    mask: Literal["auto", "pixel", "along x", "along y", "box"] = advanced(
        "auto",
        title="Hidden pixels",
        description="What is hidden around a pixel while it is predicted. Auto hides those neighbours whose noise is correlated"
        " with it.",
    )
    weigh_measurement: bool = weigh_measurement_field()


class ZeroShotNoise2NoiseParams(OutlierParams):
    """Settings of zero-shot Noise2Noise."""

    steps: int = Field(
        1000, ge=1, le=100_000, title="Steps", description="How long to train; more than 2000 seldom helps."
    )
    patch: int = patch_field(64, most=1024, multiple_of=2)
    batch: int = batch_field(4, most=256)


class NonLocalMeansParams(VolumeParams):
    """Settings of non-local means."""

    strength: float | None = Field(
        None,
        title="Strength",
        description="How different two places may look, in standard deviations of the noise; empty to choose it on"
        " held-out pixels."
        " More smooths more.",
        ge=0.05,
        le=10.0,
        json_schema_extra={"start": 1.0},
    )
    patch_radius: int = advanced(
        2,
        title="Patch radius",
        description="Pixels around a place by which it is compared."
        " More tell places apart better where noise is strong, and lose small detail.",
        ge=0,
        le=10,
    )
    search_radius: int = advanced(
        7,
        title="Search radius",
        description="How far away alike places are looked for, in pixels; time grows with its square."
        " Farther finds more of them.",
        ge=1,
        le=30,
    )


class TotalVariationParams(VolumeParams):
    """Settings of total-variation denoising."""

    weight: float | None = Field(
        None,
        title="Weight",
        description="How smooth the result is, in standard deviations of the noise; empty to choose it on held-out"
        " pixels."
        " More is smoother and flatter.",
        ge=0.01,
        le=20.0,
        json_schema_extra={"start": 1.0},
    )
    iterations: int = advanced(
        60,
        title="Iterations",
        description="Steps of the solver; very strong smoothing needs more of them.",
        ge=10,
        le=1000,
    )


class WaveletParams(OutlierParams):
    """Settings of wavelet shrinkage."""

    strength: float | None = Field(
        None,
        title="Strength",
        description="Factor on the measured noise; empty to choose it on held-out pixels."
        " More removes more, fine detail too.",
        ge=0.1,
        le=10.0,
        json_schema_extra={"start": 1.0},
    )
    levels: int = advanced(
        4, title="Levels", description="Scales that are cleaned; one more for noise twice as coarse.", ge=1, le=6
    )


_LARGEST = 3


class MedianParams(VolumeParams):
    """Settings of the median filter, which is chosen for its way with single pixels."""

    outliers: Literal["keep", "replace"] = outliers_field("replace")
    radius: int | None = Field(
        None,
        title="Radius",
        description="Pixels on each side that count: 1 is a square of 3 by 3; empty to choose it on held-out pixels.",
        ge=1,
        le=10,
        json_schema_extra={"start": 1},
    )


class Noise2VoidTrainParams(DenoiserTrainParams):
    """Settings of Noise2Void on many images."""

    width: int = width_field(24)


class OverTimeTrainParams(TrainParams):
    """Settings of denoising over time."""

    reach: int = Field(
        3,
        ge=1,
        le=30,
        title="Frames on either side",
        description="How many frames before and after are looked at. What changes faster than that is lost.",
    )
    width: int = advanced(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of a frame: more learn more and take longer.",
    )


METHODS = (
    Generator(
        GeneratorInfo(
            id="denoise/blind",
            title="Blind network",
            summary="Measures the noise in your image and removes it with a network that comes with the plugin: start here.",
            task=Task.DENOISE,
            reference="Zhang et al., FFDNet, IEEE TIP 2018; Mohan et al., ICLR 2020",
            weights_licence="BSD-3-Clause",
            spatial_dims=(2, 3),
            colour="joint",
        ),
        BlindParams,
        "napari_synth.methods.denoise.conditioned:prepare_blind",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/auto",
            title="Automatic choice",
            summary="Tries several methods on pixels they are not shown, takes the best and says why.",
            task=Task.DENOISE,
            reference="Batson & Royer, Noise2Self, ICML 2019",
            spatial_dims=(2, 3),
            colour="joint",
        ),
        AutoParams,
        "napari_synth.methods.denoise.selection:prepare_auto",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/adapted",
            title="Adapted network",
            summary="Adapts the bundled network to this image in seconds; kept only where held-out pixels say it helps.",
            task=Task.DENOISE,
            reference="Krull et al., Noise2Void, CVPR 2019; Herbreteau et al., Noise2VST, ICCV 2025",
            weights_licence="BSD-3-Clause",
            spatial_dims=(2, 3),
            colour="joint",
            trains=True,
        ),
        AdaptParams,
        "napari_synth.methods.denoise.adapted:adapt",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/noise2void",
            title="Noise2Void",
            summary="Trains a network on this image alone: for structures and noise that the bundled network does not know.",
            task=Task.DENOISE,
            reference="Krull et al., Noise2Void, CVPR 2019; Laine et al., NeurIPS 2019 (posterior)",
            spatial_dims=(2, 3),
            trains=True,
        ),
        Noise2VoidParams,
        "napari_synth.methods.denoise.blind_spot:train_blind_spot",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/zero-shot-noise2noise",
            title="Zero-shot Noise2Noise",
            summary="Trains a tiny network on this image alone, plane by plane, for noise that differs from pixel to pixel.",
            task=Task.DENOISE,
            reference="Mansour & Heckel, Zero-shot Noise2Noise, CVPR 2023",
            trains=True,
        ),
        ZeroShotNoise2NoiseParams,
        "napari_synth.methods.denoise.blind_spot:train_zero_shot",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/non-local-means",
            title="Non-local means",
            summary="Averages places that look alike; good for repeating structures.",
            task=Task.DENOISE,
            reference="Buades, Coll & Morel, CVPR 2005",
            spatial_dims=(2, 3),
        ),
        NonLocalMeansParams,
        "napari_synth.methods.denoise.filters:prepare_non_local_means",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/total-variation",
            title="Total variation",
            summary="Smooths within regions and keeps their edges; quick, best where regions are flat.",
            task=Task.DENOISE,
            reference="Rudin, Osher & Fatemi, Physica D 60 (1992); Beck & Teboulle, IEEE TIP 18 (2009)",
            spatial_dims=(2, 3),
        ),
        TotalVariationParams,
        "napari_synth.methods.denoise.filters:prepare_total_variation",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/wavelet",
            title="Wavelet",
            summary="Keeps details that stand out of the noise at their scale; quick, good for fine structure.",
            task=Task.DENOISE,
            reference="Chang, Yu & Vetterli, IEEE TIP 9 (2000); Coifman & Donoho 1995",
        ),
        WaveletParams,
        "napari_synth.methods.denoise.filters:prepare_wavelet",
    ),
    Generator(
        GeneratorInfo(
            id="denoise/median",
            title="Median",
            summary="Takes out single bright or dark pixels; blurs fine detail.",
            task=Task.DENOISE,
            reference="Tukey, Exploratory Data Analysis (1977)",
            spatial_dims=(2, 3),
        ),
        MedianParams,
        "napari_synth.methods.denoise.filters:prepare_median",
    ),
    Trainable(
        TrainableInfo(
            id="denoise/supervised",
            title="Bad to good (CARE)",
            summary="Learns from pairs of a bad and a good image of the same field: short and long exposures, say.",
            task=Task.DENOISE,
            images="paired",
            reference="Weigert et al., Content-aware image restoration, Nature Methods 2018",
        ),
        PairTrainParams,
        "napari_synth.methods.denoise.paired:set_up_supervised",
    ),
    Trainable(
        TrainableInfo(
            id="denoise/noise2noise",
            title="Noise2Noise",
            summary="Learns from pairs of noisy images of the same field with independent noise: no clean image is needed.",
            task=Task.DENOISE,
            images="paired",
            reference="Lehtinen et al., Noise2Noise, ICML 2018",
        ),
        PairTrainParams,
        "napari_synth.methods.denoise.paired:set_up_noise2noise",
    ),
    Trainable(
        TrainableInfo(
            id="denoise/noise2void",
            title="Noise2Void, once for many images",
            summary="Learns from noisy images alone, once; the model then restores images like them without training again.",
            task=Task.DENOISE,
            images="one",
            reference="Krull et al., Noise2Void, CVPR 2019; Laine et al., NeurIPS 2019 (posterior)",
        ),
        Noise2VoidTrainParams,
        "napari_synth.methods.denoise.blind_spot:learn_from_hidden",
    ),
    Trainable(
        TrainableInfo(
            id="denoise/deep-interpolation",
            title="Over time (DeepInterpolation)",
            summary="Learns from noisy time-lapses to predict every frame from those before and after it: noise cannot be"
            " predicted."
            " For movies that change slowly from frame to frame.",
            task=Task.DENOISE,
            images="one",
            reference="Lecoq et al., Removing independent noise with DeepInterpolation, Nature Methods 2021; Gao et al.,"
            " SimVP, CVPR"
            " 2022",
        ),
        OverTimeTrainParams,
        "napari_synth.methods.denoise.trained:learn_over_time",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
