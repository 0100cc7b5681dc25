"""A straight line through the intensities of each pixel."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_synth.core.frames import FramePredictor, PreparedFrames
from napari_synth.core.generator import Context, GeneratorInfo, Params, Task
from napari_synth.core.image import Image


class LinearParams(Params):
    """Settings of a line."""

    frames: int = Field(
        3,
        ge=2,
        le=50,
        title="Frames looked at",
        description="The line of the next frames goes through so many of the last ones; between two frames it is a blend.",
    )


class Linear(FramePredictor[LinearParams]):
    """Goes on as each pixel did, or blends."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="predict-frames/linear",
        title="Linear",
        summary="Each pixel goes on brightening or fading as it did, and blends between two frames: for bleaching and slow change,"
        " not for what moves.",
        task=Task.PREDICT_FRAMES,
        colour="joint",
        invents=True,
    )
    params_type: ClassVar[type[Params]] = LinearParams

    def prepare(self, movie: Image, params: LinearParams, context: Context) -> PreparedFrames:
        """Nothing to prepare; see `FramePredictor.prepare`."""
        from napari_synth.generators.predict_frames._pixelwise import Lines

        return Lines(params.frames)
