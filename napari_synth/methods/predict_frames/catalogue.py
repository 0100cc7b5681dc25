"""The methods for frames that nobody took, and their settings. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.params import NoParams, Params, advanced
from napari_synth.contract.trainable import Trainable, TrainableInfo, TrainParams


class ClipTrainParams(TrainParams):
    """Settings of a training that predicts the end of clips from their beginning."""

    past: int = Field(
        4,
        ge=1,
        le=32,
        title="Frames seen",
        description="How many frames the network is shown.",
    )
    future: int = Field(
        4,
        ge=1,
        le=32,
        title="Frames predicted",
        description="How many following frames it learns to predict at once; more are made from those.",
    )
    backwards: bool = advanced(
        True,
        title="Backwards too",
        description="Learn from clips played backwards as well, so that missing frames can be filled from both sides. Off where"
        " time has a direction that matters.",
    )
    channels: Literal["apart", "joint"] = advanced(
        "apart",
        title="Channels",
        description="Learn from each channel as from a movie of its own, or from all of them together.",
    )


class ConvLSTMTrainParams(ClipTrainParams):
    """Settings of the recurrent network."""

    width: int = advanced(
        32,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of its state: more learn more and take longer.",
    )
    layers: int = advanced(2, ge=1, le=6, title="Recurrent layers", description="How many lie one behind the other.")


class SimVPTrainParams(ClipTrainParams):
    """Settings of the convolutional network."""

    width: int = advanced(
        24,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width of the network",
        description="Channels of a frame: more learn more and take longer.",
    )
    blocks: int = advanced(
        4,
        ge=1,
        le=16,
        title="Blocks",
        description="Of the part that finds what moves: each sees 12 pixels further on either side."
        " More follow faster motion and take longer.",
    )


class OpticalFlowParams(Params):
    """Settings of optical flow."""

    flow: Literal["lucas-kanade", "tv-l1"] = Field(
        "lucas-kanade",
        title="Flow",
        description="Lucas-Kanade takes neighbours to move together and is fast; TV-L1 keeps its edges and takes twice as long.",
    )
    radius: int = advanced(
        7,
        ge=2,
        le=100,
        title="Radius",
        description="Pixels around each one that are taken to move together, for Lucas-Kanade."
        " More is steadier where noise is strong, and misses small motion.",
    )


class LinearParams(Params):
    """Settings of a line."""

    frames: int = Field(
        3,
        ge=2,
        le=50,
        title="Frames looked at",
        description="The line of the next frames goes through so many of the last ones; between two frames it is a blend.",
    )


METHODS = (
    FramePredictor(
        GeneratorInfo(
            id="predict-frames/optical-flow",
            title="Optical flow",
            summary="Measures how everything moves between frames and moves it on, or half way: for motion that is smooth and"
            " not too"
            " fast.",
            task=Task.PREDICT_FRAMES,
            reference="Le Besnerais and Champagnat, ICIP 2005 (Lucas-Kanade); Zach et al., DAGM 2007 (TV-L1); Jiang et al., Super"
            " SloMo, CVPR 2018 (between two frames)",
            colour="joint",
            invents=True,
        ),
        OpticalFlowParams,
        "napari_synth.methods.predict_frames.flow:prepare_optical_flow",
    ),
    FramePredictor(
        GeneratorInfo(
            id="predict-frames/linear",
            title="Linear",
            summary="Each pixel goes on brightening or fading as it did, and blends between two frames: for bleaching and slow"
            " change,"
            " not for what moves.",
            task=Task.PREDICT_FRAMES,
            colour="joint",
            invents=True,
        ),
        LinearParams,
        "napari_synth.methods.predict_frames.flow:prepare_linear",
    ),
    FramePredictor(
        GeneratorInfo(
            id="predict-frames/copy-last",
            title="Copy",
            summary="Copies the nearest measured frame: nothing moves. Every other method has to be better than this.",
            task=Task.PREDICT_FRAMES,
            colour="joint",
            invents=True,
        ),
        NoParams,
        "napari_synth.methods.predict_frames.flow:prepare_copy_last",
    ),
    Trainable(
        TrainableInfo(
            id="predict-frames/simvp",
            title="SimVP",
            summary="Learns from time-lapses how they go on, several frames at once: convolutions alone, quick to learn.",
            task=Task.PREDICT_FRAMES,
            images="one",
            reference="Gao et al., SimVP, CVPR 2022; Trockman and Kolter, Patches are all you need?, 2022 (translator)",
        ),
        SimVPTrainParams,
        "napari_synth.methods.predict_frames.trained:set_up_simvp",
    ),
    Trainable(
        TrainableInfo(
            id="predict-frames/convlstm",
            title="ConvLSTM",
            summary="Learns from time-lapses how they go on, one frame after the other: remembers, and takes longer to learn.",
            task=Task.PREDICT_FRAMES,
            images="one",
            reference="Shi et al., Convolutional LSTM network, NeurIPS 2015; Bengio et al., Scheduled sampling, NeurIPS 2015",
        ),
        ConvLSTMTrainParams,
        "napari_synth.methods.predict_frames.trained:set_up_conv_lstm",
    ),
)
"""In the order in which lists have them: the first generator is the default of the task."""
