"""Moves the last frame on along its optical flow."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from napari_synth.core.frames import FramePredictor, PreparedFrames
from napari_synth.core.generator import Context, GeneratorInfo, Params, Task
from napari_synth.core.image import Image


class OpticalFlowParams(Params):
    """Settings of optical flow."""

    flow: Literal["lucas-kanade", "tv-l1"] = Field(
        "lucas-kanade",
        title="Flow",
        description="Lucas-Kanade takes neighbours to move together and is fast; TV-L1 keeps its edges and takes twice as long.",
    )
    radius: int = Field(
        7,
        ge=2,
        le=100,
        title="Radius",
        description="Pixels around each one that are taken to move together, for Lucas-Kanade.",
        json_schema_extra={"advanced": True},
    )


class OpticalFlow(FramePredictor[OpticalFlowParams]):
    """Moves everything on at the speed it has."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="predict-frames/optical-flow",
        title="Optical flow",
        summary="Measures how everything moves between frames and moves it on, or half way: for motion that is smooth and not too"
        " fast.",
        task=Task.PREDICT_FRAMES,
        reference="Le Besnerais and Champagnat, ICIP 2005 (Lucas-Kanade); Zach et al., DAGM 2007 (TV-L1); Jiang et al., Super"
        " SloMo, CVPR 2018 (between two frames)",
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = OpticalFlowParams

    def prepare(self, movie: Image, params: OpticalFlowParams, context: Context) -> PreparedFrames:
        """Nothing to prepare; see `FramePredictor.prepare`."""
        from napari_synth.generators.predict_frames._flow import Moved

        return Moved(params.flow, params.radius)
