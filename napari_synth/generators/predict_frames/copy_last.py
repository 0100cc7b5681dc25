"""The last frame again: what any prediction has to beat."""

from __future__ import annotations

from typing import ClassVar

from napari_synth.core.frames import FramePredictor, PreparedFrames
from napari_synth.core.generator import Context, GeneratorInfo, NoParams, Task
from napari_synth.core.image import Image


class CopyLast(FramePredictor[NoParams]):
    """Copies the nearest measured frame."""

    info: ClassVar[GeneratorInfo] = GeneratorInfo(
        id="predict-frames/copy-last",
        title="Copy",
        summary="Copies the nearest measured frame: nothing moves. Every other method has to be better than this.",
        task=Task.PREDICT_FRAMES,
        colour="joint",
        invents=True,
    )

    def prepare(self, movie: Image, params: NoParams, context: Context) -> PreparedFrames:
        """Nothing to prepare; see `FramePredictor.prepare`."""
        from napari_synth.generators.predict_frames._pixelwise import Copied

        return Copied()
